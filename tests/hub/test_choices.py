"""What a user may choose: over the API, and the same behind every other door."""

from __future__ import annotations

import json

import httpx
import jsonschema
import pytest
from site_fixture import TEMPLATES

pytestmark = pytest.mark.hub

SECRET = "secret-machine"
SITE = {
    "templates": [
        {
            **TEMPLATES[0],
            "name": "Research",
            "limits": {"cpu": {"max": 64, "default": 1}},
            "allowed_groups": ["research"],
        },
        {**TEMPLATES[0], "limits": {"cpu": {"max": 2, "default": 1}, "lifetime": {"max": 60}}},
    ],
    "deployments": {
        "bare_metal": [
            {"name": "everybody"},
            {"name": SECRET, "allowed_groups": ["research"], "allowed_users": ["admin"]},
        ]
    },
}
CHOICES = "/multiplespawner/choices"
PUBLIC = ["everybody"]
ALL = ["everybody", SECRET]


@pytest.fixture
def hub(site):
    started = site(**SITE)
    for user in ("ada", "bob"):
        started.client.ensure_user(user)
    started.client.create_group("research", "bob")
    return started


def token(hub, user, *scopes):
    body = {"scopes": list(scopes)} if scopes else {}
    made = hub.client.request("POST", f"/users/{user}/tokens", json=body)
    assert made.status_code == 201, made.text
    return made.json()["token"]


def ask(hub, key=None, **params):
    headers = {"Authorization": f"token {key}"} if key else {}
    url = f"{hub.url}/hub/api{CHOICES}"
    return httpx.get(url, headers=headers, params=params, trust_env=False, timeout=30)


def deployments(response):
    assert response.status_code == 200, response.text
    return [choice["deployment"] for choice in response.json()["choices"]]


def cpus(response):
    return [choice["limits"]["cpu"]["maximum"] for choice in response.json()["choices"]]


@pytest.mark.essential
def test_a_user_learns_what_may_be_chosen_and_chooses_it(hub):
    answer = ask(hub, token(hub, "ada")).json()
    assert answer["user"] == "ada"
    (choice,) = answer["choices"]
    assert choice.pop("limits")["cpu"] == {
        "type": ["number", "null"],
        "minimum": 0.01,
        "maximum": 2,
        "default": 1,
    }
    assert choice == {
        "provider": "local",
        "resource_type": "bare_metal",
        "deployment": "everybody",
        "template": "This machine",
        "available": True,
        "reason": None,
        "storage": "keep",
        "on_end": (
            "At the end the server is stopped. Your files stay; running programs and unsaved work"
            " are lost."
        ),
    }
    validator = jsonschema.Draft202012Validator(answer["schema"])
    good = {"deployment": "everybody", "cpu": 0.5, "lifetime": 60}
    assert validator.is_valid(good)
    hub.client.start("ada", good)
    hub.client.stop("ada")
    for bad in ({"cpu": 3}, {"deployment": SECRET}, {"lifetime": 61}, {"gpu": 1}, {"cpus": 1}):
        assert not validator.is_valid(bad)
        assert hub.client.try_start("ada", bad).status_code == 400


def test_a_page_asks_with_its_cookies(hub):
    bob = hub.session("bob")
    bob.get("/hub/home")
    answer = bob.get(f"/hub/api{CHOICES}", params={"_xsrf": bob.xsrf})
    assert deployments(answer) == ALL
    assert cpus(answer) == [64, 64]


def test_what_cannot_be_had_now_is_said_with_its_reason(site):
    templates = [{**TEMPLATES[0], "limits": {"cpu": {"min": 4096}}}]
    hub = site(templates=templates)
    hub.client.ensure_user("ada")
    (choice,) = ask(hub, token(hub, "ada")).json()["choices"]
    assert not choice["available"]
    assert "4096" in choice["reason"]


WHO_ASKS_FOR_WHOM = [
    ("ada", ["servers!user"], None, 200),
    ("ada", ["read:users!user"], None, 200),
    ("ada", ["servers!user=ada"], "ada", 200),
    ("ada", ["inherit"], "bob", 404),
    ("ada", ["inherit"], "nobody", 404),
    ("ada", ["access:servers!user"], None, 403),
    ("admin", ["servers!user=bob"], "bob", 200),
    ("admin", ["servers!user=bob"], "ada", 404),
    ("admin", ["inherit"], "bob", 200),
    ("admin", ["inherit"], "nobody", 404),
    ("admin", ["read:users!group=research"], "bob", 200),
    ("admin", ["read:users!group=research"], "ada", 404),
]


