"""``multiplespawner plugins`` and ``schema``: what is installed, and what it lets files say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from fakes.components import PLUGIN
from jsonschema import Draft202012Validator
from jupyterhub import __version__ as jupyterhub_version

from multiplespawner_core import __version__
from multiplespawner_core.cli import main
from multiplespawner_core.spawner import assembly

pytestmark = pytest.mark.slow

SPAWNERS = f"""\
JupyterHub's own group of spawners
    spawner default: jupyterhub.spawner.LocalProcessSpawner (jupyterhub {jupyterhub_version})
    spawner localprocess: jupyterhub.spawner.LocalProcessSpawner (jupyterhub {jupyterhub_version})
    spawner simple: jupyterhub.spawner.SimpleLocalProcessSpawner (jupyterhub {jupyterhub_version})
"""
LOCAL = f"local (multiplespawner-local {__version__})"
COMPONENT = "    provider local for bare_metal: multiplespawner_local.provider.LocalProvider\n"


@pytest.fixture(autouse=True)
def local_alone(monkeypatch):
    """Of the plugins that are installed only this one, whatever else there is."""
    found = assembly.installed()
    plugins = tuple(one for one in found.plugins if one[0].name == "local")
    monkeypatch.setattr(assembly, "installed", lambda: replace(found, plugins=plugins))


@pytest.fixture
def alone(folder):
    """No configuration of a hub."""
    (folder.path / "jupyterhub_config.py").unlink()
    return folder


def test_the_list(alone, capsys):
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out == f"{LOCAL}: ok\n{COMPONENT}{SPAWNERS}"


def test_as_json(alone, capsys):
    assert main(["plugins", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [plugin["name"] for plugin in found["plugins"]] == ["local"]
    assert found["plugins"] == [
        {
            "name": "local",
            "distribution": "multiplespawner-local",
            "version": __version__,
            "state": "ok",
            "reason": "",
            "components": [
                {
                    "kind": "provider",
                    "name": "local",
                    "path": "multiplespawner_local.provider.LocalProvider",
                    "aliases": [],
                    "resource_types": ["bare_metal"],
                }
            ],
        }
    ]
    assert found["jupyterhub_spawners"][2] == {
        "kind": "spawner",
        "name": "simple",
        "path": "jupyterhub.spawner.SimpleLocalProcessSpawner",
        "aliases": [],
        "resource_types": [],
        "source": f"jupyterhub {jupyterhub_version}",
    }


def test_aliases_are_listed(alone, monkeypatch, capsys):
    monkeypatch.setattr(assembly, "discover", lambda *_: (PLUGIN,))
    assert main(["plugins"]) == 0
    assert (
        "    spawner ssh: fakes.components.SSHSpawner\n"
        "        also sshspawner.sshspawner.SSHSpawner\n"
    ) in capsys.readouterr().out


def test_the_hubs_configuration_counts(folder, capsys):
    folder.write("c.MultipleSpawner.disabled_plugins = ['multiplespawner-local']")
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out.startswith(
        f"{LOCAL}: disabled\n    named in disabled_plugins\nJupyterHub's"
    )
    folder.write("c.MultipleSpawner.disabled_plugins = ['locl']")
    assert main(["plugins"]) == 1
    assert "multiplespawner: c.MultipleSpawner.disabled_plugins names no" in capsys.readouterr().err


@pytest.fixture
def broken(tmp_path):
    """Runs a command where plugins are installed that cannot be used."""
    site = tmp_path / "site"
    for name, requires in (("broken", ""), ("old", "Requires-Dist: multiplespawner-core<0.1\n")):
        info = site / f"dist_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        head = f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(head + requires)
        (info / "entry_points.txt").write_text(f"[multiplespawner]\n{name} = dist_{name}:plugin\n")
        (site / f"dist_{name}.py").write_text("import no_such_sdk\n")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "multiplespawner_core.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(site)},
        )

    return run


def test_plugins_that_cannot_be_used(alone, broken):
    done = broken("plugins")
    assert (done.returncode, done.stderr) == (1, "")
    assert (
        "broken (dist-broken 1.0): broken\n"
        "    ModuleNotFoundError: No module named 'no_such_sdk'\n"
        f"{LOCAL}: ok\n{COMPONENT}"
        "old (dist-old 1.0): incompatible\n"
        "    dist-old 1.0 needs multiplespawner-core<0.1, but multiplespawner-core"
    ) in done.stdout


def test_plugins_that_cannot_be_used_are_findings(folder, broken):
    done = broken("validate")
    assert done.returncode == 1
    first, second, last = done.stdout.splitlines()
    assert first == (
        "plugin broken (dist-broken 1.0): is broken: ModuleNotFoundError: No module named"
        " 'no_such_sdk' (repair it, or name 'dist-broken' in"
        " c.MultipleSpawner.disabled_plugins)"
    )
    assert second.startswith("plugin old (dist-old 1.0): is incompatible: dist-old 1.0 needs ")
    assert second.endswith("pip install --upgrade multiplespawner-core dist-old")
    assert last.startswith("2 errors; 1 combination ")
    folder.write("c.MultipleSpawner.disabled_plugins = ['broken', 'dist-old']")
    assert broken("validate").returncode == 0


# -- schema -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "right", "wrong"),
    [
        (["templates"], "t.json", "d.json"),
        (["deployments"], "d.json", "t.json"),
        ([], "t.json", None),
        ([], "d.json", None),
    ],
)
def test_a_schema(folder, arguments, right, wrong, capsys):
    assert main(["schema", *arguments]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(json.loads((folder.path / right).read_text()))) == []
    if wrong:
        assert not validator.is_valid(json.loads((folder.path / wrong).read_text()))


def test_a_schema_follows_the_hubs_configuration(folder, capsys):
    folder.write("c.MultipleSpawner.disabled_plugins = ['local']")
    assert main(["schema", "templates"]) == 0
    validator = Draft202012Validator(json.loads(capsys.readouterr().out))
    assert not validator.is_valid(json.loads((folder.path / "t.json").read_text()))


def test_what_a_schema_leaves_out_is_said_beside_it(folder, capsys):
    folder.write("c.MultipleSpawner.component_classes = {'spawner': ['no_such_module.Spawner']}")
    assert main(["schema"]) == 0
    printed = capsys.readouterr()
    json.loads(printed.out)
    assert printed.err.startswith(
        "multiplespawner: left out: spawner 'no_such_module.Spawner': no_such_module.Spawner"
        " cannot be imported: ModuleNotFoundError"
    )


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["schema", "template"])
    assert ended.value.code == 2
    assert "invalid choice: 'template'" in capsys.readouterr().err
