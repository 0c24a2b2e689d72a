"""What befalls machines while servers run on them: sshd, network, host key, disk.

The machines are the small cloud's, containers of a real engine, with systemd and cloud-init; the
ssh plugin opens them, a script prepares them, and a light server runs there.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from harness import wait_for
from site_fixture import phases

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Settings, containers
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

(PROVIDER,) = COMPONENT_CLASSES["provider"]
DEPLOYMENTS = {"virtual_machine": [{"name": "vm", "provider": PROVIDER}]}
SETTINGS = Settings(lag=0.5, lost_answers=0, provisioning=(0.1, 0.2), terminating=(0.1, 0.2))
LIGHT = Path(__file__).parent / "harness" / "light_singleuser.py"
VERSION = 'importlib.metadata.version("jupyterhub")'

CUT = 20
"""Seconds without a network: longer than a poll may take, and than sshd is waited for."""


@pytest.fixture(scope="module", autouse=True)
def engine():
    try:
        containers.require_engine()
    except containers.EngineError as error:
        pytest.skip(f"no engine: {error}")


@pytest.fixture
def cloud(tmp_path):
    with CloudProcess(tmp_path, SETTINGS, machines="container", seed=3) as cloud:
        yield cloud


def prepare():
    """A script that brings the server, and fills the disk of users whose name says so."""
    source = LIGHT.read_text().replace(VERSION, repr(importlib.metadata.version("jupyterhub")))
    return f"""#!/bin/sh
cat >/home/debian/light.py <<'END OF SERVER'
{source}
END OF SERVER
case $1 in full*) dd if=/dev/zero of=/dev/shm/rest bs=1M 2>/dev/null ;; esac
echo ready
"""


@pytest.fixture
def hub(cloud, site):
    gateway = containers.docker(
        "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
    ).strip()
    template = {
        "name": "Machine",
        "resource_type": "virtual_machine",
        "providers": [PROVIDER],
        "authenticator": {"class": "ssh", "kwargs": {"create_certificate": True}},
        "configurer": {
            "class": "script", "script_path": "prepare.sh", "arguments": ["{JUPYTERHUB_USER}"],
        },
        "spawner": {
            "class": "ssh",
            "kwargs": {
                "remote_user": "debian",
                "resource_path": "/dev/shm/servers",
                "cmd": ["python3", "/home/debian/light.py"],
            },
        },
    }  # fmt: skip
    config = f"""
c.JupyterHub.hub_ip = {gateway!r}
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
# The proxy from PyPI holds answers back until their end: nothing would be seen of the progress.
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.command = [sys.executable, "-m", "multiplespawner_core.cli.proxy"]
c.MultipleSpawner.component_classes = {json.dumps({"provider": [PROVIDER]})}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 1.0
c.SSHAuthenticator.username = "debian"
"""
    hub = site(
        config,
        templates=[template],
        deployments=DEPLOYMENTS,
        more_files={"prepare.sh": prepare()},
        start=False,
    )
    hub.proxy_by_hub = True
    return hub.start()


class Machine:
    """The one that a user's server runs on, from outside of it."""

    def __init__(self, cloud, user):
        (record,) = [one for one in cloud.records() if not one.gone and user in one.tags.values()]
        self.id, self.address = record.id, record.address.host
        cloud_id = (cloud.state / "machines" / "cloud-id").read_text()
        self.name = f"multiplespawner-{cloud_id}-{record.id}"

    def run(self, *command):
        return containers.docker("exec", self.name, *command)

    @contextlib.contextmanager
    def cut_off(self):
        """No packet comes to it; nobody is told."""
        rule = ["OUTPUT", "-d", self.address, "-j", "DROP"]
        iptables("-I", *rule)
        try:
            yield
        finally:
            iptables("-D", *rule)


def iptables(*arguments):
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin")
    subprocess.run([program, "-w", *arguments], check=True, capture_output=True)


def pid_of(hub, user):
    answer = hub.client.server_get(user)
    assert answer.status_code == httpx.codes.OK
    return answer.json()["pid"]


def nothing_is_left(hub, cloud):
    wait_for(lambda: set(phases(hub)) == {"closed"}, "the ledger's rows are closed", timeout=90)
    assert cloud.meter().running == frozenset()


def test_neither_a_dead_sshd_nor_a_cut_network_ends_a_server(hub, cloud):
    hub.client.start("ada")
    pid, machine = pid_of(hub, "ada"), Machine(cloud, "ada")
    machine.run("pkill", "-KILL", "sshd")
    assert pid_of(hub, "ada") == pid
    time.sleep(5)  # systemd has started it anew, and the hub has asked meanwhile
    assert hub.client.is_running("ada")
    machine.run("systemctl", "stop", "ssh.service")
    time.sleep(8)
    assert hub.client.is_running("ada")
    assert pid_of(hub, "ada") == pid
    machine.run("systemctl", "start", "ssh.service")
    with machine.cut_off():
        time.sleep(CUT)
        assert hub.client.is_running("ada")
    assert pid_of(hub, "ada") == pid
    assert machine.run("pgrep", "-cf", "light.py").strip() == "1"
    hub.client.stop("ada")
    nothing_is_left(hub, cloud)


def test_a_machine_with_another_host_key_is_another_machine(hub, cloud):
    hub.client.start("ada")
    machine = Machine(cloud, "ada")
    machine.run("sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -A; pkill -KILL sshd; true")
    hub.client.wait_until_stopped("ada", timeout=90)
    nothing_is_left(hub, cloud)


def test_a_full_disk_is_told(hub, cloud):
    hub.client.ensure_user("full")
    assert hub.client.try_start("full").status_code == httpx.codes.ACCEPTED
    *_, last = hub.client.progress("full")
    assert last["failed"]
    assert "nothing can be written to /dev/shm/servers: its disk may be full" in last["message"]
    nothing_is_left(hub, cloud)
    hub.client.start("ada")
    hub.client.stop("ada")
    nothing_is_left(hub, cloud)
