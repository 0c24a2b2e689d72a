"""The home page in a real browser, with and without scripts."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from ends import FILES_STAY, lifetime, moment, path
from harness import browser, wait_for
from playwright.sync_api import expect

pytestmark = [pytest.mark.hub, pytest.mark.browser]

expect.set_options(timeout=30_000)

THREE_DAYS = 'c.MultipleSpawner.limits = {"lifetime": {"max": 4320}}'


@pytest.fixture
def opened(tidy_site, chromium):
    """Opens the home page of ada, who has two servers, and a hub behind it."""

    def opened(config="", **context):
        hub = tidy_site(config)
        hub.client.start("ada", {"lifetime": 60})
        hub.client.start("ada", {"lifetime": 3 * 24 * 60}, server="lab")
        context = {"viewport": {"width": 1280, "height": 800}, **context}
        page = chromium.new_context(**context).new_page()
        page.set_default_timeout(30_000)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if foreign(request) else None)
        page.errors = errors
        browser.login(page, hub.url, "ada")
        page.goto(f"{hub.url}/hub/home")
        return hub, page

    def foreign(request):
        return not re.match(r"(http://127\.0\.0\.1:|data:|blob:)", request.url)

    return opened


def row(page, label):
    return page.locator("#multiplespawner-ends li").filter(has_text=label)


def clock(time):
    """As browsers write it in British English, some with a zero before one digit."""
    return f"0?{time.hour}:{time:%M}"


def test_the_end_is_shown_in_the_browsers_own_time_and_moved_by_a_click(opened):
    hub, page = opened(timezone_id="Asia/Kolkata", locale="en-GB")
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    mine, lab = row(page, "My Server"), row(page, "lab")

    def own(server=""):
        return dt.datetime.fromtimestamp(moment(lifetime(hub, server=server)["ends_at"]), zone)

    expect(mine).to_contain_text(re.compile(r"in 5\d min\."))
    expect(mine).to_contain_text(FILES_STAY)
    today = dt.datetime.now(zone).date()
    far = own("lab")
    expect(lab.locator("time")).to_have_text(
        re.compile(rf"{far:%a},? {far.day} {far:%b}.* {clock(far)}$")
    )
    expect(lab).to_contain_text(re.compile(r"in (2 d 23 h|3 d)\."))
    if own().date() == today:
        expect(mine.locator("time")).to_have_text(re.compile(f"^{clock(own())}$"))
    before = own()

    mine.get_by_role("button", name="Extend My Server by 2 h").click()
    expect(page.get_by_role("status")).to_have_text("The end of My Server was moved by 2 h.")
    assert page.url == f"{hub.url}/hub/home#multiplespawner-ends"
    assert own() - before == dt.timedelta(hours=2)
    expect(mine).to_contain_text(re.compile(r"in 2 h 5\d min\."))
    page.reload()
    expect(page.get_by_role("status")).to_be_hidden()
    assert page.errors == []


def test_the_time_that_is_left_counts_down(opened):
    hub, page = opened()
    mine = row(page, "My Server")
    shown = mine.locator(".multiplespawner-left")
    end = moment(lifetime(hub)["ends_at"])
    page.wait_for_function("window._jupyterhub_page_loaded")
    page.clock.install(time=end - 125)
    page.goto(f"{hub.url}/hub/home")
    page.wait_for_function("window._jupyterhub_page_loaded")
    expect(shown).to_have_text("2 min")
    page.clock.fast_forward(60_000)
    expect(shown).to_have_text("1 min")
    page.clock.fast_forward(60_000)
    expect(shown).to_have_text("less than 1 min")
    page.clock.fast_forward(600_000)
    expect(shown).to_have_text("less than 1 min")
    assert page.errors == []


def test_everything_works_without_scripts(opened):
    hub, page = opened(THREE_DAYS, java_script_enabled=False)
    mine = row(page, "My Server")
    end = dt.datetime.fromtimestamp(moment(lifetime(hub)["ends_at"]), dt.timezone.utc)
    expect(mine.locator("time")).to_have_text(f"{end:%Y-%m-%d %H:%M} UTC")
    expect(row(page, "lab")).to_contain_text("It cannot be extended any further.")
    browser.screenshot(page, "home-no-script")
    mine.get_by_role("button", name="Extend My Server by 30 min").click()
    expect(page.get_by_role("status")).to_have_text("The end of My Server was moved by 30 min.")
    later = dt.datetime.fromtimestamp(moment(lifetime(hub)["ends_at"]), dt.timezone.utc)
    assert later - end == dt.timedelta(minutes=30)
    expect(mine.locator("time")).to_have_text(f"{later:%Y-%m-%d %H:%M} UTC")


def test_the_keyboard_reaches_every_button(opened):
    hub, page = opened()
    before = moment(lifetime(hub, server="lab")["ends_at"])
    page.locator(".stop-server:visible").last.focus()
    names = []
    for _ in range(20):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("document.activeElement.textContent.replace(/\\s+/g, ' ').trim()")
        )
        if names[-1] == "+Extend lab by 1 h":
            break
    assert names[-5:] == [
        "+Extend My Server by 30 min",
        "+Extend My Server by 1 h",
        "+Extend My Server by 2 h",
        "+Extend lab by 30 min",
        "+Extend lab by 1 h",
    ]
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The end of lab was moved by 1 h.")
    assert moment(lifetime(hub, server="lab")["ends_at"]) - before == 3600


def test_what_is_stopped_on_the_page_shows_no_end(opened):
    hub, page = opened()
    row(page, "lab").wait_for()
    page.wait_for_function("window._jupyterhub_page_loaded")  # until then no button does anything
    page.locator("#stop-lab").click()
    expect(row(page, "lab")).to_be_hidden()
    expect(row(page, "My Server")).to_be_visible()
    page.locator("#stop").click()
    expect(row(page, "My Server")).to_be_hidden()
    wait_for(lambda: hub.client.is_stopped("ada"), "the server stops")
    wait_for(lambda: hub.client.is_stopped("ada", "lab"), "the other one as well")
    assert hub.client.request("GET", path("ada")).status_code == 404
    assert page.errors == []


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]
)
def test_it_fits(opened, scheme, width):
    _, page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    row(page, "My Server").get_by_role("button").last.click()
    expect(page.get_by_role("status")).to_be_visible()
    browser.screenshot(page, f"home-{scheme}-{width}")
    part = page.locator("#multiplespawner-ends").bounding_box()
    assert part["x"] >= 0
    assert part["x"] + part["width"] <= width
    assert page.locator("#multiplespawner-ends").evaluate("e => e.scrollWidth <= e.clientWidth")
    assert page.locator("html").get_attribute("data-bs-theme") == scheme
    assert page.errors == []
