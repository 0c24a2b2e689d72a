"""All resources: over the API, by command beside a hub, and by command without one."""

from __future__ import annotations

import json
import platform
import re
import shutil

import ends
import pytest
from harness import wait_for
from site_fixture import install_clouds, phases, rows
from test_commands import call
from test_lifetime import as_token, token_of, token_of_server

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]  # a command takes seconds

PLACE = f"cloud {platform.node()}"
ALL = "/multiplespawner/resources"
SIMPLE = {"class": "jupyterhub.spawner.SimpleLocalProcessSpawner"}
CLOUD = [
    {
        "name": "Cloud",
        "resource_type": "virtual_machine",
        "providers": ["cloud"],
        "spawner": SIMPLE,
    }
]
IN_CLOUD = {"virtual_machine": [{"name": "image", "provider": "cloud"}]}
ROLES = """
c.JupyterHub.services += [
    {"name": "watcher", "api_token": "w" * 32},
    {"name": "some", "api_token": "s" * 32},
]
c.JupyterHub.load_roles += [
    {"name": "watcher", "services": ["watcher"], "scopes": ["admin:servers"]},
    {
        "name": "some",
        "services": ["some"],
        "scopes": ["admin:servers!user=ada", "list:users", "read:servers", "servers"],
    },
]
"""


def resources(hub, *arguments, token=None, status=0, **env):
    """What one command prints."""
    environment = {**hub.env, **env}
    if token is not None:
        environment["JUPYTERHUB_API_TOKEN"] = token
    saved, hub.env = hub.env, environment
    try:
        done = call(hub, "resources", *arguments)
    finally:
        hub.env = saved
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def as_json(hub, *arguments, **options):
    return json.loads(resources(hub, *arguments, "--json", **options).stdout)


@pytest.fixture
def cloud(site, tmp_path):
    """A hub whose servers run in a cloud of a plugin that can be taken away."""
    installed = install_clouds(tmp_path / "site")

    def make(config="", **kwargs):
        files = {"templates": CLOUD, "deployments": IN_CLOUD}
        return site(config, **files, env={"PYTHONPATH": installed}, **kwargs)

    make.remove = lambda: shutil.rmtree(tmp_path / "site" / "multiplespawner_clouds-0.1.dist-info")
    return make


def in_the_cloud(hub):
    return hub.folder / "state" / "plugins" / "cloud"


@pytest.mark.essential
def test_who_may_ask(tidy_site):
    hub = tidy_site(ROLES)
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    requests = [
        ("GET", ALL),
        ("GET", f"{ALL}/history"),
        ("GET", f"{ALL}/{intent}"),
        ("POST", f"{ALL}/reconcile"),
        ("POST", f"{ALL}/{intent}/release"),
        ("POST", f"{ALL}/{intent}/forget"),
    ]
    for token in (token_of(hub, "ada"), token_of_server(hub), "s" * 32, "0" * 32):
        with as_token(hub, token) as client:
            for method, path in requests:
                answer = client.request(method, path, json={} if method == "POST" else None)
                assert answer.status_code == 403, (path, answer.text)
                assert intent not in answer.text
    assert hub.client.is_running("ada")
    for token in (token_of(hub, "admin"), "w" * 32):
        with as_token(hub, token) as client:
            found = client.get(ALL)
            assert found.status_code == 200
            assert found.headers["Content-Type"] == "application/json"
            assert [one["id"] for one in found.json()["resources"]] == [intent]
            assert client.get(f"{ALL}/{intent[:8]}").json()["user"] == "ada"


@pytest.mark.essential
def test_a_browser_needs_what_jupyterhubs_own_api_needs(tidy_site):
    hub = tidy_site()
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    admin = hub.session("admin")
    url = f"/hub/api{ALL}/{intent}/release"
    assert admin.http.post(url, json={}).status_code == 403
    assert hub.client.is_running("ada")
    good = {"X-XSRFToken": admin.xsrf}
    assert admin.http.post(url, json={}, headers=good).status_code == 200
    hub.client.wait_until_stopped("ada")
    assert rows(hub, "reason") == [("released by user admin",)]


