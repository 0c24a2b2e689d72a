"""What a template keeps is stopped instead of deleted, and started again with the next start."""

from __future__ import annotations

import asyncio
import time

import pytest
from fakes import FakeChild
from resources.parts import ADA, closed

from multiplespawner_core.contracts import (
    Capacity,
    OutcomeUnknown,
    Owner,
    ResourceState,
    Transient,
)
from multiplespawner_core.resources.failures import Refused, StartCancelled, StartFailed
from multiplespawner_core.resources.inventory import Inventory
from multiplespawner_core.resources.pipeline import Resumer
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.release import GONE
from multiplespawner_core.web import kept as kept_module
from multiplespawner_core.web.kept import give_up

pytestmark = pytest.mark.usefixtures("impatient")

SIZED = "of the same size, or give them up on the hub's home page"


@pytest.fixture
def hub(hub):
    hub.provider.stop_start = True
    return hub


def states(hub):
    return [state.value for _, _, state in hub.cloud.values()]


def again(hub) -> Resumer:
    async def resumer(kept):
        plan = await hub.planner()
        same = (plan.template, plan.deployment, plan.specification)
        return plan if same == (kept.template, kept.deployment, kept.specification) else None

    return resumer


async def running(hub, child=None, **plan):
    resource = hub.begin(child, resumer=again(hub), keeps=True, **plan)
    await asyncio.wait_for(asyncio.shield(resource.url), 5)
    return resource


async def kept(hub, **plan):
    """A server that ran and was stopped; what is kept of it."""
    resource = await running(hub, **plan)
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    return hub.manager.find(resource.id)


async def test_a_stop_keeps_and_the_next_start_resumes(hub):
    first = await running(hub)
    (machine,) = hub.cloud
    await hub.manager.release(first, "it was stopped")
    assert first.poll() == 0
    await closed(first)
    assert states(hub) == ["stopped"]
    (row,) = await hub.rows()
    assert (row.phase, row.reason, row.generation) == (Phase.KEPT, "it was stopped", 1)
    assert hub.cleaned == []

    second = await running(hub)
    assert (second.id, second.record.handle.id) == (first.id, machine)
    assert states(hub) == ["ready"]
    assert second.poll() is None
    (row,) = await hub.rows()
    assert (row.phase, row.reason, row.generation) == (Phase.RUNNING, "", 2)
    assert row.began_at > row.created_at


async def test_the_end_is_committed_before_the_provider_is_asked_to_stop(hub):
    gate = hub.provider.gates["stop"] = asyncio.Event()
    resource = await running(hub)
    await hub.manager.release(resource, "it was stopped")
    assert resource.poll() == 0
    assert [row.phase for row in await hub.rows()] == [Phase.STOPPING]
    assert not resource.closed.is_set()
    gate.set()
    await closed(resource)


async def test_accepted_is_not_stopped(hub, monkeypatch):
    resource = await running(hub)
    monkeypatch.setattr(hub.provider, "_become", lambda handle, state: None)
    hub.manager.begin_release(resource, "it was stopped")
    while hub.provider.calls.count("describe") < 3:
        await asyncio.sleep(0.01)
    assert [row.phase for row in await hub.rows()] == [Phase.STOPPING]
    ((machine, (intent, token, _)),) = hub.cloud.items()
    hub.cloud[machine] = (intent, token, ResourceState.STOPPED)
    await closed(resource)
    assert hub.manager.find(resource.id).kept


async def test_what_is_gone_when_it_is_stopped_is_closed(hub):
    resource = await running(hub)
    hub.cloud.clear()
    hub.manager.begin_release(resource, "it was stopped")
    await closed(resource)
    assert [(row.phase, row.reason) for row in await hub.rows()] == [(Phase.CLOSED, GONE)]
    assert hub.manager.of(ADA) == []


@pytest.mark.parametrize("error", [Transient("no"), OutcomeUnknown("lost"), RuntimeError("x")])
async def test_a_stop_that_fails_is_tried_until_it_is_shown(hub, error):
    hub.provider.faults["stop"] = [error, error]
    hub.provider.faults["describe"] = [Transient("no")]
    thing = await kept(hub)
    assert thing.kept
    assert hub.provider.calls.count("stop") == 3
    assert thing.record.last_error == ""


async def test_its_user_gives_up_what_is_kept(hub):
    thing = await kept(hub)
    assert hub.manager.kept("ada") == [thing]
    assert hub.manager.kept("bob") == []
    await give_up(hub.manager, ADA, "user ada")
    assert hub.manager.kept("ada") == []
    await closed(thing)
    assert hub.cloud == {}
    reason = "user ada gave up what was kept"
    assert [(row.phase, row.reason) for row in await hub.rows()] == [(Phase.CLOSED, reason)]
    with pytest.raises(Refused, match="Nothing is kept for this server") as caught:
        await give_up(hub.manager, ADA, "user ada")
    assert caught.value.status == 404


