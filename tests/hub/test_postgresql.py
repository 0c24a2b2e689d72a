"""A whole hub with its ledger in a real PostgreSQL, which crashes and comes back."""

from __future__ import annotations

import signal

import httpx
import pytest
from harness import wait_for
from postgres import ENCODED, PASSWORD, Server

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def test_servers_outlive_hub_and_database(site, server):
    place = server.create(upgraded=False)
    config = f"c.MultipleSpawner.ledger_url = {place.by_password!r}\n"
    hub = site(config)

    def rows():
        return place.run("SELECT user_name, phase FROM intents ORDER BY created_at")

    hub.client.start("ada")
    process = hub.client.server_get("ada").json()["pid"]
    assert rows() == [("ada", "running")]
    assert not list((hub.folder / "state").glob("*.sqlite*"))

    # The same installation twice, as when two machines are told to run one hub.
    second = site(
        f"{config}c.MultipleSpawner.state_dir = {str(hub.folder / 'state')!r}", start=False
    )
    second.start(wait=False)
    second.wait_exit()
    assert second.exit_code == 1
    assert "multiplespawner cannot start: " in second.log
    assert "another hub" in second.log.lower()
    assert hub.client.is_running("ada")

    hub.kill()
    hub.start()
    assert hub.client.is_running("ada")
    assert hub.client.server_get("ada").json()["pid"] == process

    server.stop(signal.SIGQUIT)
    hub.client.ensure_user("bob")
    refused = hub.client.try_start("bob")
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "The hub cannot record what it does at the moment" in refused.json()["message"]
    assert hub.client.is_running("ada")
    assert hub.client.server_get("ada").json()["pid"] == process
    server.start()

    def starts():
        return hub.client.try_start("bob").status_code in (
            httpx.codes.CREATED,
            httpx.codes.ACCEPTED,
        )

    wait_for(starts, "starts are recorded again", timeout=60)
    hub.client.wait_until_running("bob")
    hub.client.stop("ada")
    hub.client.stop("bob")
    closed = [("ada", "closed"), ("bob", "closed")]
    wait_for(
        lambda: [r for r in rows() if r[1] != "closed"] == [], "all rows are closed", timeout=60
    )
    assert set(closed) == set(rows())
    for log in (hub.log, second.log):
        assert PASSWORD not in log
        assert ENCODED not in log
