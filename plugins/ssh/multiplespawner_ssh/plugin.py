"""What this distribution declares; imported in every hub that enables it, so it imports little."""

from __future__ import annotations

from collections.abc import Iterable

from multiplespawner_core import Component, Plugins, hookimpl


class SSH(Plugins):
    """What opens remote machines, and what starts servers on them.

    The aliases are the names of their predecessors, by which templates know them.
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

    @hookimpl
    def multiplespawner_spawners(self) -> Iterable[Component]:
        return [
            Component(
                name="ssh",
                target="multiplespawner_ssh.spawner:SSHSpawner",
                aliases=("sshspawner.sshspawner.SSHSpawner",),
            )
        ]


plugin = SSH()

__all__ = ("SSH", "plugin")
