"""``multiplespawner init``: two files and some lines that work as they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from fakes.components import PLUGIN, RackProvider

from multiplespawner_core.cli import main
from multiplespawner_core.spawner import assembly


@pytest.fixture
def empty(folder):
    """A directory without anything."""
    for name in folder.there():
        (folder.path / name).unlink()
    return folder


@pytest.fixture
def init(capsys):
    """Exit status, lines and messages."""

    def run(*arguments):
        status = main(["init", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture(params=[0, 1000])
def uid(request, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: request.param)


@pytest.mark.usefixtures("uid")
@pytest.mark.parametrize("format_", ["json", "yaml"])
def test_the_result_is_without_a_finding(empty, init, format_, capsys):
    status, lines, said = init("--directory", "new/place", "--format", format_)
    place = empty.path / "new" / "place"
    files = [place / f"spawner_templates.{format_}", place / f"spawner_deployment.{format_}"]
    assert status == 0
    assert said == f"wrote {files[0]} and {files[1]}; the lines belong into jupyterhub_config.py\n"
    assert [path for path in place.iterdir() if path not in files] == []
    (empty.path / "jupyterhub_config.py").write_text(lines)
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == (
        "no findings; 2 combinations of template, provider and deployment can be started\n"
    )


def test_root_gives_each_server_the_account_of_its_user(empty, init, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    _, lines, _ = init("--directory", "here")
    (template,) = json.loads((empty.path / "here" / "spawner_templates.json").read_text())
    assert template["spawner"] == {"class": "jupyterhub.spawner.LocalProcessSpawner"}
    assert "# The hub runs as root, so LocalProcessSpawner starts each server as" in lines
    assert "allow_same_user" not in lines


def test_without_root_the_risk_is_named(empty, init, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    _, lines, _ = init("--directory", "here")
    (template,) = json.loads((empty.path / "here" / "spawner_templates.json").read_text())
    assert template["spawner"]["class"] == "jupyterhub.spawner.SimpleLocalProcessSpawner"
    assert template["spawner"]["kwargs"] == {
        "home_dir_template": f"{Path.home()}/jupyterhub/{{unix_user}}"
    }
    why = lines.index("# The hub does not run as root")
    assert lines.index("Every user can then read the hub's keys") > why
    assert lines.endswith("\nc.LocalProvider.allow_same_user = True\n")


def test_what_each_installed_provider_says(empty, init, monkeypatch):
    monkeypatch.setattr(assembly, "discover", lambda *_: (PLUGIN,))
    status, lines, said = init("--format", "yaml")
    assert (status, said.count("left out")) == (0, 0)
    place = Path.home() / ".multiplespawner"
    text = (place / "spawner_deployment.yaml").read_text()
    assert text.startswith("# What users may choose.\n")
    assert yaml.safe_load(text) == {
        "virtual_machine": [{"name": "A", "provider": "rack", "rack": "a"}]
    }
    assert str(place / "spawner_templates.yaml") in lines


def no_idea():
    raise RuntimeError("no idea")


@pytest.mark.parametrize(
    ("starter", "why"),
    [(no_idea, "no idea"), (dict, "RackProvider.starter returned {}, not Starter")],
)
def test_a_provider_that_cannot_say_is_named(empty, init, monkeypatch, starter, why):
    monkeypatch.setattr(assembly, "discover", lambda *_: (PLUGIN,))
    monkeypatch.setattr(RackProvider, "starter", starter)
    status, out, said = init("--directory", "here")
    assert (status, out) == (1, "")
    assert said == (
        f"multiplespawner: left out: rack: {why}\n"
        "multiplespawner: no plugin that is installed says how to start: pip install"
        " multiplespawner-local\n"
    )
    assert empty.there() == []


@pytest.mark.parametrize("name", ["spawner_templates.yml", "spawner_deployments.json"])
def test_nothing_is_overwritten(empty, init, name):
    (empty.path / name).write_text("mine")
    before = empty.there()
    status, out, said = init("--directory", ".")
    assert (status, out) == (1, "")
    assert said == (
        f"multiplespawner: {empty.path / name} is there already, and nothing is overwritten: move"
        " it away, or choose another --directory\n"
    )
    assert (empty.path / name).read_text() == "mine"
    assert empty.there() == before


def test_nothing_is_written_through_a_link(empty, init, tmp_path):
    (empty.path / "spawner_templates.json").symlink_to(tmp_path / "elsewhere")
    status, _, said = init("--directory", ".")
    assert status == 1
    assert "spawner_templates.json cannot be written: File exists" in said
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written(empty, init):
    (empty.path / "file").touch()
    status, _, said = init("--directory", "file")
    assert status == 1
    assert said.startswith(f"multiplespawner: {empty.path}/file/spawner_templates.json cannot be")


def test_a_path_of_any_letters(empty, init):
    _, lines, _ = init("--directory", 'ærø "and" \\ more')
    (empty.path / "jupyterhub_config.py").write_text(lines)
    assert main(["validate"]) == 0
