"""What README and documentation name exists, and what exists is named there."""

from __future__ import annotations

import re

import pytest
import traitlist
from jupyterhub.app import JupyterHub
from jupyterhub.proxy import ConfigurableHTTPProxy
from multiplespawner_ansible.ansible import AnsibleConfigurer
from multiplespawner_ansible.script import ScriptConfigurer
from multiplespawner_lab.extension import MultipleSpawnerLab
from multiplespawner_local.provider import LocalProvider
from multiplespawner_ssh.authenticator import SSHAuthenticator
from multiplespawner_ssh.spawner import SSHSpawner
from snippets import PAGES, PLUGIN_READMES, PROJECT, README
from traitlets import Unicode

import multiplespawner_core
from multiplespawner_core import MultipleSpawner, contracts
from multiplespawner_core.catalogue import PLACEHOLDERS, Template
from multiplespawner_core.plugins.discovery import State
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.selection.endings import on_end
from multiplespawner_core.selection.request import Request
from multiplespawner_core.spawner.settings import Settings
from multiplespawner_core.testing.cloud.client import SmallCloud
from multiplespawner_core.web.lifetime import Lifetime

DOCS = PROJECT / "docs"
EVERYTHING = [README, *PLUGIN_READMES, *PAGES]
CLASSES = {
    "AnsibleConfigurer": AnsibleConfigurer,
    "ConfigurableHTTPProxy": ConfigurableHTTPProxy,
    "JupyterHub": JupyterHub,
    "LocalProvider": LocalProvider,
    "MultipleSpawner": MultipleSpawner,
    "MultipleSpawnerLab": MultipleSpawnerLab,
    "SSHAuthenticator": SSHAuthenticator,
    "SSHSpawner": SSHSpawner,
    "ScriptConfigurer": ScriptConfigurer,
    "SmallCloud": SmallCloud,
}


def page(name):
    return (DOCS / name).read_text()


def rows(text):
    """The first cells of all tables, without code marks."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


@pytest.mark.parametrize(
    "cls",
    [
        Settings,
        LocalProvider,
        SSHSpawner,
        SSHAuthenticator,
        AnsibleConfigurer,
        ScriptConfigurer,
        MultipleSpawnerLab,
    ],
)
def test_settings_are_documented_from_the_code(cls):
    target = f"{cls.__module__}:{cls.__name__}"
    assert f"```{{traits}} {target}\n" in page("settings.md")
    assert traitlist.load(target) is cls
    section = "MultipleSpawner" if cls is Settings else cls.__name__
    shown = re.findall(r"^`c\.(\w+)\.(\w+)`$", traitlist.markdown(cls, section), re.MULTILINE)
    inherited = set(cls.__mro__[1].class_trait_names(config=True))
    expected = set(cls.class_trait_names(config=True)) - inherited
    assert {name for _, name in shown} == expected
    assert {name for name, _ in shown} == {section}


def test_a_setting_without_help_is_an_error():
    silent = type("Silent", (Settings,), {"loud": Unicode().tag(config=True)})
    with pytest.raises(ValueError, match="Silent: no help for loud"):
        traitlist.markdown(silent, "Silent")


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path):
    for section, name in re.findall(r"\bc\.([A-Z]\w+)\.(\w+)", path.read_text()):
        assert section in CLASSES, section
        assert name in CLASSES[section].class_trait_names(config=True), f"{section}.{name}"


@pytest.mark.parametrize("name", [*contracts.__all__, "Plugins", "hookimpl"])
def test_every_public_name_is_documented(name):
    assert getattr(multiplespawner_core, name) is not None
    shown = re.findall(r"^\.\. (?:auto\w+|py:\w+):: \S*?(\w+)$", page("contracts.md"), re.MULTILINE)
    assert shown.count(name) == 1


def test_every_hook_and_method_of_the_contracts_is_public():
    shown = page("contracts.md")
    for name in ("Provider", "Configurer", "Authenticator", "Plugins"):
        block = shown[shown.index(f".. autoclass:: multiplespawner_core.{name}\n") :]
        assert block.splitlines()[1].strip() == ":members:"


def test_placeholders_are_those_of_the_code():
    table = dict(re.findall(r"^\| `\{(\w+)\}` \| (.+) \|$", page("configuration.md"), re.MULTILINE))
    assert table == dict(PLACEHOLDERS)


def test_options_are_those_of_the_code():
    assert set(Request.model_fields) <= set(rows(page("configuration.md")))


def test_template_keys_are_those_of_the_code():
    terms = re.findall(r"^`(\w+)`\n: ", page("configuration.md"), re.MULTILINE)
    assert set(Template.model_fields) <= set(terms)


def test_phases_and_states_are_those_of_the_code():
    assert [name for name in rows(page("operations.md")) if name in {*Phase}] == [*Phase]
    assert [name for name in rows(page("plugins.md")) if name in {*State}] == [*State]


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        # The screenshot is made by a test with a real browser.
        if "://" not in target and not target.startswith("docs/images/"):
            assert (path.parent / target).exists(), target


def test_the_files_that_the_design_names_exist():
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", page("design.md")):
        homes = (PROJECT, PROJECT / "multiplespawner_core")
        assert any((home / name).exists() for home in homes), name


def test_the_layout_is_the_one_of_the_code():
    (block,) = re.findall(r"```text\n(multiplespawner_core/\n.*?)```", page("design.md"), re.DOTALL)
    shown = set(re.findall(r"^    (\w+)/", block, re.MULTILINE))
    folders = (PROJECT / "multiplespawner_core").iterdir()
    assert shown == {folder.name for folder in folders if (folder / "__init__.py").exists()}


def test_durations_are_those_of_the_code():
    from multiplespawner_core.planning import plan
    from multiplespawner_core.resources import manager, policy
    from multiplespawner_core.spawner import multiple

    text = page("operations.md")
    assert f"waits up to {multiple._SETTLE:.0f} seconds for that word" in text
    assert f"waits up to {multiple._STOP_WAIT:.0f} seconds for the resource" in text
    assert f"waits up to {manager.HANDOVER_TIMEOUT:.0f} seconds for it" in text
    assert f"plus {plan.MARGIN:.0f} seconds" in text
    assert f"after {policy.pause(1):.1f} seconds" in text
    assert f"up to {policy.LONGEST_PAUSE:.0f} seconds" in text
    contract = " ".join(contracts.Provider.extend.__doc__.split())
    assert f"after {manager._EXTEND_TIMEOUT:.0f} seconds, it keeps to the earlier one" in contract


def test_endings_are_those_of_the_code():
    text = page("lifetimes.md")
    assert set(Lifetime(0, None, None, contracts.Storage.KEEP, "").model()) <= set(rows(text))
    for resource_type in contracts.RESOURCE_TYPES:
        ending = on_end(contracts.Storage.EPHEMERAL, resource_type)
        assert ending.removeprefix("At the end ").removesuffix(".") in text
