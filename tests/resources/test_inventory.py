"""What administrators see of all resources, and what they can do about them."""

from __future__ import annotations

import asyncio
import json

import pytest
from fakes import FakeChild
from resources.parts import ADA, closed

from multiplespawner_core.contracts import (
    ConfigurationError,
    Owner,
    ResourceState,
    Unauthorized,
)
from multiplespawner_core.resources import policy, reconciler
from multiplespawner_core.resources.failures import Refused
from multiplespawner_core.resources.inventory import Inventory
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.resources.record import Phase

pytestmark = pytest.mark.usefixtures("impatient")

READY = ResourceState.READY
EVE = Owner("eve", "lab")
MISSING = ConfigurationError("no plugin offers the provider 'fake'")


@pytest.fixture
def desk(hub):
    return Inventory(hub.manager, hub.providers)


@pytest.fixture
def patient(monkeypatch):
    """A release that failed waits for longer than any test."""
    monkeypatch.setattr(policy, "pause", lambda failures, error=None: 3600)


async def refused(work):
    with pytest.raises(Refused) as caught:
        await work
    return caught.value.status, caught.value.message


async def until(ready):
    async def look():
        while not ready():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), 5)


async def stuck(hub):
    """A resource whose release cannot be completed."""
    resource = await hub.running()
    hub.provider.faults["delete"] = [Unauthorized("the key was refused")] * 1000
    hub.manager.begin_release(resource, "it was stopped")
    await until(lambda: resource.record.last_error)
    return resource


async def test_what_is_listed(hub, desk):
    resource = await hub.running(lifetime=60)
    found = await desk.list()
    assert json.loads(json.dumps(found)) == found
    (one,) = found["resources"]
    assert one == {
        "id": resource.id,
        "user": "ada",
        "server": "",
        "phase": "running",
        "provider": "fake",
        "scope": "here",
        "resource_type": "virtual_machine",
        "template": "fake",
        "deployment": "image",
        "shape": "small",
        "cpu": 1,
        "memory": 1,
        "gpu": 0,
        "price": None,
        "handle": resource.record.handle.id,
        "generation": 1,
        "attempt": 1,
        "created_at": one["created_at"],
        "expires_at": one["expires_at"],
        "closed_at": None,
        "reason": "",
        "last_error": "",
        "unreachable": "",
    }
    assert one["expires_at"] > one["created_at"]
    assert one == await desk.show(resource.id) == await desk.show(resource.id[:4])


async def test_what_was_given_back_is_history_newest_first(hub, desk):
    first = await hub.running()
    await hub.manager.release(first, "it was stopped")
    await closed(first)
    second, other = await hub.running(), await hub.running(owner=EVE)

    async def ids(**which):
        return [one["id"] for one in (await desk.history(**which))["resources"]]

    assert {one["id"] for one in (await desk.list())["resources"]} == {second.id, other.id}
    assert [one["id"] for one in (await desk.list("eve"))["resources"]] == [other.id]
    assert await ids(limit=10) == [other.id, second.id, first.id]
    assert await ids(limit=2) == [other.id, second.id]
    assert await ids(limit=10, user="ada") == [second.id, first.id]
    one = await desk.show(first.id)
    assert (one["phase"], one["reason"]) == ("closed", "it was stopped")
    assert one["closed_at"] >= one["created_at"]


async def test_ids(hub, desk):
    resource = await hub.running()
    # The ninth digit is another one: ids are random, and eight digits in common shall be all.
    other = resource.id[:8] + ("1" if resource.id[8] == "0" else "0") * 24
    await hub.ledger.insert(
        type(resource.record)(
            **{
                **vars(resource.record),
                "id": other,
                "owner": EVE,
                "phase": Phase.CLOSED,
            }
        )
    )
    status, message = await refused(desk.show(resource.id[:8]))
    assert status == 409
    assert f"{resource.id[:8]} means more than one resource: " in message
    assert resource.id in message
    assert (await desk.show(resource.id[:9]))["user"] == "ada"
    assert (await desk.show(other[:9]))["user"] == "eve"
    nothing = "0000" if not resource.id.startswith("0000") else "1111"
    assert await refused(desk.show(nothing)) == (404, f"The ledger has no resource {nothing}.")
    for wrong in ("", "abc", "xyzw", "%%%%", "____", "f" * 33, "ABCD"):
        status, message = await refused(desk.show(wrong))
        assert (status, message[-48:]) == (400, " no id: 4 to 32 of the digits 0 to 9 and a to f.")


async def test_a_running_server_is_released_and_jupyterhub_hears_of_it(hub, desk):
    resource = await hub.running()
    found = await desk.release(resource.id[:8], "user root")
    assert found["id"] == resource.id
    await closed(resource)
    await asyncio.wait_for(hub.child.noticed.wait(), 5)
    assert hub.child.stops == 1
    assert hub.cloud == {}
    assert (await desk.show(resource.id))["reason"] == "released by user root"
    status, message = await refused(desk.release(resource.id, "user root"))
    assert (status, message) == (409, f"{resource.id} is closed: released by user root.")


