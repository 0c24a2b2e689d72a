"""Puts the hub tests' `harness` on the path; a folder in which commands are called."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

TEMPLATES = [
    {
        "name": "This machine",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {
            "class": "jupyterhub.spawner.SimpleLocalProcessSpawner",
            "kwargs": {
                "notebook_dir": "/home/{unix_user}",
                "environment": {"WHO": "{username} at {endpoint}", "API_TOKEN": "hidden"},
            },
        },
        "limits": {"memory": {"max": 2, "default": 1}, "lifetime": {"max": 60}},
    }
]
DEPLOYMENTS = {"bare_metal": [{"name": "lab", "provider": "local", "default_url": "/lab"}]}

CONFIG = """\
c = get_config()
c.JupyterHub.spawner_class = "multiplespawner.MultipleSpawner"
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.should_start = False
c.MultipleSpawner.template_file = "t.json"
c.MultipleSpawner.deployment_file = "d.json"
c.MultipleSpawner.state_dir = "state"
c.LocalProvider.allow_same_user = True
c.LocalProvider.limits = "watchdog"
c.LocalProvider.cpu = 8
c.LocalProvider.memory = 4
"""


class Folder:
    """The folder that a command is called in."""

    def __init__(self, path):
        self.path = path
        self.write()

    def write(self, config="", templates=TEMPLATES, deployments=DEPLOYMENTS):
        """Write all three files; `config` is appended."""
        (self.path / "jupyterhub_config.py").write_text(CONFIG + config)
        (self.path / "t.json").write_text(json.dumps(templates))
        (self.path / "d.json").write_text(json.dumps(deployments))

    def there(self):
        """Everything in it."""
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A configuration without a fault, in the current directory, and a home without one."""
    for name in ("here", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("MULTIPLE_SPAWNER_TEMPLATE_FILE", "MULTIPLE_SPAWNER_DEPLOYMENT_FILE"):
        monkeypatch.delenv(name, raising=False)
    return Folder(tmp_path / "here")
