"""Servers of real accounts: JupyterHub's LocalProcessSpawner in a hub that runs as root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from harness import wait_for
from site_fixture import ACCOUNT, ACCOUNT_SERVER, phases

pytestmark = pytest.mark.hub

TEMPLATES = [
    {
        "name": "Accounts",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {"class": "jupyterhub.spawner.LocalProcessSpawner"},
    }
]

CONFIG = f"""
c.LocalProvider.allow_same_user = False
c.Spawner.cmd = ["/usr/bin/python3", "-c", {ACCOUNT_SERVER!r}]
c.Spawner.args = []
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start servers of other accounts")
def test_a_server_runs_as_its_user_within_its_limits(site):
    hub = site(CONFIG, templates=TEMPLATES)
    hub.client.start(ACCOUNT, {"memory": 0.25, "cpu": 0.5})
    uid = pwd.getpwnam(ACCOUNT).pw_uid
    assert hub.client.server_get(ACCOUNT).text == str(uid)
    (server,) = hub.server_processes()
    assert server.uids().real == uid
    membership = Path(f"/proc/{server.pid}/cgroup").read_text()
    assert "multiplespawner" in membership
    hub.kill()
    hub.start()
    assert hub.client.is_running(ACCOUNT)
    assert hub.client.server_get(ACCOUNT).text == str(uid)
    hub.client.stop(ACCOUNT)
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start servers of other accounts")
def test_the_hubs_own_account_gets_no_server(site):
    hub = site(CONFIG, templates=TEMPLATES)
    hub.client.ensure_user("root")
    response = hub.client.try_start("root")
    assert response.status_code == 400, response.text
    assert "The account 'root' may not run notebooks on this machine." in response.text
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert hub.client.is_stopped("root")
    assert not hub.server_processes()
