"""The small cloud as a process of its own, and its client."""

from __future__ import annotations

import asyncio
import stat
import time
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest
from testing.parts import CALM, KEYS, intent

from multiplespawner_core import (
    Capacity,
    ConfigurationError,
    OutcomeUnknown,
    ResourceState,
    Scope,
    Specification,
    Throttled,
    Transient,
    Unauthorized,
)
from multiplespawner_core.testing.cloud import Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = pytest.mark.slow

NORTH = Scope("small", "north")
QUICK = replace(
    CALM, provisioning=(0, 0.1), address_delay=(0, 0), terminating=(0, 0.1), dependents_delay=(0, 0)
)


def one(name="a", **changes):
    return intent(name, provider="small", **changes)


async def until(provider, handle, state):
    deadline = time.monotonic() + 30
    while (seen := await provider.describe(handle)).state is not state:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return seen


def read(path):
    return path.read_bytes()


@pytest.fixture
def quick(tmp_path):
    with CloudProcess(tmp_path, QUICK) as server:
        yield server


async def test_the_life_of_a_machine(quick, client_of):
    provider = client_of(quick)
    handle = await provider.create(one(), KEYS)
    seen = await until(provider, handle, ResourceState.READY)
    assert seen.endpoint.address.startswith("192.0.2.")
    assert await provider.find(one(), NORTH) == [handle]
    assert quick.meter().by_intent["a"] > 0
    await provider.delete(handle)
    await until(provider, handle, ResourceState.GONE)
    before = quick.meter()
    assert before.running == frozenset()
    await asyncio.sleep(0.2)
    assert quick.meter().total == before.total


async def test_many_at_once_over_pages(server, client_of):
    server.change(page=7)
    provider = client_of(server, concurrency=5)
    made = await asyncio.gather(*(provider.create(one(f"n{n}"), KEYS) for n in range(30)))
    owned = await provider.list_owned("i" * 32, NORTH)
    machines = {owned_one.handle.id for owned_one in owned if not owned_one.dependent}
    assert machines == {handle.id for handle in made}
    assert len(owned) == 90


class TestKilled:
    async def test_nothing_that_was_answered_is_lost(self, server, client_of):
        provider = client_of(server)
        handle = await provider.create(one(), KEYS)
        before, reading = server.records(), server.meter()
        server.kill()
        with pytest.raises(Transient):
            await provider.describe(handle)
        server.start()
        assert server.records()[0].history.steps[:1] == before[0].history.steps[:1]
        assert await provider.create(one(), KEYS) == handle
        assert server.meter().total > reading.total

    async def test_what_was_accepted_is_there_though_the_answer_was_under_way(
        self, server, client_of
    ):
        provider = client_of(server)
        server.add_fault(Fault(FaultKind.DELAY, "create", delay=30))
        creating = asyncio.create_task(provider.create(one(), KEYS))
        while not server.records():
            await asyncio.sleep(0.02)
        server.kill()
        with pytest.raises(OutcomeUnknown):
            await creating
        server.start()
        handle = await provider.create(one(), KEYS)
        assert [record.id for record in server.records()] == [handle.id]

    async def test_its_settings_are_kept(self, server, client_of):
        server.change(capacity={"north": {"small": 0}})
        server.kill()
        server.start()
        with pytest.raises(Capacity):
            await client_of(server).create(one(), KEYS)


