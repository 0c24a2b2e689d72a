"""A real JupyterLab in a real browser: warnings appear, change and go."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from harness import wait_for
from lab_parts import ON_END, said, warn
from multiplespawner_lab.hub import FRESH
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

NOW = datetime(2026, 1, 1, 10, tzinfo=timezone.utc)
TIME = r"(\w{3} )?\d?\d:\d\d [AP]M"


@pytest.fixture
def open_lab(start_server, fake_hub, page):
    """open_lab(hub's answer, *arguments) -> the warnings on the page of a new JupyterLab."""
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def start(answer, *arguments):
        # By a clock that starts when the page asks, however long that takes.
        fake_hub.clock = NOW
        fake_hub.answer = answer
        quiet = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"
        server = start_server("jupyterlab", fake_hub, quiet, *arguments)
        page.goto(f"{server.url}lab?reset&token={server.token}")
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
        return page.get_by_role("alert").filter(has_text="Server")

    yield start
    assert errors == []


def after(minutes):
    return NOW + timedelta(minutes=minutes)


def extend_button(page):
    return page.get_by_role("button", name="Extend…")


def test_the_end_comes_nearer(open_lab, page, screenshot):
    warnings = open_lab(said(after(1.25)), *warn(15, 1))
    first = re.compile(rf"^Server ends in under 2 minutes \({TIME}\)\.{ON_END}Extend…$")
    expect(warnings).to_have_text(first)
    expect(warnings.locator("br")).to_have_count(1)
    screenshot("lab-warning")
    toast = page.locator(".Toastify__toast", has=warnings)
    before = toast.get_attribute("id")

    # Who hides a warning is shown the next one, and the next takes the place of the last.
    toast.get_by_title("Hide notification").click()
    expect(warnings).to_have_count(0)
    second = re.compile(rf"^Server ends in under a minute \({TIME}\)\.{ON_END}Extend…$")
    expect(warnings).to_have_text(second, timeout=20_000)  # the page asks again after 30
    assert toast.get_attribute("id") == before

    with page.context.expect_page() as opened:
        extend_button(page).click()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/hub/home#multiplespawner-ends", opened.value.url)
    assert opened.value.evaluate("window.opener") is None
    expect(warnings).to_have_count(0)


def test_an_end_that_moves_takes_the_warning_away(open_lab, fake_hub, page):
    warnings = open_lab(said(after(4)))
    expect(warnings).to_contain_text("in under 4 minutes")
    fake_hub.answer = said(after(9.2))
    # The page asks by itself about every 30 seconds.
    expect(warnings).to_contain_text("in under 9 minutes", timeout=60_000)
    expect(warnings).to_have_count(1)
    fake_hub.answer = said(after(60))
    page.wait_for_timeout(FRESH * 1000)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # back from another tab
    expect(warnings).to_have_count(0, timeout=8_000)


def test_the_end_itself(open_lab, page):
    warnings = open_lab(said(after(0.2)))
    ended = re.compile(rf"^Server reached its end \({TIME}\) and is being stopped\.{ON_END}$")
    expect(warnings).to_have_text(ended, timeout=60_000)
    expect(extend_button(page)).to_have_count(0)


LONG = (
    "Everything on this virtual machine is deleted, also the files in your home directory,"
    " which you can download in the file browser; what lies in the folder shared stays."
)


def test_a_long_text_can_be_read(open_lab, page, screenshot):
    # With a browser whose clock is wrong, and an end that cannot move.
    page.clock.install(time="2031-05-06T07:08:09")
    end = after(4.9)
    warnings = open_lab(said(end, latest_end=end, on_end=LONG))
    expect(warnings).to_contain_text("in under 5 minutes")
    text = warnings.locator(".jp-toast-message").inner_text()
    assert len(text) <= 140
    assert text.endswith("…")
    assert LONG.startswith(text.partition("\n")[2].removesuffix("…") + " ")
    expect(extend_button(page)).to_have_count(0)

    page.get_by_role("button", name="Details").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(LONG)
    screenshot("lab-warning-details")
    dialog.get_by_role("button", name="Ok").click()
    expect(dialog).to_have_count(0)
    expect(warnings).to_have_count(1)


@pytest.mark.parametrize(
    "answer", [404, said(None), said(after(600))], ids=["no lifetimes", "no end", "far end"]
)
def test_silent_where_there_is_nothing_to_say(open_lab, fake_hub, page, answer):
    said_by_page = []
    page.on("console", lambda message: said_by_page.append(message.text))
    warnings = open_lab(answer)
    wait_for(lambda: page.evaluate("1") and fake_hub.requests, "the hub is asked")
    page.wait_for_timeout(1000)
    expect(warnings).to_have_count(0)
    assert not [line for line in said_by_page if "multiplespawner" in line]


def test_a_hub_that_fails_is_asked_again(open_lab, fake_hub, page):
    warnings = open_lab(503)
    wait_for(lambda: page.evaluate("1") and fake_hub.requests, "the hub is asked")
    fake_hub.answer = said(after(3))
    expect(warnings).to_contain_text("in under 3 minutes", timeout=60_000)
