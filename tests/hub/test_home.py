"""JupyterHub's home page with the ends of servers: as text, and in a real browser."""

from __future__ import annotations

import html
import re
import time

import pytest
from ends import FILES_STAY, LIMITED, lifetime, moment, path
from harness import UserSession, wait_for
from site_fixture import phases

pytestmark = pytest.mark.hub


class Part:
    """Our part of a page, as a person or a program without scripts finds it."""

    def __init__(self, response):
        assert response.status_code == 200, response.text
        found = re.search(
            r'<section[^>]*id="multiplespawner-ends".*?</section>', response.text, re.DOTALL
        )
        self.source = found.group() if found else ""

    @property
    def text(self):
        """What is shown, in one line."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.source)).split())

    @property
    def forms(self):
        """By the path that it leads to: each button's minutes, and what is sent with it."""
        forms = {}
        pattern = r'<form[^>]*action="(.*?)">(.*?)</form>'
        for action, inner in re.findall(pattern, self.source, re.DOTALL):
            hidden = re.findall(r'type="hidden" name="(.*?)" value="(.*?)"', inner)
            minutes = re.findall(r'name="minutes" value="(.*?)"', inner)
            forms[html.unescape(action)] = (minutes, dict(hidden))
        return forms


def home(session):
    return Part(session.get("/hub/home"))


def press(session, minutes):
    """Press a button of the only form as a browser without scripts does, and follow it back."""
    ((action, (_, hidden)),) = home(session).forms.items()
    url = session.http.base_url.join(action)
    return session.http.post(url, data={**hidden, "minutes": minutes})


@pytest.mark.essential
def test_what_the_page_shows_of_each_server(tidy_site):
    hub = tidy_site(LIMITED)
    ada = hub.session("ada")
    assert home(ada).source == ""
    hub.client.start("ada", {"lifetime": 90})
    hub.client.start("ada", {"lifetime": 120}, server="lab")
    part = home(ada)
    end, latest = (moment(lifetime(hub)[key]) for key in ("ends_at", "latest_end"))
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
    told = rf"My Server ends at {shown} , in 1 h 2\d min \. {re.escape(FILES_STAY)}"
    assert re.search(told, part.text), part.text
    assert f'datetime="{lifetime(hub)["ends_at"]}">' in part.source
    assert "Extend My Server by 30 min" in part.text
    assert end + 1800 == latest
    own = f"/hub{path('ada')}"
    assert list(part.forms) == [own]
    assert part.forms[own][0] == ["30"]
    told = rf", in 1 h 5\d min \. {re.escape(FILES_STAY)} It cannot be extended any further\."
    assert re.search(told, part.text), part.text
    # Nobody else's.
    assert home(hub.session("bob")).source == ""
    assert home(hub.session("admin")).source == ""
    hub.client.stop("ada")
    assert "My Server" not in home(ada).text
    assert "lab ends at" in home(ada).text


@pytest.mark.essential
def test_a_server_without_an_end_and_buttons_without_a_limit(tidy_site):
    hub = tidy_site()
    ada = hub.session("ada")
    hub.client.start("ada")
    shown = f"When your servers end My Server runs until it is stopped. {FILES_STAY}"
    assert home(ada).text == shown
    assert home(ada).forms == {}
    hub.client.start("ada", {"lifetime": 3000}, server="lab")
    part = home(ada)
    assert [minutes for minutes, _ in part.forms.values()] == [["30", "60", "120"]]
    assert ", in 2 d 1 h ." in part.text


@pytest.mark.essential
def test_a_button_without_scripts(tidy_site):
    hub = tidy_site(LIMITED)
    hub.client.start("ada", {"lifetime": 30}, server="lab")
    ada = hub.session("ada")
    before = lifetime(hub, server="lab")
    response = press(ada, "60")
    assert (response.url.path, response.url.fragment) == ("/hub/home", "multiplespawner-ends")
    assert [step.status_code for step in response.history] == [303]
    assert "The end of lab was moved by 1 h." in Part(response).text
    assert 'class="alert alert-success" role="status"' in response.text
    after = lifetime(hub, server="lab")
    assert moment(after["ends_at"]) - moment(before["ends_at"]) == 3600
    assert f"user ada moved the end of ada/lab from {before['ends_at']} to " in hub.log
    # Told once.
    assert "was moved" not in home(ada).text
    assert [minutes for minutes, _ in home(ada).forms.values()] == [["30"]]


@pytest.mark.essential
def test_what_a_button_cannot_do_is_said_on_the_page(tidy_site):
    hub = tidy_site(LIMITED)
    hub.client.start("ada", {"lifetime": 30})
    ada = hub.session("ada")
    own = f"/hub{path('ada')}"
    _, hidden = home(ada).forms[own]
    before = lifetime(hub)
    for fields, message in (
        ({"minutes": "91"}, "At most 90 minutes more: the server may run until "),
        ({"minutes": "many"}, "minutes: must be a whole number from 1 to 52704000, not 'many'."),
        ({"minutes": "<b>"}, "minutes: must be a whole number from 1 to 52704000, not '<b>'."),
        ({}, "minutes: must be a whole number from 1 to 52704000, not ''."),
        ({"minutes": "9" * 5000}, "minutes: must be a whole number from 1 to 52704000, not '999"),
    ):
        response = ada.http.post(own, data={**hidden, **fields})
        assert message in Part(response).text
        assert "alert-warning" in Part(response).source
        assert "<b>" not in Part(response).source
        assert lifetime(hub) == before
    # Pressed twice, or on a page that was left open.
    assert "was moved by 30 min" in press(ada, "30").text
    stale = ada.http.post(own, data={**hidden, "minutes": "30"})
    assert "My Server: The end was moved meanwhile." in Part(stale).text
    assert moment(lifetime(hub)["ends_at"]) - moment(before["ends_at"]) == 1800
    hub.client.stop("ada")
    gone = ada.http.post(own, data={**hidden, "minutes": "30"})
    assert "My Server: No such server runs." in Part(gone).text
    assert home(ada).source == ""


