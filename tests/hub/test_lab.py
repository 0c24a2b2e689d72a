"""multiplespawner-lab in a real single-user server: warned, extended on the hub's page, at rest."""

from __future__ import annotations

import re

import pytest
from ends import FILES_STAY, LIMITED, lifetime
from harness import browser
from multiplespawner_lab.hub import FRESH
from playwright.sync_api import expect

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]

QUIET = "c.Spawner.args += ['--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']\n"
ADDRESS = "multiplespawner-lab/lifetime"


@pytest.mark.browser
@pytest.mark.parametrize("server", ["", "second"])
def test_a_user_is_warned_and_extends_the_server(tidy_site, page, screenshot, server):
    hub = tidy_site(LIMITED + QUIET, singleuser="real")
    hub.client.start("ada", {"lifetime": 10}, server=server)
    browser.login(page, hub.url, "ada")
    page.goto(f"{hub.url}/user/ada/{f'{server}/' if server else ''}lab")
    warning = page.get_by_role("alert").filter(has_text="Server ends")
    expect(warning).to_contain_text(re.compile(r"^Server ends in under (\d|10) minutes"))
    expect(warning).to_contain_text(FILES_STAY)
    screenshot("lab-warning-of-a-hub")

    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Extend…").click()
    home = opened.value
    assert home.url == f"{hub.url}/hub/home#multiplespawner-ends"
    home.get_by_role("button", name=re.compile("30 min")).click()
    expect(home.get_by_role("status")).to_contain_text("was moved by 30 min.")
    home.close()

    # The notification went with the click; now there is no reason for a new one.
    page.wait_for_timeout(FRESH * 1000)
    with page.expect_response(f"**/{ADDRESS}*") as answered:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert answered.value.json()["lifetime"] == lifetime(hub, server=server)
    expect(warning).to_have_count(0)


@pytest.mark.essential
def test_with_internal_ssl_the_server_asks_with_its_certificate(tidy_site):
    hub = tidy_site(LIMITED, internal_ssl=True, singleuser="real")
    hub.client.start("ada", {"lifetime": 10})
    answer = hub.client.server_get("ada", ADDRESS)
    assert answer.status_code == 200, hub.tail()
    assert answer.json()["lifetime"] == lifetime(hub)
    assert answer.json()["extend_url"] == "/hub/home#multiplespawner-ends"