@pytest.mark.essential
def test_who_may_ask_for_whom(hub):
    hub.client.ensure_user("admin")
    for asks, scopes, of, status in WHO_ASKS_FOR_WHOM:
        answer = ask(hub, token(hub, asks, *scopes), **({"user": of} if of else {}))
        assert answer.status_code == status, (asks, scopes, of, answer.text)
        if status == 200:
            assert answer.json()["user"] == (of or asks)
    if hub.client.version() >= (6,):  # which brought the scope
        assert deployments(ask(hub, token(hub, "ada", "start:servers!user"))) == PUBLIC
    for key in (None, "0" * 32):
        assert ask(hub, key).status_code == 403
        assert ask(hub, key, user="bob").status_code == 403


def test_a_service_says_for_whom_it_asks(hub):
    key = hub.client.http.headers["Authorization"].removeprefix("token ")
    answer = ask(hub, key)
    assert answer.status_code == 400
    assert answer.json()["message"] == "A service chooses for somebody: say ?user=NAME."
    assert deployments(ask(hub, key, user="bob")) == ALL


def test_nobody_is_asked_for(hub):
    answer = ask(hub, token(hub, "ada"), user="")
    assert answer.status_code == 400
    assert answer.json()["message"] == "user: is empty; say ?user=NAME."


@pytest.mark.essential
def test_what_one_may_not_use_appears_nowhere_and_is_refused_as_if_it_were_not_there(hub):
    opt = "opt-" if hub.client.version() >= (6,) else ""
    ada = hub.session("ada")
    before = [ada.spawn_form().text, ask(hub, token(hub, "ada")).text]
    refusals = {}
    for name in (SECRET, "no-such-machine"):
        rest = hub.client.try_start("ada", {"deployment": name})
        stored = hub.client.request("POST", "/users/ada/server")
        form = ada.submit_spawn({"choice": json.dumps(["local", "bare_metal", name])})
        query = ada.get("/hub/spawn", params={f"{opt}deployment": name})
        answers = (rest, stored, form, query)
        assert {answer.status_code for answer in answers} == {400}
        message = f"deployment: {name!r} is not offered; allowed: everybody."
        assert rest.json()["message"] == stored.json()["message"] == message
        shown = f"Error: {message.replace(chr(39), '&#39;')}"
        assert shown in form.text
        assert shown in query.text
        after = ada.spawn_form().text
        refusals[name] = [answer.text.replace(name, "NAME") for answer in (rest, stored)]
        assert name not in after
        before.append(after)
    assert refusals[SECRET] == refusals["no-such-machine"]
    for page in before:
        assert "everybody" in page
        assert SECRET not in page
        assert "Research" not in page


@pytest.mark.essential
def test_groups_open_what_they_allow_and_close_it_again(hub):
    bob, key = hub.session("bob"), token(hub, "bob")
    assert SECRET in bob.spawn_form().text
    assert deployments(ask(hub, key)) == ALL
    assert cpus(ask(hub, key)) == [64, 64]
    hub.client.start("bob", {"deployment": SECRET, "cpu": 0.5})
    hub.client.stop("bob")
    members = {"users": ["bob"]}
    removed = hub.client.request("DELETE", "/groups/research/users", json=members)
    assert removed.is_success
    assert SECRET not in bob.spawn_form().text
    assert deployments(ask(hub, key)) == PUBLIC
    assert cpus(ask(hub, key)) == [2]
    assert hub.client.request("POST", "/users/bob/server").status_code == 400  # what is stored
    hub.client.start("bob", {})
    hub.client.stop("bob")


@pytest.mark.essential
def test_the_forms_script_is_served_to_everybody_and_kept(hub):
    page = hub.session("ada").spawn_form().text
    address = page.split('<script src="')[-1].split('"')[0]
    assert address.startswith("/hub/multiplespawner/static/form.js?v=")
    answer = httpx.get(f"{hub.url}{address}", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(("text/javascript", "application/javascript"))
    assert "max-age" in answer.headers["Cache-Control"]
    path = address.partition("?")[0].replace("form.js", "../form.py")
    assert httpx.get(f"{hub.url}{path}", trust_env=False).status_code in (403, 404)
