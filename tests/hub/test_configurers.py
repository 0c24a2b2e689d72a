"""Machines of the small cloud are configured before a server starts on them."""

from __future__ import annotations

import json

import pytest
from harness.processes import wait_for
from site_fixture import phases

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Settings
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = pytest.mark.hub

(PROVIDER,), (AUTHENTICATOR,), (SPAWNER,) = COMPONENT_CLASSES.values()
DEPLOYMENTS = {"virtual_machine": [{"name": "vm", "provider": PROVIDER, "image": "debian"}]}
SETTINGS = Settings(lag=0.1, lost_answers=0, provisioning=(0.1, 0.3), terminating=(0.1, 0.3))
PLAYBOOK = """
- hosts: compute
  gather_facts: false
  tasks:
    - name: Prepare for {{ new_username }}
      ansible.builtin.raw: case {{ works | quote }} in yes) ;; *) echo no room >&2; exit 3; esac
    - name: Write it down
      ansible.builtin.raw: echo {{ new_username | quote }} > "$HOME/prepared"
"""


@pytest.fixture
def cloud(tmp_path):
    with CloudProcess(tmp_path, SETTINGS, machines="process", seed=3) as cloud:
        yield cloud


@pytest.fixture
def hub(cloud, site):
    """hub(WORKS): with a playbook beside the templates that works, or does not."""

    def start(works):
        configurer = {
            "class": "corc.configurer.AnsibleConfigurer",
            "options": {
                "host_variables": {"new_username": "{JUPYTERHUB_USER}", "works": works},
                "host_settings": {"group": "compute", "port": "22"},
                "apply_kwargs": {"playbook_path": "prepare.yml"},
            },
        }
        template = {
            "name": "Small cloud",
            "resource_type": "virtual_machine",
            "providers": [PROVIDER],
            "spawner": {"class": SPAWNER},
            "authenticator": {"class": AUTHENTICATOR},
            "configurer": configurer,
        }
        config = f"""
c.MultipleSpawner.component_classes = {json.dumps(COMPONENT_CLASSES)}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 1.0
# The answer waits for the failure.
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 100}}
"""
        return site(
            config,
            templates=[template],
            deployments=DEPLOYMENTS,
            more_files={"prepare.yml": PLAYBOOK},
        )

    return start


def test_a_playbook_prepares_the_machine(hub, cloud, tmp_path):
    running = hub("yes")
    running.client.start("ada")
    (record,) = cloud.records()
    (prepared,) = tmp_path.rglob(f"{record.id}/home/prepared")
    assert prepared.read_text() == "ada\n"


def test_a_playbook_that_fails_is_told_and_the_machine_is_given_back(hub, cloud):
    running = hub("no")
    running.client.ensure_user("ada")
    response = running.client.try_start("ada")
    told = "Configuring the resource failed: The task 'Prepare for ada' failed on 127.0.0.1: "
    message = response.json()["message"]
    assert message.startswith(told)
    assert message.endswith("no room")
    wait_for(lambda: phases(running) == ["closed"], "the ledger's row is closed", timeout=120)
    assert cloud.meter().running == frozenset()
