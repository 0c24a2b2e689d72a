"""What is sent to a real hub, by form, query, REST and what it stores: never more than a 4xx."""

from __future__ import annotations

import html
import json
import re
import time

import pytest
from fakes.options import WRAPPER, bodies, fields, good
from hypothesis import HealthCheck, Phase, given, settings
from site_fixture import TEMPLATES, phases

pytestmark = pytest.mark.hub

# Where a server would start the hub tells what was understood, so that hundreds can be asked for.
TELLS = """
from tornado import web
from multiplespawner_core.spawner.multiple import MultipleSpawner
async def tell(self):
    _, [(request, _), *_] = await self._choose(self.user_options)
    error = web.HTTPError(409, "%s", request.model_dump_json())
    error.jupyterhub_message = request.model_dump_json()
    raise error
MultipleSpawner.start = tell
"""
LIMITED = [
    {
        **TEMPLATES[0],
        "limits": {
            "cpu": {"max": 16, "step": 0.5, "default": 1},
            "memory": {"min": 0.25, "max": 64},
            "lifetime": {"max": 720, "step": 30},
        },
    }
]
DEPLOYMENTS = {"bare_metal": [{"name": "scratch"}, {"name": "<b>ærø</b>"}]}
PLACES = {
    "provider": ["local", "moon"],
    "resource_type": ["bare_metal", "vm"],
    "deployment": ["scratch", "<b>ærø</b>", "nowhere"],
}
CHOICE = json.dumps(["local", "bare_metal", "scratch"])

few = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Doors:
    """Every way to ask a hub for ada's server: status and what is told."""

    def __init__(self, hub):
        self.client = hub.client
        self.client.ensure_user("ada")
        self.ada = hub.session("ada")
        self.prefix = "opt-" if hub.client.version() >= (6,) else ""

    def rest(self, options):
        return self.raw({"user_options": options} if self.prefix else options)

    def raw(self, body):
        # Of Python's own encoder: JupyterHub's takes Infinity.
        content = json.dumps(body)
        return _told(self.client.request("POST", "/users/ada/server", content=content))

    def stored(self):
        return _told(self.client.request("POST", "/users/ada/server"))

    def form(self, sent):
        return _said(self.ada.post("/hub/spawn", sent))

    def query(self, sent):
        asked = {f"{self.prefix}{key}": value for key, value in sent.items()}
        return _said(self.ada.get("/hub/spawn", params=asked))


def _told(response):
    return response.status_code, response.json()["message"]


def _said(page):
    (message,) = re.findall(r"spawn-error-msg[^>]*>Error: (.*?)</p>", page.text, re.DOTALL)
    return page.status_code, html.unescape(message)


@pytest.fixture
def doors(site):
    return Doors(site(TELLS, templates=LIMITED, deployments=DEPLOYMENTS))


@pytest.mark.essential
@pytest.mark.timeout(240)
def test_a_program_and_what_is_stored_mean_the_same(doors):
    @few
    @given(options=good(PLACES) | bodies(PLACES).filter(lambda body: isinstance(body, dict)))
    def check(options):
        told = doors.rest(options)
        assert told[0] in (400, 409), told
        assert doors.stored() == told
        if options and WRAPPER.isdisjoint(options):
            assert doors.raw(options) == told

    check()


@pytest.mark.essential
@pytest.mark.timeout(240)
def test_no_body_is_an_error_of_the_hub(doors):
    @few
    @given(body=bodies(PLACES))
    def check(body):
        status, message = doors.raw(body)
        assert status in (400, 409), message
        assert doors.stored()[0] in (400, 409)

    check()


@pytest.mark.essential
@pytest.mark.timeout(240)
def test_a_form_a_query_and_a_program_mean_the_same(doors):
    @few
    @given(sent=fields(PLACES, [CHOICE], files=False))
    def check(sent):
        # Without the last two there would be nothing that is asked for, and so a form.
        sent = {"cpu": [""], **{key: value for key, value in sent.items() if key and value}}
        for key in ("_xsrf", "next", "display_name"):
            sent.pop(key, None)
        told = doors.form(sent)
        assert told[0] in (400, 409), told
        assert doors.query(sent) == told
        if told[0] == 409:
            assert doors.rest(json.loads(told[1])) == told

    check()


