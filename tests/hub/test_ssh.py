"""A whole hub and the ssh plugin: from a machine that is made to a server that answers on it."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess

import httpx
import pytest
from harness.processes import wait_for
from site_fixture import phases, rows

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Settings
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
