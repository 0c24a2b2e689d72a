"""The main job in a real hub: choose, start, work, stop; and everything that goes wrong with it."""

from __future__ import annotations

import time

import pytest
from harness import wait_for
from site_fixture import TEMPLATES, phases, rows

pytestmark = pytest.mark.hub

EVERYTHING = {
    "provider": "local",
    "resource_type": "bare_metal",
    "deployment": "local_machine",
    "cpu": 0.5,
    "memory": 0.5,
}


@pytest.mark.essential
def test_a_server_starts_and_stops(site):
    hub = site()
    hub.client.start("ada", EVERYTHING)
    environment = hub.client.server_get("ada", "env").json()
    assert environment["JUPYTERHUB_SERVICE_PREFIX"] == "/user/ada/"
    ((intent, phase),) = rows(hub, "id", "phase")
    assert phase == "running"
    assert environment["MULTIPLESPAWNER_INTENT"] == intent
    assert hub.client.server("ada")["user_options"] == EVERYTHING
    hub.client.stop("ada")
    assert phases(hub) == ["closed"]
    assert not hub.server_processes()
    hub.client.start("ada")
    assert rows(hub, "phase", "generation") == [("closed", 1), ("running", 2)]
    hub.client.stop("ada")


@pytest.mark.essential
def test_progress_names_the_steps_and_never_falls(site):
    hub = site()
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    events = list(hub.client.progress("ada"))
    hub.client.wait_until_running("ada")
    percents = [event["progress"] for event in events]
    assert percents == sorted(percents)
    assert events[-1]["ready"]
    hub.client.stop("ada")


@pytest.mark.essential
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpus": 1}, "'cpus' is no option: did you mean 'cpu'?"),
        ({"provider": "moon"}, "provider: 'moon' is not offered; allowed: local"),
        ({"cpu": "many"}, "cpu: input should be a valid number, not 'many'"),
        ({"memory": -1}, "memory: allowed is 0.01 or more, not -1"),
        ({"cpu": 4096}, "4096"),
        ({"gpu": 1}, "gpu"),
    ],
)
def test_bad_options_are_refused_with_what_is_allowed(site, options, message):
    hub = site()
    hub.client.ensure_user("ada")
    response = hub.client.try_start("ada", options)
    assert response.status_code == 400, response.text
    assert message in response.json()["message"]
    assert hub.client.is_stopped("ada")
    hub.client.start("ada", {})
    hub.client.stop("ada")


@pytest.mark.essential
def test_the_form_offers_what_there_is_and_starts_it(site):
    hub = site()
    ada = hub.session("ada")
    page = ada.spawn_form().text
    assert '<optgroup label="Bare metal at local">' in page
    assert ">local_machine (This machine)</option>" in page
    choice = '["local", "bare_metal", "local_machine"]'
    assert ada.submit_spawn({"choice": choice, "cpu": "0.5", "lifetime": "90"}).is_success
    hub.client.wait_until_running("ada")
    options = hub.client.server("ada")["user_options"]
    assert options == {
        "provider": "local",
        "resource_type": "bare_metal",
        "deployment": "local_machine",
        "cpu": 0.5,
        "lifetime": 90,
    }
    hub.client.stop("ada")


def test_a_form_that_was_tampered_with_is_refused(site):
    hub = site()
    page = hub.session("ada").submit_spawn({"choice": '["moon", "bare_metal", "<b>"]'})
    assert "&#39;moon&#39; is not offered" in page.text or "'moon' is not offered" in page.text
    assert "<b>" not in page.text
    assert hub.client.is_stopped("ada")


@pytest.mark.essential
def test_named_servers_are_servers_of_their_own(site):
    hub = site()
    for server in ("", "one", "two"):
        hub.client.start("ada", {"cpu": 0.1}, server)
    environment = hub.client.server_get("ada", "env", "two").json()
    assert environment["JUPYTERHUB_SERVICE_PREFIX"] == "/user/ada/two/"
    hub.client.stop("ada", "one")
    assert hub.client.is_running("ada", "two")
    assert hub.client.is_running("ada")
    hub.client.remove_server("ada", "two")
    hub.client.stop("ada")
    assert phases(hub) == ["closed"] * 3


@pytest.mark.essential
def test_a_running_server_outlives_its_killed_hub(site):
    hub = site()
    hub.client.start("ada", EVERYTHING)
    pid = hub.client.server_get("ada").json()["pid"]
    hub.kill()
    assert hub.client.server_get("ada").json()["pid"] == pid
    hub.start()
    assert hub.client.is_running("ada")
    assert hub.client.server_get("ada").json()["pid"] == pid
    hub.client.stop("ada")
    assert phases(hub) == ["closed"]
    assert not hub.server_processes()


