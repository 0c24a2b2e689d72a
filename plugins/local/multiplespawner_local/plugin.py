"""What this distribution declares; imported in every hub that enables it, so it imports little."""

from __future__ import annotations

from collections.abc import Iterable

from multiplespawner_core import Component, Plugins, hookimpl


class Local(Plugins):
    """The provider of this machine.

    Its usual children, `LocalProcessSpawner` and `SimpleLocalProcessSpawner`, are in JupyterHub's
    own entry-point group, so templates can name them already.
    """

    @hookimpl
    def multiplespawner_providers(self) -> Iterable[Component]:
        return [
            Component(
                name="local",
                target="multiplespawner_local.provider:LocalProvider",
                resource_types=("bare_metal",),
            )
        ]


plugin = Local()

__all__ = ("Local", "plugin")
