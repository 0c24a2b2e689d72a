"""Moving the end of a running server: alone, at once with others, and against time and faults."""

from __future__ import annotations

import asyncio
import time

import pytest
from fakes import FakeChild, after
from resources.parts import ADA, closed

from multiplespawner_core.contracts import NotFound, OutcomeUnknown, Owner, Quota, Transient
from multiplespawner_core.resources import manager as manager_module
from multiplespawner_core.resources.failures import NotExtended
from multiplespawner_core.resources.record import Phase

pytestmark = pytest.mark.slow

HOUR = 3600.0
SHORT = 1.5
"""Seconds: enough to do something before the end on a busy machine."""


def later(seconds):
    return lambda end: end + seconds


async def _until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def test_the_provider_the_ledger_and_the_timer_follow(hub):
    resource = await hub.running(lifetime=SHORT)
    before = resource.record.expires_at
    moment = await hub.manager.extend(resource, later(HOUR))
    assert moment == before + HOUR
    assert resource.record.expires_at == moment
    assert [row.expires_at for row in await hub.rows()] == [moment]
    deadline = hub.provider.deadlines[resource.record.handle.id]
    assert deadline.timestamp() == pytest.approx(moment, abs=0.001)
    assert deadline.utcoffset().total_seconds() == 0
    await asyncio.sleep(SHORT + 0.2)
    assert resource.poll() is None
    assert resource.running


async def test_the_new_end_is_kept(hub):
    resource = await hub.running(lifetime=SHORT)
    moment = await hub.manager.extend(resource, later(0.4))
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    assert time.time() >= moment
    await closed(resource)
    assert (await hub.rows())[0].reason == "its lifetime is over"
    assert hub.cloud == {}


async def test_an_end_counts_only_once_the_provider_has_it(hub):
    resource = await hub.running(lifetime=HOUR)
    before = resource.record.expires_at
    gate = hub.provider.gates["extend"] = asyncio.Event()
    extending = asyncio.ensure_future(hub.manager.extend(resource, later(60)))
    while "extend" not in hub.provider.calls:
        await asyncio.sleep(0)
    assert resource.record.expires_at == before
    assert [row.expires_at for row in await hub.rows()] == [before]
    gate.set()
    assert await extending == before + 60


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        (Transient("the office is closed"), 503, "Moving the end failed: the office is closed"),
        (after(OutcomeUnknown("reset")), 503, "Moving the end failed: reset"),
        (Quota("no more hours"), 403, "Moving the end failed: no more hours"),
        (
            RuntimeError("token=SECRET123"),
            500,
            "Moving the end failed for a technical reason. Tell",
        ),
        (asyncio.CancelledError(), 500, "Moving the end failed for a technical reason. Tell"),
        (TimeoutError(), 503, "Moving the end took too long, so it stays. Try again later."),
    ],
)
async def test_what_the_provider_refuses_changes_nothing(hub, fault, status, message):
    resource = await hub.running(lifetime=SHORT)
    before = resource.record.expires_at
    hub.provider.faults["extend"] = [fault]
    with pytest.raises(NotExtended) as refused:
        await hub.manager.extend(resource, later(HOUR))
    assert refused.value.message.startswith(message)
    assert "SECRET" not in refused.value.message
    assert refused.value.status == status
    assert resource.record.expires_at == before
    assert [row.expires_at for row in await hub.rows()] == [before]
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    await closed(resource)


async def test_a_provider_that_does_not_answer_changes_nothing(hub, monkeypatch):
    monkeypatch.setattr(manager_module, "_EXTEND_TIMEOUT", 0.05)
    resource = await hub.running(lifetime=HOUR)
    before = resource.record.expires_at
    hub.provider.gates["extend"] = asyncio.Event()
    with pytest.raises(NotExtended, match="took too long"):
        await hub.manager.extend(resource, later(60))
    hub.provider.gates.clear()
    assert await hub.manager.extend(resource, later(60)) == before + 60


