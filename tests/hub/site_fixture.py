"""A hub with MultipleSpawner and the local plugin, as tests want it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

TEMPLATES = [
    {
        "name": "This machine",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {"class": "jupyterhub.spawner.SimpleLocalProcessSpawner"},
    }
]
DEPLOYMENTS = {"bare_metal": [{"name": "local_machine", "provider": "local"}]}

CONFIG = """
c.JupyterHub.spawner_class = "multiplespawner.MultipleSpawner"
c.JupyterHub.cleanup_servers = False
c.MultipleSpawner.template_file = "spawner_templates.json"
c.MultipleSpawner.deployment_file = "spawner_deployment.json"
c.MultipleSpawner.state_dir = "state"
c.LocalProvider.allow_same_user = True
c.Spawner.poll_interval = 3
"""

ACCOUNT = "games"
"""Debian's, with a home that exists and no power over anything."""

# Debian's interpreter: the one of the tests may lie where only root can read.
ACCOUNT_SERVER = """
import http.server, os, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6")
        self.end_headers()
        self.wfile.write(str(os.getuid()).encode())
url = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
http.server.ThreadingHTTPServer((url.hostname, url.port), Handler).serve_forever()
"""

STATES = []
"""The state directories of all hubs of this session."""


def remove_groups():
    """Remove the control groups of servers that ended together with a test instead of a hub."""
    for state in STATES:
        with contextlib.suppress(FileNotFoundError):
            short = (state / "installation_id").read_text()[:8]
            for above in Path("/sys/fs/cgroup").glob(f"**/multiplespawner/{short}"):
                for group in (*above.glob("*/"), above):
                    group.rmdir()


class Site:
    """Starts hubs with `hub_factory`; the keyword arguments replace templates and deployments."""

    def __init__(self, hub_factory):
        self._factory = hub_factory

    def __call__(self, config="", *, templates=TEMPLATES, deployments=DEPLOYMENTS, **kwargs):
        files = {
            **kwargs.pop("more_files", {}),
            "spawner_templates.json": json.dumps(templates),
            "spawner_deployment.json": json.dumps(deployments),
        }
        hub = self._factory(CONFIG + config, files=files, **kwargs)
        STATES.append(hub.folder / "state")
        hub.configure_again = lambda other: hub.configure(CONFIG + other)
        return hub


def install_clouds(folder):
    """Make the plugin `clouds` an installed one below `folder`; what PYTHONPATH must hold."""
    info = folder / "multiplespawner_clouds-0.1.dist-info"
    info.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: multiplespawner-clouds\nVersion: 0.1\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text("[multiplespawner]\nclouds = clouds:plugin\n")
    here = Path(__file__).parent
    return os.pathsep.join(map(str, (folder, here, here.parents[1] / "examples" / "plugin")))


def rows(hub, *columns):
    """What the ledger holds, oldest first, read beside the hub."""
    with sqlite3.connect(f"file:{hub.folder}/state/ledger.sqlite?mode=ro", uri=True) as ledger:
        names = ", ".join(columns)
        return ledger.execute(f"SELECT {names} FROM intents ORDER BY created_at").fetchall()


def phases(hub):
    return [phase for (phase,) in rows(hub, "phase")]
