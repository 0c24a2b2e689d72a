"""The command as a process: exit statuses, what goes where, and what it does not import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from multiplespawner_core.cli import COMMANDS

pytestmark = [pytest.mark.slow, pytest.mark.once]

MULTIPLESPAWNER = Path(sys.executable).parent / "multiplespawner"


def call(*arguments):
    done = subprocess.run(
        [MULTIPLESPAWNER, *arguments], capture_output=True, text=True, check=False, timeout=90
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["validate"], 0),
        (["validate", "-f", "broken.py"], 1),
        (["validate", "-f", "missing.py"], 2),
        (["plan", "--user", "ada", "--options", "{}"], 0),
        (["plan", "--user", "ada", "--options", '{"cpus": 1}'], 1),
        (["plan", "--options", "{}"], 2),
        (["plugins"], 0),
        (["plugins", "-f", "broken.py"], 1),
        (["plugins", "--jsn"], 2),
        (["schema", "templates"], 0),
        (["schema", "-f", "broken.py"], 1),
        (["schema", "template"], 2),
        (["init", "--directory", "new"], 0),
        (["init", "--directory", "taken"], 1),
        (["init", "--format", "toml"], 2),
    ],
)
def test_exit_statuses(folder, arguments, status):
    (folder.path / "broken.py").write_text(
        "c = get_config()\nc.MultipleSpawner.limits = {'cpus': 1}"
    )
    (folder.path / "taken").mkdir()
    (folder.path / "taken" / "spawner_deployment.json").touch()
    found, out, errors = call(*arguments)
    assert found == status, out + errors
    assert "Traceback" not in errors
    assert bool(out) is (status == 0 or (arguments[0] in ("validate", "plan") and status == 1))


@pytest.mark.parametrize("command", ["validate", "plan", "plugins"])
def test_json_is_all_that_is_printed(folder, command):
    folder.write("print('from the configuration')")
    user = ["--user", "ada"] if command == "plan" else []
    _, out, errors = call(command, *user, "--json")
    json.loads(out)
    assert "from the configuration" in errors


def test_a_reader_that_has_seen_enough(folder):
    schema = subprocess.Popen(
        [MULTIPLESPAWNER, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert schema.stdout.readline() == b"{\n"
    schema.stdout.close()
    assert schema.stderr.read() == b""
    assert schema.wait(60) == 1
    schema.stderr.close()


NOISE = """
import os, subprocess
print("printed")
os.write(1, b"written")
subprocess.run(["echo", "called"])
"""


@pytest.mark.parametrize("command", ["validate", "plan", "plugins", "schema", "init"])
def test_what_configuration_and_plugins_print_is_apart(folder, command, tmp_path):
    folder.write(NOISE)
    info = tmp_path / "site" / "noisy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[multiplespawner]\nnoisy = noisy:plugin\n")
    (tmp_path / "site" / "noisy.py").write_text(f"{NOISE}raise ImportError")
    arguments = {
        "plan": ["--user", "ada", "--json"],
        "schema": [],
        "init": ["--directory", "new"],
    }.get(command, ["--json"])
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [MULTIPLESPAWNER, command, *arguments],
        capture_output=True,
        env=env,
        check=False,
        timeout=90,
    )
    if command == "init":
        compile(done.stdout, "jupyterhub_config.py", "exec")
    else:
        json.loads(done.stdout)
    for noise in (b"printed", b"written", b"called"):
        assert done.stderr.count(noise) == (1 if command == "init" else 2)


@pytest.mark.parametrize("command", ["validate", "plan --user ada --json", "schema"])
def test_an_output_that_is_closed_or_full(folder, command):
    for end, message in ((">&-", ""), (">/dev/full", "multiplespawner: [Errno 28] No space left")):
        done = subprocess.run(
            f"{MULTIPLESPAWNER} {command} {end}",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == (1 if message else 0)
        assert done.stderr.startswith(message)
        assert len(done.stderr.splitlines()) == (1 if message else 0)


def test_an_output_that_knows_few_letters(folder):
    two = {"bare_metal": [{"name": "ærø"}, {"name": "ærø"}]}
    folder.write(deployments=two)
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}

    def printed(*arguments):
        return subprocess.run(
            [MULTIPLESPAWNER, *arguments], capture_output=True, text=True, env=env, timeout=90,
            check=False,
        ).stdout  # fmt: skip

    assert "the name '\\xe6r\\xf8' is taken" in printed("validate")
    assert json.loads(printed("plan", "--user", "ærø", "--json"))["user"] == "ærø"
    assert yaml.safe_load(printed("plan", "--user", "ærø"))["user"] == "ærø"
    (folder.path / "jupyterhub_config.py").write_text(printed("init", "--directory", "ærø"))
    assert printed("validate").startswith("no findings")


QUICK = """
import sys
from multiplespawner_core.cli import main
try:
    main({arguments!r})
except SystemExit as ended:
    assert ended.code == 0
heavy = {{"jupyterhub", "sqlalchemy", "tornado", "pydantic", "traitlets", "yaml", "pluggy"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing(arguments):
    code = QUICK.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    status, out, errors = call(command, "--help")
    assert (status, errors) == (0, "")
    assert out.startswith(f"usage: multiplespawner {command} ")
    assert re.search(rf"^    {command}\s", call("--help")[1], re.MULTILINE)
