"""What JupyterHub and its administrators may expect of every Spawner, in a real hub."""

from __future__ import annotations

import json
import sqlite3
import threading
import time

import pytest
from harness import wait_for
from site_fixture import DEPLOYMENTS, TEMPLATES, phases, rows

pytestmark = pytest.mark.hub

EVERYTHING = {
    "provider": "local",
    "resource_type": "bare_metal",
    "deployment": "local_machine",
    "cpu": 0.5,
}

SLOW = """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner
original = SimpleLocalProcessSpawner.start
async def slow(self):
    await asyncio.sleep({seconds})
    {then}
SimpleLocalProcessSpawner.start = slow
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
"""


def change_database(hub, statement, *values):
    """What somebody does to JupyterHub's database while the hub is down."""
    with sqlite3.connect(hub.folder / "hub.sqlite") as database:
        assert database.execute(statement, values).rowcount > 0


@pytest.mark.essential
def test_hooks_overrides_and_configuration_reach_the_server(site):
    hub = site("""
def note(name):
    def hook(spawner, *_):
        with open("hooks.log", "a") as file:
            file.write(f"{name} {type(spawner).__name__}\\n")
        if name == "pre_spawn":
            spawner.environment["FROM_HOOK"] = spawner.user.name
    return hook

c.Spawner.pre_spawn_hook = note("pre_spawn")
c.Spawner.post_stop_hook = note("post_stop")
c.Spawner.auth_state_hook = note("auth_state")
c.Spawner.args = ["--from-config"]
c.Spawner.environment = {"FROM_CONFIG": "1", "LEFT_OUT": "1", "WINS": "config"}
c.MultipleSpawner.environment = {"FROM_OURS": "1", "WINS": "ours"}
c.SimpleLocalProcessSpawner.environment.update({"FROM_CHILD": "1"})
c.Spawner.group_overrides = {
    "team": {
        "groups": ["team"],
        "spawner_override": {
            "environment": {"FROM_GROUP": lambda spawner: "red", "WINS": "group"},
            "args": ["--from-group"],
        },
    },
    "others": {"groups": ["others"], "spawner_override": {"environment": {"WINS": "others"}}},
}
""")
    hub.client.ensure_user("ada")
    hub.client.create_group("team", "ada")
    for user, wins, argument in (
        ("ada", "group", "--from-group"),
        ("bob", "ours", "--from-config"),
    ):
        hub.client.start(user)
        environment = hub.client.server_get(user, "env").json()
        assert environment["FROM_HOOK"] == user
        assert environment["FROM_CONFIG"] == environment["FROM_OURS"] == "1"
        assert environment["FROM_CHILD"] == "1"
        assert environment["WINS"] == wins
        assert environment.get("FROM_GROUP") == ("red" if user == "ada" else None)
        (server,) = hub.server_processes()
        assert argument in server.cmdline()
        hub.client.stop(user)
    expected = [f"{hook} MultipleSpawner" for hook in ("auth_state", "pre_spawn", "post_stop")]
    assert (hub.folder / "hooks.log").read_text().splitlines() == expected * 2


def test_a_stopped_server_is_renamed_and_a_running_one_is_not(site):
    hub = site()
    hub.client.start("ada", EVERYTHING, "one")
    running = hub.client.request("PATCH", "/users/ada/servers/one", json={"name": "two"})
    assert running.status_code == 400
    assert hub.client.is_running("ada", "one")
    hub.client.stop("ada", "one")
    renamed = hub.client.request("PATCH", "/users/ada/servers/one", json={"name": "two"})
    assert renamed.is_success, renamed.text
    assert rows(hub, "server_name", "phase") == [("two", "closed")]
    hub.client.start("ada", None, "two")
    assert hub.client.server("ada", "two")["user_options"] == EVERYTHING
    hub.restart(kill=True)
    assert hub.client.is_running("ada", "two")
    hub.client.stop("ada", "two")
    assert rows(hub, "server_name", "generation") == [("two", 1), ("two", 2)]


