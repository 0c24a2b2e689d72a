"""What is not to be had at one place is asked for at the next, and the user is told."""

from __future__ import annotations

import asyncio

import pytest
from fakes import SCOPE, FakeChild, after
from resources.parts import closed

from multiplespawner_core.contracts import (
    Access,
    Availability,
    Capacity,
    InvalidSpecification,
    Keys,
    Observation,
    Offer,
    OutcomeUnknown,
    Owner,
    Quota,
    ResourceState,
    Scope,
    Transient,
)
from multiplespawner_core.resources import pipeline
from multiplespawner_core.resources.failures import StartFailed
from multiplespawner_core.resources.record import Phase

pytestmark = pytest.mark.usefixtures("impatient")

NORTH, SOUTH, EAST = (Scope("fake", name) for name in ("north", "south", "east"))


@pytest.fixture
def offers(hub):
    hub.provider.offered = [Offer(scope, "small", cpu=1, memory=1) for scope in (NORTH, SOUTH)]
    return hub.provider.offered


def told(resource):
    return [event["message"] for event in resource.events.events]


async def test_the_next_offer_is_taken_with_a_token_of_its_own(hub, offers):
    hub.provider.faults["create"] = [Capacity("out of host capacity")]
    resource = await hub.running()
    (row,) = await hub.rows()
    assert (row.attempt, row.scope, row.phase) == (2, SOUTH, Phase.RUNNING)
    first, second = hub.provider.intents
    assert (first.offer.scope, second.offer.scope) == (NORTH, SOUTH)
    assert first.id == second.id
    assert first.token != second.token
    assert (second.token, second.attempt) == (row.token, 2)
    assert "Not to be had: fake (small, north): out of host capacity" in told(resource)
    assert len(hub.cloud) == 1


async def test_the_attempt_is_committed_before_its_scope_is_asked(hub, offers):
    hub.provider.faults["create"] = [Quota("no more of it")]
    resource = hub.begin()
    while len(hub.provider.intents) < 2:
        if len(hub.provider.intents) == 1:
            hub.provider.gates["create"] = asyncio.Event()
        await asyncio.sleep(0)
    (row,) = await hub.rows()
    assert (row.attempt, row.scope) == (2, SOUTH)
    assert {reach.scope for reach in await hub.ledger.reaches()} >= {NORTH, SOUTH}
    hub.provider.gates["create"].set()
    await resource.url


async def test_what_was_tried_is_said_when_nothing_is_left(hub, offers):
    hub.provider.faults["create"] = [Capacity("it is full"), Quota("no more of it")]
    resource = hub.begin()
    with pytest.raises(StartFailed, match="it is full; no more of it") as caught:
        await resource.url
    assert caught.value.status == 503
    await closed(resource)
    assert hub.cloud == {}


async def test_an_offer_that_is_not_to_be_had_is_not_asked_for(hub, offers):
    offers[0:1] = [
        Offer(NORTH, "small", availability=Availability.NO_CAPACITY, reason="it is full"),
        Offer(EAST, "small", availability=Availability.NO_QUOTA),
    ]
    resource = await hub.running()
    assert [intent.offer.scope for intent in hub.provider.intents] == [SOUTH]
    assert told(resource)[1:3] == [
        "Not to be had: fake (small, north): it is full",
        "Not to be had: fake (small, east): the quota is used up",
    ]


async def test_a_doubt_is_resolved_before_the_next_offer_is_tried(hub, offers):
    """The answer was lost, the resource is there: no second one is made elsewhere."""
    hub.provider.faults["create"] = [after(OutcomeUnknown("timeout")), Capacity("it is full")]
    resource = await hub.running()
    assert {intent.offer.scope for intent in hub.provider.intents} == {NORTH}
    assert len(hub.cloud) == 1
    assert resource.record.attempt == 1


@pytest.mark.parametrize("error", [InvalidSpecification("no such image")])
async def test_what_no_other_place_cures_ends_the_start(hub, offers, error):
    hub.provider.faults["create"] = [error]
    with pytest.raises(StartFailed, match=str(error)):
        await hub.begin().url
    assert len(hub.provider.intents) == 1