WRONG = {
    ("POST", "/reconcile", b'{"dry_run": 1}'): (400, '{"dry_run": true or false}'),
    ("POST", "/reconcile", b"[]"): (400, '{"dry_run": true or false}'),
    ("POST", "/reconcile", b"{"): (400, "Invalid JSON in body of request"),
    ("POST", "/ffff/release", b'{"force": true}'): (400, '{"quarantined": true or false}'),
    ("POST", "/ffff/forget", b'{"reason": 7}'): (400, '{"reason": text}'),
    ("POST", "/ffff/forget", b"{}"): (400, "Say why it is to be forgotten."),
    ("POST", "/ffff/release", b'{"quarantined": true}'): (400, "ffff is no id of something"),
    ("POST", "/qffff/release", b'{"quarantined": true}'): (404, "Nothing quarantined has the id"),
    ("GET", "/ff", b""): (400, "'ff' is no id"),
    ("GET", "/history?limit=0", b""): (400, "limit: must be a whole number from 1 to 10000"),
    ("GET", "/history?limit=x", b""): (400, "limit: must be a whole number from 1 to 10000"),
}


def test_wrong_requests(tidy_site):
    hub = tidy_site()
    for (method, path, body), (status, message) in WRONG.items():
        answer = hub.client.request(method, f"{ALL}{path}", content=body)
        assert (answer.status_code, message in answer.json()["message"]) == (status, True), path


@pytest.mark.essential
def test_a_running_server_is_released_by_command(tidy_site):
    hub = tidy_site()
    hub.client.start("ada", {"lifetime": 600})
    hub.client.start("ada", server="lab")
    first, second = [intent for (intent,) in rows(hub, "id")]
    listed = resources(hub, "list", token=hub.token)
    assert listed.stderr == ""
    assert re.fullmatch(
        r"ID {12}OWNER    PHASE    PROVIDER  (SIZE +)?CREATED \(UTC\)     ENDS \(UTC\)\n"
        rf"{first[:12]}  ada      running  local .*\n{second[:12]}  ada/lab  running  local .*\n",
        listed.stdout,
    )
    # An administrator's own token is not in the arguments, but in a file.
    file = hub.folder / "token"
    file.write_text(f"{hub.token}\n")
    file.chmod(0o644)
    done = resources(hub, "release", first[:8], "--token-file", "token", status=1)
    assert "has the mode 0644, so others can use the token: chmod 600 token" in done.stderr
    file.chmod(0o600)
    done = resources(hub, "release", first[:8], "--token-file", "token")
    assert done.stdout == f"{first} of ada is given back\n"
    hub.client.wait_until_stopped("ada")
    assert hub.client.is_running("ada", "lab")
    assert [row["phase"] for row in as_json(hub, "history", token=hub.token)["resources"]] == [
        "running",
        "closed",
    ]
    assert rows(hub, "reason")[0] == ("released by service tests",)
    shown = as_json(hub, "show", first, token=hub.token)
    assert shown == hub.client.request("GET", f"{ALL}/{first}").json()
    assert len(hub.server_processes()) == 1


def test_beside_a_hub_the_lock_is_not_taken(tidy_site):
    hub = tidy_site(ROLES)
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    nobody = ("--hub-url", "http://127.0.0.1:1/hub/api")
    for action in (("release", intent), ("forget", intent, "--reason", "x"), ("reconcile",)):
        done = resources(hub, *action, status=1)
        assert "the hub runs, so it is asked by its API, and that needs a token" in done.stderr
    for token in ("0" * 32, "s" * 32):
        done = resources(hub, "release", intent, token=token, status=1)
        assert done.stderr.startswith("multiplespawner: the hub refuses the token, which needs")
        assert token not in done.stderr
    done = resources(hub, "release", intent, *nobody, token=hub.token, status=1)
    assert "multiplespawner: no hub answers at http://127.0.0.1:1/hub/api (" in done.stderr
    assert hub.client.is_running("ada")
    # Without a token the ledger is read as it is.
    listed = resources(hub, "list")
    assert f"{intent[:12]}  ada    running  local" in listed.stdout
    assert "without a token the hub is not asked; this is what the ledger says" in listed.stderr
    # What is no hub is not told the token twice.
    done = resources(hub, "list", "--hub-url", f"{hub.url}/elsewhere", token=hub.token, status=1)
    assert "answers like no hub with multiplespawner" in done.stderr


