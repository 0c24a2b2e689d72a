"""The harness itself, with JupyterHub's own `simple` spawner."""

import pytest
from harness import wait_for
from harness.browser import login

pytestmark = pytest.mark.hub


@pytest.mark.essential
def test_a_server_outlives_its_killed_hub(hub_factory):
    hub = hub_factory()
    hub.client.start("ada")
    assert hub.client.server_get("ada").json()["stub"]
    (server,) = hub.server_processes()

    hub.kill()
    assert hub.exit_code == -9
    assert hub.client.server_get("ada").json()["pid"] == server.pid

    hub.start()
    assert hub.client.is_running("ada")
    hub.client.stop("ada")
    wait_for(lambda: not hub.server_processes(), "the server ends")
    assert hub.terminate() == 0


@pytest.mark.essential
def test_options_reach_the_spawner_in_either_api(hub_factory):
    hub = hub_factory(
        """
        def options(spawner, options):
            spawner.environment = {**spawner.environment, "CHOSEN": options["size"]}
        c.Spawner.apply_user_options = options
        """
    )
    hub.client.start("ada", {"size": "small"})
    assert hub.client.server_get("ada", "env").json()["CHOSEN"] == "small"
    assert hub.client.server("ada")["user_options"] == {"size": "small"}
    assert list(hub.client.progress("ada"))[-1]["ready"]


@pytest.mark.essential
def test_a_user_logs_in_and_submits_the_form(hub_factory):
    hub = hub_factory(
        """
        c.Spawner.options_form = '<input name="size">'
        c.Spawner.options_from_form = lambda form: {"size": form["size"][0]}
        """
    )
    ada = hub.session("ada")
    assert 'name="size"' in ada.spawn_form().text
    assert ada.submit_spawn({"size": "large"}).is_success
    hub.client.wait_until_running("ada")
    assert hub.client.server("ada")["user_options"] == {"size": "large"}


@pytest.mark.parametrize("mode", ["exit-at-once", "never-listen"])
def test_a_stub_that_never_comes_up(hub_factory, mode):
    hub = hub_factory(
        f"""
        c.Spawner.environment = {{"STUB_MODE": {mode!r}}}
        c.Spawner.http_timeout = 3
        """
    )
    hub.client.ensure_user("ada")
    hub.client.try_start("ada")
    hub.client.wait_until_stopped("ada")
    assert not hub.server_processes()


def test_what_a_killed_hub_leaves_is_ended(hub_factory):
    hub = hub_factory('c.Spawner.environment = {"STUB_MODE": "ignore-sigterm"}')
    hub.client.start("ada")
    hub.kill()
    (server,) = hub.server_processes()
    hub.close()
    assert not server.is_running()
    assert not hub.leftovers


def test_leftovers_of_an_orderly_end_are_named(hub_factory):
    hub = hub_factory("c.JupyterHub.cleanup_servers = False", may_leave=True)
    hub.client.start("ada")
    hub.close()
    (leftover,) = hub.leftovers
    assert "light_singleuser" in leftover


def test_internal_ssl(hub_factory):
    hub = hub_factory(internal_ssl=True)
    hub.client.start("ada")
    assert hub.client.server_get("ada").json()["stub"]
    (server,) = hub.server_processes()
    assert server.environ()["JUPYTERHUB_SERVICE_URL"].startswith("https://")
    hub.client.stop("ada")


def test_the_real_single_user_server(hub_factory):
    hub = hub_factory(singleuser="real")
    hub.client.start("ada")
    assert hub.client.server_get("ada", "api/status").json()["kernels"] == 0
    hub.client.stop("ada")


@pytest.mark.browser
def test_a_browser_reaches_the_hub(hub_factory, page, screenshot):
    hub = hub_factory()
    login(page, hub.url, "ada")
    page.wait_for_url("**/user/ada/**")
    assert '"stub": true' in page.content()
    page.goto(f"{hub.url}/hub/home")
    assert screenshot("harness-home").stat().st_size > 1000


def test_a_hub_that_cannot_start_shows_its_log(hub_factory):
    hub = hub_factory("raise SystemExit('broken on purpose')", start=False)
    with pytest.raises(AssertionError, match="the hub has ended"):
        hub.start()
    assert "broken on purpose" in hub.log
