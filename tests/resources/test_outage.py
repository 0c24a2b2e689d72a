"""The manager while its ledger cannot be written: nothing is lost, and everyone is told."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from resources.parts import Hub, closed

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources.failures import NotExtended, StartFailed
from multiplespawner_core.resources.record import Phase

pytestmark = pytest.mark.usefixtures("impatient")

TOLD = (
    "The hub cannot record what it does at the moment, so the start was given up. Try again later;"
    " your administrator finds the reason in the hub's log."
)


@pytest.fixture
async def hub(tmp_path, place):
    hub = Hub(tmp_path / "state", place.url)
    yield hub
    await hub.manager.shutdown()


@pytest.fixture
def outage(place):
    """The database lets nobody in until `end`."""

    def begin():
        place.run("ALTER ROLE hub CONNECTION LIMIT 0")
        place.cut()

    begin.end = lambda: place.run("ALTER ROLE hub CONNECTION LIMIT -1")
    yield begin
    begin.end()


async def failed(resource):
    with pytest.raises(StartFailed) as caught:
        await asyncio.wait_for(asyncio.shield(resource.url), 5)
    return caught.value


async def test_a_start_that_cannot_be_recorded_asks_for_nothing(hub, outage):
    outage()
    resource = hub.begin()
    failure = await failed(resource)
    assert (failure.message, failure.status) == (TOLD, 503)
    await closed(resource)
    assert "create" not in hub.provider.calls
    outage.end()
    again = await hub.running()
    assert [row.id for row in await hub.rows()] == [again.id]


async def test_a_start_that_was_recorded_unseen_is_in_nobodys_way(hub, place):
    """The answer to the commit of the intent was lost: the row is there, its start has failed."""
    dialect = hub.ledger._backend.engine.dialect
    original = dialect.do_commit

    def lose_the_answer(session):
        original(session)
        if not place.run("SELECT 1 FROM intents"):
            return  # a commit of the sweep's
        dialect.do_commit = original
        place.cut()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    dialect.do_commit = lose_the_answer
    first = hub.begin()
    assert (await failed(first)).message == TOLD
    await closed(first)
    second = await hub.running()
    assert "create" in hub.provider.calls
    rows = {row.id: row.phase for row in await hub.rows()}
    assert rows == {first.id: Phase.CLOSED, second.id: Phase.RUNNING}
    assert len(hub.cloud) == 1


async def test_a_start_that_loses_its_ledger_gives_its_resource_back(hub, outage):
    gate = hub.provider.gates["create"] = asyncio.Event()
    resource = hub.begin()
    while "create" not in hub.provider.calls:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(outage)
    gate.set()
    assert (await failed(resource)).message == TOLD
    await asyncio.sleep(0.2)
    # Not deleted before that is recorded, and said to have ended no earlier.
    assert resource.poll() is None
    assert len(hub.cloud) == 1
    outage.end()
    await closed(resource)
    assert resource.poll() == 1
    assert hub.cloud == {}
    assert [row.phase for row in await hub.rows()] == [Phase.CLOSED]


async def test_a_release_goes_on_when_the_ledger_is_back(hub, outage):
    resource = await hub.running()
    outage()
    hub.manager.begin_release(resource, "it was stopped")
    await asyncio.sleep(0.3)
    assert resource.poll() is None
    assert len(hub.cloud) == 1
    outage.end()
    await closed(resource)
    assert resource.poll() == 0
    assert hub.cloud == {}


async def test_a_release_that_cannot_be_closed_is_closed_later(hub, outage):
    resource = await hub.running()
    gate = hub.provider.gates["delete"] = asyncio.Event()
    await hub.manager.release(resource, "it was stopped")
    while "delete" not in hub.provider.calls:
        await asyncio.sleep(0.01)
    outage()
    gate.set()
    await asyncio.sleep(0.3)
    assert resource.poll() == 0
    assert not resource.closed.is_set()
    outage.end()
    await closed(resource)
    (row,) = await hub.rows()
    assert (row.phase, row.reason) == (Phase.CLOSED, "it was stopped")


async def test_an_end_that_cannot_be_recorded_is_not_moved(hub, outage):
    resource = await hub.running(lifetime=3600)
    before = resource.record.expires_at
    outage()
    with pytest.raises(NotExtended, match="The hub cannot record what it does at the moment, so"):
        await hub.manager.extend(resource, lambda end: end + 60)
    assert resource.record.expires_at == before
    outage.end()
    assert await hub.manager.extend(resource, lambda end: end + 60) == before + 60


async def test_servers_that_run_do_not_notice(hub, outage):
    resource = await hub.running()
    other = await hub.running(owner=Owner("bob"))
    outage()
    await asyncio.sleep(0.2)
    assert resource.poll() is None
    assert other.poll() is None
    outage.end()
    assert len(hub.ledger.unfinished()) == 2