HANGING = """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner
original = SimpleLocalProcessSpawner.start
async def hang(self):
    await original(self)
    await asyncio.sleep(3600)
SimpleLocalProcessSpawner.start = hang
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
"""


@pytest.mark.essential
def test_a_hub_that_is_killed_while_a_server_starts_leaves_nothing(site):
    hub = site(HANGING)
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    wait_for(hub.server_processes, "the server's process")
    assert phases(hub) == ["launching"]
    hub.kill()
    assert hub.server_processes()
    hub.configure_again("")
    hub.start()
    wait_for(lambda: not hub.server_processes(), "the orphan ends")
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub sees it")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    hub.client.start("ada")
    hub.client.stop("ada")


def test_a_server_that_died_while_the_hub_was_down_is_noticed(site):
    hub = site()
    hub.client.start("ada")
    hub.kill()
    (server,) = hub.server_processes()
    server.kill()
    server.wait()
    hub.start()
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub notices")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")


@pytest.mark.essential
def test_a_server_that_ends_by_itself_is_given_back(site):
    hub = site()
    hub.client.start("ada", EVERYTHING)
    (server,) = hub.server_processes()
    server.kill()
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub notices")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    hub.client.start("ada", EVERYTHING)
    hub.client.stop("ada")


@pytest.mark.essential
@pytest.mark.parametrize("mode", ["exit-at-once", "never-listen"])
def test_a_server_that_never_comes_up(site, mode):
    hub = site(f"""
c.Spawner.environment = {{"STUB_MODE": {mode!r}}}
c.MultipleSpawner.http_timeout = 4
""")
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    wait_for(lambda: hub.client.is_stopped("ada"), "the start fails")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()
    hub.configure_again("")
    hub.restart()
    hub.client.start("ada")
    hub.client.stop("ada")


def test_a_server_that_ignores_its_stop_is_ended(site):
    hub = site("""
c.Spawner.environment = {"STUB_MODE": "ignore-sigterm"}
c.LocalProcessSpawner.interrupt_timeout = 1
c.LocalProcessSpawner.term_timeout = 1
""")
    hub.client.start("ada")
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()


@pytest.mark.essential
def test_a_pending_start_can_be_cancelled(site):
    hub = site("""
import asyncio
async def slow(self):
    await asyncio.sleep(3600)
from jupyterhub.spawner import SimpleLocalProcessSpawner
SimpleLocalProcessSpawner.start = slow
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
""")
    hub.client.ensure_user("ada")
    assert hub.client.try_start("ada").status_code == 202
    wait_for(lambda: phases(hub) == ["launching"], "the launch")
    began = time.monotonic()
    hub.client.stop("ada")
    assert time.monotonic() - began < 10
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert hub.client.is_stopped("ada")


def test_a_start_past_its_time_is_released(site):
    hub = site("""
import asyncio
async def slow(self):
    await asyncio.sleep(3600)
from jupyterhub.spawner import SimpleLocalProcessSpawner
SimpleLocalProcessSpawner.start = slow
c.MultipleSpawner.start_timeout = 2
""")
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    wait_for(lambda: hub.client.is_stopped("ada"), "the start is given up")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")


@pytest.mark.essential
def test_a_child_that_raises_tells_no_secret(site):
    hub = site("""
async def fail(self):
    raise RuntimeError("token=SECRET123")
from jupyterhub.spawner import SimpleLocalProcessSpawner
SimpleLocalProcessSpawner.start = fail
""")
    ada = hub.session("ada")
    page = ada.submit_spawn({"choice": '["local", "bare_metal", "local_machine"]'})
    wait_for(lambda: hub.client.is_stopped("ada"), "the start fails")
    assert "SECRET123" not in page.text
    again = ada.get("/hub/spawn-pending/ada").text
    assert "SECRET123" not in again
    assert "Starting the server failed for a technical reason" in page.text + again
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")


def test_a_hub_that_ends_in_order_gives_up_starts_and_keeps_servers(site):
    hub = site(
        """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner
original = SimpleLocalProcessSpawner.start
async def slow(self):
    if self.user.name == "bob":
        await asyncio.sleep(3600)
    return await original(self)
SimpleLocalProcessSpawner.start = slow
""",
        may_leave=True,
    )
    hub.client.start("ada")
    hub.client.ensure_user("bob")
    hub.client.try_start("bob")
    wait_for(lambda: "launching" in phases(hub), "the launch")
    assert hub.terminate() == 0
    assert sorted(rows(hub, "user_name", "phase")) == [("ada", "running"), ("bob", "closed")]
    assert len(hub.server_processes()) == 1


def test_a_hub_that_cleans_up_stops_its_servers(site):
    hub = site("c.JupyterHub.cleanup_servers = True")
    hub.client.start("ada")
    assert hub.terminate() == 0
    assert phases(hub) == ["closed"]


