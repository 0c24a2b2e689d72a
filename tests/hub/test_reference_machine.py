"""The reference's template, from the form to a cell, on a machine with systemd and cloud-init.

It is the small cloud's, a container of a real engine; sshd, Ansible and JupyterLab are real too.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest
import yaml
from harness import browser, wait_for
from playwright.sync_api import expect
from site_fixture import phases

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Settings, containers
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT / "tests/catalogue/reference/templates_example.json"
WHEELS = PROJECT / "build" / "wheels"
(PROVIDER,) = COMPONENT_CLASSES["provider"]
DEPLOYMENTS = {"virtual_machine": [{"name": "vm", "provider": PROVIDER, "image": "debian"}]}
SETTINGS = Settings(lag=0.5, lost_answers=0, provisioning=(0.1, 0.3), terminating=(0.1, 0.3))


@pytest.fixture(scope="module", autouse=True)
def engine():
    try:
        containers.require_engine()
    except containers.EngineError as error:
        pytest.skip(f"no engine: {error}")
    assert any(WHEELS.glob("jupyterlab-*.whl")), "no wheels: make engine brings them"


@pytest.fixture
def cloud(tmp_path):
    with CloudProcess(tmp_path, SETTINGS, machines="container", seed=3) as cloud:
        yield cloud


def template():
    """The reference's, but for the provider, the image's account and where packages come from."""
    (template,) = yaml.safe_load(REFERENCE.read_text())
    template["providers"] = [PROVIDER]
    template["spawner"]["kwargs"]["cmd"] = ["jupyterhub-singleuser"]
    variables = template["configurer"]["options"]["host_variables"]
    assert variables["ansible_user"] == "opc"
    variables["ansible_user"] = "debian"
    jupyterhub = importlib.metadata.version("jupyterhub")
    variables["packages"] = [f"jupyterhub=={jupyterhub}", "jupyterlab"]
    variables["wheels"] = str(WHEELS)
    variables["auth_key"] = "{auth_key}"
    return template


@pytest.fixture
def hub(cloud, site):
    gateway = containers.docker(
        "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
    ).strip()
    config = f"""
c.JupyterHub.hub_ip = {gateway!r}
# The proxy from PyPI holds answers back until their end: nothing would be seen of the progress.
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.command = [sys.executable, "-m", "multiplespawner_core.cli.proxy"]
c.MultipleSpawner.component_classes = {json.dumps({"provider": [PROVIDER]})}
c.MultipleSpawner.limits = {{"lifetime": {{"max": 60, "default": 60}}}}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 1.0
c.SSHAuthenticator.username = "debian"
c.Spawner.args = ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
"""
    hub = site(config, templates=[template()], deployments=DEPLOYMENTS, start=False)
    hub.proxy_by_hub = True
    return hub.start()


def test_from_the_form_to_a_cell_on_a_machine(hub, cloud, page):
    browser.login(page, hub.url, "ada")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/hub/spawn-pending/ada**")
    events = page.locator(".progress-log-event")
    expect(events.filter(has_text="Ansible: Make the account")).to_be_attached(timeout=60_000)
    page.wait_for_url("**/user/ada/lab**", timeout=200_000)
    code = "import getpass, socket; print(getpass.getuser(), socket.gethostname())"
    (record,) = [one for one in cloud.records() if not one.gone]
    assert browser.run_cell(page, code) == f"ada {record.id}"
    browser.screenshot(page, "machine-lab")
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the ledger's row is closed", timeout=60)
    assert cloud.meter().running == frozenset()