async def test_a_start_is_released(hub, desk):
    child = FakeChild()
    child.gate = asyncio.Event()
    resource = hub.begin(child=child)
    await until(lambda: resource.phase is Phase.LAUNCHING)
    await desk.release(resource.id, "user root")
    with pytest.raises(Exception, match="cancelled"):
        await resource.url
    await closed(resource)
    assert hub.cloud == {}


async def test_keys_that_cannot_be_removed_keep_no_row_open(hub, desk, caplog):
    resource = await stuck(hub)

    async def missing(record):
        raise MISSING

    hub.manager._cleanup = missing
    found = await desk.forget(resource.id, "the account was closed", "user root")
    assert found["phase"] == "closed"
    told = f"{resource.id} of ada: what its authenticator keeps for it may still be there"
    assert told in caplog.text


async def test_a_release_that_waits_after_a_failure_is_tried_again_at_once(hub, desk, patient):
    resource = await stuck(hub)
    hub.provider.faults.clear()
    await desk.release(resource.id, "user root")
    await closed(resource)
    assert resource.record.reason == "it was stopped"


async def test_what_is_being_released_can_be_forgotten(hub, desk, caplog):
    resource = await stuck(hub)
    handle = resource.record.handle.id
    found = await desk.forget(resource.id, "the account was\n closed", "user root")
    assert found["phase"] == "closed"
    assert found["reason"] == "forgotten by user root: the account was closed"
    assert found["last_error"] == "Unauthorized: the key was refused"
    assert resource.closed.is_set()
    assert hub.manager.find(resource.id) is None
    assert list(hub.cloud) == [handle]
    assert hub.cleaned == [resource.id], "its keys are not left lying on the hub"
    hub.provider.calls.clear()
    await asyncio.sleep(0.05)
    assert hub.provider.calls == [], "nobody asks the provider any more"
    assert (
        f"{resource.id} of ada is forgotten by user root: the account was closed; it was being"
        " released (it was stopped), and the last error was: Unauthorized: the key was refused"
    ) in caplog.text
    assert "begun anew" not in caplog.text
    status, _ = await refused(desk.forget(resource.id, "once more", "user root"))
    assert status == 409
    assert (await desk.show(resource.id)) == found
    # Another hub does not take it up.
    await hub.die()
    hub.open()
    assert hub.manager.find(resource.id) is None


async def test_what_was_forgotten_is_left_over_for_the_sweep(hub, desk):
    resource = await stuck(hub)
    await desk.forget(resource.id, "its provider was down", "user root")
    hub.provider.faults.clear()
    report = await desk.reconcile()
    ((thing,),) = [scope["found"] for scope in report["scopes"]]
    assert (thing["verdict"], thing["deleted"], thing["id"]) == ("leftover", True, None)
    assert hub.cloud == {}


async def test_what_runs_is_not_forgotten(hub, desk):
    resource = await hub.running()
    assert await refused(desk.forget(resource.id, "why not", "user root")) == (
        409,
        "Only what is being released can be forgotten: release it first.",
    )
    assert resource.poll() is None
    status, message = await refused(desk.forget(resource.id, " \n", "user root"))
    assert (status, message) == (400, "Say why it is to be forgotten.")


@pytest.mark.slow
async def test_what_runs_is_forgotten_where_its_plugin_is_missing(hub, desk):
    resource = await hub.running()
    hub.providers.error = MISSING
    (one,) = (await desk.list())["resources"]
    assert one["unreachable"] == str(MISSING)
    found = await desk.forget(resource.id, "uninstalled", "user root")
    assert found["reason"] == "forgotten by user root: uninstalled"
    assert found["unreachable"] == ""
    assert resource.poll() == 0
    assert hub.child.stops == 1, "its spawner can end the server, and does"
    await asyncio.wait_for(hub.child.noticed.wait(), 5)


async def test_forgetting_waits_for_the_gentle_end(hub, desk):
    resource = await hub.running()
    stopping, stopped = asyncio.Event(), asyncio.Event()

    async def stop():
        stopping.set()
        await stopped.wait()

    hub.child.stop = stop
    hub.provider.faults["delete"] = [Unauthorized("the key was refused")] * 1000
    hub.manager.begin_release(resource, "it was stopped")
    await stopping.wait()
    forgetting = asyncio.ensure_future(desk.forget(resource.id, "lost", "user root"))
    await asyncio.sleep(0.05)
    assert not forgetting.done()
    stopped.set()
    assert (await forgetting)["phase"] == "closed"


async def test_a_release_that_ended_while_it_was_to_be_forgotten(hub, desk):
    resource = await hub.running()
    forgetting = desk.forget(resource.id, "lost", "user root")
    hub.manager.begin_release(resource, "it was stopped")
    await closed(resource)
    status, _ = await refused(forgetting)
    assert status == 409
    assert (await desk.show(resource.id))["reason"] == "it was stopped"


