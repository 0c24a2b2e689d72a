"""The contract of an authenticator."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from multiplespawner_core.contracts.base import Plugin

if TYPE_CHECKING:
    from multiplespawner_core.contracts.values import Access, Endpoint, Intent, Keys


class Authenticator(Plugin):
    """Makes the keys before a resource exists, and opens the resource once it does.

    (Not JupyterHub's Authenticator, which logs users in.)
    """

    open_timeout: float = 300
    """Seconds that `open` may take."""

    @abstractmethod
    async def prepare(self, intent: Intent) -> Keys:
        """Make or load the keys for this resource.

        Idempotent: called again after a crash, and when a resource that was stopped is started
        again, it returns the same keys.
        """

    @abstractmethod
    async def open(self, intent: Intent, endpoint: Endpoint, keys: Keys) -> Access:
        """Wait until the resource can be logged in to, verify its host key, and say how.

        Raises:
            OpenFailed: with a message for the user; a wrong host key always is one.
        """

    async def cleanup(self, intent: Intent) -> None:
        """Remove what `prepare` and `open` left for this intent. Idempotent; nothing by default."""


__all__ = ("Authenticator",)
