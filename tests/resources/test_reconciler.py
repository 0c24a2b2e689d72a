"""What providers hold against what the ledger says."""

from __future__ import annotations

import asyncio

import alembic.command
import alembic.config
import pytest
from fakes import SCOPE, FakeProvider
from hypothesis import given
from hypothesis import strategies as st
from resources.parts import ADA, closed
from sqlalchemy import create_engine

from multiplespawner_core.contracts import (
    ConfigurationError,
    Handle,
    Offer,
    Owned,
    Owner,
    ResourceState,
    Scope,
    Specification,
    Unauthorized,
)
from multiplespawner_core.resources.database import MIGRATIONS
from multiplespawner_core.resources.providers import Reach
from multiplespawner_core.resources.reconciler import Verdict, judge
from multiplespawner_core.resources.record import Phase, Record

pytestmark = pytest.mark.usefixtures("impatient")

READY = ResourceState.READY
EVE = Owner("eve")
HERE = Reach(SCOPE, ("virtual_machine",))


async def sweep(hub, **options):
    return await hub.manager.reconciler.sweep(**options)


def verdicts(report):
    return {one.owned.handle.id: (one.verdict, one.deleted) for one in report.found}


async def test_what_serves_is_left_alone(hub):
    resource = await hub.running()
    hub.cloud["disk-1"] = (resource.id, "", READY)
    report = await sweep(hub)
    (scope,) = report.scopes
    assert (scope.reach, scope.count, scope.found, scope.ended) == (HERE, 2, (), ())
    assert len(hub.cloud) == 2
    assert resource.poll() is None


async def test_a_second_resource_of_an_intent_is_deleted(hub):
    resource = await hub.running()
    hub.cloud["vm-extra"] = (resource.id, "", READY)
    assert verdicts(await sweep(hub)) == {"vm-extra": (Verdict.EXTRA, True)}
    assert list(hub.cloud) == [resource.record.handle.id]


async def test_what_a_second_resource_left_behind_is_deleted_once_it_is_gone(hub):
    """Found by a schedule: it stayed, and cost, for as long as the first one served."""
    resource = await hub.running()
    hub.cloud |= dict.fromkeys(("vm-extra", "disk-1", "disk-2"), (resource.id, "", READY))
    hub.provider.of = {"disk-1": resource.record.handle.id, "disk-2": "vm-extra"}
    report = await sweep(hub)
    assert verdicts(report) == dict.fromkeys(["vm-extra", "disk-2"], (Verdict.EXTRA, True))
    assert set(hub.cloud) == {resource.record.handle.id, "disk-1", "disk-2"}
    assert verdicts(await sweep(hub)) == {"disk-2": (Verdict.EXTRA, True)}
    assert set(hub.cloud) == {resource.record.handle.id, "disk-1"}


async def test_what_was_left_of_a_closed_intent_is_deleted(hub):
    """A provider that accepted a create hours later, or ignored a delete that it had accepted."""
    resource = await hub.running()
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    hub.cloud["vm-late"] = (resource.id, "", READY)
    assert verdicts(await sweep(hub)) == {"vm-late": (Verdict.LEFTOVER, True)}
    assert hub.cloud == {}


async def test_what_the_ledger_never_held_is_reported_and_left_alone(hub, caplog):
    hub.cloud["vm-newer"] = ("f" * 32, "", READY)
    hub.cloud["disk-newer"] = (None, "", READY)
    for _ in range(3):
        assert verdicts(await sweep(hub)) == {
            "vm-newer": (Verdict.UNKNOWN, False),
            "disk-newer": (Verdict.UNKNOWN, False),
        }
    assert len(hub.cloud) == 2
    assert caplog.text.count("vm-newer in fake here is this installation's") == 1
    assert "a ledger was lost or restored" in caplog.text
    assert "see multiplespawner resources list" in caplog.text


async def test_a_dry_run_says_what_would_be_done(hub):
    resource = await hub.running()
    hub.cloud["vm-extra"] = (resource.id, "", READY)
    hub.cloud["vm-newer"] = ("f" * 32, "", READY)
    report = await sweep(hub, dry_run=True)
    assert verdicts(report) == {
        "vm-extra": (Verdict.EXTRA, True),
        "vm-newer": (Verdict.UNKNOWN, False),
    }
    assert len(hub.cloud) == 3
    assert hub.manager.reconciler.latest is not report


async def test_a_start_under_way_is_not_disturbed(hub):
    hub.provider.gates["create"] = gate = asyncio.Event()
    resource = hub.begin()
    while not hub.provider.intents:
        await asyncio.sleep(0)
    hub.cloud["vm-early"] = (resource.id, resource.record.token, READY)
    assert verdicts(await sweep(hub)) == {}
    gate.set()
    await resource.url
    assert resource.record.handle.id == "vm-early"


