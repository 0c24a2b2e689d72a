"""The end of a running server: over the API, on the home page, and at the clock."""

from __future__ import annotations

import concurrent.futures
import time

import httpx
import pytest
from ends import FILES_STAY, LIMITED, lifetime, moment, path
from harness import wait_for
from site_fixture import phases, rows

pytestmark = pytest.mark.hub

TEN_SECONDS = """
from multiplespawner_core.planning import site as planning
planning.MINUTE = 10.0
"""


def as_token(hub, token):
    """A client of the API with a token of its own."""
    return httpx.Client(
        base_url=f"{hub.url}/hub/api",
        headers={"Authorization": f"token {token}"},
        trust_env=False,
        timeout=30,
    )


def token_of(hub, user):
    """A user's own token, with all that the user may."""
    response = hub.client.request("POST", f"/users/{user}/tokens", json={})
    return response.json()["token"]


def token_of_server(hub):
    (server,) = hub.server_processes()
    return server.environ()["JUPYTERHUB_API_TOKEN"]


@pytest.mark.essential
def test_what_is_told_of_a_server_with_an_end(tidy_site):
    hub = tidy_site(LIMITED)
    before = int(time.time())
    hub.client.start("ada", {"lifetime": 60})
    told = lifetime(hub)
    started = moment(told["started_at"])
    assert before <= started <= time.time()
    assert told == {
        "started_at": told["started_at"],
        "ends_at": told["ends_at"],
        "latest_end": told["latest_end"],
        "storage": "keep",
        "on_end": FILES_STAY,
    }
    assert moment(told["ends_at"]) == pytest.approx(started + 3600, abs=1)
    assert moment(told["latest_end"]) == pytest.approx(started + 7200, abs=1)


@pytest.mark.essential
def test_what_is_told_where_there_is_no_end_and_no_limit(tidy_site):
    hub = tidy_site()
    hub.client.start("ada")
    hub.client.start("ada", {"lifetime": 60}, server="lab")
    told = lifetime(hub)
    assert told["ends_at"] is told["latest_end"] is None
    assert lifetime(hub, server="lab")["ends_at"] is not None
    assert lifetime(hub, server="lab")["latest_end"] is None
    response = hub.client.request("POST", path("ada"), json={"minutes": 30})
    assert response.status_code == 409
    assert response.json() == {
        "status": 409,
        "message": "The server has no end that could be moved.",
    }


@pytest.mark.essential
def test_who_may_read_and_who_may_extend(tidy_site):
    hub = tidy_site(LIMITED)
    hub.client.start("ada", {"lifetime": 30})
    ada_server = token_of_server(hub)
    hub.client.start("ada", {"lifetime": 30}, server="lab")
    hub.client.ensure_user("bob")
    # Its own server: no other one, and nothing to be changed.
    with as_token(hub, ada_server) as client:
        assert client.get(path("ada")).json() == lifetime(hub)
        assert client.get(path("ada", "lab")).status_code == 404
        assert client.post(path("ada"), json={"minutes": 30}).status_code == 403
    with as_token(hub, token_of(hub, "ada")) as client:
        assert client.get(path("ada", "lab")).json() == lifetime(hub, server="lab")
        assert client.post(path("ada", "lab"), json={"minutes": 30}).status_code == 200
    with as_token(hub, token_of(hub, "bob")) as client:
        for method, url in (("GET", path("ada")), ("POST", path("ada")), ("GET", path("none"))):
            answer = client.request(method, url, json={"minutes": 30})
            assert answer.status_code == 404
            assert answer.json()["message"] == "No access to resources or resources not found"
    with as_token(hub, "0" * 32) as client:
        assert client.get(path("ada")).status_code == 403
        assert client.post(path("ada"), json={"minutes": 30}).status_code == 403


