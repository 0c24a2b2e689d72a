"""The contract: offers, create, find, describe, delete, list_owned, across restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import uuid
from dataclasses import replace

import psutil
import pytest
from multiplespawner_local import processes
from multiplespawner_local.limits import tree
from multiplespawner_local.processes import INSTALLATION, INTENT

from multiplespawner_core import (
    GB,
    Availability,
    Capacity,
    InvalidSpecification,
    MadeBy,
    NotFound,
    Owner,
    ResourceState,
    Scope,
    Specification,
    Transient,
)

SLEEP = ("/bin/sleep", "60")


def bare_metal(cpu=None, memory=None, gpu=0):
    return Specification("bare_metal", cpu, memory, gpu)


async def test_capabilities(make_provider):
    found = make_provider(limits="watchdog").capabilities()
    assert found.made_by is MadeBy.CHILD
    assert found.sizes == {"memory"}
    assert make_provider(limits="none").capabilities().sizes == frozenset()
    assert make_provider(limits="auto").capabilities().sizes in ({"cpu", "memory"}, {"memory"})


async def test_the_machine_is_what_is_given_away_by_default(make_provider, installation, tmp_path):
    provider = make_provider()
    fresh = type(provider)(component="local", state_dir=tmp_path, installation_id=installation)
    assert 0 < fresh.cpu <= psutil.cpu_count()
    assert 0 < fresh.memory <= psutil.virtual_memory().total / GB
    await fresh.shutdown()


async def test_offers_what_is_free(make_provider, limiter, make_intent, keys):
    provider = make_provider()
    [offer] = await provider.offers(bare_metal(2, 4))
    assert offer.availability is Availability.AVAILABLE
    await provider.create(make_intent(1.5, 1), keys)
    [offer] = await provider.offers(bare_metal(1, 1))
    assert offer.availability is Availability.NO_CAPACITY
    assert offer.reason == (
        "0.5 of 2 CPUs and 3 of 4 GB are free on this machine; 1 CPUs and 1 GB do not fit."
    )
    [offer] = await provider.offers(bare_metal())
    assert offer.availability is Availability.AVAILABLE


@pytest.mark.parametrize(
    ("limits", "wanted", "message"),
    [
        ("cgroup-v1", bare_metal(cpu=3), "3 CPUs cannot be had: this machine has 2 CPUs and 4 GB."),
        ("cgroup-v1", bare_metal(gpu=1), "This machine gives no GPUs to servers."),
        ("cgroup-v1", bare_metal(cpu=-1), "cpu must be more than 0, not -1."),
        (
            "watchdog",
            bare_metal(cpu=1),
            "This machine cannot hold a server to a size of cpu: leave cpu out.",
        ),
        (
            "none",
            bare_metal(memory=1),
            "This machine cannot hold a server to a size of memory: leave memory out.",
        ),
        ("none", Specification("container"), "This machine is no container."),
    ],
)
async def test_refuses_what_can_never_be(make_provider, limiter, limits, wanted, message):
    with pytest.raises(InvalidSpecification) as raised:
        await make_provider(limits=limits).offers(wanted)
    assert str(raised.value) == message


async def test_create_again_makes_no_second(provider, make_intent, keys):
    intent = make_intent(memory=3)
    first = await provider.create(intent, keys)
    assert await provider.create(intent, keys) == first
    assert await provider.find(intent, provider.scope) == [first]
    assert len(await provider.list_owned(provider.installation_id, provider.scope)) == 1
    assert first.endpoint.address == "127.0.0.1"


async def test_of_twenty_at_once_only_those_that_fit(make_provider, limiter, make_intent, keys):
    # Two objects on one directory, as two accounts or two processes would have.
    providers = [make_provider(), make_provider()]
    starts = [providers[i % 2].create(make_intent(1, 0.1), keys) for i in range(20)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Capacity)]
    assert len(outcomes) - len(refused) == 2
    assert len(refused) == 18


async def test_a_released_place_can_be_taken(provider, make_intent, keys):
    handle = await provider.create(make_intent(memory=4), keys)
    with pytest.raises(Capacity):
        await provider.create(make_intent(memory=1), keys)
    await provider.delete(handle)
    await provider.delete(handle)
    await provider.create(make_intent(memory=4), keys)


async def test_is_gone_until_it_runs_and_after_it_ended(provider, make_intent, keys, run):
    intent = make_intent(memory=1)
    handle = await provider.create(intent, keys)
    assert (await provider.describe(handle)).state is ResourceState.GONE
    process = run(provider, intent, *SLEEP)
    seen = await provider.describe(handle)
    assert (seen.state, seen.endpoint.address) == (ResourceState.READY, "127.0.0.1")
    process.kill()
    await asyncio.sleep(0.2)  # not waited for: a zombie is nothing that runs
    assert (await provider.describe(handle)).state is ResourceState.GONE


async def test_delete_ends_the_whole_tree(provider, make_intent, keys, run):
    intent = make_intent()
    handle = await provider.create(intent, keys)
    process = run(provider, intent, "/bin/sh", "-c", "sleep 60 & env -i sleep 60 & wait")
    await asyncio.sleep(0.3)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 2
    await provider.delete(handle)
    assert process.wait(5) == -9
    assert not [one for one in family if processes.is_running(one.pid)]
    assert (await provider.describe(handle)).state is ResourceState.GONE
    assert await provider.find(intent, provider.scope) == []


async def test_a_delete_is_no_proof_that_it_is_gone(make_provider, make_intent, keys):
    """What was only just starting when the delete looked is seen by who asks after it."""
    provider = make_provider(limits="watchdog")
    intent = make_intent()
    handle = await provider.create(intent, keys)
    await provider.delete(handle)
    marks = {INTENT: intent.id, INSTALLATION: intent.installation_id}
    environment = {**os.environ, **marks}
    late = await asyncio.create_subprocess_exec(*SLEEP, env=environment, start_new_session=True)
    try:
        while not psutil.Process(late.pid).environ():
            await asyncio.sleep(0.01)
        assert (await provider.describe(handle)).state is ResourceState.READY
        await provider.delete(handle)
        assert (await provider.describe(handle)).state is ResourceState.GONE
    finally:
        with contextlib.suppress(ProcessLookupError):
            late.kill()
        await late.wait()


async def test_after_a_restart_the_reservations_are_there(make_provider, make_intent, keys):
    first = make_provider(limits="watchdog")
    intent = make_intent(memory=3)
    handle = await first.create(intent, keys)
    await first.shutdown()
    second = make_provider(limits="watchdog")
    assert await second.find(intent, second.scope) == [handle]
    with pytest.raises(Capacity):
        await second.create(make_intent(memory=2), keys)


async def test_orphans_of_a_dead_hub_are_found_and_ended(
    make_provider, make_intent, keys, run, provider
):
    intent = make_intent()
    await provider.create(intent, keys)
    process = run(provider, intent, *SLEEP)
    await provider.shutdown()
    # Even where the state directory was lost with it.
    (provider.state_dir / "reservations" / f"{intent.id}.json").unlink()
    successor = make_provider(limits=provider.limits)
    [owned] = await successor.list_owned(intent.installation_id, successor.scope)
    assert (owned.intent_id, owned.state) == (intent.id, ResourceState.READY)
    assert await successor.find(intent, successor.scope)
    await successor.delete(owned.handle)
    assert process.wait(5) == -9
    assert not await successor.list_owned(intent.installation_id, successor.scope)


async def test_other_installations_are_left_alone(provider, make_intent, keys, run):
    other = uuid.uuid4().hex
    intent = replace(make_intent(), installation_id=other)
    handle = await provider.create(intent, keys)
    run(provider, intent, *SLEEP)
    assert await provider.list_owned(uuid.uuid4().hex, provider.scope) == []
    [owned] = await provider.list_owned(other, provider.scope)
    assert owned.handle == handle


async def test_a_group_without_reservation_is_listed(make_provider, limiter, installation):
    provider = make_provider()
    provider.limiter.prepare("lost", None, None)
    [owned] = await provider.list_owned(installation, provider.scope)
    assert (owned.intent_id, owned.state) == ("lost", ResourceState.PENDING)
    await provider.delete(owned.handle)
    assert not await provider.list_owned(installation, provider.scope)


async def test_groups_are_found_where_an_earlier_hub_made_them(
    make_provider, limiter, make_intent, keys, run
):
    """The hub's own group, below which servers' groups are made, may change with a restart."""
    first = make_provider()
    intent = make_intent(0.5, 0.5)
    handle = await first.create(intent, keys)
    process = run(first, intent, "/bin/sh", "-c", "env -i setsid sleep 60 & exit 0")
    process.wait(5)
    second = make_provider(limits="none")
    assert (await second.describe(handle)).state is ResourceState.READY
    await second.delete(handle)
    assert (await second.describe(handle)).state is ResourceState.GONE
    assert not any(group.exists() for group in first.limiter.groups(intent.id))


async def test_a_damaged_reservation_is_reported_and_counts_as_everything(
    provider, make_intent, keys, tmp_path, caplog
):
    path = tmp_path / "reservations" / "broken.json"
    path.parent.mkdir(mode=0o700)
    path.write_text('{"intent_id": "bro')
    with caplog.at_level(logging.ERROR), pytest.raises(Capacity):
        await provider.create(make_intent(memory=1), keys)
    with pytest.raises(Capacity):
        await provider.create(make_intent(memory=1), keys)
    assert [record.message for record in caplog.records if str(path) in record.message]
    assert len(caplog.records) == 1
    await provider.create(make_intent(), keys)
    owned = await provider.list_owned(provider.installation_id, provider.scope)
    [broken] = [one for one in owned if one.intent_id == "broken"]
    await provider.delete(broken.handle)
    await provider.create(make_intent(memory=1), keys)


async def test_what_a_power_cut_left_of_a_reservation_counts_for_nothing(
    provider, make_intent, keys, tmp_path, caplog
):
    path = tmp_path / "reservations" / "broken.json"
    path.parent.mkdir(mode=0o700)
    path.touch()
    os.utime(path, (0, psutil.boot_time() - 1))
    await provider.create(make_intent(memory=4), keys)
    assert not caplog.records


@pytest.mark.parametrize(
    "change", [{"cpu": "many"}, {"memory": -1}, {"intent_id": "other"}, {"x": 1}]
)
async def test_every_damage_is_noticed(make_provider, make_intent, keys, tmp_path, change):
    provider = make_provider(limits="watchdog")
    handle = await provider.create(make_intent(memory=1), keys)
    path = tmp_path / "reservations" / f"{handle.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(Capacity):
        await provider.create(make_intent(memory=1), keys)


async def test_nothing_of_an_earlier_boot_counts(make_provider, make_intent, keys, monkeypatch):
    provider = make_provider(limits="watchdog")
    intent = make_intent(memory=4)
    await provider.create(intent, keys)
    for module in ("reservations", "machine"):
        monkeypatch.setattr(f"multiplespawner_local.{module}.boot_id", lambda: "another")
    assert await provider.find(intent, provider.scope)
    await provider.create(make_intent(memory=4), keys)
    with pytest.raises(Capacity):
        await provider.create(intent, keys)


async def test_files_are_private(provider, make_intent, keys, tmp_path):
    handle = await provider.create(make_intent(), keys)
    directory = tmp_path / "reservations"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / f"{handle.id}.json").stat().st_mode & 0o777 == 0o600


async def test_limits_that_cannot_be_set_reserve_nothing(
    make_provider, limiter, make_intent, keys, monkeypatch
):
    provider = make_provider()

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(provider.limiter, "_build", refuse)
    with pytest.raises(Transient, match="No space left"):
        await provider.create(make_intent(2, 4), keys)
    monkeypatch.undo()
    await provider.create(make_intent(2, 4), keys)


async def test_another_machine_cannot_be_seen_from_here(provider, make_intent):
    elsewhere = Scope("local", "elsewhere")
    with pytest.raises(Transient, match="cannot see the machine elsewhere"):
        await provider.list_owned(provider.installation_id, elsewhere)
    with pytest.raises(Transient):
        await provider.find(make_intent(), elsewhere)


async def test_child_traits_name_only_the_sizes_that_were_given(provider, make_intent, keys):
    intent = make_intent(memory=0.5)
    traits = provider.child_traits(intent, await provider.create(intent, keys))
    assert traits == {
        "environment": {
            "MULTIPLESPAWNER_INTENT": intent.id,
            "MULTIPLESPAWNER_INSTALLATION": intent.installation_id,
        },
        "mem_limit": GB // 2,
    }


async def test_a_released_server_cannot_start(provider, make_intent, keys):
    intent = make_intent()
    await provider.delete(await provider.create(intent, keys))
    with pytest.raises(NotFound, match="no place on this machine any more"):
        provider.join_files(intent.id)


async def test_a_handle_cannot_point_outside_its_groups(provider, make_intent, keys, monkeypatch):
    handle = await provider.create(make_intent(), keys)
    touched = []
    monkeypatch.setattr(tree, "rmdir", lambda path: touched.append(path) or path.rmdir())
    forged = replace(handle, data={"groups": ["/sys/fs/cgroup/memory", f"/tmp/{handle.id}", "x"]})
    await provider.delete(forged)
    own = {*provider.limiter.groups(handle.id)}
    assert all(any(path in (group, *group.parents) for group in own) for path in touched)


async def test_a_cancelled_create_leaves_no_place_taken(make_provider, make_intent, keys):
    provider = make_provider(limits="watchdog")
    intent = make_intent(memory=4)
    task = asyncio.create_task(provider.create(intent, keys))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await provider.delete(provider._handle(intent.id, None))
    await provider.create(make_intent(memory=4), keys)


async def test_the_hub_itself_is_never_a_member(provider, make_intent, keys, run):
    """A hub started from the terminal of a notebook inherits its mark."""
    intent = make_intent()
    handle = await provider.create(intent, keys)
    code = f"""