@pytest.mark.essential
def test_a_running_named_server_is_removed(site):
    hub = site()
    hub.client.start("ada", EVERYTHING, "one")
    hub.client.remove_server("ada", "one")
    wait_for(lambda: hub.client.server("ada", "one") is None, "the server is forgotten")
    assert phases(hub) == ["closed"]
    assert not hub.server_processes()


@pytest.mark.essential
def test_the_form_remembers_the_last_choice(site):
    attic = {"name": "attic", "provider": "local"}
    hub = site(deployments={"bare_metal": [*DEPLOYMENTS["bare_metal"], attic]})
    ada = hub.session("ada")
    choice = '["local", "bare_metal", "attic"]'
    ada.submit_spawn({"choice": choice, "cpu": "0.25", "lifetime": "90"})
    hub.client.wait_until_running("ada")
    hub.client.stop("ada")
    page = ada.spawn_form().text
    (selected,) = [line for line in page.splitlines() if "<option" in line and "selected" in line]
    assert selected.strip().endswith(">attic (This machine)</option>")
    assert 'value="0.25"' in page
    assert 'value="90"' in page


def follow(hub, into):
    into += hub.client.progress("ada")


def watch(hub, delay):
    """Two clients that look at the progress, the second after a while; what each one saw."""
    seen = ([], [])
    clients = [threading.Thread(target=follow, args=(hub, events)) for events in seen]
    for client in clients:
        client.start()
        time.sleep(delay)
    for client in clients:
        client.join()
    return seen


@pytest.mark.essential
def test_every_page_sees_the_whole_progress(site):
    hub = site(SLOW.format(seconds=3, then="return await original(self)"))
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    early, late = watch(hub, delay=1.5)
    assert early == late
    messages = [event["message"] for event in early]
    assert messages[1] == "Looking for a place", messages
    assert "Starting the server" in messages
    assert early[-1]["ready"]
    hub.client.stop("ada")


@pytest.mark.essential
def test_jupyterhub_shows_a_slow_start_as_pending(site):
    hub = site(SLOW.format(seconds=2, then="return await original(self)"))
    hub.client.ensure_user("ada")
    assert hub.client.try_start("ada").status_code == 202
    assert hub.client.server("ada")["pending"] == "spawn"
    assert hub.client.try_start("ada").status_code == 202
    hub.client.wait_until_running("ada")
    hub.client.stop("ada")


@pytest.mark.essential
def test_a_start_that_fails_ends_its_progress_with_a_safe_message(site):
    hub = site(SLOW.format(seconds=3, then="raise RuntimeError('token=SECRET123')"))
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    early, late = watch(hub, delay=1.5)
    for events in (early, late):
        assert "SECRET123" not in json.dumps(events)
        assert events[-1]["failed"]
        assert "Starting the server failed for a technical reason." in events[-1]["message"]
        assert not any(event.get("ready") for event in events)
    ((intent, phase),) = rows(hub, "id", "phase")
    assert intent in early[-1]["message"]
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert phase in ("releasing", "closed")


@pytest.mark.essential
def test_the_user_stops_a_start_from_the_pending_page(site):
    hub = site(SLOW.format(seconds=3600, then="return await original(self)"))
    ada = hub.session("ada")
    page = ada.submit_spawn({"choice": '["local", "bare_metal", "local_machine"]'})
    assert page.url.path == "/hub/spawn-pending/ada"
    if hub.client.version() >= (6,):
        assert "stop-server-btn" in page.text
    wait_for(lambda: phases(hub) == ["launching"], "the launch")
    # What the button's script sends.
    headers = {"X-XSRFToken": ada.xsrf, "Referer": str(page.url)}
    answer = ada.http.delete("/hub/api/users/ada/server", headers=headers)
    assert answer.status_code in (202, 204), answer.text
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub sees it")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert ada.get("/hub/home").status_code == 200
    hub.configure_again("")
    hub.restart()
    hub.client.start("ada")
    hub.client.stop("ada")