async def test_what_is_in_use_or_somebody_else_s_is_not_given_up(hub):
    resource = await running(hub)
    with pytest.raises(Refused, match="stop it first") as caught:
        await give_up(hub.manager, ADA, "user ada")
    assert caught.value.status == 409
    assert resource.poll() is None
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    with pytest.raises(Refused, match="Nothing is kept"):
        await give_up(hub.manager, Owner("ada", "lab"), "user ada")
    gate = hub.provider.gates["start"] = asyncio.Event()
    again_running = hub.begin(resumer=again(hub), keeps=True)
    while "start" not in hub.provider.calls:
        await asyncio.sleep(0)
    with pytest.raises(Refused, match="stop it first"):
        await give_up(hub.manager, ADA, "user ada")
    gate.set()
    await asyncio.wait_for(asyncio.shield(again_running.url), 5)


async def test_what_is_just_being_stopped_is_given_up(hub):
    gate = hub.provider.gates["stop"] = asyncio.Event()
    resource = await running(hub)
    await hub.manager.release(resource, "it was stopped")
    assert hub.manager.kept("ada") == [resource]
    giving = asyncio.ensure_future(give_up(hub.manager, ADA, "user ada"))
    await asyncio.sleep(0.05)
    gate.set()
    await asyncio.wait_for(giving, 5)
    await closed(resource)
    assert hub.cloud == {}


async def test_what_cannot_be_recorded_yet_is_told(hub, monkeypatch):
    monkeypatch.setattr(kept_module, "_COMMIT", 0.05)
    thing = await kept(hub)
    back, update = asyncio.Event(), hub.ledger.update

    async def late(*arguments, **changes):
        await back.wait()
        await update(*arguments, **changes)

    monkeypatch.setattr(hub.ledger, "update", late)
    with pytest.raises(Refused, match="it is deleted as soon as it can") as caught:
        await give_up(hub.manager, ADA, "user ada")
    assert caught.value.status == 503
    back.set()
    await closed(thing)
    assert hub.cloud == {}


async def test_what_ran_nowhere_yet_is_not_kept(hub):
    resource = hub.begin(FakeChild(fail=RuntimeError("x")), resumer=again(hub), keeps=True)
    with pytest.raises(StartFailed):
        await resource.url
    await closed(resource)
    assert hub.cloud == {}


async def test_what_is_not_to_be_kept_is_deleted(hub):
    resource = await hub.running()
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


@pytest.mark.parametrize("how", ["its own end", "lifetime"])
async def test_every_end_of_a_server_keeps(hub, how):
    resource = await running(hub, lifetime=0.3 if how == "lifetime" else None)
    if how == "its own end":
        hub.child.alive = False
    await closed(resource)
    assert states(hub) == ["stopped"]
    assert hub.child.noticed.is_set()
    assert hub.manager.find(resource.id).kept


async def test_the_lifetime_counts_anew_and_the_provider_hears_of_it(hub):
    thing = await kept(hub, lifetime=60)
    before = thing.record.expires_at
    await asyncio.sleep(0.05)
    resource = await running(hub, lifetime=90)
    row = resource.record
    assert row.expires_at == row.began_at + 90 > before
    assert hub.provider.deadlines[row.handle.id].timestamp() == pytest.approx(row.expires_at)


async def test_where_no_lifetime_is_wanted_the_old_deadline_does_not_stay(hub):
    await kept(hub, lifetime=60)
    resource = await running(hub)
    assert resource.record.expires_at is None
    (deadline,) = hub.provider.deadlines.values()
    assert deadline.timestamp() > time.time() + 10**9


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"start": [Capacity("no room")]}, "Starting what was kept failed: no room"),
        ({"describe": ["failed"]}, "What was kept could not be started: a reason."),
        ({"child": RuntimeError("x")}, "Starting the server failed for a technical reason."),
    ],
)
async def test_a_start_that_fails_leaves_what_is_kept(hub, fault, says, monkeypatch):
    thing = await kept(hub)
    child = FakeChild(fail=fault.get("child"))
    hub.provider.faults["start"] = list(fault.get("start", ()))
    if "describe" in fault:
        monkeypatch.setattr(hub.provider, "_become", hub.provider.fails_to_become)
    resource = hub.begin(child, resumer=again(hub), keeps=True)
    with pytest.raises(StartFailed) as caught:
        await resource.url
    assert caught.value.message.startswith(says)
    assert caught.value.message.endswith("What is kept for this server stays.")
    await closed(resource)
    assert states(hub) == ["stopped"]
    assert hub.manager.find(thing.id).kept
    assert [row.phase for row in await hub.rows()] == [Phase.KEPT]


