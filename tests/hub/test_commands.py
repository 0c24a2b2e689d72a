"""The commands beside a hub that runs, and a hub that runs with what a command wrote."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys

import pytest
import yaml
from harness import wait_for
from site_fixture import ACCOUNT, ACCOUNT_SERVER, STATES, TEMPLATES, phases, rows

pytestmark = pytest.mark.hub


def call(hub, *arguments, program=("-m", "multiplespawner_core.cli")):
    """One command, as an administrator calls it in the hub's folder."""
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=hub.folder,
        env=hub.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


LIMITED = [{**TEMPLATES[0], "limits": {"memory": {"max": 0.5, "default": 0.5}}}]
SMALL = "c.LocalProvider.memory = 0.75\n"


def state(hub):
    """What is in the state directory."""
    place = hub.folder / "state"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


@pytest.mark.essential
def test_validate_and_plan_beside_a_running_hub(site):
    hub = site(SMALL, templates=LIMITED)
    before = state(hub)
    done = call(hub, "validate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "no findings; 1 combination of template, provider and deployment can be started\n"
    )
    assert state(hub) == before

    plan = call(hub, "plan", "--user", "bob")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert yaml.safe_load(plan.stdout)["offers"][0]["availability"] == "available"

    hub.client.start("ada")
    full = state(hub)
    told = "0.25 of 0.75 GB are free on this machine; 0.5 GB do not fit."
    plan = call(hub, "plan", "--user", "bob", "--json")
    assert plan.returncode == 1
    planned = json.loads(plan.stdout)
    assert planned["offers"][0]["availability"] == "no_capacity"
    assert planned["refused"].endswith(told)
    hub.client.ensure_user("bob")
    refused = hub.client.try_start("bob")
    assert planned["refused"] in refused.text

    (hub.folder / "spawner_templates.json").write_text("[{")
    done = call(hub, "validate")
    assert done.returncode == 1
    assert done.stdout.startswith("spawner_templates.json:1:3: ")
    assert set(state(hub)) == set(full)
    assert hub.client.is_running("ada")
    assert [row for row in rows(hub, "phase") if row != ("closed",)] == [("running",)]
    hub.client.stop("ada")
    wait_for(lambda: set(phases(hub)) == {"closed"}, "everything is given back")


INIT = "from multiplespawner_core.cli import main; main(['init', '--directory', 'site'])"
AS_ANOTHER = f"import os; os.geteuid = lambda: 1000; {INIT}"


@pytest.fixture
def initialised(hub_factory, tmp_path):
    """A hub with nothing but what `init` wrote, its lines, and a home for its state."""

    def make(code=INIT):
        hub = hub_factory(start=False, env={"HOME": str(tmp_path)})
        STATES.append(tmp_path / ".multiplespawner" / "state")
        lines = call(hub, program=["-c", code]).stdout
        # The proxy of the test listens elsewhere.
        lines += f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{hub.api_port}'\n"
        hub.configure(lines)
        return hub, lines

    return make


@pytest.mark.essential
def test_a_hub_runs_with_what_init_wrote(initialised):
    hub, lines = initialised()
    done = call(hub, "validate")
    assert (done.returncode, done.stdout.partition(";")[0]) == (0, "no findings")
    account = "ada"
    if os.geteuid() == 0:
        # Each server runs as its user, who must be able to run it.
        account = ACCOUNT
        server = ["/usr/bin/python3", "-c", ACCOUNT_SERVER]
        hub.configure(f"{lines}c.Spawner.cmd = {server!r}\nc.Spawner.args = []\n")
    hub.start()
    hub.client.start(account, {"deployment": "One document at a time"})
    if os.geteuid() == 0:
        uid = pwd.getpwnam(account).pw_uid
        assert {process.uids().real for process in hub.server_processes()} == {uid}
    hub.restart()
    assert hub.client.is_running(account), "servers outlive a restart, as the lines say"
    hub.client.stop(account)
    assert not hub.server_processes()


def test_a_hub_runs_with_what_init_wrote_for_somebody_else_than_root(initialised, tmp_path):
    """With the files and lines of another account; the hub may run as root nevertheless."""
    hub, _ = initialised(AS_ANOTHER)
    hub.start()
    hub.client.start("ada")
    environment = hub.client.server_get("ada", "env").json()
    assert environment["HOME"] == str(tmp_path / "jupyterhub" / "ada")
    hub.client.stop("ada")
    assert not hub.server_processes()