BAD_BODIES = [
    {"cpus": 1},
    {"cpu": "many"},
    {"cpu": 1e9},
    {"cpu": 4096},  # it is the provider that refuses this one
    {"gpu": 1},
    {"deployment": "nowhere"},
    {"provider": ["local"]},
    {"lifetime": None, "memory": {"a": 1}},
]
BAD_FIELDS = [
    {"cpu": "many"},
    {"cpu": "4096"},
    {"deployment": "nowhere"},
    {"choice": "[1, 2]"},
    {"ram": "8"},
    {"choice": CHOICE, "gpu": "1"},
]


@pytest.mark.essential
def test_refusals_never_count_against_the_hubs_limit(site):
    hub = site("c.Spawner.consecutive_failure_limit = 2\n", deployments=DEPLOYMENTS)
    doors = Doors(hub)
    for body in BAD_BODIES:
        assert doors.rest(body)[0] == 400
        assert doors.raw(body)[0] == 400
        assert doors.stored()[0] == 400
        assert doors.raw([body])[0] == 400
    for sent in BAD_FIELDS:
        assert doors.form(sent)[0] == 400
        assert doors.query(sent)[0] == 400
    time.sleep(2.5)  # JupyterHub ends two seconds after the failure that is too many
    assert hub.running
    assert "consecutive spawn" not in hub.log
    hub.client.start("ada", {"cpu": 0.5})
    assert phases(hub) == ["running"]
    hub.client.stop("ada")


@pytest.mark.essential
def test_failures_of_servers_count_as_they_did(site):
    """JupyterHub 5 counts every failure, 6 none that has words for the user."""
    hub = site(
        """
c.Spawner.consecutive_failure_limit = 2
async def fail(self):
    raise RuntimeError("no")
from jupyterhub.spawner import SimpleLocalProcessSpawner
SimpleLocalProcessSpawner.start = fail
"""
    )
    hub.client.ensure_user("ada")
    counts = hub.client.version() < (6,)
    for body in ({}, {"cpus": 1}, {}):
        assert hub.client.try_start("ada", body).status_code >= 400
    if counts:
        assert hub.wait_exit() != 0
    assert ("Aborting due to 2 consecutive spawn failures" in hub.log) is counts


def test_a_file_is_refused(site):
    hub = site()
    page = hub.session("ada").submit_spawn({}, files={"key": ("id_rsa", b"\xff\x00")})
    assert page.status_code == 400
    assert "&#39;key_file&#39; is a file, and nothing here takes one." in page.text


@pytest.mark.parametrize("server", ["", "lab"])
def test_what_was_refused_stands_in_the_form_again(site, server):
    """For a named server JupyterHub renders the form by the default server's Spawner."""
    hub = site(deployments={"bare_metal": [{"name": "one"}, {"name": "two"}]}, templates=LIMITED)
    ada = hub.session("ada")
    choice = json.dumps(["local", "bare_metal", "two"])
    page = ada.submit_spawn({"choice": choice, "cpu": "4096", "lifetime": "60"}, "ada", server)
    assert page.status_code == 400
    assert "cpu: allowed is 0.5 to 16 in steps of 0.5, not 4096." in page.text
    assert re.search(r"<option [^>]*two[^>]* selected>two", page.text)
    values = dict(re.findall(r'name="(cpu|memory|lifetime)"[^>]*?value="([^"]*)"', page.text))
    assert values == {"cpu": "4096", "memory": "0.25", "lifetime": "60"}
    # The next one begins anew, with what is allowed.
    page = ada.spawn_form("ada", server).text
    values = dict(re.findall(r'name="(cpu|memory|lifetime)"[^>]*?value="([^"]*)"', page))
    assert values["cpu"] == "16"