async def test_the_time_to_create_is_shared_by_all_offers(hub):
    hub.provider.offered = [Offer(SCOPE, f"size-{n}") for n in range(50)]
    hub.provider.delays["create"] = 0.05
    hub.provider.faults["create"] = [Capacity("it is full")] * 50
    resource = hub.begin(budget=0.3)
    with pytest.raises(StartFailed, match="took too long"):
        await resource.url
    assert 2 < len(hub.provider.intents) < 10
    await closed(resource)


async def test_a_release_between_two_offers_leaves_nothing(hub, offers):
    hub.provider.faults["create"] = [Capacity("it is full")]
    gate = asyncio.Event()
    resource = hub.begin()
    while len(hub.provider.intents) < 1:
        await asyncio.sleep(0)
    hub.provider.gates["create"] = gate
    while len(hub.provider.intents) < 2:
        await asyncio.sleep(0)
    hub.manager.begin_release(resource, "the start was cancelled")
    gate.set()
    await closed(resource)
    assert hub.cloud == {}


async def test_users_are_told_how_many_are_before_them(hub):
    hub.provider.width = 1
    gate = hub.provider.gates["create"] = asyncio.Event()
    starts = [hub.begin(owner=Owner(f"user{number}")) for number in range(4)]
    last = "Waiting for a turn: 2 starts are before this one"
    while last not in told(starts[3]) or not hub.provider.intents:
        await asyncio.sleep(0)
    assert "Waiting: next in turn" in told(starts[1])
    assert "Waiting for a turn: 1 start is before this one" in told(starts[2])
    assert len(hub.provider.intents) == 1
    gate.set()
    await asyncio.gather(*(start.url for start in starts))
    assert "Waiting: next in turn" in told(starts[3])


async def test_a_provider_in_trouble_is_left_alone(hub):
    """Nobody waits for the answer of a provider that gives none."""
    hub.provider.idempotent = hub.provider.idempotent.NONE
    hub.provider.faults["create"] = [Transient("connection refused")] * 50
    first = hub.begin(budget=0.2)
    with pytest.raises(StartFailed):
        await first.url
    asked = len(hub.provider.intents)
    second = hub.begin(owner=Owner("eve"))
    with pytest.raises(StartFailed, match="fake is not asked at present") as caught:
        await second.url
    assert caught.value.status == 503
    assert len(hub.provider.intents) == asked


# -- what was accepted and fails later --


@pytest.fixture
def doomed(hub, offers, monkeypatch):
    """What is made in the north was accepted, and fails later: for `error`."""
    monkeypatch.setattr(pipeline, "_DESCRIBE_PAUSE", 0.01)
    describe = hub.provider.describe
    hub.provider.error = Capacity

    async def failing(handle):
        seen = await describe(handle)
        if seen.state is not ResourceState.READY or handle.scope != NORTH:
            return seen
        return Observation(ResourceState.FAILED, reason="it is full", error=hub.provider.error)

    monkeypatch.setattr(hub.provider, "describe", failing)


@pytest.mark.usefixtures("doomed")
@pytest.mark.parametrize("error", [Capacity, Quota])
async def test_what_was_accepted_and_fails_is_replaced_and_given_back(hub, error):
    hub.provider.error = error
    resource = await hub.running(lifetime=60)
    vain, row = await hub.rows()
    assert (row.id, row.scope, row.phase, row.attempt) == (resource.id, SOUTH, Phase.RUNNING, 1)
    assert row.handle.scope == SOUTH
    assert (vain.scope, vain.reason, vain.exit_status) == (NORTH, "it is full", 1)
    assert hub.manager.find(resource.id) is resource
    assert "Not to be had: fake (small, north): it is full" in told(resource)
    first, second = hub.provider.intents
    assert (first.id, second.id) == (vain.id, row.id)
    assert first.token != second.token
    assert first.expires_at == second.expires_at, "the lifetime counts from the start's beginning"
    while hub.manager.find(vain.id) is not None:
        await asyncio.sleep(0.01)
    assert [row.phase for row in await hub.rows()] == [Phase.CLOSED, Phase.RUNNING]
    assert list(hub.cloud) == [row.handle.id]
    assert hub.cleaned == [vain.id]
    assert hub.child.stops == 0
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