ONLOOKER = """
c.Authenticator.allowed_users = {"bob"}
c.JupyterHub.load_roles.append({
    "name": "onlooker", "users": ["bob"],
    "scopes": ["read:servers!user=ada", "access:servers!user=ada"],
})
"""


@pytest.mark.essential
def test_whom_a_button_obeys(tidy_site):
    hub = tidy_site(LIMITED + ONLOOKER)
    hub.client.start("ada", {"lifetime": 30})
    before = lifetime(hub)
    own = f"/hub{path('ada')}"
    ada, bob, admin = (hub.session(name) for name in ("ada", "bob", "admin"))
    data = {"minutes": "30", "ends_at": before["ends_at"]}
    assert ada.http.post(own, data=data).status_code == 403
    assert ada.http.post(own, data={**data, "_xsrf": bob.xsrf}).status_code == 403
    assert bob.http.post(own, data={**data, "_xsrf": bob.xsrf}).status_code == 404
    assert hub.client.http.post(f"{hub.url}{own}", data=data).status_code == 403
    assert lifetime(hub) == before
    # An administrator may, but the limit holds here for everybody.
    response = admin.http.post(own, data={**data, "_xsrf": admin.xsrf, "minutes": "600"})
    assert "At most 90 minutes more" in Part(response).text
    assert lifetime(hub) == before
    response = admin.http.post(own, data={**data, "_xsrf": admin.xsrf})
    assert "The end of My Server was moved by 30 min." in Part(response).text
    assert moment(lifetime(hub)["ends_at"]) - moment(before["ends_at"]) == 1800


@pytest.mark.essential
def test_names_are_text(tidy_site):
    hub = tidy_site()
    user = "o'neil@example.org"
    hub.client.start("ada")
    hub.client.stop("ada")
    name = "lab"
    if hub.client.version() < (6,):
        name = "<i>&\"' ä"
    hub.client.ensure_user(user.replace("'", "%27"))
    session = hub.session(user)
    where = f"/users/{user.replace(chr(39), '%27')}/servers/"
    body = {"lifetime": 60}
    if name == "lab":
        body = {"user_options": body, "display_name": "<i>&\"' ä"}
    quoted = "%3Ci%3E&%22%27%20%C3%A4" if name != "lab" else "lab"
    assert hub.client.request("POST", f"{where}{quoted}", json=body).is_success
    wait_for(lambda: "running" in phases(hub), "the server runs")
    part = home(session)
    assert "<i>&\"' ä ends at" in part.text
    assert "<i>" not in part.source
    response = press(session, "30")
    assert "The end of <i>&\"' ä was moved by 30 min." in Part(response).text


OWN = {
    # What JupyterHub's documentation shows.
    "extends": (
        '{% extends "templates/home.html" %}{% block main %}<p>Ours</p>{{ super() }}{% endblock %}',
        True,
    ),
    "replaces": ('{% extends "page.html" %}{% block main %}<p>Ours</p>{% endblock %}', True),
    "has no such block": ("<html><body><p>Ours</p></body></html>", False),
}


@pytest.mark.essential
def test_the_administrators_own_page_stays(tidy_site):
    hub = tidy_site("c.JupyterHub.template_paths = ['own']", start=False)
    (hub.folder / "own").mkdir()
    for case, (source, has_block) in OWN.items():
        (hub.folder / "own" / "home.html").write_text(source)
        hub.start()
        hub.client.start("ada", {"lifetime": 60})
        page = hub.session("ada").get("/hub/home")
        assert "<p>Ours</p>" in page.text, case
        assert ("My Server ends at" in Part(page).text) is has_block, case
        assert ("Stop My Server" in page.text) is (case == "extends"), case
        hub.terminate()


def test_a_page_that_is_broken_is_no_more_broken_by_us(tidy_site):
    hub = tidy_site("c.JupyterHub.template_paths = ['own']", start=False)
    (hub.folder / "own").mkdir()
    (hub.folder / "own" / "home.html").write_text("{% endblock %}")
    hub.start()
    hub.client.start("ada", {"lifetime": 60})
    assert "the hub's home page cannot show when servers end (jinja2_env)" in hub.log
    assert lifetime(hub)["ends_at"]
    (hub.folder / "own" / "home.html").write_text("<p>Repaired</p>")
    assert hub.session("ada").get("/hub/home").text == "<p>Repaired</p>"


@pytest.mark.essential
def test_below_a_prefix_a_button_leads_back(tidy_site):
    hub = tidy_site("c.JupyterHub.base_url = '/jupyter/'", start=False)
    hub.client.http.base_url = f"{hub.url}/jupyter/hub/api"
    hub.start()
    hub.client.start("ada", {"lifetime": 60})
    ada = UserSession(f"{hub.url}/jupyter")
    ada.get("/hub/login")
    ada.post("/hub/login", {"username": "ada", "password": "any"})
    response = press(ada, "30")
    ada.close()
    assert response.url.path == "/jupyter/hub/home"
    assert "The end of My Server was moved by 30 min." in Part(response).text
