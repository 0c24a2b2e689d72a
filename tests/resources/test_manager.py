"""Starts, releases and restarts, against a provider with faults on demand."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from fakes import FakeChild, FakeProvider, after
from resources.parts import ADA, Hub, closed

from multiplespawner_core.contracts import (
    Access,
    Authenticator,
    Capacity,
    ConfigurationError,
    Configurer,
    Keys,
    MadeBy,
    Observation,
    OpenFailed,
    OutcomeUnknown,
    Owner,
    ResourceState,
    Throttled,
    Transient,
    Unauthorized,
)
from multiplespawner_core.resources import manager as manager_module
from multiplespawner_core.resources import policy
from multiplespawner_core.resources import release as release_module
from multiplespawner_core.resources.failures import ChildFailed, StartCancelled, StartFailed
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.tables import intents

pytestmark = pytest.mark.usefixtures("impatient")


async def test_a_start_runs_and_a_stop_gives_everything_back(hub):
    resource = await hub.running()
    assert await resource.url == "http://192.0.2.1:8888"
    assert resource.poll() is None
    assert [row.phase for row in await hub.rows()] == [Phase.RUNNING]
    await hub.manager.release(resource, "it was stopped")
    assert resource.poll() == 0
    await closed(resource)
    assert hub.cloud == {}
    assert hub.child.stops == 1
    (row,) = await hub.rows()
    assert (row.phase, row.reason, row.exit_status) == (Phase.CLOSED, "it was stopped", 0)
    assert row.closed_at is not None
    assert hub.cleaned == [resource.id]
    assert hub.manager.find(resource.id) is None


async def test_intent_scope_and_token_are_committed_before_the_provider_hears(hub):
    gate = hub.provider.gates["create"] = asyncio.Event()
    resource = hub.begin()
    while "create" not in hub.provider.calls:
        await asyncio.sleep(0)
    (row,) = await hub.rows()
    assert (row.id, row.phase, row.scope.key) == (resource.id, Phase.CREATING, "here")
    assert row.token == resource.record.intent().token
    gate.set()
    await resource.url


async def test_the_handle_is_committed_before_anything_else_is_done_with_it(hub):
    gate = hub.provider.gates["describe"] = asyncio.Event()
    resource = hub.begin()
    while "describe" not in hub.provider.calls:
        await asyncio.sleep(0)
    (row,) = await hub.rows()
    assert row.phase is Phase.WAITING
    assert row.handle.id in hub.cloud
    gate.set()
    await resource.url


async def test_the_token_is_a_function_of_intent_and_attempt(hub):
    record = (await hub.running()).record
    other = type(record)(**{**vars(record), "attempt": 2})
    assert record.token == record.intent().token
    assert other.token != record.token


@pytest.mark.parametrize("step", ["offers", "create", "describe", "child"])
async def test_a_release_at_any_step_leaves_nothing(hub, step):
    gate = asyncio.Event()
    child = FakeChild()
    if step == "child":
        child.gate = gate
    else:
        hub.provider.gates[step] = gate
    resource = hub.begin(child)
    while (child.launch is None) if step == "child" else (step not in hub.provider.calls):
        await asyncio.sleep(0)
    began = time.monotonic()
    hub.manager.begin_release(resource, "the start was cancelled")
    with pytest.raises(StartCancelled):
        await resource.url
    await asyncio.wait_for(resource.released.wait(), 5)
    assert time.monotonic() - began < 1
    gate.set()
    await closed(resource)
    assert hub.cloud == {}
    assert not child.alive
    assert [row.phase for row in await hub.rows()] in ([], [Phase.CLOSED])


async def test_a_second_resource_that_lists_do_not_show_yet_is_deleted_with_the_first(hub):
    """A create that was accepted twice, and a server that is stopped at once."""
    hub.provider.grace = 0.3
    resource = await hub.running()
    hub.cloud["vm-twin"] = (resource.id, resource.record.token, ResourceState.READY)
    shown, find = resource.asked_at + 0.25, hub.provider.find

    async def lagging(intent, scope):
        found = await find(intent, scope)
        return [one for one in found if one.id != "vm-twin" or time.monotonic() >= shown]

    hub.provider.find = lagging
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}
    assert hub.provider.calls.index("delete") < hub.provider.calls.index("find")


async def test_lists_are_not_waited_for_where_the_create_was_long_ago(hub):
    hub.provider.grace = 0.2
    resource = await hub.running()
    await asyncio.sleep(0.2)
    hub.provider.grace = 3600
    resource.asked_at -= 3600
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)


async def test_a_delete_that_is_ignored_is_asked_for_again(hub, monkeypatch):
    monkeypatch.setattr(release_module, "_CALL_TIMEOUT", 60)
    resource = await hub.running()
    delete, ignored = hub.provider.delete, []

    async def ignoring(handle):
        if len(ignored) < 3:
            ignored.append(handle)
        else:
            await delete(handle)

    hub.provider.delete = ignoring
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


async def test_a_delete_that_takes_its_time_is_not_asked_for_all_the_time(hub, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(release_module, "_LOOK_PAUSE", 0.01)
    resource = await hub.running()
    ends, deleted = time.monotonic() + 1, []

    async def slowly(handle):
        deleted.append(handle.id)

    async def describe(handle):
        there = time.monotonic() < ends
        return Observation(ResourceState.DELETING if there else ResourceState.GONE)

    hub.provider.delete, hub.provider.describe = slowly, describe
    hub.cloud.clear()
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert len(deleted) == 1


async def test_what_cannot_be_given_back_for_want_of_a_plugin_is_known(hub):
    resource = await hub.running()
    hub.providers.error = ConfigurationError("no plugin offers 'fake'")
    assert hub.manager.stranded("ada") == [], "it runs"
    await hub.manager.release(resource, "it was stopped")
    assert hub.manager.stranded("ada") == [resource]
    assert hub.manager.stranded("eve") == []
    hub.providers.error = None
    assert hub.manager.stranded("ada") == []
    await closed(resource)


@pytest.mark.slow
async def test_a_child_that_ignores_its_cancellation_holds_up_nobody_and_is_waited_for(hub):
    child = FakeChild(ignore_cancel=True)
    child.gate = asyncio.Event()
    resource = hub.begin(child)
    while child.launch is None:
        await asyncio.sleep(0)
    hub.manager.begin_release(resource, "the start was cancelled")
    with pytest.raises(StartCancelled):
        await resource.url
    await asyncio.wait_for(resource.released.wait(), 1)
    while hub.cloud:
        await asyncio.sleep(0.01)
    # It could still make something: only when it has ended is the row closed.
    assert not resource.closed.is_set()
    hub.cloud["late"] = (resource.id, "token", ResourceState.READY)
    child.gate.set()
    await closed(resource)
    assert hub.cloud == {}


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (FakeChild, None),
        (
            lambda: FakeChild(fail=RuntimeError("token=SECRET123")),
            "Starting the server failed for a technical reason. Tell your administrator the id",
        ),
        (
            lambda: FakeChild(fail=ChildFailed("image x is not allowed")),
            "Starting the server failed: image x is not allowed",
        ),
        (
            lambda: FakeChild(fail=TimeoutError()),
            "Starting the server took too long, so the start was given up. Try again later.",
        ),
    ],
)
async def test_what_the_user_is_told_when_a_child_fails(hub, child, message):
    resource = hub.begin(child())
    if message is None:
        await resource.url
        return
    with pytest.raises(StartFailed) as failure:
        await resource.url
    assert str(failure.value).startswith(message)
    assert "SECRET" not in str(failure.value)
    await resource.settled(5)
    assert resource.poll() == 1
    last = resource.events.events[-1]
    assert last["failed"] is True
    assert last["message"] == failure.value.message
    await closed(resource)
    assert hub.cloud == {}


async def test_the_next_start_works_after_a_failed_one(hub):
    first = hub.begin(FakeChild(fail=RuntimeError("no")))
    with pytest.raises(StartFailed):
        await first.url
    second = await hub.running()
    assert second.record.generation == 2
    await closed(first)
    assert len(hub.cloud) == 1


async def test_no_capacity_is_said_and_nothing_is_left(hub):
    hub.provider.faults["create"] = [Capacity("this machine is full")]
    resource = hub.begin()
    with pytest.raises(StartFailed, match="Obtaining the resource failed: this machine is full"):
        await resource.url
    await closed(resource)
    assert hub.cloud == {}


async def test_a_lost_answer_makes_no_second_resource(hub):
    hub.provider.faults["create"] = [after(OutcomeUnknown("reset")), Transient("busy")]
    resource = await hub.running()
    assert len(hub.cloud) == 1
    assert resource.record.handle.id in hub.cloud


async def test_extra_resources_of_one_intent_are_deleted_with_it(hub):
    resource = await hub.running()
    hub.cloud["twin"] = (resource.id, "other-token", ResourceState.READY)
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


async def test_a_failed_delete_is_retried_for_ever_and_visible(hub):
    resource = await hub.running()
    hub.provider.faults["delete"] = [Unauthorized(f"key refused {n}") for n in range(20)]
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}
    assert hub.provider.calls.count("delete") == 21


async def test_the_error_of_a_failed_delete_stands_in_the_ledger(hub):
    resource = await hub.running()
    hub.providers.error = Unauthorized("the key was refused")
    await hub.manager.release(resource, "it was stopped")
    for _ in range(100):
        (row,) = await hub.rows()
        if row.last_error:
            break
        await asyncio.sleep(0.01)
    assert row.last_error == "Unauthorized: the key was refused"
    assert row.phase is Phase.RELEASING
    assert len(hub.cloud) == 1
    hub.providers.error = None
    await closed(resource)
    assert hub.cloud == {}


async def test_a_row_is_closed_only_on_evidence(hub):
    """A delete that is accepted and ignored once; an error is no absence."""
    resource = await hub.running()
    keep = dict(hub.cloud)
    hub.provider.faults["describe"] = [Unauthorized("404 or 401, who knows")]
    original = hub.provider.delete

    async def ignored(handle):
        hub.provider.delete = original

    hub.provider.delete = ignored
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert keep
    assert hub.cloud == {}


async def test_a_child_that_ends_by_itself_is_released_and_noticed(hub):
    resource = await hub.running()
    hub.child.alive = False
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    assert resource.poll() == 7
    await closed(resource)
    assert hub.cloud == {}


async def test_a_poll_that_fails_is_no_evidence(hub):
    resource = await hub.running()
    hub.child.poll_error = ConnectionError("the network is down")
    await asyncio.sleep(0.2)
    assert resource.poll() is None
    hub.child.poll_error = None
    hub.child.alive = False
    await asyncio.wait_for(hub.child.noticed.wait(), 5)


async def test_a_child_that_cannot_be_stopped_loses_its_resource(hub):
    resource = await hub.running()
    hub.child.stop_error = RuntimeError("no")
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


async def test_a_lifetime_ends_the_server_and_the_hub_notices(hub):
    resource = await hub.running(lifetime=1)
    assert resource.poll() is None
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    assert resource.poll() == 0
    await closed(resource)
    assert hub.child.stops == 1
    assert (await hub.rows())[0].reason == "its lifetime is over"


async def test_one_live_resource_a_server(hub):
    first = await hub.running()
    second = await hub.running()
    assert first.released.is_set()
    await closed(first)
    assert [row.phase for row in await hub.rows()] == [Phase.CLOSED, Phase.RUNNING]
    assert list(hub.cloud) == [second.record.handle.id]


async def test_a_hub_that_died_while_starting_leaves_nothing(hub):
    for step in ("create", "describe"):
        hub.provider.gates[step] = asyncio.Event()
        hub.begin()
        while step not in hub.provider.calls:
            await asyncio.sleep(0)
        await hub.die()
        hub.open()
        for resource in hub.manager.of(ADA):
            await closed(resource)
        assert hub.cloud == {}
        assert all(row.phase is Phase.CLOSED for row in await hub.rows())


async def test_a_hub_that_died_with_the_answer_finds_the_machine(hub):
    """Accepted by the provider, never recorded by us."""
    hub.provider.faults["create"] = [after(RuntimeError("killed here"))]
    original = hub.ledger.update

    async def never(*args, **kwargs):
        await asyncio.Event().wait()

    hub.ledger.update = never
    hub.begin()
    while not hub.cloud:
        await asyncio.sleep(0)
    await hub.die()
    hub.ledger.update = original
    assert len(hub.cloud) == 1
    hub.open()
    (resource,) = hub.manager.of(ADA)
    await closed(resource)
    assert hub.cloud == {}


async def test_a_running_server_survives_its_hub(hub):
    first = await hub.running()
    await hub.die()
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await asyncio.wait_for(second.verified.wait(), 5)
    assert second.poll() is None
    assert second.record.url == "http://192.0.2.1:8888"
    hub.manager.link(second, hub.child)
    hub.child.alive = False
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    await closed(second)
    assert hub.cloud == {}


async def test_a_resource_that_vanished_while_the_hub_was_down_is_noticed(hub, monkeypatch):
    """By the sweep: what looks after single servers does not come before it."""
    monkeypatch.setattr(FakeProvider, "poll_interval", 60.0)
    first = await hub.running()
    await hub.die()
    hub.cloud.clear()
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await asyncio.wait_for(second.verified.wait(), 5)
    assert second.poll() == 1


async def test_a_resource_that_vanishes_is_noticed_though_its_child_cannot_be_rebuilt(hub):
    first = await hub.running()
    await hub.die()
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await asyncio.wait_for(second.verified.wait(), 5)
    hub.provider.faults["describe"] += [Unauthorized("the key was refused")] * 2
    for _ in range(500):
        await asyncio.sleep(0.01 if hub.provider.faults["describe"] else 0)
    assert not hub.provider.faults["describe"]
    assert second.poll() is None
    hub.cloud.clear()
    await closed(second)
    assert second.poll() == 1


async def test_an_error_at_restart_is_no_evidence(hub):
    first = await hub.running()
    await hub.die()
    hub.providers.error = Unauthorized("the key was refused")
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await asyncio.wait_for(second.verified.wait(), 5)
    assert second.poll() is None
    assert len(hub.cloud) == 1


async def test_a_running_resource_that_jupyterhub_lost_is_released(hub):
    await hub.running()
    await hub.die()
    hub.open(serving=())
    (resource,) = hub.manager.of(ADA)
    await closed(resource)
    assert hub.cloud == {}


async def test_the_first_poll_after_a_restart_sees_that_the_lifetime_is_over(hub):
    """JupyterHub believes the first answer and then waits for the server, for http_timeout."""
    first = await hub.running(lifetime=0.2)
    await hub.die()
    await asyncio.sleep(0.2)
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await second.settled(5)
    assert second.poll() == 0


async def test_a_poll_waits_for_a_release_that_begins_while_a_restart_verifies(hub):
    first = await hub.running()
    await hub.die()
    gate = asyncio.Event()
    hub.open(serving={first.id})
    hub.provider.gates["list_owned"] = gate
    second = hub.manager.find(first.id)
    polling = asyncio.ensure_future(second.settled(5))
    await asyncio.sleep(0.05)
    hub.manager.begin_release(second, "it was stopped", 3)
    gate.set()
    await polling
    assert second.poll() == 3


async def test_a_poll_does_not_wait_for_ever(hub):
    first = await hub.running()
    await hub.die()
    hub.open(serving={first.id})
    gate = hub.provider.gates["describe"] = asyncio.Event()
    second = hub.manager.find(first.id)
    await asyncio.wait_for(second.settled(0.1), 2)
    assert second.poll() is None
    gate.set()


async def test_a_lifetime_that_ended_while_the_hub_was_down(hub):
    first = await hub.running(lifetime=0.3)
    await hub.die()
    await asyncio.sleep(0.4)
    hub.revived = hub.child
    hub.open(serving={first.id})
    resource = hub.manager.find(first.id)
    await closed(resource)
    assert resource.poll() == 0
    assert hub.child.stops == 1
    assert hub.cloud == {}


async def test_a_release_is_finished_by_the_next_hub(hub):
    first = await hub.running()
    hub.providers.error = Unauthorized("not now")
    await hub.manager.release(first, "it was stopped", 3)
    await hub.die()
    hub.providers.error = None
    hub.open()
    second = hub.manager.find(first.id)
    await asyncio.wait_for(second.released.wait(), 5)
    assert second.poll() == 3
    await closed(second)
    assert hub.cloud == {}


async def test_shutdown_gives_up_starts_and_leaves_servers(tmp_path):
    hub = Hub(tmp_path / "state")
    await hub.running()
    gate = asyncio.Event()
    starting = FakeChild()
    starting.gate = gate
    resource = hub.begin(starting, owner=Owner("bob"))
    while starting.launch is None:
        await asyncio.sleep(0)
    await hub.manager.shutdown()
    assert resource.closed.is_set()
    assert len(hub.cloud) == 1
    with contextlib.suppress(StartFailed):
        await resource.url


async def test_a_slow_step_is_given_up(hub):
    hub.provider.gates["create"] = asyncio.Event()
    resource = hub.begin(budget=0.1)
    with pytest.raises(StartFailed, match="Obtaining the resource took too long"):
        await resource.url
    hub.provider.gates["create"].set()
    await closed(resource)
    assert hub.cloud == {}


class Opener(Authenticator):
    """Records what it is asked, and fails on request."""

    failure = None

    async def prepare(self, intent):
        return Keys(public_key="ssh-ed25519 AAAA", private_key_file="/nonexistent/key")

    async def open(self, intent, endpoint, keys):
        if self.failure:
            raise self.failure
        return Access(endpoint, username="opc", private_key_file=keys.private_key_file)


class Writer(Configurer):
    """Reports two lines."""

    async def apply(self, intent, access, report):
        report("installing Python")
        report(f"ready for {access.username}")


def component(cls, tmp_path):
    return cls(component="x", state_dir=tmp_path, installation_id="i" * 32)


async def test_the_whole_sequence_in_order(hub, tmp_path):
    seen = []

    def configurer(placeholders):
        seen.append(dict(placeholders))
        return component(Writer, tmp_path)

    resource = await hub.running(authenticator=component(Opener, tmp_path), configurer=configurer)
    messages = [event["message"] for event in resource.events.events]
    assert messages == [
        "Looking for a place",
        "Asking fake for image",
        "Waiting until the resource is ready",
        "Connecting to the resource",
        "Configuring the resource",
        "installing Python",
        "ready for opc",
        "Starting the server",
        "The server has started",
    ]
    percents = [event["progress"] for event in resource.events.events]
    assert percents == sorted(percents)
    assert seen[0]["endpoint"] == "192.0.2.1"
    assert seen[0]["JUPYTERHUB_USER"] == "ada"
    assert hub.child.launch.access.username == "opc"


async def test_a_resource_that_cannot_be_opened_is_given_back(hub, tmp_path):
    opener = component(Opener, tmp_path)
    opener.failure = OpenFailed("the host key is not the one that was expected")
    resource = hub.begin(authenticator=opener)
    with pytest.raises(StartFailed, match="Connecting to the resource failed: the host key"):
        await resource.url
    await closed(resource)
    assert hub.cloud == {}


async def test_a_rename_keeps_the_resource_with_its_server(hub):
    resource = await hub.running()
    await hub.manager.rename(ADA, Owner("ada", "lab"))
    assert hub.manager.of(Owner("ada", "lab")) == [resource]
    assert [row.id for row in await hub.rows(Owner("ada", "lab"))] == [resource.id]


async def test_many_starts_and_stops_at_once(hub):
    owners = [Owner(f"user-{number}") for number in range(50)]
    resources = [hub.begin(FakeChild(), owner=owner) for owner in owners]
    await asyncio.gather(*(asyncio.shield(resource.url) for resource in resources))
    assert len(hub.cloud) == 50
    await asyncio.gather(*(hub.manager.release(r, "it was stopped") for r in resources))
    await asyncio.gather(*(closed(resource) for resource in resources))
    assert hub.cloud == {}


@pytest.mark.parametrize("where", ["stop", "delete", "find"])
async def test_a_cancellation_from_within_a_plugin_ends_no_release(hub, where):
    resource = await hub.running()
    if where == "stop":
        hub.child.stop_error = asyncio.CancelledError()
    else:
        hub.provider.faults[where] = [asyncio.CancelledError()]
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


async def test_a_cancellation_from_within_a_plugin_fails_the_start_and_nothing_is_left(hub):
    hub.provider.faults["describe"] = [asyncio.CancelledError()]
    resource = hub.begin()
    with pytest.raises(StartFailed, match="Waiting for the resource failed for a technical"):
        await resource.url
    await closed(resource)
    assert hub.cloud == {}


async def test_a_cancellation_from_within_a_poll_is_no_evidence_and_ends_no_watch(hub):
    await hub.running()
    hub.child.poll_error = asyncio.CancelledError()
    await asyncio.sleep(0.1)
    hub.child.poll_error = None
    hub.child.alive = False
    await asyncio.wait_for(hub.child.noticed.wait(), 5)


async def test_a_release_that_breaks_off_is_begun_anew(hub, monkeypatch):
    monkeypatch.setattr(manager_module, "_AGAIN", 0.01)
    resource = await hub.running()
    original = hub.manager._releases.run

    async def broken(*args):
        hub.manager._releases.run = original
        raise KeyError("a defect")

    hub.manager._releases.run = broken
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


async def test_a_provider_that_is_away_for_a_while_ends_no_watch(hub, monkeypatch):
    monkeypatch.setattr(manager_module, "_POLL_INTERVAL", 0.01)
    first = await hub.running()
    await hub.die()
    hub.open(serving={first.id})
    second = hub.manager.find(first.id)
    await second.verified.wait()
    hub.providers.error = Unauthorized("the socket is not there yet")
    hub.manager.link(second, hub.child)
    await asyncio.sleep(0.05)
    hub.providers.error = None
    hub.child.alive = False
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    await closed(second)


async def test_a_ledger_that_cannot_take_the_intent_fails_the_start_at_once(hub):
    async def full(record):
        raise OSError("disk full")

    hub.ledger.insert = full
    resource = hub.begin()
    with pytest.raises(StartFailed, match="Obtaining the resource failed for a technical reason"):
        await asyncio.wait_for(asyncio.shield(resource.url), 2)
    await asyncio.wait_for(resource.released.wait(), 2)
    assert resource.poll() == 1
    await closed(resource)
    assert "create" not in hub.provider.calls


async def test_a_row_that_somebody_removed_is_still_given_back(hub):
    resource = await hub.running()
    await hub.ledger.submit(lambda connection: connection.execute(intents.delete()))
    await hub.manager.release(resource, "it was stopped")
    await closed(resource)
    assert hub.cloud == {}


@pytest.mark.slow
async def test_old_releases_that_are_stuck_delay_a_start_once(hub, monkeypatch):
    monkeypatch.setattr(manager_module, "HANDOVER_TIMEOUT", 0.5)
    monkeypatch.setattr(policy, "pause", lambda failures, error=None: 0.3)
    for _ in range(4):
        await hub.running()
        hub.providers.error = Unauthorized("not now")
    tasks = len(asyncio.all_tasks())
    began = time.monotonic()
    await hub.running()
    assert time.monotonic() - began < 1.5
    assert len(asyncio.all_tasks()) <= tasks + 3


async def test_a_renamed_users_server_outlives_the_next_owner_of_the_name(hub):
    server = await hub.running()
    renamed = hub.child
    renamed._owner = Owner("beth")
    await hub.running()
    assert renamed.alive
    assert server.poll() is None
    assert server.owner == Owner("beth")
    assert len(hub.cloud) == 2


async def test_a_start_that_is_cancelled_before_its_first_step_answers(hub):
    resource = hub.begin()
    hub.manager.begin_release(resource, "the start was cancelled")
    with pytest.raises(StartCancelled):
        await asyncio.wait_for(asyncio.shield(resource.url), 2)
    await closed(resource)


async def test_of_two_starts_at_once_the_later_one_counts(hub):
    first = hub.begin()
    second = hub.begin()
    await asyncio.wait_for(asyncio.shield(second.url), 5)
    with pytest.raises(StartCancelled):
        await first.url
    await closed(first)
    assert len(hub.cloud) == 1


async def test_the_ledger_keeps_no_foreign_error_text(hub):
    resource = await hub.running()
    hub.providers.error = RuntimeError("broken, token=SECRET123")
    await hub.manager.release(resource, "it was stopped")
    while not (await hub.rows())[0].last_error:
        await asyncio.sleep(0.01)
    assert (await hub.rows())[0].last_error == "RuntimeError, see the log"
    hub.providers.error = None
    await closed(resource)


def test_a_pause_takes_only_numbers_from_a_provider(monkeypatch):
    monkeypatch.undo()
    assert policy.pause(1, Throttled("slow down", 7)) == 7
    for nonsense in ("120", float("nan"), -1, None):
        assert policy.pause(1, Throttled("slow down", nonsense)) == 0.5


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("create", None, "FakeProvider.create returned None, not Handle"),
        ("describe", "running", "FakeProvider.describe returned 'running', not Observation"),
    ],
)
async def test_what_a_plugin_answers_wrongly_is_named_in_the_log(
    hub, caplog, method, answer, message
):
    original = getattr(hub.provider, method)

    async def nonsense(*args):
        setattr(hub.provider, method, original)
        return answer

    setattr(hub.provider, method, nonsense)
    resource = hub.begin()
    with pytest.raises(StartFailed, match="for a technical reason"):
        await resource.url
    assert message in caplog.text
    await closed(resource)
    assert hub.cloud == {}


async def test_what_a_child_makes_needs_an_endpoint_from_create(hub, caplog):
    hub.provider.made_by = MadeBy.CHILD
    resource = hub.begin()
    with pytest.raises(StartFailed, match="for a technical reason"):
        await resource.url
    assert "FakeProvider.create: Handle.endpoint returned None, not Endpoint" in caplog.text
    await closed(resource)


async def test_a_create_that_takes_too_long_says_what_the_provider_answered(hub):
    hub.provider.faults["create"] = [Transient("the office is closed") for _ in range(1000)]
    resource = hub.begin(budget=0.2)
    message = "Obtaining the resource took too long; the last answer was: the office is closed."
    with pytest.raises(StartFailed, match=message):
        await resource.url
    hub.provider.faults.clear()
    await closed(resource)
