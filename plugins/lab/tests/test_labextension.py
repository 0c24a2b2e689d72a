"""What JupyterLab reads before it loads anything."""

from __future__ import annotations

import json

from lab_parts import PLUGIN
from multiplespawner_lab import __version__

EXTENSION = PLUGIN / "share" / "jupyter" / "labextensions" / "multiplespawner-lab"


def read(path):
    return json.loads(path.read_text())


def test_both_parts_have_one_version():
    assert read(EXTENSION / "package.json")["version"] == __version__


def test_what_is_loaded_is_there():
    package = read(EXTENSION / "package.json")
    assert package["name"] == EXTENSION.name
    assert (EXTENSION / package["jupyterlab"]["_build"]["load"]).is_file()


def test_the_server_is_told_to_load_the_extension():
    file = PLUGIN / "etc/jupyter/jupyter_server_config.d/multiplespawner_lab.json"
    assert read(file) == {"ServerApp": {"jpserver_extensions": {"multiplespawner_lab": True}}}


def test_whoever_removes_it_is_told_how():
    assert read(EXTENSION / "install.json")["packageName"] == "multiplespawner-lab"