def test_a_planted_extra_and_something_unknown(cloud):
    hub = cloud("c.JupyterHub.cleanup_servers = True")
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    unknown = "f" * 32
    (in_the_cloud(hub) / unknown).mkdir()
    dry = as_json(hub, "reconcile", "--dry-run", token=hub.token, status=1)
    # The provider has two types: it is asked once, and everything is told once.
    (of_cloud,) = (one for one in dry["scopes"] if one["provider"] == "cloud")
    assert of_cloud["resource_types"] == ["container", "virtual_machine"]
    assert of_cloud["count"] == 2
    (thing,) = of_cloud["found"]
    assert (thing["handle"], thing["verdict"], thing["deleted"]) == (unknown, "unknown", False)
    assert hub.client.request("GET", ALL).json()["quarantined"] == []
    done = resources(hub, "reconcile", token=hub.token, status=1)
    found = re.search(rf"    {unknown} is quarantined as (q[0-9a-f]{{11}}): no intent", done.stdout)
    quarantined = found[1]
    listed = resources(hub, "list", token=hub.token)
    assert "quarantined, to be deleted by: multiplespawner resources release" in listed.stdout
    assert f"{quarantined}  cloud" in listed.stdout
    done = resources(hub, "release", quarantined, token=hub.token, status=1)
    assert "the ledger never held its intent" in done.stderr
    assert (in_the_cloud(hub) / unknown).exists()
    done = resources(hub, "release", quarantined, "--quarantined", token=hub.token)
    assert done.stdout == f"{unknown}: gone\n"
    assert not (in_the_cloud(hub) / unknown).exists()
    # What is left of a closed row is deleted by itself.
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed"], "given back")
    (in_the_cloud(hub) / intent).mkdir()
    done = resources(hub, "reconcile", token=hub.token)
    assert f"    {intent}, left over from {intent[:12]}: deleted\n" in done.stdout
    assert not (in_the_cloud(hub) / intent).exists()


def test_a_release_that_can_never_end_is_forgotten(cloud):
    """Its plugin was uninstalled, its cloud is closed; what is there stays there."""
    hub = cloud(may_leave=True)
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    done = resources(hub, "forget", intent, "--reason", "x", token=hub.token, status=1)
    assert "Only what is being released can be forgotten" in done.stderr
    hub.terminate()
    cloud.remove()
    hub.start()
    (one,) = as_json(hub, "list", token=hub.token)["resources"]
    assert "cloud" in one["unreachable"]
    done = resources(hub, "release", intent, token=hub.token, status=1)
    assert done.stdout.startswith(f"{intent} of ada is still being given back: ")
    hub.client.wait_until_stopped("ada")
    done = resources(hub, "forget", intent, "--reason", "its cloud is closed", token=hub.token)
    assert done.stdout == (
        f"{intent} of ada: forgotten by service tests: its cloud is closed;"
        f" {intent} in {PLACE} may still be there\n"
    )
    assert rows(hub, "phase") == [("closed",)]
    assert resources(hub, "list", token=hub.token).stdout.startswith("no resources\n")
    assert "is forgotten by service tests: its cloud is closed" in hub.log