class TestErrors:
    async def test_a_wrong_secret(self, server, client_of, tmp_path):
        wrong = tmp_path / "wrong"
        wrong.write_text("wrong")
        wrong.chmod(0o600)
        provider = client_of(server, secret_file=str(wrong))
        with pytest.raises(Unauthorized):
            await provider.create(one(), KEYS)
        wrong.write_text(server.secret_file.read_text())
        await provider.create(one(), KEYS)

    async def test_a_secret_that_others_can_read(self, server, client_of):
        server.secret_file.chmod(0o644)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            await client_of(server).create(one(), KEYS)

    async def test_not_said_where_it_is(self, server, client_of):
        with pytest.raises(ConfigurationError):
            client_of(server, url="")

    async def test_everything_is_not_found(self, server, client_of):
        provider = client_of(server)
        handle = await provider.create(one(), KEYS)
        server.add_fault(Fault.everything("not_found"))
        for call in (provider.describe(handle), provider.delete(handle)):
            with pytest.raises(Unauthorized):
                await call

    async def test_an_answer_that_was_lost(self, server, client_of):
        provider = client_of(server)
        server.add_fault(Fault(FaultKind.DROP, "create"))
        with pytest.raises(OutcomeUnknown):
            await provider.create(one(), KEYS)
        handle = await provider.create(one(), KEYS)
        assert [record.id for record in server.records()] == [handle.id]
        server.add_fault(Fault(FaultKind.DROP, "get"))
        with pytest.raises(Transient):
            await provider.describe(handle)
        assert server.fired()["drop"] == 2

    async def test_an_answer_that_takes_too_long(self, server, client_of):
        """The request reaches the cloud after everybody has gone."""
        provider = client_of(server, request_timeout=0.3)
        server.add_fault(Fault(FaultKind.HOLD, "create", delay=1))
        with pytest.raises(OutcomeUnknown):
            await provider.create(one(), KEYS)
        assert server.records() == []
        await asyncio.sleep(1)
        assert len(server.records()) == 1

    async def test_a_connection_that_takes_too_long(self, server, client_of):
        # Loopback answers at once, so no time at all is allowed.
        provider = client_of(server, connect_timeout=1e-9)
        with pytest.raises(Transient):
            await provider.create(one(), KEYS)
        assert server.records() == []

    async def test_throttled(self, server, client_of):
        server.change(rate=0.5, burst=1)
        provider = client_of(server)
        await provider.create(one(), KEYS)
        with pytest.raises(Throttled) as caught:
            await provider.create(one("b"), KEYS)
        assert 0 < caught.value.retry_after <= 2

    async def test_nobody_listens_for_a_while(self, server, client_of):
        provider = client_of(server)
        handle = await provider.create(one(), KEYS)
        server.add_fault(Fault.outage(1.0))
        began = time.monotonic()
        refused = 0
        while time.monotonic() < began + 20:
            try:
                await provider.describe(handle)
            except Transient:
                refused += 1
            else:
                if refused:
                    break
            await asyncio.sleep(0.05)
        assert refused
        assert 0.5 < time.monotonic() - began < 20
        assert server.fired()["down"] == 1

    async def test_nobody_listens_in_one_scope(self, server, client_of):
        provider = client_of(server)
        handle = await provider.create(one(), KEYS)
        server.add_fault(Fault.outage(1.0, "north"))
        with pytest.raises(Transient):
            await provider.describe(handle)
        with pytest.raises(OutcomeUnknown):
            await provider.create(one("b"), KEYS)
        assert len(server.records()) == 1
        assert await provider.list_owned("here", Scope("small", "south")) == []
        assert server.fired()["down"] >= 2
        await asyncio.sleep(1.1)
        await provider.describe(handle)

    async def test_a_text_that_is_no_answer(self, server, client_of):
        async def nonsense(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<a>")
            await writer.drain()
            writer.close()

        other = await asyncio.start_server(nonsense, "127.0.0.1", 0)
        async with other:
            port = other.sockets[0].getsockname()[1]
            provider = client_of(server, url=f"http://127.0.0.1:{port}")
            with pytest.raises(OutcomeUnknown):
                await provider.create(one(), KEYS)


async def test_offers(server, client_of):
    offers = await client_of(server).offers(Specification("virtual_machine", cpu=2))
    assert [(offer.shape, offer.scope) for offer in offers] == [
        ("large", NORTH),
        ("large", Scope("small", "south")),
    ]


async def test_secrets_are_in_files_that_only_their_owner_reads(server, client_of, tmp_path):
    provider = client_of(server)
    await provider.create(one(), replace(KEYS, user_data={"password": "canary-1"}))
    secret = server.secret_file.read_text()
    seen = read(Path(f"/proc/{server.pid}/cmdline")) + read(server.log_file)
    assert secret.encode() not in seen
    assert b"canary-1" not in seen
    for path in (server.secret_file, *server.state.rglob("*.json")):
        if path.name != "address.json":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.state.stat().st_mode) == 0o700


def test_the_other_door_wants_the_secret_too(server):
    server.secret_file.write_text("wrong")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        server.meter()


def test_a_fault_that_there_is_not_is_refused(server):
    server.add_fault(Fault(FaultKind.DROP))
    server.clear_faults()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server._admin("POST", "faults", {"kind": "explode"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server.change(leg=1)


async def test_without_settings_lists_lag_and_answers_are_lost(tmp_path, client_of):
    with CloudProcess(tmp_path) as server:
        kept = Settings.from_json(server._admin("GET", "settings"))
    assert kept == Settings()
    assert kept.lag > 0
    assert kept.lost_answers > 0


def test_a_server_that_cannot_start_says_where_to_look(tmp_path):
    server = CloudProcess(tmp_path, machines="none")
    server.state.write_text("in the way")
    with pytest.raises(RuntimeError, match=r"server\.log"):
        server.start()
    assert "Error" in server.log_file.read_text()