@pytest.mark.parametrize("step", ["start", "describe", "child"])
async def test_a_cancelled_start_leaves_what_is_kept(hub, step):
    thing = await kept(hub)
    child, gate = FakeChild(), asyncio.Event()
    hub.provider.calls.clear()
    if step == "child":
        child.gate = gate
    else:
        hub.provider.gates[step] = gate
    resource = hub.begin(child, resumer=again(hub), keeps=True)
    while (child.launch is None) if step == "child" else (step not in hub.provider.calls):
        await asyncio.sleep(0)
    hub.manager.begin_release(resource, "the start was cancelled")
    with pytest.raises(StartCancelled):
        await resource.url
    gate.set()
    await closed(resource)
    assert states(hub) == ["stopped"]
    assert hub.manager.find(thing.id).kept


@pytest.mark.slow
async def test_what_ignores_its_cancellation_is_waited_for(hub):
    """It could still start it again: only when it has ended is it kept."""
    thing = await kept(hub)
    child = FakeChild(ignore_cancel=True)
    child.gate = asyncio.Event()
    resource = hub.begin(child, resumer=again(hub), keeps=True)
    while child.launch is None:
        await asyncio.sleep(0)
    hub.manager.begin_release(resource, "the start was cancelled")
    while states(hub) != ["stopped"]:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert not resource.closed.is_set()
    child.gate.set()
    await closed(resource)
    assert hub.manager.find(thing.id).kept


@pytest.mark.parametrize("when", ["before", "after the start"])
async def test_what_is_gone_is_told_and_made_anew(hub, when):
    thing = await kept(hub)
    if when == "before":
        hub.cloud.clear()
    gate = hub.provider.gates["describe"] = asyncio.Event()
    starting = hub.begin(resumer=again(hub), keeps=True)
    while "start" not in hub.provider.calls:
        await asyncio.sleep(0)
    if when != "before":
        await asyncio.sleep(0.01)
        hub.cloud.clear()
    gate.set()
    await asyncio.wait_for(asyncio.shield(starting.url), 5)
    assert any("is gone at its provider" in e["message"] for e in starting.events.events)
    old, new = await hub.rows()
    assert (old.id, old.phase in (Phase.RELEASING, Phase.CLOSED)) == (thing.id, True)
    assert (new.id, new.phase, new.generation) == (starting.id, Phase.RUNNING, 3)
    assert states(hub) == ["ready"]


@pytest.mark.parametrize("restart", [False, True])
async def test_what_is_gone_is_told_at_the_next_start_also_after_a_restart(hub, restart):
    thing = await kept(hub)
    hub.cloud.clear()
    report = await hub.manager.reconciler.sweep()
    assert [one.ended for one in report.scopes] == [(thing.id,)]
    await closed(thing)
    (row,) = await hub.rows()
    assert (row.phase, row.reason) == (Phase.CLOSED, GONE)
    if restart:
        await hub.die()
        hub.open()
    for told in (True, False):
        resource = hub.begin()
        await asyncio.wait_for(asyncio.shield(resource.url), 5)
        messages = [event["message"] for event in resource.events.events]
        assert any("is gone at its provider" in message for message in messages) is told
        await hub.manager.release(resource, "it was stopped")
        await closed(resource)


async def test_another_choice_is_refused_with_what_there_is_to_do(hub):
    thing = await kept(hub)
    for begin in (hub.begin, hub.begin):  # not only once
        resource = begin(resumer=None, keeps=True)
        with pytest.raises(StartFailed, match=SIZED) as caught:
            await resource.url
        assert caught.value.status == 409
        assert thing.id in caught.value.message
    assert states(hub) == ["stopped"]
    assert hub.manager.find(thing.id) is thing


async def test_a_start_waits_until_it_is_stopped_and_then_resumes(hub):
    gate = hub.provider.gates["stop"] = asyncio.Event()
    first = await running(hub)
    hub.manager.begin_release(first, "it was stopped")
    second = hub.begin(resumer=again(hub), keeps=True)
    await asyncio.sleep(0.1)
    assert not second.url.done()
    gate.set()
    await asyncio.wait_for(asyncio.shield(second.url), 5)
    assert second.id == first.id
    assert [row.generation for row in await hub.rows()] == [2]


async def test_a_start_while_it_cannot_be_stopped_is_refused(hub, monkeypatch):
    monkeypatch.setattr("multiplespawner_core.resources.manager.HANDOVER_TIMEOUT", 0.05)
    gate = hub.provider.gates["stop"] = asyncio.Event()
    first = await running(hub)
    hub.manager.begin_release(first, "it was stopped")
    second = hub.begin(resumer=again(hub), keeps=True)
    with pytest.raises(StartFailed, match="is just being stopped"):
        await second.url
    gate.set()
    await closed(first)
    assert states(hub) == ["stopped"]


