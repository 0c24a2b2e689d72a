"""The contract of configurers, against playbooks and scripts on real machines."""

from __future__ import annotations

import pytest
from multiplespawner_ansible.ansible import AnsibleConfigurer
from multiplespawner_ansible.script import ScriptConfigurer

from multiplespawner_core.testing import ConfigurerConformance

pytestmark = pytest.mark.slow

pytest_plugins = ["multiplespawner_core.testing"]

PASSWORD = "open-sesame-4711"

# Without modules, which take seconds to bring.
WORKS = """
- hosts: compute
  gather_facts: false
  tasks:
    - name: Write a file
      ansible.builtin.raw: umask 077; printf %s {{ ('for ' ~ who) | quote }} > {{ home }}/hello
"""
SLOW = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Wait for {{ who }}
      ansible.builtin.raw: sleep 60
"""
FAILS = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Say the password {{ some_password }}
      ansible.builtin.fail: {msg: "it is {{ some_password }}"}
"""


@pytest.mark.playbook
class TestAnsibleConfigurer(ConfigurerConformance):
    configurer = AnsibleConfigurer
    plugin = "multiplespawner_ansible.plugin"
    sdk = ("ansible", "ansible_runner", "yaml", "psutil")
    secrets = (PASSWORD,)

    def arguments(self, folder, home):
        return self.playing(WORKS, folder, home)

    def slow_arguments(self, folder, home):
        return self.playing(SLOW, folder, home)

    def failing_arguments(self, folder, home):
        return self.playing(FAILS, folder, home)

    def wrong_arguments(self, folder, home):
        return {"options": {"apply_kwargs": {"playbook_path": "no_such_playbook.yml"}}}

    def is_configured(self, machine):
        file = machine.home / "hello"
        return file.exists() and file.read_text() == "for ada"

    def playing(self, playbook, folder, home):
        (folder / "play.yml").write_text(playbook)
        variables = {"home": str(home), "who": "ada", "some_password": PASSWORD}
        return {
            "options": {
                "host_variables": variables,
                "host_settings": {"group": "compute", "port": "22"},
                "apply_kwargs": {"playbook_path": "play.yml"},
            }
        }


# the script configurer
class TestScriptConfigurer(ConfigurerConformance):
    configurer = ScriptConfigurer
    plugin = "multiplespawner_ansible.plugin"
    sdk = ("ansible_runner", "psutil")
    secrets = (PASSWORD,)

    def arguments(self, folder, home):
        return self.running('echo Writing; umask 077; printf %s "$1" > hello; cp hello ~/', folder)

    def slow_arguments(self, folder, home):
        return self.running("echo Waiting; sleep 60", folder)

    def failing_arguments(self, folder, home):
        return self.running('echo "$THE_PASSWORD"; echo "$THE_PASSWORD" >&2; exit 3', folder)

    def wrong_arguments(self, folder, home):
        return {"script_path": "no_such_script.sh"}

    def is_configured(self, machine):
        file = machine.home / "hello"
        return file.exists() and file.read_text() == "it's {ada}"

    def running(self, script, folder):
        (folder / "script.sh").write_text(f"#!/bin/sh\n{script}\n")
        environment = {"THE_PASSWORD": PASSWORD}
        return {
            "options": {"script_path": "script.sh", "arguments": ["it's {ada}"]},
            "environment": environment,
        }
