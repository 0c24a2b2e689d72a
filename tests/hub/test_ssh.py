"""A whole hub and the ssh plugin: from a machine that is made to a server that answers on it."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from harness.processes import wait_for
from site_fixture import phases, rows

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]

(PROVIDER,) = COMPONENT_CLASSES["provider"]
# The reference's, for machines whose one account is that of the tests.
TEMPLATE = {
    "name": "VirtualMachine Spawner",
    "resource_type": "virtual_machine",
    "providers": [PROVIDER],
    "spawner": {
        "class": "sshspawner.sshspawner.SSHSpawner",
        "kwargs": {
            "remote_hosts": ["{endpoint}"],
            "remote_port": "22",
            "remote_user": getpass.getuser(),
            "ssh_keyfile": "~/.corc/ssh/id_rsa",
        },
    },
    "authenticator": {
        "class": "corc.authenticator.SSHAuthenticator",
        "kwargs": {"create_certificate": "True"},
    },
}
DEPLOYMENTS = {"virtual_machine": [{"name": "vm", "provider": PROVIDER, "image": "debian"}]}
SETTINGS = Settings(lag=0.5, lost_answers=0, provisioning=(0.1, 0.3), terminating=(0.1, 0.3))


@pytest.fixture
def cloud(tmp_path):
    with CloudProcess(tmp_path, SETTINGS, machines="process", seed=3) as cloud:
        yield cloud


@pytest.fixture
def hub(cloud, site):
    config = f"""
c.MultipleSpawner.component_classes = {json.dumps({"provider": [PROVIDER]})}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 1.0
"""
    return site(config, templates=[TEMPLATE], deployments=DEPLOYMENTS)


def environment(hub, user):
    response = hub.client.server_get(user, "env")
    assert response.status_code == httpx.codes.OK
    return response.json()


@pytest.mark.essential
def test_a_server_on_a_machine_outlives_the_hub_and_ends_with_its_stop(hub, cloud):
    hub.client.start("ada")
    (record,) = cloud.records()
    env = environment(hub, "ada")
    assert env["HOME"].endswith(f"{record.id}/home")
    assert env["JUPYTERHUB_USER"] == "ada"
    [key] = hub.folder.glob("state/plugins/*/resources/*/client_key")
    shown = subprocess.run(
        [shutil.which("ssh-keygen"), "-L", "-f", f"{key}-cert.pub"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"multiplespawner-{record.tags['multiplespawner-intent']}" in shown.stdout
    before = env["MULTIPLESPAWNER_SERVER"]
    hub.kill()
    hub.start()
    assert environment(hub, "ada")["MULTIPLESPAWNER_SERVER"] == before
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the ledger's row is closed", timeout=60)
    assert cloud.meter().running == frozenset()
    assert not key.exists()
    assert "PRIVATE KEY" not in hub.log
    assert "PRIVATE KEY" not in str(rows(hub, "child", "handle"))


def test_a_server_that_ends_by_itself_gives_its_machine_back(hub, cloud):
    hub.client.start("ada")
    pid = hub.client.server_get("ada", "").json()["pid"]
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    hub.client.wait_until_stopped("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the ledger's row is closed", timeout=60)
    assert cloud.meter().running == frozenset()


STEPS = ("creating", "waiting", "opening", "configuring", "launching")


@pytest.fixture
def prepared(cloud, site):
    """Machines are configured as well; every step takes a while."""
    configurer = {"class": "script", "script_path": "prepare.sh"}
    config = f"""
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.MultipleSpawner.component_classes = {json.dumps({"provider": [PROVIDER]})}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 1.0
"""
    return site(
        config,
        templates=[{**TEMPLATE, "configurer": configurer}],
        deployments=DEPLOYMENTS,
        more_files={"prepare.sh": "#!/bin/sh\nsleep 1\n"},
    )


def test_a_hub_that_is_killed_in_any_step_leaves_nothing(prepared, cloud):
    for step in STEPS:
        kill_in(step, prepared, cloud)


def kill_in(step, hub, cloud):
    def phase():
        return dict(rows(hub, "user_name", "phase")).get(step)

    hub.client.ensure_user(step)
    if step == "creating":
        cloud.add_fault(Fault(FaultKind.DELAY, "create", delay=1.0))
    assert hub.client.try_start(step).status_code == httpx.codes.ACCEPTED
    wait_for(lambda: phase() == step, f"the start is {step}", every=0.002)
    hub.kill()
    hub.start()
    wait_for(lambda: phase() == "closed", f"{step}: the row is closed", timeout=60)
    assert cloud.meter().running == frozenset(), step
    assert servers(cloud) == [], step
    assert hub.client.is_stopped(step)


def servers(cloud):
    """What was started for servers on any machine of the cloud."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            environment = path.read_bytes().split(b"\0")
            ours = any(one.startswith(b"MULTIPLESPAWNER_SERVER=") for one in environment)
            if ours and str(cloud.state).encode() in path.read_bytes():
                found.append(path.parent.name)
    return found