@pytest.mark.essential
def test_a_user_extends_within_the_limit_and_an_administrator_beyond_it(tidy_site):
    hub = tidy_site(LIMITED)
    hub.client.start("ada", {"lifetime": 60})
    before = lifetime(hub)
    with as_token(hub, token_of(hub, "ada")) as client:
        answer = client.post(path("ada"), json={"minutes": 45})
        assert answer.status_code == 200
        assert answer.json() == lifetime(hub)
        assert moment(answer.json()["ends_at"]) - moment(before["ends_at"]) == 45 * 60
        refused = client.post(path("ada"), json={"minutes": 16})
        assert refused.status_code == 400
        latest = before["latest_end"]
        message = f"At most 15 minutes more: the server may run until {latest} at the latest."
        assert refused.json() == {"status": 400, "message": message}
        # To the limit exactly.
        assert client.post(path("ada"), json={"minutes": 15}).json()["ends_at"] == latest
        refused = client.post(path("ada"), json={"minutes": 1})
        message = f"No more minutes: the server may run until {latest} at the latest."
        assert refused.json() == {"status": 400, "message": message}
    answer = hub.client.request("POST", path("ada"), json={"minutes": 600})
    assert answer.status_code == 200
    assert moment(answer.json()["ends_at"]) == moment(latest) + 36_000
    assert answer.json()["latest_end"] == latest
    ((expires_at,),) = rows(hub, "expires_at")
    assert moment(answer.json()["ends_at"]) == int(expires_at)
    # Who, what, from when to when.
    end = before["ends_at"]
    assert f"user ada moved the end of ada from {end} to " in hub.log
    assert (
        f"service tests moved the end of ada from {latest} to {answer.json()['ends_at']},"
        " beyond its limit" in hub.log
    )


SHAPE = 'The body must be {"minutes": N}, and nothing else.'
WHOLE = "minutes: must be a whole number from 1 to 52704000, not "
NO_JSON = "Invalid JSON in body of request"
WRONG = {
    b"": SHAPE,
    b"null": SHAPE,
    b"30": SHAPE,
    b"[30]": SHAPE,
    b"{}": SHAPE,
    b'{"minute": 30}': SHAPE,
    b'{"minutes": 30, "user": "bob"}': SHAPE,
    b"{": NO_JSON,
    b"\xff\xfe": NO_JSON,
    b"[" * 100_000: NO_JSON,
    b'{"minutes": ' + b"9" * 6000 + b"}": NO_JSON,
    b'{"minutes": "30"}': WHOLE + "'30'.",
    b'{"minutes": 1.5}': WHOLE + "1.5.",
    b'{"minutes": true}': WHOLE + "True.",
    b'{"minutes": null}': WHOLE + "None.",
    b'{"minutes": NaN}': WHOLE + "nan.",
    b'{"minutes": 1e400}': WHOLE + "inf.",
    b'{"minutes": {"a": []}}': WHOLE + "{'a': []}.",
    b'{"minutes": 0}': WHOLE + "0.",
    b'{"minutes": -5}': WHOLE + "-5.",
    b'{"minutes": 52704001}': WHOLE + "52704001.",
    b'{"minutes": ' + b"9" * 3000 + b"}": WHOLE + "9" * 60 + ".",
    b'{"minutes": "%s%d{x}"}': WHOLE + "'%s%d{x}'.",
}


@pytest.mark.essential
def test_a_wrong_body_is_refused_with_what_is_allowed(tidy_site):
    hub = tidy_site()
    hub.client.start("ada", {"lifetime": 60})
    before = lifetime(hub)
    for body, message in WRONG.items():
        response = hub.client.request("POST", path("ada"), content=body)
        assert response.status_code == 400, body
        assert response.json() == {"status": 400, "message": message}
        assert response.headers["Content-Type"] == "application/json"
    assert lifetime(hub) == before


def test_no_sum_of_extensions_leaves_the_calendar(tidy_site):
    hub = tidy_site()
    hub.client.start("ada", {"lifetime": 60})
    response = hub.client.request("POST", path("ada"), json={"minutes": 52704000})
    assert response.status_code == 400
    assert response.json()["message"].startswith("At most 52703940 minutes more: the server may")
    assert hub.client.request("POST", path("ada"), json={"minutes": 52703940}).is_success
    response = hub.client.request("POST", path("ada"), json={"minutes": 1})
    assert response.json()["message"].startswith("No more minutes: the server may run until 21")