@pytest.mark.essential
@pytest.mark.timeout(600)  # three hubs, one after the other
def test_what_a_disabled_plugin_made_is_kept_until_it_is_back(cloud):
    hub = cloud(may_leave=True)
    hub.client.start("ada", {"lifetime": 600})
    hub.client.start("bob")
    (first,), (second,) = rows(hub, "id")
    pid = hub.client.server_get("ada").json()["pid"]
    hub.terminate()
    hub.configure_again("c.MultipleSpawner.enabled_plugins = ['local']")
    hub.start()

    reason = "no enabled plugin offers the provider 'cloud' for virtual_machine"
    listed = resources(hub, "list", token=hub.token).stdout.splitlines()
    assert [line.split()[2] for line in listed[1:5:2]] == ["running", "running"]
    assert [line.strip()[: len(reason)] for line in listed[2:6:2]] == [reason, reason]
    wait_for(lambda: f"nothing is known of {PLACE}: " in hub.log, "it is logged")
    wait_for(lambda: hub.client.request("GET", ALL).json()["swept_at"], "the sweep has ended")
    (unknown,) = hub.client.request("GET", ALL).json()["unknown_scopes"]
    assert reason in unknown["error"]
    assert hub.client.is_running("ada")
    assert hub.client.server_get("ada").json()["pid"] == pid
    answer = hub.client.request("POST", ends.path("ada"), json={"minutes": 30})
    assert reason in answer.json()["message"]
    hub.client.ensure_user("eve")
    answer = hub.client.try_start("eve")
    assert "nothing can be started here at present; ask your administrator" in answer.text
    hub.client.stop("bob", wait=False)
    wait_for(lambda: phases(hub) == ["running", "releasing"], "bob's is to be given back")
    wait_for(lambda: reason in rows(hub, "last_error")[1][0], "and the list says why it is not")
    assert "My Server was stopped, but may still run" in hub.session("bob").get("/hub/home").text
    assert "may still run" not in hub.session("ada").get("/hub/home").text
    assert (in_the_cloud(hub) / first).exists()
    assert (in_the_cloud(hub) / second).exists()
    assert len(hub.server_processes()) == 2

    hub.kill()
    hub.configure_again("")
    hub.start()
    assert hub.client.is_running("ada")
    assert hub.client.server_get("ada").json()["pid"] == pid
    wait_for(lambda: phases(hub) == ["running", "closed"], "bob's is given back")
    assert not (in_the_cloud(hub) / second).exists()
    assert len(hub.server_processes()) == 1
    hub.client.stop("ada")
    wait_for(lambda: phases(hub) == ["closed", "closed"], "given back")


@pytest.mark.essential
def test_the_same_while_the_hub_is_down(cloud):
    hub = cloud()
    hub.client.start("ada")
    hub.client.start("bob")
    (first,), _ = rows(hub, "id")
    (in_the_cloud(hub) / ("f" * 32)).mkdir()
    hub.kill()
    before = (hub.folder / "state" / "ledger.sqlite").read_bytes()
    listed = resources(hub, "list", token=hub.token)
    assert f"{first[:12]}  ada    running  cloud" in listed.stdout
    assert "no hub answers at http://127.0.0.1:" in listed.stderr
    assert len(as_json(hub, "history", "--user", "bob")["resources"]) == 1
    assert (hub.folder / "state" / "ledger.sqlite").read_bytes() == before
    done = resources(hub, "reconcile", "--dry-run", status=1)
    quarantined = re.search(r"is quarantined as (q[0-9a-f]+)", done.stdout)[1]
    assert len(hub.server_processes()) == 2

    done = resources(hub, "release", first)
    assert done.stdout == f"{first} of ada is given back\n"
    assert not (in_the_cloud(hub) / first).exists()
    assert len(hub.server_processes()) == 1
    assert rows(hub, "phase") == [("closed",), ("running",)]
    (reason,) = rows(hub, "reason")[0]
    assert reason.startswith("released by account ")
    done = resources(hub, "release", quarantined, "--quarantined")
    assert done.stdout == f"{'f' * 32}: gone\n"
    swept = resources(hub, "reconcile").stdout
    assert f"{PLACE} (container, virtual_machine): 1 found\n" in swept

    hub.start()
    hub.client.wait_until_stopped("ada")
    assert hub.client.is_running("bob")
    hub.client.stop("bob")
    wait_for(lambda: phases(hub) == ["closed", "closed"], "given back")


def test_forgetting_while_the_hub_is_down(cloud):
    hub = cloud(may_leave=True)
    hub.client.start("ada")
    ((intent,),) = rows(hub, "id")
    hub.kill()
    cloud.remove()
    done = resources(hub, "release", intent, status=1)
    assert f"{intent} of ada is still being given back: " in done.stdout
    done = resources(hub, "reconcile", status=1)
    assert f"{PLACE} (virtual_machine): nothing is known: " in done.stdout
    done = resources(hub, "forget", intent[:6], "--reason", "its cloud is closed")
    assert f"{intent} of ada: forgotten by account " in done.stdout
    assert rows(hub, "phase") == [("closed",)]
    hub.start()
    hub.client.wait_until_stopped("ada")


def test_nothing_is_made_where_no_hub_was(tmp_path, hub_factory):
    hub = hub_factory("c.MultipleSpawner.state_dir = 'state'\n", start=False)
    done = resources(hub, "reconcile", status=1)
    assert "no hub has ever used c.MultipleSpawner.state_dir" in done.stderr
    done = resources(hub, "list", status=1)
    assert "cannot be read: " in done.stderr
    assert not (hub.folder / "state").exists()
