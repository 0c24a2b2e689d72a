"""The provider over the model: what it makes of the cloud's answers, and when it says GONE."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from testing.parts import KEYS, intent

from multiplespawner_core import (
    Availability,
    Capacity,
    Handle,
    InvalidSpecification,
    Keys,
    Observation,
    OutcomeUnknown,
    Quota,
    ResourceState,
    Scope,
    Specification,
    Throttled,
    Transient,
    Unauthorized,
)
from multiplespawner_core.testing.cloud import Fault, FaultKind
from multiplespawner_core.testing.cloud.translation import DEADLINE_TAG

NORTH = Scope("model", "north")
LONG = 100
GONE = ResourceState.GONE


@pytest.fixture
def lagging(site_with):
    """What lists do not show yet is there."""
    return site_with(lag=10.0)


async def state_of(provider, handle):
    return (await provider.describe(handle)).state


async def test_the_life_of_a_machine(site):
    provider = site.provider()
    handle = await provider.create(intent(), KEYS)
    assert await provider.create(intent(), KEYS) == handle
    assert await state_of(provider, handle) is ResourceState.PENDING
    site.after(LONG)
    seen = await provider.describe(handle)
    assert seen.state is ResourceState.READY
    assert seen.endpoint.address.startswith("192.0.2.")
    assert await provider.find(intent(), NORTH) == [handle]
    assert await provider.find(intent("b"), NORTH) == []
    await provider.delete(handle)
    assert await state_of(provider, handle) is ResourceState.DELETING
    site.after(LONG)
    assert await state_of(provider, handle) is GONE
    await provider.delete(handle)
    assert await provider.find(intent(), NORTH) == []


async def test_running_without_an_address_is_not_ready(site_with):
    site = site_with(address_delay=(50, 50))
    provider = site.provider()
    handle = await provider.create(intent(), KEYS)
    site.after(10)
    assert await provider.describe(handle) == Observation(ResourceState.PENDING)


async def test_stop_and_start(site):
    provider = site.provider()
    handle = await provider.create(intent(), KEYS)
    with pytest.raises(Transient):
        await provider.stop(handle)
    site.after(LONG)
    await provider.stop(handle)
    site.after(LONG)
    assert await state_of(provider, handle) is ResourceState.STOPPED
    await provider.start(handle)
    site.after(LONG)
    assert await state_of(provider, handle) is ResourceState.READY


async def test_what_the_machine_carries(site, tmp_path):
    (tmp_path / "host").write_text("the key")
    end = datetime(2030, 1, 1, tzinfo=timezone.utc)
    provider = site.provider()
    keys = Keys(public_key="pub", host_key_file=str(tmp_path / "host"))
    handle = await provider.create(intent(expires_at=end), keys)
    record = site.cloud.record(handle.id)
    assert record.user_data == {"authorized_keys": ["pub"], "host_key": "the key"}
    assert record.tags == {
        "multiplespawner-intent": "a",
        "multiplespawner-installation": "i" * 32,
        "multiplespawner-owner": "ada",
        "multiplespawner-deadline": end.isoformat(),
    }
    later = end + timedelta(hours=1)
    await provider.extend(handle, later)
    assert site.cloud.record(handle.id).tags[DEADLINE_TAG] == later.isoformat()


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "of_create", "of_describe"),
        [
            ("invalid", InvalidSpecification, InvalidSpecification),
            ("quota", Quota, Quota),
            ("capacity", Capacity, Capacity),
            ("unauthorized", Unauthorized, Unauthorized),
            ("not_found", Unauthorized, Unauthorized),
            ("state", Transient, Transient),
            ("token", InvalidSpecification, InvalidSpecification),
            ("throttled", Throttled, Throttled),
            ("internal", OutcomeUnknown, Transient),
            ("unavailable", OutcomeUnknown, Transient),
        ],
    )
    async def test_of_what_the_cloud_says(self, site, error, of_create, of_describe):
        provider = site.provider()
        handle = await provider.create(intent(), KEYS)
        site.cloud.add_fault(Fault.everything(error))
        with pytest.raises(of_create):
            await provider.create(intent("b"), KEYS)
        for call in (provider.describe(handle), provider.find(intent(), NORTH)):
            with pytest.raises(of_describe):
                await call

    async def test_throttled_says_for_how_long(self, site):
        site.cloud.add_fault(Fault(FaultKind.REFUSE, error="throttled", delay=9))
        with pytest.raises(Throttled) as caught:
            await site.provider().create(intent(), KEYS)
        assert caught.value.retry_after == 9

    async def test_nobody_listens(self, site):
        site.cloud.add_fault(Fault.outage())
        with pytest.raises(Transient):
            await site.provider().create(intent(), KEYS)
        assert site.cloud.records() == []

    async def test_an_answer_that_was_lost(self, site):
        provider = site.provider()
        site.cloud.add_fault(Fault(FaultKind.DROP, "create"))
        with pytest.raises(OutcomeUnknown):
            await provider.create(intent(), KEYS)
        handle = await provider.create(intent(), KEYS)
        assert [one.id for one in site.cloud.records()] == [handle.id]
        site.cloud.add_fault(Fault(FaultKind.DROP, "get"))
        with pytest.raises(Transient):
            await provider.describe(handle)
        site.cloud.add_fault(Fault(FaultKind.DROP, "terminate"))
        with pytest.raises(OutcomeUnknown):
            await provider.delete(handle)

    async def test_another_request_with_the_same_token(self, site):
        provider = site.provider()
        await provider.create(intent(), KEYS)
        with pytest.raises(InvalidSpecification):
            await provider.create(intent(shape="large"), KEYS)


class TestGone:
    @pytest.mark.parametrize("error", ["not_found", "unauthorized", "internal"])
    async def test_an_error_is_no_evidence(self, site, error):
        provider = site.provider()
        handle = await provider.create(intent(), KEYS)
        site.after(LONG)
        site.cloud.add_fault(Fault.everything(error))
        for call in (provider.describe(handle), provider.delete(handle)):
            with pytest.raises((Unauthorized, Transient, OutcomeUnknown)):
                await call

    async def test_not_shown_by_itself_and_shown_in_a_list(self, site):
        provider = site.provider()
        handle = await provider.create(intent(), KEYS)
        site.cloud.add_fault(Fault(FaultKind.REFUSE, "get", error="not_found"))
        with pytest.raises(Transient):
            await provider.describe(handle)

    async def test_not_shown_yet(self, lagging):
        """Whatever the lag is, a machine that costs never is GONE."""
        provider = lagging.provider()
        handle = await provider.create(intent(), KEYS)
        for _ in range(200):
            try:
                state = await state_of(provider, handle)
            except Transient:
                continue
            assert state is not GONE
            lagging.after(0.1)

    async def test_what_depends_on_it_is_not_shown_yet(self, lagging):
        provider = lagging.provider()
        made = await provider.create(intent(), KEYS)
        part = lagging.cloud.record(made.id).dependents[0]
        handle = Handle(part.id, NORTH, data={**made.data, "instance": made.id})
        for _ in range(300):
            with contextlib.suppress(Transient):
                assert await state_of(provider, handle) is not GONE
            lagging.after(0.1)

    async def test_terminated_while_young(self, lagging):
        provider = lagging.provider()
        handle = await provider.create(intent(), KEYS)
        lagging.cloud.add_fault(Fault(FaultKind.STRAND, "terminate"))
        await provider.delete(handle)
        for _ in range(300):
            lagging.after(0.1)
            with contextlib.suppress(Transient):
                assert await state_of(provider, handle) is not GONE

    async def test_not_while_something_is_left_of_it(self, site):
        provider = site.provider()
        handle = await provider.create(intent(), KEYS)
        site.cloud.add_fault(Fault(FaultKind.STRAND, "terminate"))
        await provider.delete(handle)
        site.after(LONG)
        assert await state_of(provider, handle) is ResourceState.DELETING
        assert [one.id for one in await provider.find(intent(), NORTH)] == [handle.id]
        await provider.delete(handle)
        assert await state_of(provider, handle) is GONE
        assert site.cloud.meter().running == frozenset()

    async def test_after_its_record_has_gone(self, site):
        provider = site.provider()
        handle = await provider.create(intent(), KEYS)
        await provider.delete(handle)
        site.after(LONG + site.cloud.settings.retention)
        assert await state_of(provider, handle) is GONE
        await provider.delete(handle)

    async def test_a_delete_that_was_ignored(self, site):
        provider = site.provider()
        handle = await provider.create(intent(), KEYS)
        site.cloud.add_fault(Fault(FaultKind.IGNORE, "terminate"))
        await provider.delete(handle)
        site.after(LONG)
        assert await state_of(provider, handle) is ResourceState.READY


async def test_two_that_carry_one_intent(site):
    site.cloud.add_fault(Fault(FaultKind.TWICE, "create"))
    provider = site.provider()
    handle = await provider.create(intent(), KEYS)
    found = await provider.find(intent(), NORTH)
    assert len(found) == 2
    assert handle in found


async def test_one_that_failed(site):
    site.cloud.add_fault(Fault(FaultKind.FAIL_LATER, "create"))
    provider = site.provider()
    handle = await provider.create(intent(), KEYS)
    site.after(LONG)
    expected = Observation(ResourceState.FAILED, reason="The machine did not come up.")
    assert await provider.describe(handle) == expected


@pytest.mark.parametrize(("name", "error"), [("capacity", Capacity), ("quota", Quota)])
async def test_one_that_failed_for_want_of_room(site, name, error):
    site.cloud.add_fault(Fault(FaultKind.FAIL_LATER, "create", error=name))
    provider = site.provider()
    handle = await provider.create(intent(), KEYS)
    site.after(LONG)
    seen = await provider.describe(handle)
    assert (seen.state, seen.error) == (ResourceState.FAILED, error)
    assert seen.reason


async def test_everything_that_is_owned(site_with):
    site = site_with(page=2)
    provider = site.provider()
    handles = [await provider.create(intent(f"n{n}"), KEYS) for n in range(5)]
    await provider.create(intent("other", installation_id="o" * 32), KEYS)
    await provider.create(intent("south", scope="south"), KEYS)
    site.cloud.add_fault(Fault(FaultKind.STRAND, "terminate"))
    await provider.delete(handles[0])
    await provider.delete(handles[1])
    site.after(LONG)
    owned = await provider.list_owned("i" * 32, NORTH)
    machines = {one.handle.id for one in owned if not one.dependent}
    assert machines == {one.id for one in handles[2:]}
    assert {one.intent_id for one in owned} == {"n0", "n2", "n3", "n4"}
    left = [one for one in owned if one.dependent and one.state is ResourceState.STOPPED]
    assert len(left) == 2
    for one in left:
        await provider.delete(one.handle)
        assert await state_of(provider, one.handle) is GONE
    assert {one.intent_id for one in await provider.list_owned("i" * 32, NORTH)} == {
        "n2", "n3", "n4",
    }  # fmt: skip


async def test_a_list_of_which_a_page_failed_is_none(site_with):
    site = site_with(page=2)
    provider = site.provider()
    for n in range(5):
        await provider.create(intent(f"n{n}"), KEYS)
    site.cloud.add_fault(Fault(FaultKind.REFUSE, "list", nth=3))
    with pytest.raises(Transient):
        await provider.list_owned("i" * 32, NORTH)


class TestOffers:
    WANTED = Specification("virtual_machine", cpu=1, memory=2)

    async def test_the_smallest_first(self, site):
        offers = await site.provider().offers(self.WANTED)
        assert [(one.shape, one.scope.key) for one in offers] == [
            ("small", "north"), ("small", "south"), ("large", "north"), ("large", "south"),
        ]  # fmt: skip

    async def test_what_cannot_be_had_comes_last_with_the_reason(self, site_with):
        site = site_with(capacity={"north": {"small": 0}}, quotas={"south": {"small": 0}})
        offers = await site.provider().offers(self.WANTED)
        assert [one.availability for one in offers[2:]] == [
            Availability.NO_CAPACITY,
            Availability.NO_QUOTA,
        ]
        assert all(one.reason for one in offers[2:])

    @pytest.mark.parametrize("wanted", [{"cpu": 5}, {"memory": 17}, {"gpu": 1}])
    async def test_what_never_fits(self, site, wanted):
        with pytest.raises(InvalidSpecification):
            await site.provider().offers(replace(self.WANTED, **wanted))

    async def test_another_type(self, site):
        with pytest.raises(InvalidSpecification):
            await site.provider().offers(Specification("container"))

    async def test_a_scope_that_does_not_answer(self, site):
        provider = site.provider()
        site.cloud.add_fault(Fault.outage(scope="south"))
        assert {one.scope.key for one in await provider.offers(self.WANTED)} == {"north"}
        site.cloud.faults.clear()
        await provider.offers(self.WANTED)
        site.cloud.add_fault(Fault.outage(scope="south"))
        offers = await provider.offers(self.WANTED)
        south = [one for one in offers if one.scope.key == "south"]
        assert [one.availability for one in south] == [Availability.UNKNOWN] * 2
        site.cloud.add_fault(Fault.outage())
        with pytest.raises(Transient):
            await site.provider().offers(self.WANTED)


async def test_cancelled_while_it_is_created_it_ends_once_the_outcome_is_settled(site):
    provider = site.provider()
    site.cloud.add_fault(Fault(FaultKind.HOLD, "create", delay=0.1))
    creating = asyncio.create_task(provider.create(intent(), KEYS))
    await asyncio.sleep(0.02)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert len(site.cloud.records()) == 1


async def test_requests_at_once_are_bounded(site):
    provider = site.provider(concurrency=2)
    under_way, most = 0, 0
    exchange = provider._exchange

    async def counted(call):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await exchange(call)

    provider._exchange = counted
    await asyncio.gather(*(provider.create(intent(f"n{n}"), KEYS) for n in range(6)))
    assert most == 2


async def test_it_blocks_where_it_is_told_to(site):
    provider = site.provider(blocking={"describe": 0.05})
    handle = await provider.create(intent(), KEYS)
    began = time.monotonic()
    await provider.describe(handle)
    assert time.monotonic() - began >= 0.05


async def test_a_scope_of_which_nothing_is_known(site):
    with pytest.raises(Unauthorized):
        await site.provider().describe(Handle("vm-1", Scope("model", "west")))