SLOW = """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner
async def slow(self):
    await asyncio.sleep(3600)
if os.path.exists("slow"):
    SimpleLocalProcessSpawner.start = slow
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
"""


@pytest.mark.essential
def test_what_does_not_run_has_no_end(tidy_site):
    hub = tidy_site(SLOW)

    def assert_not_found(*names):
        for method in ("GET", "POST"):
            response = hub.client.request(method, path(*names), json={"minutes": 30})
            assert response.status_code == 404, response.text
            assert response.json() == {"status": 404, "message": "No such server runs."}

    assert_not_found("nobody")
    hub.client.ensure_user("ada")
    assert_not_found("ada")
    assert_not_found("ada", "lab")
    hub.client.start("ada", {"lifetime": 60})
    assert_not_found("ada", "lab")
    assert_not_found("ada", "%F0%9F%98%80")
    hub.client.stop("ada")
    assert_not_found("ada")
    (hub.folder / "slow").touch()
    hub.restart()
    hub.client.try_start("ada", {"lifetime": 60})
    wait_for(lambda: phases(hub)[-1] == "launching", "the launch")
    assert_not_found("ada")
    assert hub.client.request("PUT", path("ada"), json={}).status_code == 405


@pytest.mark.essential
def test_a_browser_needs_what_jupyterhubs_own_api_needs(tidy_site):
    hub = tidy_site()
    hub.client.start("ada", {"lifetime": 60})
    ada = hub.session("ada")
    url = f"/hub/api{path('ada')}"
    fetched = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    good = {**fetched, "X-XSRFToken": ada.xsrf}
    before = ada.get(url, headers=good)
    assert before.json() == lifetime(hub)
    assert ada.get(url, headers=fetched).status_code == 403
    for headers in (fetched, {}, {**fetched, "X-XSRFToken": "0" * 32}):
        response = ada.http.post(url, json={"minutes": 30}, headers=headers)
        assert response.status_code == 403
        assert "xsrf" in response.json()["message"].lower()
    # A form of another site cannot send JSON.
    typed = {**good, "Content-Type": "text/plain"}
    assert ada.http.post(url, content=b'{"minutes": 30}', headers=typed).status_code == 403
    assert lifetime(hub) == before.json()
    after = ada.http.post(url, json={"minutes": 30}, headers=good)
    assert after.status_code == 200
    assert moment(after.json()["ends_at"]) - moment(before.json()["ends_at"]) == 1800
    # Nobody without a session.
    assert httpx.get(f"{hub.url}{url}", trust_env=False).status_code == 403


@pytest.mark.essential
def test_an_administrator_extends_anybodys_server_in_a_browser(tidy_site):
    hub = tidy_site(LIMITED)
    hub.client.start("ada", {"lifetime": 120})
    admin = hub.session("admin")
    response = admin.http.post(
        f"/hub/api{path('ada')}", json={"minutes": 60}, headers={"X-XSRFToken": admin.xsrf}
    )
    assert response.status_code == 200, response.text
    assert moment(response.json()["ends_at"]) == moment(response.json()["latest_end"]) + 3600


@pytest.mark.essential
def test_an_extended_server_ends_at_its_new_end(tidy_site):
    hub = tidy_site(TEN_SECONDS)
    hub.client.start("ada", {"lifetime": 1})
    first = moment(lifetime(hub)["ends_at"])
    second = hub.client.request("POST", path("ada"), json={"minutes": 1}).json()["ends_at"]
    assert moment(second) - first == 10
    wait_for(lambda: hub.client.is_stopped("ada"), "the lifetime ends")
    assert time.time() >= moment(second)
    wait_for(lambda: rows(hub, "phase", "reason") == [("closed", "its lifetime is over")], "row")


