"""What this distribution declares; imported in every hub that enables it, so it imports little."""

from __future__ import annotations

from collections.abc import Iterable

from multiplespawner_core import Component, Plugins, hookimpl


class SSH(Plugins):
    """What opens remote machines.

    The alias is the name of its predecessor, by which templates know it.
    """

    @hookimpl
    def multiplespawner_authenticators(self) -> Iterable[Component]:
        return [
            Component(
                name="ssh",
                target="multiplespawner_ssh.authenticator:SSHAuthenticator",
                aliases=("corc.authenticator.SSHAuthenticator",),
            )
        ]


plugin = SSH()

__all__ = ("SSH", "plugin")
