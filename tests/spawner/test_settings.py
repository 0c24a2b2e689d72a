"""The settings of the hub's part."""

from __future__ import annotations

import pytest
from traitlets.config import Config

from multiplespawner_core.catalogue.limits import Limits
from multiplespawner_core.contracts import Kind
from multiplespawner_core.spawner.settings import Settings, class_paths, read, site_limits, unknown


def test_the_sites_limits():
    limits, problems = site_limits(Settings(limits={"cpu": {"max": 4}, "gpu": None}))
    assert problems == []
    assert limits.cpu.maximum == 4
    assert limits.gpu is None
    assert site_limits(Settings())[0].cpu.maximum is None


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"cpus": {}}, "c.MultipleSpawner.limits.cpus: unknown key (did you mean 'cpu'?)"),
        ({"cpu": {"mx": 1}}, "c.MultipleSpawner.limits.cpu.mx: unknown key (did you mean 'max'?)"),
        ({"cpu": 4}, "c.MultipleSpawner.limits.cpu: must be a mapping, but is 4"),
        (
            {"cpu": {"min": 2, "max": 1}, "gpu": {"max": True}},
            (
                "c.MultipleSpawner.limits.cpu: cpu.min 2 is above cpu.max 1;"
                " c.MultipleSpawner.limits.gpu.max: must be a number, but is true"
            ),
        ),
    ],
)
def test_limits_that_make_no_sense_are_all_named_with_their_place(limits, message):
    none, problems = site_limits(Settings(limits=limits))
    assert "; ".join(map(str, problems)) == message
    assert none == Limits()


def configured(**settings):
    return Config({"MultipleSpawner": settings})


def test_what_is_of_the_wrong_kind_is_left_out_and_said():
    plugins = ["local", 1]
    settings, problems = read(
        configured(state_dir=3, template_file="t.json", enabled_plugins=plugins, poll_interval="")
    )
    assert (settings.template_file, settings.enabled_plugins) == ("t.json", None)
    assert settings.state_dir.endswith("/.multiplespawner/state")
    first, second = map(str, problems)
    assert first.startswith("c.MultipleSpawner.state_dir: The 'state_dir' trait expected a unicode")
    assert second.startswith("c.MultipleSpawner.enabled_plugins: ")
    assert "int 1" in second


def test_kinds_of_components_that_do_not_exist():
    classes = {"spawner": ["a.B"], "spawnr": ["c.D"]}
    found, (problem,) = class_paths(Settings(component_classes=classes))
    assert found == {Kind.SPAWNER: ["a.B"]}
    assert problem.path == "c.MultipleSpawner.component_classes.spawnr"
    assert (problem.message, problem.hint) == ("is no kind of component", "did you mean 'spawner'?")


def test_settings_that_do_not_exist():
    config = configured(disabled_plugin=["oci"], state_dir="x", quite_different=1)
    config.MultipleSpawner.Nested.state_dir = "a section within the section"
    found = unknown(config, "MultipleSpawner", ["disabled_plugins", "state_dir"])
    assert [str(one) for one in found] == [
        "c.MultipleSpawner.disabled_plugin: is no setting (did you mean 'disabled_plugins'?)",
        "c.MultipleSpawner.quite_different: is no setting",
    ]
    assert unknown(Config(), "MultipleSpawner", []) == []


def test_a_home_that_is_not_there():
    settings, problems = read(Config({"MultipleSpawner": {"state_dir": "~nobody-of-that-name/x"}}))
    assert [str(one) for one in problems] == [
        "c.MultipleSpawner.state_dir: there is no such home: '~nobody-of-that-name/x'"
    ]
    assert settings.state_dir.endswith("/.multiplespawner/state")
