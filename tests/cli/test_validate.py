"""``multiplespawner validate``: everything that is wrong, at once, with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiplespawner_core.cli import main
from multiplespawner_core.plugins.discovery import installed

REFERENCE = Path(__file__).parents[1] / "catalogue" / "reference"
GOOD = "1 combination of template, provider and deployment can be started\n"


@pytest.fixture
def validate(capsys):
    """Exit status and the printed lines."""

    def run(*arguments):
        status = main(["validate", *map(str, arguments)])
        return status, capsys.readouterr().out.splitlines()

    return run


def test_a_good_configuration(folder, validate):
    before = folder.there()
    assert validate() == (0, [f"no findings; {GOOD}".strip()])
    assert validate("-f", "jupyterhub_config.py") == validate()
    assert folder.there() == before, "the state directory as well is left alone"


def test_everything_at_once(folder, validate):
    folder.write(
        """\
c.JupyterHub.spawner_clas = "simple"
c.JupyterHub.cleanup_servers = True
c.ConfigurableHTTPProxy.should_start = True
c.MultipleSpawner.limits = {"cpu": {"mx": 1}}
c.MultipleSpawner.ledger_url = "mysql://hub:hidden@db/ledger"
c.MultipleSpawner.disabled_plugin = ["x"]
c.MultipleSpawner.enabled_plugins = ["locl"]
c.LocalProvider.allow_same_usr = True
c.SimpleLocalProcessSpawner.home_dir_tempalte = "/srv/{username}"
c.Spawner.http_timeout = 10
""",
        [
            {**folder_template(), "name": "One", "providers": ["local", "oci"]},
            {"name": "Two", "resource_type": "bare-metal", "class": "simple"},
        ],
        {"bare_metal": [{"name": "lab", "defalt_url": "/lab"}]},
    )
    status, lines = validate()
    assert status == 1
    hub = "jupyterhub_config.py: "
    assert lines.pop(0).startswith(f"{hub}warning: Config option `spawner_clas` not recognized by")
    assert [line.removeprefix(hub) for line in lines] == EVERYTHING.splitlines()


PLUGINS = ", ".join(sorted(plugin.name for plugin, _, _ in installed().plugins))

EVERYTHING = f"""\
c.MultipleSpawner.limits.cpu.mx: unknown key (did you mean 'max'?)
c.MultipleSpawner.enabled_plugins names no installed plugin: 'locl' (did you mean 'local'?). \
Installed plugins: {PLUGINS}
c.MultipleSpawner.ledger_url is neither the URL of an SQLite file, such as \
'sqlite:////srv/hub/ledger.sqlite', nor that of a PostgreSQL database, such as \
'postgresql+psycopg://hub@db.example.org/ledger'
c.LocalProvider.allow_same_usr: is no setting (did you mean 'allow_same_user'?)
c.MultipleSpawner.disabled_plugin: is no setting (did you mean 'disabled_plugins'?)
c.SimpleLocalProcessSpawner.home_dir_tempalte: is no setting (did you mean 'home_dir_template'?)
warning: c.JupyterHub.cleanup_servers: is not False: the hub stops every server when it ends \
(write c.JupyterHub.cleanup_servers = False)
warning: c.ConfigurableHTTPProxy.should_start: is not False: the proxy ends with the hub, and no \
server can be reached meanwhile (run the proxy by itself and write \
c.ConfigurableHTTPProxy.should_start = False)
t.json:1:151: [1]: the key 'providers' is missing
t.json:1:184: [1].resource_type: unknown resource type 'bare-metal' (did you mean 'bare_metal'?)
t.json:1:72: [0].providers[1]: no enabled plugin offers the provider 'oci' for bare_metal; \
available: local; pip install multiplespawner-oci
d.json:1:33: bare_metal[0].defalt_url: neither provider 'local' nor SimpleLocalProcessSpawner \
takes this attribute (did you mean 'default_url'?)
10 errors and 3 warnings; 0 combinations of template, provider and deployment can be started
"""


def folder_template():
    return {
        "name": "T",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {"class": "jupyterhub.spawner.SimpleLocalProcessSpawner"},
    }


def test_as_json(folder, capsys):
    folder.write("print('not JSON')", deployments={"bare_metal": [{"name": ""}]})
    assert main(["validate", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "findings": [
            {
                "file": "d.json",
                "line": 1,
                "column": 26,
                "path": "bare_metal[0].name",
                "message": "is empty",
                "hint": "",
                "severity": "error",
            }
        ],
        "errors": 1,
        "warnings": 0,
        "startable": 0,
    }
    assert "not JSON" in printed.err


def test_warnings_alone_are_no_failure(folder, validate):
    folder.write("c.JupyterHub.cleanup_servers = True", deployments={
        "bare_metal": [{"name": "lab"}], "container": [{"name": "unused", "image": "x"}],
    })  # fmt: skip
    status, lines = validate()
    assert status == 0
    assert [": warning: " in line for line in lines] == [True, True, False]
    assert lines[-1] == f"2 warnings; {GOOD}".strip()


def test_other_files_than_the_configured_ones(folder, validate, tmp_path):
    (tmp_path / "other.yaml").write_text("- name: Other\n")
    status, lines = validate("--templates", tmp_path / "other.yaml")
    assert status == 1
    assert lines[0].startswith(f"{tmp_path}/other.yaml:1:3: [0]: the key ")
    (tmp_path / "other.json").write_text('{"bare_metal": 3}')
    _, lines = validate("--deployments", tmp_path / "other.json")
    assert lines[0].startswith(f"{tmp_path}/other.json:1:16: bare_metal: must be a list")


def test_without_a_configuration_of_the_hub(folder, validate):
    (folder.path / "jupyterhub_config.py").unlink()
    status, lines = validate()
    assert status == 1
    assert ".multiplespawner: no spawner_templates.json is there" in lines[0]
    # By default nobody may have servers that run as the hub's own user.
    status, lines = validate("--templates", "t.json", "--deployments", "d.json")
    assert status == 1
    assert "would run notebooks as the hub's own user" in lines[0]
    (folder.path / "t.json").write_text("[]")
    assert validate("--templates", "t.json", "--deployments", "d.json")[0] == 1


def test_the_structures_of_the_reference(folder, validate):
    """They parse, and their empty names are findings."""
    status, lines = validate(
        "--templates", REFERENCE / "templates_structure.json",
        "--deployments", REFERENCE / "deployments_structure.json",
    )  # fmt: skip
    assert status == 1
    where = str(REFERENCE)
    assert f"{where}/templates_structure.json:3:17: [0].name: is empty" in lines
    assert f"{where}/templates_structure.json:5:23: [0].providers[0]: is empty" in lines
    assert f"{where}/templates_structure.json:7:22: [0].spawner.class: is empty" in lines
    assert any(line.startswith(f"{where}/deployments_structure.json:2:5: ") for line in lines)
    assert any("the key 'name' is missing" in line for line in lines)


def test_the_examples_of_the_reference(folder, validate):
    """What the plugins that are not installed bring is all that is missing."""
    status, lines = validate(
        "--templates", REFERENCE / "templates_example.json",
        "--deployments", REFERENCE / "deployments_example.json",
    )  # fmt: skip
    assert status == 1
    errors = [line for line in lines[:-1] if ": warning: " not in line]
    assert [line.rpartition("; ")[2] for line in errors] == [
        "pip install multiplespawner-oci",
    ]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("c.JupyterHub.port = 'http'", "jupyterhub_config.py: Bad config encountered during"),
        ("\n1 / 0", "jupyterhub_config.py:13:1: ZeroDivisionError: division by zero"),
        ("def f():\n    boom()\nf()", "jupyterhub_config.py:13:1: NameError: name 'boom' is not"),
        ("if True", "jupyterhub_config.py:12:8: SyntaxError: expected ':'"),
        ("import sys\nsys.exit(3)", "jupyterhub_config.py: ends the hub (SystemExit)"),
        ("c.JupyterHub.spawner_class = 'gone.Spawner'", "jupyterhub_config.py: Bad config"),
    ],
)
def test_a_file_that_is_no_configuration(folder, validate, config, line):
    folder.write(config)
    status, lines = validate()
    assert status == 1
    assert lines[0].startswith(line)
    assert lines[-1].startswith("1 error; ")
    status, lines = validate("--templates", "t.json", "--deployments", "d.json")
    assert (status, lines[0].startswith(line)) == (1, True)
    assert any("would run notebooks as the hub's own user" in line for line in lines)


def test_a_file_that_loads_another(folder, validate):
    (folder.path / "more.py").write_text("c.MultipleSpawner.disabled_plugin = []")
    folder.write("load_subconfig('more.py')")
    status, lines = validate()
    assert (status, len(lines)) == (1, 2)
    assert "c.MultipleSpawner.disabled_plugin: is no setting" in lines[0]


def test_a_file_that_loads_a_broken_one(folder, validate):
    (folder.path / "more.py").write_text("\nboom()")
    folder.write("load_subconfig('more.py')")
    _, lines = validate()
    assert lines[0].startswith("jupyterhub_config.py:12:1: NameError: name 'boom' is not defined (")
    assert lines[0].endswith("more.py, line 2)")


@pytest.mark.parametrize(
    "config",
    [
        "c.JupyterHub.cookie_secret = ['hunter2']",
        "raise RuntimeError('no answer from postgres://hub:hunter2@db')",
    ],
)
def test_no_secret_is_shown_with_what_is_wrong(folder, validate, config):
    folder.write(config)
    status, lines = validate()
    assert status == 1
    assert "hunter2" not in "".join(lines)
    assert ("cookie_secret" in lines[0]) or ("postgres://hub:...@db" in lines[0])


def test_values_that_a_setting_does_not_take(folder, validate):
    folder.write("""
