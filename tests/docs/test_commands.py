"""The commands in docs/commands.md print what stands there.

With ``WRITE_OUTPUTS=1`` in the environment the page is brought up to date instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex

import multiplespawner_local.provider as local
import pytest
from jupyterhub import __version__ as jupyterhub_version
from multiplespawner_local.limits.base import NoLimiter
from snippets import PROJECT, snippets

from multiplespawner_core.cli import COMMANDS, main

PAGE = PROJECT / "docs" / "commands.md"
CALLS = snippets(PAGE, language="console")


class Enforcing(NoLimiter):
    name = "cgroup-v2"
    sizes = frozenset({"cpu", "memory"})


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The machine of the page, with its files in the current directory."""
    (config,) = snippets(PAGE, language="python")
    templates, deployments = snippets(PAGE, language="json")
    (wrong,) = snippets(PAGE, language="yaml")
    files = {
        "jupyterhub_config.py": config,
        "spawner_templates.json": templates,
        "spawner_deployment.json": deployments,
        "wrong.yaml": wrong,
    }
    for name, snippet in files.items():
        (tmp_path / name).write_text(snippet.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHON_COLORS", "0")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(local, "choose", lambda *_: Enforcing())
    monkeypatch.setattr(local, "machine_id", lambda: "8f3c1e5ad2b94c1f")
    monkeypatch.setattr(local.socket, "gethostname", lambda: "hub")
    return tmp_path


def printed(line, folder, capsys):
    """What the command prints, with the names of the page."""
    program, *arguments = shlex.split(line.replace("/etc/jupyterhub", f"{folder}/etc"))
    assert program == "multiplespawner"
    with contextlib.suppress(SystemExit):  # of --help
        main(arguments)
    found = capsys.readouterr()
    text = (found.out + found.err).replace(f"{folder}/etc", "/etc/jupyterhub")
    return text.replace(f"(jupyterhub {jupyterhub_version})", "(jupyterhub 6.1.1)")


@pytest.mark.parametrize("snippet", CALLS, ids=str)
def test_outputs(snippet, machine, capsys):
    line, _, shown = snippet.text.partition("\n")
    text = printed(line.removeprefix("$ "), machine, capsys)
    if os.environ.get("WRITE_OUTPUTS"):
        page = PAGE.read_text()
        assert page.count(f"```console\n{snippet.text}```") == 1
        new = page.replace(f"```console\n{snippet.text}```", f"```console\n{line}\n{text}```")
        PAGE.write_text(new)
    elif "--help" in line:
        assert flowing(shown) == flowing(text)
    else:
        assert shown == text


def flowing(text):
    """Without what Python 3.13 prints otherwise in a help text."""
    return " ".join(text.replace("-f FILE, --config", "-f, --config").split())


def test_every_command_is_there():
    page = PAGE.read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(COMMANDS)
    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert ["demo", *sections] == list(COMMANDS)
