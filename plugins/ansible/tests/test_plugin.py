"""What is declared, and what merely importing the declaration costs."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml
from multiplespawner_ansible.ansible import AnsibleConfigurer
from multiplespawner_ansible.nothing import NoConfigurer
from multiplespawner_ansible.plugin import plugin
from multiplespawner_ansible.script import ScriptConfigurer

REFERENCE = Path(__file__).parents[3] / "tests/catalogue/reference/templates_example.json"


def test_declares_the_configurers():
    found = {}
    for component in plugin.multiplespawner_configurers():
        module, _, name = component.target.partition(":")
        found[component.name] = getattr(importlib.import_module(module), name)
        if component.name == "ansible":
            assert component.aliases == ("corc.configurer.AnsibleConfigurer",)
    assert found == {
        "ansible": AnsibleConfigurer,
        "script": ScriptConfigurer,
        "none": NoConfigurer,
    }


def test_the_reference_has_no_problems(tmp_path):
    (template,) = yaml.safe_load(REFERENCE.read_text())
    block = template["configurer"]
    assert block.pop("class") == "corc.configurer.AnsibleConfigurer"
    assert AnsibleConfigurer.problems(block, tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "apply_kwargs: neither playbook_path nor playbook_paths says what to run"),
        ({"host_variable": {}}, "options: 'host_variable' is unknown; known are host_variables"),
        ({"host_variables": "x"}, "host_variables must be a mapping"),
        ({"host_settings": {"ports": 1}}, "host_settings: 'ports' is unknown; known are group"),
        ({"host_settings": {"port": "ssh"}}, "host_settings: port must be a number, but is 'ssh'"),
        (
            {"apply_kwargs": {"playbook_path": "setup_ssh_spawner.yaml"}},
            "/setup_ssh_spawner.yaml, nor is one shipped; did you mean setup_ssh_spawner.yml?",
        ),
        ({"inventory_path": ["hosts"]}, "there is no inventory"),
    ],
)
def test_what_is_wrong_is_told_at_once(arguments, problem, tmp_path):
    for given in ({"options": arguments}, arguments):
        found = AnsibleConfigurer.problems(given, tmp_path)
        if "host_variable" in arguments and given is arguments:
            continue  # no such trait: the core says so
        assert any(problem in one for one in found), found


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "script_path does not say what to run"),
        ({"script_path": "x.sh"}, "there is no script"),
        ({"script_path": "{username}.sh", "arguments": [1]}, "arguments must be a list of texts"),
        ({"environment": {"a b": ""}}, "environment: 'a b' is no name of a variable"),
        ({"environment": {"PORT": 1}}, "environment: PORT must be a text"),
    ],
)
def test_what_is_wrong_with_a_script_is_told_at_once(arguments, problem, tmp_path):
    found = ScriptConfigurer.problems({"options": arguments}, tmp_path)
    assert any(problem in one for one in found), found


def test_what_holds_a_placeholder_is_taken_for_right(tmp_path):
    options = {
        "apply_kwargs": {"playbook_path": "{username}.yml"},
        "host_settings": {"port": "{p}"},
    }
    assert AnsibleConfigurer.problems({"options": options}, tmp_path) == []


async def test_none_does_nothing(make):
    told = []
    await make(NoConfigurer).apply(None, None, told.append)
    assert told == []