async def quarantined(desk):
    await desk.reconcile()
    return (await desk.list())["quarantined"]


async def test_what_is_quarantined_is_listed_and_deleted_only_explicitly(hub, desk, caplog):
    hub.cloud["vm-newer"] = ("f" * 32, "", READY)
    hub.cloud["disk-newer"] = (None, "", READY)
    disk, machine = await quarantined(desk)
    if machine["handle"] != "vm-newer":
        disk, machine = machine, disk
    assert machine == {
        "id": machine["id"],
        "provider": "fake",
        "scope": "here",
        "resource_types": ["virtual_machine"],
        "handle": "vm-newer",
        "intent": "f" * 32,
        "state": "ready",
        "dependent": False,
    }
    assert len(machine["id"]) == 16
    assert machine["id"][0] == "q"
    assert disk["dependent"]
    assert disk["intent"] is None
    assert await desk.show(machine["id"][:6]) == machine
    status, message = await refused(desk.release(machine["id"], "user root"))
    assert status == 409
    assert "the ledger never held its intent" in message
    assert len(hub.cloud) == 2
    assert (await desk.discard(machine["id"][:8], "user root"))["state"] == "gone"
    assert list(hub.cloud) == ["disk-newer"]
    assert "user root deletes vm-newer in fake here, which is quarantined" in caplog.text
    assert (await desk.list())["quarantined"] == [disk]
    status, message = await refused(desk.discard(machine["id"], "user root"))
    assert status == 404
    assert message.endswith("the latest sweep found none.")
    for other in ("f" * 32, "vm-newer"):
        status, message = await refused(desk.discard(other, "user root"))
        assert (status, message) == (
            400, f"{other} is no id of something quarantined: these begin with a q.",
        )  # fmt: skip


async def test_what_the_ledger_holds_by_now_is_not_deleted(hub, desk):
    """The ledger was restored once more, or the provider's list was wrong."""
    hub.cloud["vm-newer"] = ("f" * 32, "", READY)
    (machine,) = await quarantined(desk)
    resource = await hub.running()
    hub.cloud["vm-newer"] = (resource.id, "", READY)
    assert await refused(desk.discard(machine["id"], "user root")) == (
        409,
        "vm-newer is not quarantined any more: sweep again.",
    )
    assert "vm-newer" in hub.cloud


async def test_a_quarantined_thing_that_cannot_be_deleted_stays_listed(hub, desk, monkeypatch):
    monkeypatch.setattr(reconciler, "_LOOK_PAUSE", 0)
    hub.cloud["vm-newer"] = ("f" * 32, "", READY)
    (machine,) = await quarantined(desk)
    for fault in ("list_owned", "delete"):
        hub.provider.faults[fault] = [Unauthorized("the key was refused")]
        assert await refused(desk.discard(machine["id"], "user root")) == (
            503,
            "vm-newer could not be deleted: Unauthorized: the key was refused.",
        )
    assert (await desk.list())["quarantined"] == [machine]

    async def accepted(handle):
        hub.provider.calls.append("delete")

    hub.provider.delete = accepted
    assert (await desk.discard(machine["id"], "user root"))["state"] == "deleting"
    assert (await desk.list())["quarantined"] == [machine]


async def test_scopes_of_which_nothing_is_known(hub, desk):
    await hub.running()
    hub.provider.faults["list_owned"] = [Unauthorized("the key was refused")]
    report = await desk.reconcile()
    place = {"provider": "fake", "scope": "here", "resource_types": ["virtual_machine"]}
    error = {**place, "error": "Unauthorized: the key was refused"}
    assert report["scopes"] == [{**error, "count": 0, "ended": [], "found": []}]
    assert (await desk.list())["unknown_scopes"] == [error]


async def test_a_dry_run_deletes_nothing(hub, desk):
    resource = await hub.running()
    hub.cloud["vm-extra"] = (resource.id, "", READY)
    report = await desk.reconcile(dry_run=True)
    assert report["dry_run"]
    (scope,) = report["scopes"]
    assert scope["count"] == 2
    (thing,) = scope["found"]
    assert (thing["handle"], thing["verdict"], thing["deleted"]) == ("vm-extra", "extra", True)
    assert len(hub.cloud) == 2


async def test_what_an_earlier_hub_left_is_forgotten_without_asking_its_provider(hub):
    """As the command does while the hub is down."""
    resource = await stuck(hub)
    await hub.die()
    hub.ledger = Ledger.open("", hub.directory)
    hub.manager = Manager(hub.ledger, hub.providers, hub._cleanup, lambda _: None)
    hub.provider.calls.clear()
    desk = Inventory(hub.manager, hub.providers)
    found = await desk.forget(resource.id, "the account was closed", "account root")
    assert (found["phase"], found["user"]) == ("closed", ADA.user)
    assert hub.provider.calls == []