async def test_a_list_that_fails_proves_nothing_and_holds_up_no_other_scope(hub):
    resource = await hub.running()
    other = hub.begin(owner=EVE)
    await other.url
    await hub.ledger.update(other.record, offer=Offer(Scope("fake", "there"), "small"))
    hub.cloud["vm-extra"] = (resource.id, "", READY)
    hub.provider.faults["list_owned"] = [Unauthorized("the key was refused")]
    first, second = (await sweep(hub)).scopes
    assert (first.error, first.count) == ("Unauthorized: the key was refused", 0)
    assert not first.ended
    assert second.reach.scope.key == "there"
    assert verdicts(await sweep(hub)) == {}
    assert resource.poll() is None


async def test_scopes_are_asked_for_ever_though_nothing_reaches_them_any_more(hub):
    resource = await hub.running()
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    hub.providers.reached = _nothing
    assert [scope.reach for scope in (await sweep(hub)).scopes] == [HERE]


async def _nothing():
    return []


async def test_a_plugin_that_is_missing_is_an_error_of_its_scope(hub, caplog):
    resource = await hub.running()
    told = "nothing is known of fake here: ConfigurationError"
    for times in (1, 2):
        hub.providers.error = ConfigurationError("no plugin offers 'fake'")
        for _ in range(3):
            (scope,) = (await sweep(hub)).scopes
            assert scope.error == "ConfigurationError: no plugin offers 'fake'"
        assert resource.poll() is None
        assert caplog.text.count(told) == times, "the log says so once while it lasts"
        hub.providers.error = None
        (scope,) = (await sweep(hub)).scopes
        assert scope.error == ""


async def test_a_server_that_a_lagging_list_lacks_goes_on(hub):
    resource = await hub.running()
    hub.provider.unlisted.add(resource.record.handle.id)
    (scope,) = (await sweep(hub)).scopes
    assert scope.ended == ()
    assert resource.poll() is None


async def test_a_server_whose_resource_is_gone_ends_and_jupyterhub_hears_of_it(hub):
    resource = await hub.running()
    hub.cloud.clear()
    (scope,) = (await sweep(hub)).scopes
    assert scope.ended == (resource.id,)
    await closed(resource)
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    assert resource.poll() == 1


@pytest.mark.parametrize("state", [ResourceState.FAILED, ResourceState.STOPPED])
async def test_a_machine_that_is_down_at_two_sweeps_ends_its_server(hub, state):
    resource = await hub.running()
    resource.child.poll_error = OSError("nobody answers")
    ((handle, (intent, token, _)),) = hub.cloud.items()
    hub.cloud[handle] = (intent, token, state)
    hub.provider.grace = 0.1
    for _ in range(2):
        await sweep(hub)
        assert resource.poll() is None  # it may be an old answer
        assert resource.release is None
    await asyncio.sleep(0.1)
    report = await sweep(hub)
    assert report.scopes[0].ended == (resource.id,)
    await asyncio.wait_for(resource.child.noticed.wait(), 5)
    await closed(resource)
    assert hub.cloud == {}
    (row,) = await hub.rows()
    assert row.reason == f"its provider shows it as {state.value}"


async def test_a_reservation_is_no_server(hub):
    """Where the child made the thing, its place is still listed once it is gone."""
    resource = await hub.running()
    reserved = Owned(resource.record.handle, resource.id, ResourceState.PENDING)

    async def reserved_only(installation_id, scope):
        return [reserved]

    hub.provider.list_owned = reserved_only
    assert (await sweep(hub)).scopes[0].ended == ()
    hub.cloud.clear()
    assert (await sweep(hub)).scopes[0].ended == (resource.id,)


async def test_a_delete_that_fails_is_tried_again_by_the_next_sweep(hub):
    resource = await hub.running()
    hub.cloud["vm-extra"] = (resource.id, "", READY)
    hub.provider.faults["delete"] = [Unauthorized("the key was refused"), RuntimeError("token=abc")]
    (first,) = (await sweep(hub)).found
    (second,) = (await sweep(hub)).found
    assert [(one.deleted, one.error) for one in (first, second)] == [
        (False, "Unauthorized: the key was refused"),
        (False, "RuntimeError, see the log"),
    ]
    assert verdicts(await sweep(hub)) == {"vm-extra": (Verdict.EXTRA, True)}