@pytest.mark.parametrize("phase", ["kept", "stopping", "running", "starting"])
async def test_a_deleted_server_leaves_nothing(hub, phase):
    thing = await kept(hub)
    gate = asyncio.Event()
    if phase == "starting":
        hub.provider.gates["start"] = gate
        thing = hub.begin(resumer=again(hub), keeps=True)
        while "start" not in hub.provider.calls:
            await asyncio.sleep(0)
    elif phase != "kept":
        thing = await running(hub)
    if phase == "stopping":
        hub.provider.calls.clear()
        hub.provider.gates["stop"] = gate
        hub.manager.begin_release(thing, "it was stopped")
        while "stop" not in hub.provider.calls:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, gate.set)
    await hub.manager.release(thing, "the server was deleted", for_good=True)
    assert [(row.phase, row.reason) for row in await hub.rows()] == [
        (Phase.RELEASING, "the server was deleted")
    ]
    gate.set()
    await closed(thing)
    assert hub.cloud == {}
    assert hub.manager.of(ADA) == []


async def test_an_administrator_sees_and_releases_what_is_kept(hub):
    thing = await kept(hub)
    inventory = Inventory(hub.manager, hub.providers)
    (shown,) = (await inventory.list())["resources"]
    assert (shown["id"], shown["phase"], shown["expires_at"]) == (thing.id, "kept", None)
    with pytest.raises(Exception, match="release it first"):
        await inventory.forget(thing.id, "no", "root")
    await inventory.release(thing.id, "root")
    await closed(thing)
    assert hub.cloud == {}
    (row,) = await hub.rows()
    assert (row.phase, row.reason) == (Phase.CLOSED, "released by root")


async def test_a_sweep_leaves_what_is_kept_and_stops_it_if_it_runs(hub):
    thing = await kept(hub)
    (machine,) = hub.cloud
    calls = hub.provider.calls
    calls.clear()
    report = await hub.manager.reconciler.sweep()
    assert (calls, report.found) == (["list_owned"], [])
    intent, token, _ = hub.cloud[machine]
    hub.cloud[machine] = (intent, token, ResourceState.READY)
    await hub.manager.reconciler.sweep()
    await closed(thing)
    assert states(hub) == ["stopped"]
    assert hub.manager.find(thing.id).kept


@pytest.mark.parametrize("phase", ["kept", "stopping", "resuming", "launching", "running"])
async def test_a_killed_hub_keeps_in_every_phase(hub, phase):
    thing = await kept(hub)
    steps = {"stopping": "stop", "resuming": "start"}
    hub.provider.calls.clear()
    if phase in steps:
        hub.provider.gates[steps[phase]] = asyncio.Event()
    child = FakeChild()
    if phase == "launching":
        child.gate = asyncio.Event()
    if phase in ("resuming", "launching"):
        hub.begin(child, resumer=again(hub), keeps=True)
        while child.launch is None and "start" not in hub.provider.calls:
            await asyncio.sleep(0)
        while phase == "launching" and child.launch is None:
            await asyncio.sleep(0)
    elif phase != "kept":
        thing = await running(hub, child)
    if phase == "stopping":
        hub.manager.begin_release(thing, "it was stopped")
        while "stop" not in hub.provider.calls:
            await asyncio.sleep(0)
    await hub.die()
    hub.open()  # JupyterHub shows no server
    hub.provider.stop_start = True
    while not hub.manager.find(thing.id).kept:
        await asyncio.sleep(0.01)
    assert states(hub) == ["stopped"]
    assert ("stop" in hub.provider.calls) is (phase != "kept")
    assert hub.manager.find(thing.id).poll() is not None
    resource = await running(hub)
    assert resource.id == thing.id


async def test_what_a_doubted_row_shows_as_starting_is_kept(hub):
    """Of a restored ledger: the server may have run since, and its files are its user's."""
    child = FakeChild()
    child.gate = asyncio.Event()
    resource = hub.begin(child, resumer=again(hub), keeps=True)
    while child.launch is None:
        await asyncio.sleep(0)
    await hub.ledger.update(resource.record, doubted_at=1.0, handle=None)
    await hub.die()
    hub.open()
    hub.provider.stop_start = True
    while not hub.manager.find(resource.id).kept:
        await asyncio.sleep(0.01)
    assert states(hub) == ["stopped"]


async def test_a_doubted_row_that_is_kept_may_be_a_server_that_runs(hub):
    thing = await kept(hub)
    await hub.ledger.update(thing.record, doubted_at=1.0)
    await hub.die()
    hub.open(serving={thing.id})
    resource = hub.manager.find(thing.id)
    assert resource.running
    assert resource.poll() is None
