"""A real browser: the form, the progress page, a cell in JupyterLab, and what goes wrong there."""

from __future__ import annotations

import re

import pytest
from harness import browser, wait_for
from playwright.sync_api import expect
from site_fixture import phases, rows

pytestmark = [pytest.mark.hub, pytest.mark.browser]

DEPLOYMENTS = {
    "bare_metal": [
        {"name": "JupyterLab", "provider": "local", "default_url": "/lab"},
        {"name": "Classic file browser", "provider": "local", "default_url": "/tree"},
    ]
}
SLOW = """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner
original = SimpleLocalProcessSpawner.start
async def slow(self):
    await asyncio.sleep({seconds})
    {then}
SimpleLocalProcessSpawner.start = slow
"""
# The proxy from PyPI holds answers back until their end: nothing would be seen of the progress.
STREAMING = """
c.ConfigurableHTTPProxy.should_start = True
c.ConfigurableHTTPProxy.command = [sys.executable, "-m", "multiplespawner_core.cli.proxy"]
"""
STARTS = "return await original(self)"
RAISES = "raise RuntimeError('token=SECRET123')"
STEPS = [
    "Server requested",  # JupyterHub's own
    "Looking for a place",
    "Asking local for JupyterLab",
    "Starting the server",
    "Spawning server...",  # the child's own
]


@pytest.fixture
def form(site, page):
    """Opens the form of a hub with two deployments, logged in as ada."""

    def open_form(config="", **kwargs):
        hub = site(STREAMING + config, deployments=DEPLOYMENTS, start=False, **kwargs)
        hub.proxy_by_hub = True
        hub.start()
        browser.login(page, hub.url, "ada")
        expect(page.get_by_label("Deployment")).to_be_visible()
        return hub

    return open_form


def assert_launching(page):
    """The progress page shows every step up to the launch, as it happens."""
    expect(page.locator(".progress-log-event")).to_have_text(STEPS)
    expect(page.locator("#progress-message")).to_have_text(STEPS[-1])
    assert int(page.locator("#progress-bar").get_attribute("aria-valuenow")) >= 70


def submit(page):
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/hub/spawn-pending/ada**")


@pytest.mark.timeout(240)
def test_choose_work_and_stop(form, page, screenshot):
    hub = form(
        SLOW.format(seconds=4, then=STARTS)
        + "c.Spawner.args += ['--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']",
        singleuser="real",
    )
    page.get_by_label("Deployment").select_option("JupyterLab")
    page.get_by_label("CPUs").fill("1")
    page.get_by_label("Memory (GB)").fill("1")
    page.get_by_label("Lifetime (minutes)").fill("60")
    screenshot("form-filled")
    submit(page)

    assert_launching(page)
    screenshot("progress")

    page.wait_for_url("**/user/ada/lab**", timeout=90_000)
    assert browser.run_cell(page, "print(6*7)", timeout=90_000) == "42"
    screenshot("jupyterlab")
    assert hub.client.server("ada")["user_options"] == {
        "provider": "local",
        "resource_type": "bare_metal",
        "deployment": "JupyterLab",
        "cpu": 1,
        "memory": 1,
        "lifetime": 60,
    }
    assert phases(hub) == ["running"]

    page.goto(f"{hub.url}/hub/home")
    page.wait_for_function("window._jupyterhub_page_loaded")  # until then no button does anything
    page.locator("#stop").click()
    expect(page.locator("#stop")).to_be_hidden(timeout=60_000)
    wait_for(lambda: hub.client.is_stopped("ada"), "the server stops")
    wait_for(lambda: rows(hub, "phase", "reason") == [("closed", "it was stopped")], "the row")
    assert not hub.server_processes()

    page.goto(f"{hub.url}/hub/spawn")
    expect(page.get_by_label("Lifetime (minutes)")).to_have_value("60")
    expect(page.get_by_label("CPUs")).to_have_value("1")
    expect(page.get_by_label("Deployment")).to_have_value("JupyterLab")


def test_a_failed_start_turns_the_page_red_and_tells_no_secret(form, page, screenshot):
    hub = form(SLOW.format(seconds=3, then=RAISES))
    submit(page)
    expect(page.locator("#progress-bar")).to_have_class(re.compile(r"\bbg-danger\b"))
    message = page.locator("#progress-message")
    ((intent,),) = rows(hub, "id")
    expect(message).to_contain_text("Starting the server failed for a technical reason.")
    expect(message).to_contain_text(f"Tell your administrator the id {intent}.")
    expect(page.locator("#progress-details")).to_have_attribute("open", "")
    screenshot("progress-failed")
    assert_no_exception(page.content())
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub sees it")
    # What the hub shows afterwards is the same failure, and a way to try again.
    page.goto(f"{hub.url}/hub/spawn-pending/ada")
    assert_no_exception(page.content())
    screenshot("failed-again")
    page.goto(f"{hub.url}/hub/spawn")
    expect(page.get_by_label("Deployment")).to_be_visible()


def assert_no_exception(content):
    for secret in ("SECRET123", "RuntimeError", "Traceback"):
        assert secret not in content


@pytest.fixture
def stopped_by_button(form, page):
    """A hub whose user has just pressed the button of the progress page."""
    hub = form(SLOW.format(seconds=3600, then=STARTS))
    if hub.client.version() < (6,):
        pytest.skip("the button came with JupyterHub 6")
    submit(page)
    assert_launching(page)
    page.wait_for_function("window._jupyterhub_page_loaded")  # until then no button does anything
    page.locator("#stop-server-btn").click()
    return hub


def test_a_start_is_stopped_from_its_progress_page(stopped_by_button, page, screenshot):
    hub = stopped_by_button
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub sees it")
    assert not hub.server_processes()
    expect(page.get_by_role("heading", name="Server not running")).to_be_visible(timeout=20_000)
    screenshot("progress-stopped")
    page.goto(f"{hub.url}/hub/spawn")
    expect(page.get_by_label("Deployment")).to_be_visible()


def test_a_start_that_is_stopped_says_so(stopped_by_button, page):
    expect(page.locator("#progress-message")).to_have_text("The start was cancelled.")
    expect(page.locator("#stop-server-status")).to_have_text("Server stopped successfully!")


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)]
)
def test_the_form_fits(site, chromium, scheme, width):
    hub = site(deployments=DEPLOYMENTS)
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, device_scale_factor=1
    )
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    browser.login(page, hub.url, "ada")
    page.get_by_label("Deployment").wait_for()
    browser.screenshot(page, f"form-{scheme}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("html").get_attribute("data-bs-theme") == scheme
    assert not errors


def test_the_browser_refuses_what_the_form_does_not_allow(form, page):
    hub = form()
    page.get_by_label("CPUs").fill("-1")
    page.get_by_role("button", name="Start").click()
    assert page.get_by_label("CPUs").evaluate("field => field.validity.rangeUnderflow")
    assert page.url.startswith(f"{hub.url}/hub/spawn")
    assert phases(hub) == []


def test_what_only_the_hub_can_refuse_is_said_above_the_form(form, page, screenshot):
    form()
    page.get_by_label("CPUs").fill("4096")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".spawn-error-msg, .error").first).to_contain_text("4096")
    expect(page.get_by_label("CPUs")).to_have_value("4096")
    screenshot("form-refused")
