"""Real machines, and configurers with what a template says."""

from __future__ import annotations

import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from multiplespawner_ansible.ansible import AnsibleConfigurer
from multiplespawner_ansible.script import ScriptConfigurer

from multiplespawner_core import Intent, Offer, Owner, Scope, Specification
from multiplespawner_core.testing.conformance import planted
from multiplespawner_core.testing.lone_machine import LoneMachine

sys.path.insert(0, str(Path(__file__).parent))  # for machine_apart


@pytest.fixture
def keys(tmp_path):
    return planted.keys(tmp_path)


@pytest.fixture
def machine(tmp_path, keys):
    with LoneMachine(tmp_path / "machines", keys) as machine:
        yield machine


@pytest.fixture
def site(tmp_path):
    """The folder that templates stand in; site(NAME, TEXT) writes a file there."""
    folder = tmp_path / "site"

    def write(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    folder.mkdir()
    write.folder = folder
    return write


@pytest.fixture
def make(tmp_path, site):
    def make(cls, **arguments):
        return cls(
            component="T",
            state_dir=tmp_path,
            installation_id="i" * 32,
            configuration_dir=site.folder,
            **arguments,
        )

    return make


@pytest.fixture
def play(make, machine):
    """play(PLAYBOOKS, variables) -> what was told."""

    async def run(*names, group="compute", user="ada", inventory=None, access=None, **variables):
        told = []
        options = {
            "host_variables": {"home": str(machine.home), **variables},
            "host_settings": {"group": group, "port": "22"},
            "apply_kwargs": {"playbook_paths": list(names)},
        }
        if inventory:
            options["inventory_path"] = inventory
        configurer = make(AnsibleConfigurer, options=options)
        await configurer.apply(_intent(user), access or machine.access, told.append)
        return told

    return run


@pytest.fixture
def run_script(make, machine):
    async def run(name, *arguments, user="ada", **environment):
        told = []
        configurer = make(
            ScriptConfigurer,
            script_path=name,
            arguments=list(arguments),
            environment=environment,
        )
        await configurer.apply(_intent(user), machine.access, told.append)
        return told

    return run


@pytest.fixture
def make_intent():
    return _intent


def _intent(user="ada"):
    offer = Offer(Scope("here", "there"), "machine")
    specification = Specification("virtual_machine")
    return Intent(uuid.uuid4().hex, "t", 1, "i" * 32, Owner(user), offer, specification)