import subprocess, time
import psutil
from multiplespawner_local.processes import kill_marked, members, scan
child = subprocess.Popen(["/usr/bin/env", "-i", "sleep", "60"])
while psutil.Process(child.pid).name() != "sleep":
    time.sleep(0.01)  # until then it is env, which has the mark
print(len(members(scan(), {intent.id!r}, same_user=True)))
print(kill_marked({intent.id!r}, same_user=True))
child.kill()
"""
    process = run(provider, intent, sys.executable, "-c", code, stdout=subprocess.PIPE, text=True)
    assert process.stdout.read().split() == ["0", "True"]
    await provider.delete(handle)


async def test_owner_is_recorded(provider, make_intent, keys, tmp_path):
    intent = replace(make_intent(), owner=Owner("bob", "big"))
    handle = await provider.create(intent, keys)
    written = json.loads((tmp_path / "reservations" / f"{handle.id}.json").read_text())
    assert (written["user"], written["server"]) == ("bob", "big")


async def test_what_cannot_be_read_is_not_taken_for_nothing(make_provider, make_intent, keys):
    provider = make_provider(limits="watchdog")
    await provider.create(make_intent(memory=3), keys)
    place = provider.state_dir / "reservations"
    aside = place.rename(place.with_suffix(".aside"))
    place.touch()
    with pytest.raises(Transient, match=r"^This machine refused: Not a directory\.$"):
        await provider.list_owned(provider.installation_id, provider.scope)
    with pytest.raises(Transient, match="This machine refused"):
        await provider.offers(bare_metal(memory=2))
    with pytest.raises(Transient, match="This machine refused"):
        await provider.find(make_intent(), provider.scope)
    place.unlink()
    aside.rename(place)
    [offer] = await provider.offers(bare_metal(memory=2))
    assert offer.availability is Availability.NO_CAPACITY


async def test_processes_that_cannot_be_seen_are_not_taken_for_gone(
    make_provider, make_intent, keys, monkeypatch
):
    provider = make_provider(limits="watchdog")
    handle = await provider.create(make_intent(), keys)

    def refuse():
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(processes, "scan", refuse)
    with pytest.raises(Transient, match=r"^This machine refused: Permission denied\.$"):
        await provider.describe(handle)
    monkeypatch.undo()
    assert (await provider.describe(handle)).state is ResourceState.GONE
