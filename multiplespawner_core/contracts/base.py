"""What the three contracts share: configurable by traits, and complete or not constructible."""

from __future__ import annotations

from abc import ABCMeta
from pathlib import Path
from typing import Any

from traitlets.config import LoggingConfigurable


class ContractMeta(ABCMeta, type(LoggingConfigurable)):  # type: ignore[misc]  # its base is computed
    """Traits and abstract methods on one class: a missing method is named at construction."""


class Plugin(LoggingConfigurable, metaclass=ContractMeta):  # type: ignore[metaclass]  # its base is computed
    """The base of providers, authenticators and configurers.

    Administrators set its traits in ``jupyterhub_config.py`` (``c.MyProvider.region = ...``);
    a template's keys for the component arrive as constructor arguments and win over those.

    Args:
        component: the name under which the registry knows it.
        state_dir: a directory of its own (mode 0700) for what must survive the hub.
        installation_id: marks everything that this hub owns.
    """

    def __init__(
        self, *, component: str, state_dir: Path, installation_id: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.component = component
        self.state_dir = state_dir
        self.installation_id = installation_id

    async def startup(self) -> None:
        """Called once, in the hub's event loop, before the first call of any other coroutine.

        ``multiplespawner plan`` calls a provider's as well, in a process of its own and perhaps
        beside the hub, and then asks for offers: nothing outside of the process may change.
        """

    async def shutdown(self) -> None:
        """Called once when the hub ends: close connections and threads; resources stay."""


__all__ = ("ContractMeta", "Plugin")
