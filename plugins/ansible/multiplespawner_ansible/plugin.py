"""What this distribution declares; imported in every hub that enables it, so it imports little."""

from __future__ import annotations

from collections.abc import Iterable

from multiplespawner_core import Component, Plugins, hookimpl


class Ansible(Plugins):
    """Three configurers: playbooks, a script, and one that has nothing to do."""

    @hookimpl
    def multiplespawner_configurers(self) -> Iterable[Component]:
        return [
            Component(
                name="ansible",
                target="multiplespawner_ansible.ansible:AnsibleConfigurer",
                aliases=("corc.configurer.AnsibleConfigurer",),
            ),
            Component(name="script", target="multiplespawner_ansible.script:ScriptConfigurer"),
            Component(name="none", target="multiplespawner_ansible.nothing:NoConfigurer"),
        ]


plugin = Ansible()

__all__ = ("Ansible", "plugin")