@pytest.mark.essential
def test_a_lifetime_ends_a_server(site):
    hub = site("""
from multiplespawner_core.planning import site as planning
planning.MINUTE = 3.0
""")
    hub.client.start("ada", {"lifetime": 1})
    wait_for(lambda: hub.client.is_stopped("ada"), "the lifetime ends")
    wait_for(lambda: rows(hub, "phase", "reason") == [("closed", "its lifetime is over")], "row")


@pytest.mark.essential
def test_a_lifetime_that_ended_while_the_hub_was_down_and_no_server_runs_at_the_next_start(site):
    hub = site("""
from multiplespawner_core.planning import site as planning
planning.MINUTE = 4.0
""")
    hub.client.start("ada", {"lifetime": 1})
    hub.kill()
    time.sleep(4)
    assert hub.server_processes()
    hub.start()
    wait_for(lambda: hub.client.is_stopped("ada"), "the hub sees it")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()


def test_an_intent_that_jupyterhub_forgot_is_released_without_any_server(site):
    hub = site()
    hub.client.start("ada")
    hub.kill()
    (hub.folder / "hub.sqlite").unlink()
    hub.start()
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()


def test_a_deleted_user_leaves_nothing(site):
    hub = site()
    hub.client.start("ada")
    hub.client.delete_user("ada")
    wait_for(lambda: phases(hub) == ["closed"], "the row is closed")
    assert not hub.server_processes()


@pytest.mark.essential
@pytest.mark.parametrize(
    "name",
    ["multiplespawner.MultipleSpawner", "multiplespawner", "multiplespawner_core.MultipleSpawner"],
)
def test_every_spelling_selects_it(site, name):
    hub = site(f"c.JupyterHub.spawner_class = {name!r}")
    assert (hub.folder / "state" / "ledger.sqlite").exists()
    hub.client.start("ada")
    assert phases(hub) == ["running"]
    hub.client.stop("ada")


@pytest.mark.essential
def test_installed_but_not_selected_nothing_of_ours_happens(site):
    hub = site("c.JupyterHub.spawner_class = 'simple'")
    hub.client.start("ada")
    hub.client.stop("ada")
    assert not (hub.folder / "state").exists()
    assert "multiplespawner" not in hub.log.replace("MultipleSpawner", "").split("ada", 1)[1]


@pytest.mark.essential
def test_an_unknown_plugin_name_ends_the_hub_with_the_message(site):
    hub = site("c.MultipleSpawner.enabled_plugins = ['locl']", start=False)
    hub.start(wait=False)
    assert hub.wait_exit() == 1
    assert (
        "c.MultipleSpawner.enabled_plugins names no installed plugin: 'locl' (did you mean"
        " 'local'?). Installed plugins: " in hub.log
    )


def test_a_second_hub_on_one_ledger_is_refused(site):
    first = site()
    second = site(f"c.MultipleSpawner.state_dir = {str(first.folder / 'state')!r}", start=False)
    second.start(wait=False)
    assert second.wait_exit() == 1
    assert "another hub uses" in second.log


def test_a_class_that_no_plugin_registered_breaks_only_its_template(site):
    unknown = {
        "name": "Elsewhere",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {"class": "subprocess.Popen"},
    }
    hub = site(templates=[unknown, *TEMPLATES])
    assert "no enabled plugin offers the spawner 'subprocess.Popen'" in hub.log
    hub.client.start("ada")
    hub.client.stop("ada")


def test_twenty_starts_at_once(site):
    hub = site("""
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.Spawner.http_timeout = 120
""")
    users = [f"user-{number}" for number in range(20)]
    for user in users:
        hub.client.ensure_user(user)
    for user in users:
        assert hub.client.try_start(user, {"cpu": 0.05}).status_code in (201, 202)
    for user in users:
        hub.client.wait_until_running(user, timeout=120)
    assert phases(hub) == ["running"] * 20
    for user in users:
        hub.client.stop(user, wait=False)
    for user in users:
        hub.client.wait_until_stopped(user)
    wait_for(lambda: phases(hub) == ["closed"] * 20, "all rows are closed")
    assert not hub.server_processes()


def test_the_last_cpu_goes_to_one_only(site):
    hub = site("c.LocalProvider.cpu = 1")
    for user in ("ada", "bob"):
        hub.client.ensure_user(user)
        hub.client.try_start(user, {"cpu": 0.6})
    wait_for(lambda: hub.client.is_stopped("bob") or hub.client.is_stopped("ada"), "one fails")
    running = [user for user in ("ada", "bob") if not hub.client.is_stopped(user)]
    assert len(running) == 1
    hub.client.wait_until_running(*running)
    hub.client.stop(*running)