async def test_a_refused_extension_can_be_asked_for_again(hub):
    resource = await hub.running(lifetime=HOUR)
    before = resource.record.expires_at
    hub.provider.faults["extend"] = [after(OutcomeUnknown("reset"))]
    with pytest.raises(NotExtended):
        await hub.manager.extend(resource, later(60))
    assert await hub.manager.extend(resource, later(60)) == before + 60


async def test_extensions_at_once_add_up_and_each_sees_the_one_before(hub):
    resource = await hub.running(lifetime=HOUR)
    before = resource.record.expires_at
    asked = [hub.manager.extend(resource, later(60)) for _ in range(20)]
    moments = await asyncio.gather(*asked)
    added = [moment - before for moment in moments]
    assert added == pytest.approx([60 * n for n in range(1, 21)], abs=0.001)
    assert [row.expires_at for row in await hub.rows()] == [moments[-1]]
    deadline = hub.provider.deadlines[resource.record.handle.id]
    assert deadline.timestamp() == pytest.approx(moments[-1], abs=0.001)


async def test_a_limit_holds_for_extensions_at_once(hub):
    resource = await hub.running(lifetime=HOUR)
    latest = resource.record.expires_at + 90

    def within(end):
        if end + 60 > latest:
            raise NotExtended("at most 30 seconds more", "extension", 400)
        return end + 60

    asked = [hub.manager.extend(resource, within) for _ in range(5)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [float, *[NotExtended] * 4]
    assert resource.record.expires_at <= latest
    assert hub.provider.calls.count("extend") == 1


async def test_an_earlier_end_is_no_extension(hub):
    resource = await hub.running(lifetime=HOUR)
    for seconds in (0, -60, float("nan")):
        with pytest.raises(NotExtended, match="later moment"):
            await hub.manager.extend(resource, later(seconds))
    assert "extend" not in hub.provider.calls


async def test_a_server_without_an_end_has_none_to_be_moved(hub):
    resource = await hub.running()
    with pytest.raises(NotExtended, match="has no end"):
        await hub.manager.extend(resource, later(60))
    assert "extend" not in hub.provider.calls


async def test_what_does_not_run_is_not_extended(hub):
    gate = asyncio.Event()
    child = FakeChild()
    child.gate = gate
    starting = hub.begin(child, lifetime=HOUR)
    while child.launch is None:
        await asyncio.sleep(0)
    with pytest.raises(NotExtended, match="does not run"):
        await hub.manager.extend(starting, later(60))
    gate.set()
    await starting.url
    hub.manager.begin_release(starting, "it was stopped")
    with pytest.raises(NotExtended, match="does not run"):
        await hub.manager.extend(starting, later(60))
    await closed(starting)
    with pytest.raises(NotExtended, match="does not run"):
        await hub.manager.extend(starting, later(60))
    assert "extend" not in hub.provider.calls


@pytest.mark.parametrize("fault", [None, NotFound("no such machine")])
async def test_a_stop_wins_over_an_extension_under_way(hub, fault):
    resource = await hub.running(lifetime=HOUR)
    before = resource.record.expires_at
    gate = hub.provider.gates["extend"] = asyncio.Event()
    hub.provider.faults["extend"] = [fault] if fault else []
    extending = asyncio.ensure_future(hub.manager.extend(resource, later(60)))
    while "extend" not in hub.provider.calls:
        await asyncio.sleep(0)
    await hub.manager.release(resource, "it was stopped")
    gate.set()
    with pytest.raises(NotExtended, match="ended before its end was moved"):
        await extending
    await closed(resource)
    assert hub.cloud == {}
    (row,) = await hub.rows()
    assert (row.phase, row.reason, row.expires_at) == (Phase.CLOSED, "it was stopped", before)


async def test_a_stop_while_the_new_end_is_committed(hub):
    resource = await hub.running(lifetime=SHORT)
    original = hub.ledger.update

    async def stopped_meanwhile(record, **changes):
        await original(record, **changes)
        if "expires_at" in changes:
            hub.manager.begin_release(resource, "it was stopped")

    hub.ledger.update = stopped_meanwhile
    with pytest.raises(NotExtended, match="ended before its end was moved"):
        await hub.manager.extend(resource, later(HOUR))
    await closed(resource)
    assert hub.manager._timer._moments == {}
    assert resource.record.phase is Phase.CLOSED
    assert hub.cloud == {}


async def test_the_end_does_not_wait_for_an_extension(hub):
    resource = await hub.running(lifetime=0.2)
    gate = hub.provider.gates["extend"] = asyncio.Event()
    extending = asyncio.ensure_future(hub.manager.extend(resource, later(HOUR)))
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    gate.set()
    with pytest.raises(NotExtended, match="ended before its end was moved"):
        await extending
    await closed(resource)
    assert hub.cloud == {}


async def test_an_extension_in_the_moment_of_the_end_is_no_false_promise(hub):
    """Between the ring of the timer and the first step of the release."""
    resource = await hub.running(lifetime=HOUR)
    original = hub.ledger.update

    async def rings_meanwhile(record, **changes):
        await original(record, **changes)
        if "expires_at" in changes:
            hub.manager._expire(resource.id)

    hub.ledger.update = rings_meanwhile
    with pytest.raises(NotExtended, match="ended before its end was moved"):
        await hub.manager.extend(resource, later(HOUR))
    await closed(resource)


async def test_a_ledger_that_cannot_take_the_new_end(hub):
    resource = await hub.running(lifetime=SHORT)
    before = resource.record.expires_at
    original = hub.ledger.update

    async def full(record, **changes):
        if "expires_at" in changes:
            raise OSError("disk full")
        await original(record, **changes)

    hub.ledger.update = full
    with pytest.raises(NotExtended, match="technical reason"):
        await hub.manager.extend(resource, later(HOUR))
    assert resource.record.expires_at == before
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    await closed(resource)


async def test_a_caller_that_goes_away_does_not_part_memory_and_ledger(hub):
    resource = await hub.running(lifetime=HOUR)
    before = resource.record.expires_at
    gate = hub.provider.gates["extend"] = asyncio.Event()
    extending = asyncio.ensure_future(hub.manager.extend(resource, later(60)))
    while "extend" not in hub.provider.calls:
        await asyncio.sleep(0)
    extending.cancel()
    gate.set()
    await asyncio.wait_for(_until(lambda: resource.record.expires_at > before), 5)
    assert [row.expires_at for row in await hub.rows()] == [before + 60]
    assert hub.manager._timer._moments == {resource.id: before + 60}


async def test_the_next_hub_keeps_to_the_new_end(hub):
    first = await hub.running(lifetime=SHORT)
    moment = await hub.manager.extend(first, later(SHORT))
    await hub.die()
    await asyncio.sleep(max(0, moment - SHORT - time.time()))
    hub.revived = hub.child
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await second.settled(5)
    assert second.poll() is None
    hub.manager.link(second, hub.child)
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    assert time.time() >= moment
    await closed(second)


async def test_the_next_hub_extends_what_the_last_one_started(hub):
    first = await hub.running(lifetime=SHORT)
    await hub.die()
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    moment = await hub.manager.extend(second, later(HOUR))
    assert moment == first.record.expires_at + HOUR
    await asyncio.sleep(SHORT + 0.2)
    assert second.poll() is None


async def test_a_hub_that_died_before_the_commit_left_the_end_where_it_was(hub):
    first = await hub.running(lifetime=HOUR)
    before = first.record.expires_at

    async def never(*args, **kwargs):
        await asyncio.Event().wait()

    hub.ledger.update = never
    extending = asyncio.ensure_future(hub.manager.extend(first, later(60)))
    while not hub.provider.deadlines:
        await asyncio.sleep(0)
    await hub.die()
    extending.cancel()
    hub.open(serving={first.id})
    assert hub.manager.find(first.id).record.expires_at == before


async def test_an_extension_concerns_one_server_alone(hub):
    mine = await hub.running(lifetime=HOUR)
    other = await hub.running(lifetime=HOUR, owner=Owner("bob"))
    before = other.record.expires_at
    await hub.manager.extend(mine, later(60))
    assert other.record.expires_at == before
    assert len(await hub.rows(ADA)) == 1
    assert [row.expires_at for row in await hub.rows(Owner("bob"))] == [before]