async def test_a_restart_asks_each_scope_once_and_no_server_by_itself(hub, monkeypatch):
    monkeypatch.setattr(FakeProvider, "poll_interval", 60.0)
    resources = [hub.begin(owner=Owner(f"user{number}")) for number in range(30)]
    await asyncio.gather(*(one.url for one in resources))
    await hub.die()
    hub.open(serving={one.id for one in resources})
    found = [hub.manager.find(one.id) for one in resources]
    await asyncio.wait_for(asyncio.gather(*(one.verified.wait() for one in found)), 5)
    assert hub.provider.calls.count("list_owned") == 1
    assert "describe" not in hub.provider.calls[: hub.provider.calls.index("list_owned") + 1]
    assert [one.poll() for one in found] == [None] * 30


async def test_sweeps_go_on(hub, tmp_path):
    await hub.die()
    hub.open(sweep_interval=0.01)
    resource = await hub.running()
    hub.serving.add(resource.id)
    for number in range(3):
        hub.cloud[f"vm-extra{number}"] = (resource.id, "", READY)
        while len(hub.cloud) > 1:
            await asyncio.sleep(0.01)
    hub.provider.faults["list_owned"] = [RuntimeError("a defect")]
    while hub.provider.faults["list_owned"]:
        await asyncio.sleep(0.01)
    hub.cloud["vm-extra"] = (resource.id, "", READY)
    while len(hub.cloud) > 1:
        await asyncio.sleep(0.01)


async def test_a_server_that_jupyterhub_does_not_know_is_released(hub):
    """Its user was deleted behind JupyterHub's back, or its database was restored."""
    await hub.die()
    hub.open(sweep_interval=0.01)
    kept = await hub.running(owner=EVE)
    hub.serving.add(kept.id)
    resource = await hub.running()
    await closed(resource)
    assert resource.record.reason == "JupyterHub knows no server for it"
    assert kept.poll() is None


async def test_a_server_that_jupyterhub_is_about_to_write_down_is_left_alone(hub):
    resource = await hub.running()
    unserved = hub.manager._release_unserved(set(), lambda: hub.serving)
    assert unserved == {resource.id}
    await asyncio.sleep(0.05)
    assert resource.running
    hub.serving.add(resource.id)
    assert hub.manager._release_unserved(unserved, lambda: hub.serving) == set()
    await asyncio.sleep(0.05)
    assert resource.running


async def test_while_nobody_knows_what_jupyterhub_shows_nothing_is_released(hub):
    await hub.die()
    hub.serving = None
    hub.open(sweep_interval=0.01)
    hub.serving = None
    resource = await hub.running()
    for _ in range(5):
        await sweep(hub)
        await asyncio.sleep(0.01)
    assert resource.poll() is None


RECORD = Record(
    id="1" * 32,
    installation_id="i" * 32,
    owner=ADA,
    generation=1,
    template="T",
    deployment="D",
    provider="fake",
    offer=Offer(SCOPE, "small"),
    specification=Specification("virtual_machine"),
    created_at=0.0,
)
PHASES = st.sampled_from(list(Phase))
HANDLES = st.sampled_from([None, Handle("mine", SCOPE), Handle("mine", Scope("fake", "there"))])


@given(
    phase=PHASES,
    handle=HANDLES,
    owned_id=st.sampled_from(["mine", "other"]),
    state=st.sampled_from(list(ResourceState)),
    depends_on=st.sampled_from([False, None, "mine", "other"]),
)
def test_only_what_is_proven_superfluous_is_ever_deleted(
    phase, handle, owned_id, state, depends_on
):
    row = type(RECORD)(**{**vars(RECORD), "phase": phase, "handle": handle})
    dependent = depends_on is not False
    owned = Owned(Handle(owned_id, SCOPE), row.id, state, dependent, depends_on or None)
    verdict = judge(owned, row)
    if verdict is Verdict.LEFTOVER:
        assert phase is Phase.CLOSED
    elif verdict is Verdict.EXTRA:
        assert phase not in (Phase.CLOSED, Phase.RELEASING)
        assert handle is not None
        assert (depends_on if dependent else owned_id) == "other"
    else:
        assert verdict is Verdict.LIVE
        assert phase is not Phase.CLOSED
    assert judge(owned, None) is Verdict.UNKNOWN


async def test_every_scope_of_the_ledger_is_known_after_an_upgrade(hub):
    """Rows that were written before scopes had a table of their own."""
    await hub.running()
    await hub.die()
    engine = create_engine(f"sqlite:///{hub.directory / 'ledger.sqlite'}")
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as config.attributes["connection"]:
        alembic.command.downgrade(config, "0002")
    engine.dispose()
    hub.open()
    assert await hub.ledger.reaches() == [HERE]


async def test_the_rows_of_many_intents(hub):
    resource = await hub.running()
    wanted = {resource.id, *(f"{number:032x}" for number in range(1000))}
    assert set(await hub.ledger.rows(wanted)) == {resource.id}
    assert await hub.ledger.rows(set()) == {}