@pytest.mark.usefixtures("doomed")
async def test_what_failed_is_proven_gone_however_long_that_takes(hub):
    hub.provider.faults["delete"] = [Transient("not now")] * 5
    gate = hub.provider.gates["delete"] = asyncio.Event()
    resource = await hub.running()
    vain, _ = await hub.rows()
    assert vain.phase is Phase.RELEASING, "nobody waits for it"
    assert len(hub.cloud) == 2
    gate.set()
    while hub.manager.find(vain.id) is not None:
        await asyncio.sleep(0.01)
    assert list(hub.cloud) == [resource.record.handle.id]


@pytest.mark.usefixtures("doomed")
async def test_a_hub_that_dies_between_both_gives_both_back(hub):
    gate = hub.provider.gates["delete"] = asyncio.Event()
    child = FakeChild()
    child.gate = asyncio.Event()
    resource = hub.begin(child)
    while child.launch is None:
        await asyncio.sleep(0)
    assert len(hub.cloud) == 2
    await hub.die()
    gate.set()
    hub.open()
    await closed(hub.manager.find(resource.id))
    while hub.cloud:
        await asyncio.sleep(0.01)
    assert {row.phase for row in await hub.rows()} == {Phase.CLOSED}


@pytest.mark.usefixtures("doomed")
@pytest.mark.parametrize("when", ["release", "insert"])
async def test_a_release_between_both_leaves_nothing(hub, when, monkeypatch):
    resource = hub.begin()
    first = resource.id
    if when == "insert":
        hub.provider.gates["delete"] = asyncio.Event()
    while resource.id == first or (when == "insert" and len(hub.provider.intents) < 2):
        await asyncio.sleep(0)
    hub.manager.begin_release(resource, "the start was cancelled")
    if when == "insert":
        hub.provider.gates["delete"].set()
    await closed(resource)
    while hub.manager.find(first) is not None:
        await asyncio.sleep(0.01)
    assert hub.cloud == {}
    assert {row.phase for row in await hub.rows()} == {Phase.CLOSED}


@pytest.mark.usefixtures("doomed")
async def test_what_failed_last_is_said_with_the_rest(hub, offers):
    offers.pop()
    resource = hub.begin()
    with pytest.raises(StartFailed, match="Waiting for the resource failed: it is full") as caught:
        await resource.url
    assert (caught.value.status, caught.value.reason) == (503, "capacity")
    await closed(resource)
    assert hub.cloud == {}
    assert len(await hub.rows()) == 1


@pytest.mark.usefixtures("doomed")
@pytest.mark.parametrize("error", [None, InvalidSpecification])
async def test_what_fails_for_another_reason_ends_the_start(hub, error):
    hub.provider.error = error
    resource = hub.begin()
    with pytest.raises(StartFailed, match="The resource could not be made: it is full"):
        await resource.url
    await closed(resource)
    assert len(hub.provider.intents) == 1
    assert hub.cloud == {}


async def test_the_time_to_become_ready_is_shared_by_all_offers(hub, monkeypatch):
    hub.provider.offered = [Offer(SCOPE, f"size-{n}") for n in range(50)]
    failed = Observation(ResourceState.FAILED, reason="it is full", error=Capacity)
    describe = hub.provider.describe

    async def slowly(handle):
        await asyncio.sleep(0.05)
        seen = await describe(handle)
        return seen if seen.state is ResourceState.GONE else failed

    monkeypatch.setattr(hub.provider, "describe", slowly)
    resource = hub.begin(budget=0.3)
    with pytest.raises(StartFailed, match="Waiting for the resource took too long"):
        await resource.url
    assert 2 < len(hub.provider.intents) < 10
    await closed(resource)


@pytest.mark.usefixtures("doomed")
async def test_keys_are_made_for_each_intent(hub):
    made = []

    class Authenticator:
        async def prepare(self, intent):
            made.append(intent.id)
            return Keys(public_key=intent.id)

        async def open(self, intent, endpoint, keys):
            assert keys.public_key == intent.id
            return Access(endpoint)

    resource = await hub.running(authenticator=Authenticator())
    vain, _ = await hub.rows()
    assert made == [vain.id, resource.id]
