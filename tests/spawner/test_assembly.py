"""What a hub is put together from."""

from __future__ import annotations

import pytest
from traitlets.config import Config

from multiplespawner_core.contracts import ConfigurationError, Kind
from multiplespawner_core.plugins.discovery import installed
from multiplespawner_core.spawner.assembly import assemble


def assembled(**settings):
    return assemble(Config({"MultipleSpawner": settings}))


def test_what_is_installed_can_be_named():
    assembly = assembled(limits={"cpu": {"max": 4}}).required()
    assert assembly.registry.names(Kind.PROVIDER, "bare_metal") == ("local",)
    assert assembly.limits.cpu.maximum == 4
    assert assembly.config.MultipleSpawner.limits == {"cpu": {"max": 4}}


def test_everything_that_keeps_a_hub_from_starting_is_said_at_once():
    assembly = assembled(
        state_dir=3,
        limits={"cpus": {}},
        component_classes={"spawner": ["nodots"], "spawnr": []},
        disabled_plugins=["locl"],
    )
    names = ", ".join(sorted(plugin.name for plugin, _, _ in installed().plugins))
    said = f"""\
c.MultipleSpawner.state_dir: The 'state_dir' trait expected a unicode string, not the int 3.
c.MultipleSpawner.component_classes.spawnr: is no kind of component (did you mean 'spawner'?)
c.MultipleSpawner.limits.cpus: unknown key (did you mean 'cpu'?)
c.MultipleSpawner.disabled_plugins names no installed plugin: 'locl' (did you mean 'local'?). \
Installed plugins: {names}
c.MultipleSpawner.component_classes: 'nodots' is not 'package.module.Class'""".splitlines()
    assert [str(problem) for problem in assembly.problems] == said
    with pytest.raises(ConfigurationError) as refused:
        assembly.required()
    assert str(refused.value) == "; ".join(said)
    # The rest is there, to be looked at.
    assert assembly.registry.names(Kind.PROVIDER, "bare_metal") == ("local",)


def test_a_path_that_is_given_wins_over_the_setting(monkeypatch):
    monkeypatch.setenv("MULTIPLE_SPAWNER_DEPLOYMENT_FILE", "environment.json")
    assembly = assembled(template_file="setting.json")
    assert [str(path) for path in (assembly.locate().templates, assembly.locate().deployments)] == [
        "setting.json",
        "environment.json",
    ]
    assert str(assembly.locate("given.json").templates) == "given.json"
    assert str(assembly.locate(None, "given.json").deployments) == "given.json"