@pytest.mark.essential
def test_a_body_of_either_version_is_understood(site):
    hub = site()
    hub.client.ensure_user("ada")
    body = {"user_options": {**EVERYTHING, "cpu": 0.25}}
    answer = hub.client.request("POST", "/users/ada/server", json=body)
    assert answer.is_success, answer.text
    hub.client.wait_until_running("ada")
    ((specification,),) = rows(hub, "specification")
    assert json.loads(specification)["cpu"] == 0.25
    hub.client.stop("ada")
    again = hub.client.request("POST", "/users/ada/server")
    assert again.is_success, again.text
    hub.client.wait_until_running("ada")
    hub.client.stop("ada")


@pytest.mark.essential
def test_a_body_that_is_no_object_spoils_nothing(site):
    hub = site()
    ada = hub.session("ada")
    answer = hub.client.request("POST", "/users/ada/server", json=["x"])
    assert answer.status_code == 400, answer.text
    assert ada.get("/hub/home").status_code == 200
    assert ada.submit_spawn({"choice": '["local", "bare_metal", "local_machine"]'}).is_success
    hub.client.wait_until_running("ada")
    hub.client.stop("ada")


@pytest.mark.essential
def test_states_that_mean_nothing_to_us_break_no_page_and_no_start_of_the_hub(site):
    hub = site()
    stale = {"": {"intent": "f" * 32}, "one": {"intent": {"a": 1}}, "two": ["intent"]}
    for name in stale:
        hub.client.start("ada", {"cpu": 0.1}, name)
    hub.client.stop("ada")
    hub.kill()
    for name, state in stale.items():
        change = "UPDATE spawners SET state = ? WHERE name = ?"
        change_database(hub, change, json.dumps(state), name)
    hub.start()
    for name in stale:
        wait_for(lambda name=name: hub.client.is_stopped("ada", name), f"{name!r} is stopped")
    wait_for(lambda: phases(hub) == ["closed"] * 3, "the rows are closed")
    assert not hub.server_processes()
    ada = hub.session("ada")
    for page in ("home", "spawn", "spawn/ada/one", "spawn/ada/two"):
        assert ada.get(f"/hub/{page}").status_code == 200, page
    for name in stale:
        hub.client.start("ada", {"cpu": 0.1}, name)
        hub.client.stop("ada", name)


@pytest.mark.essential
def test_a_named_server_outlives_its_killed_hub(site):
    hub = site()
    hub.client.start("ada", EVERYTHING, "one")
    pid = hub.client.server_get("ada", server="one").json()["pid"]
    hub.kill()
    assert hub.client.server_get("ada", server="one").json()["pid"] == pid
    hub.start()
    assert hub.client.is_running("ada", "one")
    assert hub.client.server_get("ada", server="one").json()["pid"] == pid
    hub.client.stop("ada", "one")
    assert phases(hub) == ["closed"]
    assert not hub.server_processes()


@pytest.mark.essential
@pytest.mark.parametrize("templates", [[{**TEMPLATES[0], "name": "Another"}], []])
def test_a_server_outlives_its_template(site, templates):
    hub = site()
    for name in ("", "one"):
        hub.client.start("ada", {"cpu": 0.1}, name)
    hub.kill()
    (hub.folder / "spawner_templates.json").write_text(json.dumps(templates))
    hub.start()
    assert hub.client.is_running("ada")
    assert hub.client.is_running("ada", "one")
    hub.client.stop("ada", "one")
    (server,) = hub.server_processes()
    server.kill()
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub sees it")
    wait_for(lambda: phases(hub) == ["closed"] * 2, "the rows are closed")
    page = hub.session("ada").spawn_form().text
    assert ("Nothing can be started here" in page) is not bool(templates)
    answer = hub.client.try_start("ada")
    assert answer.is_success if templates else answer.status_code == 400
    if templates:
        hub.client.wait_until_running("ada")
        hub.client.stop("ada")
