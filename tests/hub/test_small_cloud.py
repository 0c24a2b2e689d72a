"""A whole hub on the small cloud: servers run on machines, and go with them."""

from __future__ import annotations

import json

import httpx
import pytest
from harness import browser
from harness.processes import wait_for
from playwright.sync_api import expect
from site_fixture import phases

from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = pytest.mark.hub

(PROVIDER,), (AUTHENTICATOR,), (SPAWNER,) = COMPONENT_CLASSES.values()
TEMPLATES = [
    {
        "name": "Small cloud",
        "resource_type": "virtual_machine",
        "providers": [PROVIDER],
        "spawner": {"class": SPAWNER},
        "authenticator": {"class": AUTHENTICATOR},
    }
]
DEPLOYMENTS = {"virtual_machine": [{"name": "vm", "provider": PROVIDER, "image": "debian"}]}
SETTINGS = Settings(lag=0.5, lost_answers=0, provisioning=(0.1, 0.3), terminating=(0.1, 0.3))


@pytest.fixture
def cloud(tmp_path):
    with CloudProcess(tmp_path, SETTINGS, machines="process", seed=3) as cloud:
        yield cloud


def config_of(cloud):
    return f"""
c.MultipleSpawner.component_classes = {json.dumps(COMPONENT_CLASSES)}
c.SmallCloud.url = {cloud.url!r}
c.SmallCloud.secret_file = {str(cloud.secret_file)!r}
c.SmallCloud.list_grace = 1.0
"""


@pytest.fixture
def hub(cloud, site):
    return site(config_of(cloud), templates=TEMPLATES, deployments=DEPLOYMENTS)


def machine_of(hub, user):
    response = hub.client.server_get(user, "machine")
    assert response.status_code == httpx.codes.OK
    return response.json()


@pytest.mark.essential
def test_a_server_runs_on_a_machine_until_it_is_stopped(hub, cloud):
    hub.client.start("ada")
    (record,) = cloud.records()
    said = machine_of(hub, "ada")
    assert said["machine"].endswith(record.id)
    assert said["intent"] == record.tags["multiplespawner-intent"]
    assert record.tags["multiplespawner-owner"] == "ada"
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the ledger's row is closed", timeout=60)
    assert cloud.meter().running == frozenset()


def test_an_answer_that_was_lost_costs_nothing(hub, cloud):
    cloud.add_fault(Fault(FaultKind.DROP, "create"))
    hub.client.start("ada")
    assert cloud.fired()["drop"] == 1
    assert len(cloud.records()) == 1


def test_what_is_accepted_and_finds_no_room_is_replaced(hub, cloud):
    cloud.add_fault(Fault(FaultKind.FAIL_LATER, "create", error="capacity"))
    hub.client.start("ada")
    first, second = cloud.records()
    assert machine_of(hub, "ada")["machine"].endswith(second.id)
    wait_for(lambda: phases(hub) == ["closed", "running"], "the first is given back", timeout=60)
    assert next(one for one in cloud.records() if one.id == first.id).gone
    # JupyterHub knows the server by the intent of the second.
    hub.kill()
    hub.start()
    assert hub.client.is_running("ada")
    assert machine_of(hub, "ada")["machine"].endswith(second.id)
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed", "closed"], "the rows are closed", timeout=60)
    assert cloud.meter().running == frozenset()


def test_the_hub_is_killed_and_the_server_goes_on(hub, cloud):
    hub.client.start("ada")
    before = machine_of(hub, "ada")
    hub.kill()
    hub.start()
    assert machine_of(hub, "ada") == before
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the ledger's row is closed", timeout=60)
    assert cloud.meter().running == frozenset()


def test_a_machine_that_ends_takes_its_server_with_it(hub, cloud):
    hub.client.start("ada")
    (record,) = cloud.records()
    cloud.terminate(record.id)
    hub.client.wait_until_stopped("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the ledger's row is closed", timeout=60)


@pytest.fixture
def keeping(cloud, site):
    deployments = [*DEPLOYMENTS["virtual_machine"], {"name": "other", "provider": PROVIDER}]
    return site(
        config_of(cloud),
        templates=[{**TEMPLATES[0], "storage": "keep"}],
        deployments={"virtual_machine": deployments},
    )