@pytest.mark.essential
def test_the_next_hub_keeps_to_the_new_end(tidy_site):
    hub = tidy_site(TEN_SECONDS)
    hub.client.start("ada", {"lifetime": 1})
    first = moment(lifetime(hub)["ends_at"])
    second = hub.client.request("POST", path("ada"), json={"minutes": 60}).json()["ends_at"]
    hub.kill()
    time.sleep(max(0, first + 1 - time.time()))
    hub.start()
    assert hub.client.is_running("ada")
    assert lifetime(hub)["ends_at"] == second


def test_extensions_at_once_add_up(tidy_site):
    hub = tidy_site()
    hub.client.start("ada", {"lifetime": 60})
    before = moment(lifetime(hub)["ends_at"])

    def post(_):
        return hub.client.request("POST", path("ada"), json={"minutes": 5}).json()["ends_at"]

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ends = sorted(moment(end) - before for end in pool.map(post, range(10)))
    assert ends == [300 * n for n in range(1, 11)]


@pytest.mark.essential
def test_a_renamed_user_keeps_the_server_and_the_next_owner_of_the_name_gets_nothing(tidy_site):
    hub = tidy_site()
    hub.client.start("ada", {"lifetime": 60})
    before = lifetime(hub)
    assert hub.client.request("PATCH", "/users/ada", json={"name": "beth"}).is_success
    hub.client.create_user("ada")
    with as_token(hub, token_of(hub, "ada")) as client:
        assert client.get(path("ada")).status_code == 404
        assert client.post(path("ada"), json={"minutes": 30}).status_code == 404
    assert lifetime(hub, "beth") == before
    with as_token(hub, token_of(hub, "beth")) as client:
        assert client.post(path("beth"), json={"minutes": 30}).is_success


REFUSING = """
from multiplespawner_core import Quota, Transient
from multiplespawner_local.provider import LocalProvider
async def extend(self, handle, deadline):
    raise {error}
LocalProvider.extend = extend
"""


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("Quota('Your hours are used up.')", 403, "Moving the end failed: Your hours are used up."),
        ("Transient('The office is closed.')", 503, "Moving the end failed: The office is closed."),
        (
            "RuntimeError('token=SECRET123')",
            500,
            "Moving the end failed for a technical reason. Tell your administrator the id {id}.",
        ),
    ],
)
def test_what_a_provider_refuses(tidy_site, error, status, message):
    hub = tidy_site(REFUSING.format(error=error))
    hub.client.start("ada", {"lifetime": 60})
    before = lifetime(hub)
    response = hub.client.request("POST", path("ada"), json={"minutes": 30})
    assert response.status_code == status
    ((intent,),) = rows(hub, "id")
    assert response.json()["message"] == message.format(id=intent)
    assert lifetime(hub) == before


@pytest.mark.essential
def test_below_a_prefix(tidy_site):
    hub = tidy_site("c.JupyterHub.base_url = '/jupyter/'", start=False)
    hub.client.http.base_url = f"{hub.url}/jupyter/hub/api"
    hub.start()
    hub.client.start("ada", {"lifetime": 60})
    assert lifetime(hub)["ends_at"]
    assert hub.client.request("POST", path("ada"), json={"minutes": 30}).is_success
    outside = httpx.get(f"{hub.url}/hub/api{path('ada')}", trust_env=False)
    assert outside.status_code in (302, 404)


@pytest.mark.essential
def test_with_subdomains(tidy_site):
    """Asked at the hub itself, since names such as these lead nowhere."""
    hub = tidy_site(
        "c.JupyterHub.subdomain_host = f'http://hub.test:{c.ConfigurableHTTPProxy.api_url[-5:]}'",
        start=False,
    )
    hub.client.http.base_url = f"http://127.0.0.1:{hub.hub_port}/hub/api"
    hub.start()
    hub.client.start("ada", {"lifetime": 60})
    assert lifetime(hub)["ends_at"]
    with httpx.Client(
        base_url=f"http://127.0.0.1:{hub.hub_port}/hub/api",
        headers={"Authorization": f"token {token_of_server(hub)}", "Host": "hub.test"},
        trust_env=False,
    ) as client:
        assert client.get(path("ada")).json() == lifetime(hub)
    assert hub.client.request("POST", path("ada"), json={"minutes": 30}).is_success
