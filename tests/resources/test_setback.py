"""Nothing newer is deleted because of a ledger that was lost or restored from an old backup."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time

import pytest
from fakes import FakeChild
from resources.parts import closed, record

from multiplespawner_core.contracts import ResourceState
from multiplespawner_core.resources import manager as manager_module
from multiplespawner_core.resources.inventory import Inventory
from multiplespawner_core.resources.reconciler import Verdict
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.unavailable import LedgerUnavailable

pytestmark = pytest.mark.usefixtures("impatient")


def backup(hub, tmp_path):
    copy = tmp_path / "backup.sqlite"
    with sqlite3.connect(hub.directory / "ledger.sqlite") as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    source.close()

    async def restore():
        await hub.die()
        shutil.copy(copy, hub.directory / "ledger.sqlite")

    return restore


async def before_it_ran(hub, tmp_path):
    """A server that runs, and a ledger that was saved while it was starting."""
    child = FakeChild()
    child.gate = asyncio.Event()
    resource = hub.begin(child=child, lifetime=3600)
    while child.launch is None:
        await asyncio.sleep(0.01)
    restore = backup(hub, tmp_path)
    child.gate.set()
    await asyncio.wait_for(asyncio.shield(resource.url), 5)
    await restore()
    return resource


async def test_a_server_that_runs_by_now_is_not_taken_for_a_start(hub, tmp_path):
    old = await before_it_ran(hub, tmp_path)
    hub.open(serving={old.id})
    assert len(hub.ledger.setbacks) == 1
    resource = hub.manager.find(old.id)
    await asyncio.wait_for(resource.verified.wait(), 5)
    assert resource.running
    assert resource.poll() is None
    assert len(hub.cloud) == 1
    await hub.die()
    hub.open(serving={old.id})  # nor by the next hub
    assert hub.manager.find(old.id).running
    await hub.manager.release(hub.manager.find(old.id), "it was stopped")
    await closed(hub.manager._resources.get(old.id, resource))
    assert hub.cloud == {}


def test_while_nobody_knows_what_serves_it_may_run():
    assert manager_module._may_run(record(doubted_at=1.0), None)
    assert not manager_module._may_run(record(doubted_at=None), None)


async def test_what_jupyterhub_shows_no_server_for_is_given_back(hub, tmp_path):
    old = await before_it_ran(hub, tmp_path)
    hub.open()
    await closed(hub.manager.find(old.id))
    assert hub.cloud == {}


@pytest.mark.parametrize("doubted", [True, False])
async def test_an_end_that_may_have_been_moved_is_not_enforced(hub, tmp_path, doubted, monkeypatch):
    old = await hub.running(lifetime=1.0)
    restore = backup(hub, tmp_path)
    await hub.manager.extend(old, lambda end: end + 3600)
    if doubted:
        await restore()
    else:
        await hub.ledger.update(old.record, expires_at=old.record.created_at + 1)
        await hub.die()
    await asyncio.sleep(max(0.0, old.record.created_at + 1.1 - time.time()))
    hub.open(serving={old.id})
    resource = hub.manager.find(old.id)
    if doubted:
        await asyncio.sleep(0.2)
        assert resource.running
        assert len(hub.cloud) == 1
        await hub.die()
        monkeypatch.setattr(manager_module, "DOUBT", 0.0)
        hub.open(serving={old.id})  # a day later
        resource = hub.manager.find(old.id)
    await closed(resource)
    assert hub.cloud == {}


async def test_a_release_that_was_committed_goes_on(hub, tmp_path):
    resource = await hub.running()
    hub.provider.gates["delete"] = asyncio.Event()
    await hub.manager.release(resource, "it was stopped")
    restore = backup(hub, tmp_path)
    await hub.ledger.update(resource.record, last_error="busy")
    await restore()
    hub.open(serving={resource.id})
    assert len(hub.ledger.setbacks) == 1
    await closed(hub.manager.find(resource.id))
    assert hub.cloud == {}


@pytest.mark.parametrize("lost", [True, False])
async def test_what_the_ledger_does_not_hold_is_left_alone(hub, tmp_path, lost):
    restore = backup(hub, tmp_path)
    resource = await hub.running()
    await restore()
    if lost:
        (hub.directory / "ledger.sqlite").unlink()
    hub.open(serving={resource.id})
    assert len(hub.ledger.setbacks) == 1
    report = await hub.manager.reconciler.sweep()
    assert [one.verdict for one in report.found] == [Verdict.UNKNOWN]
    assert len(hub.cloud) == 1
    again = await hub.running()  # and its user can go on
    assert {row.phase for row in await hub.rows()} == {Phase.RUNNING}
    assert len(hub.cloud) == 2
    report = await hub.manager.reconciler.sweep()
    assert [one.verdict for one in report.found] == [Verdict.UNKNOWN]
    assert again.poll() is None


async def set_back(hub, tmp_path):
    """The backup is copied over the ledger of a hub that runs."""
    target = sqlite3.connect(hub.directory / "ledger.sqlite")
    with sqlite3.connect(tmp_path / "backup.sqlite") as source:
        source.backup(target)
    source.close()
    target.close()


async def test_on_the_word_of_a_ledger_that_was_set_back_nothing_is_quarantined(hub, tmp_path):
    """Or an administrator would see users' servers offered for deletion."""
    desk = Inventory(hub.manager, hub.providers)
    hub.cloud["vm-newer"] = ("f" * 32, "", ResourceState.READY)
    await desk.reconcile()
    ((thing,), before) = (await desk.list())["quarantined"], hub.manager.reconciler.latest
    backup(hub, tmp_path)
    resource = await hub.running()
    await set_back(hub, tmp_path)
    for ask in (desk.reconcile(), desk.discard(thing["id"], "user root"), desk.list()):
        with pytest.raises(LedgerUnavailable, match="set back while the hub runs"):
            await ask
    assert hub.manager.reconciler.latest is before
    assert set(hub.cloud) == {"vm-newer", resource.record.handle.id}
    assert resource.poll() is None


async def test_what_is_discarded_after_a_setback_takes_its_dependents_from_the_list(hub, tmp_path):
    restore = backup(hub, tmp_path)
    old = await hub.running()
    machine = old.record.handle.id
    hub.cloud["disk-1"] = hub.cloud["disk-other"] = (old.id, "", ResourceState.READY)
    await restore()
    hub.open(serving={old.id})
    hub.provider.of = {"disk-1": machine}
    desk = Inventory(hub.manager, hub.providers)
    await desk.reconcile()
    ids = {one["handle"]: one["id"] for one in (await desk.list())["quarantined"]}
    assert set(ids) == {machine, "disk-1", "disk-other"}
    # By then the user has another server: it is none of the quarantined.
    again = await hub.running()
    assert (await desk.discard(ids[machine], "user root"))["state"] == "gone"
    left = (await desk.list())["quarantined"]
    assert [one["handle"] for one in left] == ["disk-other"]
    assert again.record.handle.id in hub.cloud
    assert again.poll() is None


async def test_what_a_restored_ledger_shows_as_a_start_is_not_offered_for_deletion(hub, tmp_path):
    old = await before_it_ran(hub, tmp_path)
    hub.open(serving={old.id})
    desk = Inventory(hub.manager, hub.providers)
    report = await desk.reconcile()
    assert [scope["found"] for scope in report["scopes"]] == [[]]
    assert (await desk.list())["quarantined"] == []
    assert hub.manager.find(old.id).running