def test_what_a_template_keeps_is_there_until_the_server_is_deleted(keeping, cloud):
    client, choice = keeping.client, {"deployment": "vm"}

    def until(phase):
        wait_for(lambda: phases(keeping) == [phase], f"the row is {phase}", timeout=60)

    client.ensure_user("ada")
    client.start("ada", choice, server="lab")
    first = client.server_get("ada", "machine", server="lab").json()
    client.stop("ada", server="lab")
    until("kept")
    (record,) = cloud.records()
    assert cloud.meter().running == {one.id for one in record.dependents}
    keeping.kill()
    keeping.start()
    refused = client.try_start("ada", {"deployment": "other"}, server="lab")
    assert refused.status_code == httpx.codes.CONFLICT
    assert "The files of this server are kept on vm from" in refused.json()["message"]
    client.start("ada", choice, server="lab")
    second = client.server_get("ada", "machine", server="lab").json()
    assert (second["machine"], second["intent"]) == (first["machine"], first["intent"])
    client.remove_server("ada", "lab")
    until("closed")
    assert cloud.meter().running == frozenset()


KEPT = "/multiplespawner/users/ada/server/kept"


def test_a_user_gives_up_what_is_kept_for_the_default_server(keeping, cloud):
    client, choice = keeping.client, {"deployment": "vm"}
    ada, bob = keeping.session("ada"), keeping.session("bob")

    def until(*expected):
        wait_for(lambda: phases(keeping) == [*expected], f"the rows are {expected}", timeout=60)

    def kept(session):
        part = session.get("/hub/home").text.partition('id="multiplespawner-ends-kept"')[2]
        return part.partition("</section>")[0]

    client.start("ada", choice)
    assert kept(ada) == ""
    assert client.request("DELETE", KEPT).status_code == httpx.codes.CONFLICT
    assert client.is_running("ada")
    client.stop("ada")
    until("kept")
    keeping.kill()
    keeping.start()
    ada, bob = keeping.session("ada"), keeping.session("bob")
    page = kept(ada)
    assert "<strong>My Server</strong>: vm from " in page
    assert "The machine is deleted with every file on it, for good." in page
    assert f'action="/hub{KEPT}"' in page
    assert kept(bob) == ""
    assert client.request("GET", KEPT).json()["deployment"] == "vm"
    # Neither anybody else's, nor without the token of a form of the hub's own.
    assert bob.post(f"/hub{KEPT}").status_code == httpx.codes.NOT_FOUND
    assert ada.http.post(f"/hub{KEPT}").status_code == httpx.codes.FORBIDDEN
    until("kept")
    done = ada.post(f"/hub{KEPT}")
    assert (done.url.path, done.url.fragment) == ("/hub/home", "multiplespawner-ends")
    assert "What was kept for My Server is being deleted." in done.text
    until("closed")
    assert cloud.meter().running == frozenset()
    assert kept(ada) == ""
    assert "Nothing is kept for this server." in ada.post(f"/hub{KEPT}").text
    client.start("ada", choice)
    client.stop("ada")
    until("closed", "kept")
    assert client.request("DELETE", KEPT).status_code == httpx.codes.NO_CONTENT
    until("closed", "closed")
    assert client.request("DELETE", KEPT).status_code == httpx.codes.NOT_FOUND
    assert client.request("GET", KEPT.replace("ada", "nobody")).status_code == httpx.codes.NOT_FOUND


@pytest.mark.browser
def test_what_is_kept_is_given_up_with_a_second_thought(keeping, cloud, page):
    keeping.client.start("ada", {"deployment": "vm"})
    keeping.client.stop("ada")
    wait_for(lambda: phases(keeping) == ["kept"], "the row is kept", timeout=60)
    browser.login(page, keeping.url, "ada")
    page.goto(f"{keeping.url}/hub/home")
    kept = page.get_by_role("region", name="Kept for the next start")
    expect(kept).to_contain_text("My Server: vm from")
    button = kept.get_by_role("button", name="Delete for good")
    expect(button).to_be_hidden()
    kept.get_by_text("Delete", exact=False).first.focus()
    page.keyboard.press("Enter")
    expect(button).to_be_visible()
    expect(kept).to_contain_text("The machine is deleted with every file on it, for good.")
    for name, width in (("home-kept", 1280), ("home-kept-narrow", 360)):
        page.set_viewport_size({"width": width, "height": 800})
        button.scroll_into_view_if_needed()
        browser.screenshot(page, name)
    button.click()
    expect(page.get_by_role("status")).to_have_text("What was kept for My Server is being deleted.")
    expect(kept).to_be_hidden()
    wait_for(lambda: phases(keeping) == ["closed"], "the row is closed", timeout=60)
    assert cloud.meter().running == frozenset()