c.MultipleSpawner.start_timeout = "soon"
c.MultipleSpawner.environment = ["A=b"]
c.Spawner.mem_limit = "2X"
c.SimpleLocalProcessSpawner.home_dir_template = 4
c.LocalProcessSpawner.popen_kwargs.update({"umask": 0o77})
c.Spawner.cpu_limit = None
c.Spawner.cmd = "jupyterhub-singleuser"
""")
    status, lines = validate()
    assert status == 1
    assert [line.removeprefix("jupyterhub_config.py: ") for line in lines[:-1]] == [
        'c.MultipleSpawner.start_timeout: must be an int, but is "soon"',
        'c.MultipleSpawner.environment: must be a dict, but is ["A=b"]',
        'c.Spawner.mem_limit: must be an int, but is "2X"',
        "c.SimpleLocalProcessSpawner.home_dir_template: must be a unicode string, but is 4",
    ]


def test_another_spawner(folder, validate):
    folder.write("c.JupyterHub.spawner_class = 'simple'\nc.MultipleSpawner.disabled_plugin = []")
    status, lines = validate()
    assert status == 1
    assert lines[0] == (
        "jupyterhub_config.py: c.JupyterHub.spawner_class: is"
        " jupyterhub.spawner.SimpleLocalProcessSpawner, so nothing else here is in use (write"
        ' "multiplespawner.MultipleSpawner")'
    )
    assert lines[1].startswith("1 error; ")


def test_a_spawner_of_the_sites_own(folder, validate):
    folder.write("""
from multiplespawner_core import MultipleSpawner
from traitlets import Int
class Ours(MultipleSpawner):
    more = Int().tag(config=True)
c.JupyterHub.spawner_class = Ours
c.Ours.more = 3
c.MultipleSpawner.more = 4
c.Ours.moer = 3
""")
    status, lines = validate()
    assert status == 1
    assert lines[0] == "jupyterhub_config.py: c.Ours.moer: is no setting (did you mean 'more'?)"
    assert len(lines) == 2


def test_what_only_shows_once_it_is_put_to_use(folder, validate):
    folder.write("c.MultipleSpawner.start_timeout = 10\nc.LocalProvider.allow_same_user = False")
    status, lines = validate()
    assert status == 1
    assert "provider 'local': jupyterhub.spawner.SimpleLocalProcessSpawner would run" in lines[0]
    folder.write("c.MultipleSpawner.start_timeout = 10")
    status, lines = validate()
    assert status == 0
    assert "c.MultipleSpawner.start_timeout ends it after 10 s" in lines[0]


@pytest.mark.parametrize("option", ["-f", "--config", "--templates", "--deployments"])
def test_a_file_that_is_not_there_is_wrong_usage(folder, option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["validate", option, "missing"])
    assert ended.value.code == 2
    assert "there is no file 'missing'" in capsys.readouterr().err
