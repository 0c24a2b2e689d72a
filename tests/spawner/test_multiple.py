"""The Spawner that JupyterHub sees: state, poll, progress and what follows a server's name."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
from types import SimpleNamespace

import pytest
from fakes import FakeChild, plan_for
from jupyterhub import orm
from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner
from spawner.parts import OPTIONS, Child, FakeRuntime
from tornado import web
from traitlets import Unicode
from traitlets.config import Config

from multiplespawner_core.contracts import (
    Access,
    Authenticator,
    Component,
    ConfigurationError,
    Keys,
    Owner,
    ResourceState,
)
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.failures import StartFailed
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.spawner import errors, multiple
from multiplespawner_core.spawner.errors import for_jupyterhub
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.spawner.runtime import Runtime

ADA = Owner("ada")


def enlist(runtime, outer):
    """What JupyterHub's `user.spawners` is for the real runtime."""
    runtime.spawners[outer.owner] = outer
    return outer


@pytest.fixture
def make(ada, runtime):
    return lambda *args, **kwargs: enlist(
        runtime, ada.server(*args, **{"user_options": OPTIONS, **kwargs})
    )


def test_no_private_name_of_jupyterhubs_is_taken():
    """A method called `_failed` once made JupyterHub replace the Spawner at every start."""
    own = {*vars(MultipleSpawner)} - {*vars(type("Plain", (SimpleLocalProcessSpawner,), {}))}
    private = {name for name in own if name.startswith("_") and not name.endswith("__")}
    assert {name for name in private if hasattr(Spawner, name)} == set()


async def start(outer):
    outer.clear_state()
    return await asyncio.wait_for(outer.start(), 10)


async def again(hub, ada, tmp_path, outer):
    """The same server after SIGKILL of the hub: a new runtime, a new Spawner from its state."""
    state = json.loads(json.dumps(outer.get_state()))
    await hub.die()
    runtime = FakeRuntime(tmp_path / "state")
    runtime.provider.cloud.update(hub.provider.cloud)
    Runtime._current = runtime
    new = enlist(runtime, ada.server(outer.name, state=state))
    runtime.manager.recover(lambda: {state["intent"]})
    return runtime, new


# -- state ------------------------------------------------------------------------------------


async def test_the_state_is_the_intents_id_and_nothing_else(make):
    outer = make()
    assert outer.get_state() == {}
    outer.api_token = "SECRET"
    await start(outer)
    state = outer.get_state()
    assert state == {"intent": outer._resource.id}
    assert len(json.dumps(state)) < 60
    outer.clear_state()
    assert outer.get_state() == {}


GARBAGE = [
    {},
    {"pid": 17},
    {"intent": None},
    {"intent": 5},
    {"intent": {"a": 1}},
    {"intent": ["x"]},
    {"intent": ""},
    {"intent": "f" * 32},
    {"intent": "../../etc/passwd", "child": {"class": "os.system"}},
    ["intent"],
    "intent",
    17,
]


@pytest.mark.parametrize("state", GARBAGE, ids=repr)
async def test_no_state_makes_anything_raise(make, state):
    outer = make(state=state)
    assert await outer.poll() == 0
    assert await outer.get_url() == ""
    assert outer.child is None
    await outer.stop()
    json.dumps(outer.get_state())
    outer.clear_state()
    assert outer.get_state() == {}


@pytest.mark.parametrize("state", GARBAGE, ids=repr)
def test_whatever_stands_in_the_database_names_an_intent_or_none(state):
    assert multiple.intent_of(state) in (None, "", "f" * 32, "../../etc/passwd")


def test_serving_tells_what_jupyterhub_shows_as_running(ada, no_runtime):
    outer = ada.server(state={"intent": "a" * 32})
    for number, state in enumerate(GARBAGE):
        ada.server(f"s{number}", state=state)
    assert outer.serving() == set()
    for row in ada.user.orm_user.orm_spawners.values():
        row.server = orm.Server(base_url="/", cookie_name="x", proto="http", ip="", port=1)
    ada.db.commit()
    assert outer.serving() == {"a" * 32, "f" * 32, "../../etc/passwd"}


def test_making_one_touches_neither_runtime_nor_disk(ada, no_runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    outer = ada.server(state={"intent": "f" * 32})
    outer.load_state({"intent": "e" * 32})
    assert outer.get_state() == {"intent": "e" * 32}
    assert outer.owner == ADA
    assert Runtime._current is None
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_copied_in_the_configuration_hurts_no_page(ada, config, no_runtime):
    config.Spawner.environment = {"F": functools.partial(str, threading.Lock)}
    assert ada.server().changed_traits() == {}


# -- start, poll and stop -----------------------------------------------------------------------


async def test_a_server_runs_and_stops(make, runtime):
    outer = make()
    assert await start(outer) == "http://192.0.2.7:8888"
    assert await outer.poll() is None
    assert await outer.get_url() == "http://192.0.2.7:8888"
    child = outer.child
    assert child.user_options == {}
    await outer.stop()
    assert await outer.poll() == 0
    assert child.calls == ["start", "stop"]
    assert runtime.provider.cloud == {}


async def test_a_second_stop_and_one_without_a_server_are_harmless(make):
    outer = make()
    await outer.stop()
    await start(outer)
    await asyncio.gather(outer.stop(), outer.stop())
    await outer.stop()
    assert await outer.poll() == 0


async def test_our_deadlines_are_those_that_jupyterhub_waits_for(make):
    outer = make()
    await outer._run_apply_user_options(OPTIONS)
    assert (outer.start_timeout, outer.http_timeout) == (60 + 120 + 2 * 1 + 2 + 3 + 4 + 5 + 30, 44)


async def test_the_administrators_deadlines_for_us_stand(make, config):
    config.MultipleSpawner.start_timeout = 7
    config.MultipleSpawner.http_timeout = 8
    outer = make()
    await outer._run_apply_user_options(OPTIONS)
    assert (outer.start_timeout, outer.http_timeout) == (7, 8)


async def test_a_subclass_is_configured_under_its_own_name(ada, runtime, config):
    class CampusSpawner(MultipleSpawner):
        pass

    config.CampusSpawner.start_timeout = 7
    config.MultipleSpawner.http_timeout = 8
    outer = ada.server(cls=CampusSpawner)
    await outer._run_apply_user_options(OPTIONS)
    assert (outer.start_timeout, outer.http_timeout) == (7, 8)


async def test_a_hook_changes_the_options(make, runtime):
    outer = make()
    await outer._run_apply_user_options(OPTIONS)
    outer.user_options = {**OPTIONS, "cpu": 2.0}
    await start(outer)
    assert outer._resource.record.specification.cpu == 2.0


async def test_bad_options_are_the_users_mistake(make, runtime):
    outer = make(user_options={"cpus": 1})
    with pytest.raises(web.HTTPError) as raised:
        await start(outer)
    assert raised.value.status_code == 400
    assert "'cpus' is no option: did you mean 'cpu'?" in raised.value.jupyterhub_message
    with pytest.raises(web.HTTPError) as raised:
        await outer._run_apply_user_options({"cpus": 1})
    assert raised.value.status_code == 400
    assert await outer.poll() == 0


@pytest.mark.parametrize("options", [["x"], "text", 17, True])
async def test_options_that_are_no_mapping_are_the_users_mistake(make, options):
    outer = make(user_options=options)
    with pytest.raises(web.HTTPError) as raised:
        await outer._run_apply_user_options(options)
    assert raised.value.status_code == 400
    outer.user_options = OPTIONS
    await start(outer)


async def test_a_failure_tells_the_step_and_no_secret(make, runtime):
    runtime.site.child_kwargs = {"result": RuntimeError("token=SECRET")}
    outer = make()
    with pytest.raises(web.HTTPError) as raised:
        await start(outer)
    (*_, last) = [event async for event in outer.progress()]
    assert last["failed"]
    for text in (raised.value.jupyterhub_message, str(raised.value), last["message"]):
        assert "SECRET" not in text
        assert "Starting the server failed for a technical reason." in text
    assert outer._resource.id in last["message"]
    assert await outer.poll() == 1
    await asyncio.wait_for(outer._resource.closed.wait(), 5)
    assert runtime.provider.cloud == {}


async def test_a_cancelled_start_ends_at_once_and_is_released(make, runtime):
    class Slow(Child):
        async def start(self):
            await asyncio.sleep(3600)

    runtime.site.child_class = Slow
    outer = make()
    outer.clear_state()
    starting = asyncio.ensure_future(outer.start())
    while outer._resource is None or outer._resource.phase is not Phase.LAUNCHING:
        await asyncio.sleep(0)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(starting, 0.5)
    assert starting.cancelled()
    # Now, and not only once the start has taken too long.
    assert outer._resource.release is not None
    await asyncio.wait_for(outer._resource.closed.wait(), 10)
    assert await outer.poll() == 1
    assert runtime.provider.cloud == {}


async def test_every_page_sees_all_of_the_progress(make, runtime):
    gate = runtime.provider.gates["create"] = asyncio.Event()
    outer = make()
    outer.clear_state()

    async def watch():
        return [event async for event in outer.progress()]

    first = asyncio.ensure_future(watch())
    starting = asyncio.ensure_future(outer.start())
    while "create" not in runtime.provider.calls:
        await asyncio.sleep(0)
    second = asyncio.ensure_future(watch())
    gate.set()
    await starting
    events = await asyncio.wait_for(first, 5)
    assert events == await asyncio.wait_for(second, 5) == await watch()
    assert [e["progress"] for e in events] == sorted(e["progress"] for e in events)
    assert events[0]["message"] == "Looking for a place"


async def test_a_server_that_ends_by_itself_is_noticed(make, runtime):
    outer = make()
    await start(outer)
    noticed = asyncio.Event()
    outer.add_poll_callback(noticed.set)
    outer.child.status = "ExitCode=137"
    await asyncio.wait_for(noticed.wait(), 5)
    assert await outer.poll() == 1


async def test_an_end_before_jupyterhub_asks_to_be_told_is_told_all_the_same(make, runtime):
    """JupyterHub registers its callback only once the proxy knows the server."""
    outer = make()
    await start(outer)
    outer.start_polling()
    outer.child.status = 1
    await asyncio.wait_for(outer._resource.closed.wait(), 5)
    while outer._poll_callback is not None:
        await asyncio.sleep(0.01)
    noticed = []
    outer.add_poll_callback(noticed.append, "ada")
    assert noticed == []
    await asyncio.sleep(0.1)
    assert noticed == ["ada"]


async def test_poll_and_url_never_raise_where_nothing_can_be_looked_up(ada, monkeypatch):
    def refuse(spawner):
        raise ConfigurationError("another hub uses the ledger")

    monkeypatch.setattr(Runtime, "current", staticmethod(refuse))
    outer = ada.server(state={"intent": "f" * 32})
    assert await outer.poll() is None
    assert await outer.get_url() == ""


async def test_the_form_is_rendered_with_what_was_chosen_last(make):
    outer = make()
    outer.orm_spawner.user_options = {**OPTIONS, "cpu": 2.5}
    page = await outer.get_options_form()
    assert "selected" in page
    assert 'value="2.5"' in page


@pytest.mark.parametrize(
    "stored", [{}, {"cpu": "<b>"}, {"deployment": ["gone"]}, {"x": b"\0"}, ["a"], "text", None]
)
async def test_the_form_is_rendered_whatever_was_stored(make, stored):
    outer = make(user_options=stored)
    outer.orm_spawner.user_options = stored
    page = await outer.get_options_form()
    assert "<b>" not in page


def test_a_failure_that_jupyterhub_shows_holds_one_text():
    error = for_jupyterhub(StartFailed("100 % of it is used up.", "quota", 403))
    assert error.status_code == 403
    assert error.jupyterhub_message == "100 % of it is used up."
    assert "100 % of it is used up." in str(error)


@pytest.mark.parametrize(("version", "count"), [(5, -1), (6, None)])
async def test_a_refusal_is_taken_off_before_jupyterhub_5_counts_it(
    make, monkeypatch, version, count
):
    monkeypatch.setattr(errors, "SpawnException", None if version == 5 else web.HTTPError)
    monkeypatch.setattr(multiple, "for_jupyterhub", lambda failure: web.HTTPError(failure.status))
    outer = make()
    outer.handler = SimpleNamespace(settings={})
    with pytest.raises(web.HTTPError):
        await outer._run_apply_user_options({"cpus": 1})
    assert outer.handler.settings.get("failure_count") == count
    outer.handler = None
    with pytest.raises(web.HTTPError):
        await outer._run_apply_user_options({"cpus": 1})


async def test_a_failure_of_ours_counts(make, runtime, monkeypatch):
    monkeypatch.setattr(errors, "SpawnException", None)
    runtime.site.child_kwargs = {"result": RuntimeError("no")}
    outer = make()
    outer.handler = SimpleNamespace(settings={})
    with pytest.raises(web.HTTPError):
        await start(outer)
    assert outer.handler.settings == {}


async def test_what_a_query_said_stands_in_the_form_once_it_is_refused(make):
    outer = make()
    options = outer.options_from_query({"deployment": ["image"], "cpu": ["4096"]})
    assert options == {"deployment": "image", "cpu": 4096}
    assert 'value="4096"' in await outer.get_options_form()


async def test_what_one_request_said_does_not_stand_in_the_form_of_another(make):
    outer = make()

    async def request():
        outer.options_from_query({"cpu": ["4096"]})

    await asyncio.create_task(request())
    assert 'value="4096"' not in await outer.get_options_form()


# -- restarts -------------------------------------------------------------------------------------


async def test_a_server_outlives_its_hub(make, runtime, ada, tmp_path):
    outer = make("lab")
    runtime.site.child_kwargs = {"labels": {"a": "b"}}
    await start(outer)
    runtime, outer = await again(runtime, ada, tmp_path, outer)
    assert await outer.poll() is None
    assert await outer.get_url() == "http://192.0.2.7:8888"
    child = outer.child
    assert (child.remembered, child.labels) == ("vm-1", {"a": "b"})
    await outer.stop()
    assert await outer.poll() == 0
    assert child.calls == ["stop"]
    await runtime.end()


async def test_a_server_that_ended_while_the_hub_was_down_may_resume(make, runtime, ada, tmp_path):
    """JupyterHub asks us, and deletes the token that the container would resume with."""

    class Resuming(Child):
        will_resume = True

    outer = make()
    await start(outer)
    state = outer.get_state()
    await runtime.die()
    runtime = FakeRuntime(tmp_path / "state")
    runtime.classes = {"spawner.parts.Child": Resuming}
    Runtime._current = runtime
    outer = enlist(runtime, ada.server(state=state))
    runtime.manager.recover(lambda: {state["intent"]})
    assert await outer.poll() == 1
    assert outer.will_resume is True
    await runtime.end()


async def test_a_child_that_cannot_be_rebuilt_leaves_the_server_to_its_provider(
    make, runtime, ada, tmp_path, caplog
):
    outer = make()
    await start(outer)
    state = outer.get_state()
    cloud = runtime.provider.cloud
    await runtime.die()
    runtime = FakeRuntime(tmp_path / "state")
    runtime.provider.cloud = cloud
    runtime.classes = {}
    Runtime._current = runtime
    outer = enlist(runtime, ada.server(state=state))
    runtime.manager.recover(lambda: {state["intent"]})
    assert await outer.poll() is None
    assert await outer.get_url() == "http://192.0.2.7:8888"
    await outer.stop()
    assert await outer.poll() == 0
    assert cloud == {}
    assert caplog.text.count("cannot be rebuilt") == 1
    await runtime.end()


async def test_a_provider_that_does_not_answer_after_a_restart_proves_nothing(
    make, runtime, ada, tmp_path, monkeypatch
):
    monkeypatch.setattr(multiple, "_SETTLE", 0.05)
    outer = make()
    await start(outer)
    state = outer.get_state()
    cloud = runtime.provider.cloud
    await runtime.die()
    runtime = FakeRuntime(tmp_path / "state")
    runtime.provider.cloud = cloud
    gate = runtime.provider.gates["describe"] = asyncio.Event()
    Runtime._current = runtime
    outer = enlist(runtime, ada.server(state=state))
    runtime.manager.recover(lambda: {state["intent"]})
    assert await outer.poll() is None
    gate.set()
    assert next(iter(cloud.values()))[2] is ResourceState.READY
    await outer.stop()
    await runtime.end()


# -- names ----------------------------------------------------------------------------------------


async def test_each_kind_of_child_deletes_what_it_kept(make, runtime, monkeypatch):
    asked = []

    class Other(Child):
        async def delete_forever(self):
            asked.append(("Other", self.labels))
            raise RuntimeError("there is nothing to delete")

    async def note(self):
        asked.append(("Child", self.labels))

    monkeypatch.setattr(Child, "delete_forever", note)
    runtime.classes[f"{Other.__module__}.{Other.__qualname__}"] = Other
    for cls, labels in ((Child, "old"), (Child, "new"), (Other, "one")):
        runtime.site.child_class = cls
        runtime.site.child_kwargs = {"labels": {"is": labels}}
        outer = make("lab")
        await start(outer)
        await outer.stop()
    await make("lab").delete_forever()
    assert asked == [("Other", {"is": "one"}), ("Child", {"is": "new"})]


async def test_deleting_releases_what_is_left(make, runtime):
    outer = make("lab")
    await start(outer)
    held = outer._resource
    fresh = make("lab")
    await fresh.delete_forever()
    await asyncio.wait_for(held.closed.wait(), 5)
    assert runtime.provider.cloud == {}


async def test_a_class_that_is_gone_keeps_no_other_from_deleting(make, runtime, monkeypatch):
    asked = []

    async def note(self):
        asked.append(type(self).__name__)

    monkeypatch.setattr(Child, "delete_forever", note)
    gone = type("Gone", (Child,), {"__module__": "gone", "__qualname__": "Gone"})
    for cls in (Child, gone):
        runtime.site.child_class = cls
        outer = make("lab")
        await start(outer)
        await outer.stop()
    await make("lab").delete_forever()
    assert asked == ["Child"]


async def test_a_name_is_followed_by_children_and_ledger(make, runtime, monkeypatch):
    asked = []

    async def rename(self, old_name, new_name):
        asked.append((self.name, old_name, new_name))

    monkeypatch.setattr(Child, "rename", rename)
    outer = make("lab")
    await start(outer)
    await outer.stop()
    await outer._resource.closed.wait()
    outer = make("lab")
    await outer.rename("lab", "field")
    assert asked == [("lab", "lab", "field")]
    assert await runtime.ledger.history(Owner("ada", "lab")) == []
    assert len(await runtime.ledger.history(Owner("ada", "field"))) == 1
    (child,) = await runtime.past_children(make("field"))
    assert isinstance(child, Child)


async def test_a_child_refuses_a_name(make, runtime, monkeypatch):
    async def refuse(self, old_name, new_name):
        raise RuntimeError("the volume cannot move")

    monkeypatch.setattr(Child, "rename", refuse)
    outer = make("lab")
    await start(outer)
    await outer.stop()
    await outer._resource.closed.wait()
    with pytest.raises(RuntimeError, match="cannot move"):
        await make("lab").rename("lab", "field")
    assert len(await runtime.ledger.history(Owner("ada", "lab"))) == 1


async def test_what_is_still_being_released_follows_the_name(make, runtime):
    outer = make("lab")
    await start(outer)
    held = outer._resource
    gate = runtime.provider.gates["delete"] = asyncio.Event()
    await runtime.manager.release(held, "it was stopped")
    await outer.rename("lab", "field")
    assert held.owner == Owner("ada", "field")
    gate.set()
    await asyncio.wait_for(held.closed.wait(), 5)
    (row,) = await runtime.ledger.history(Owner("ada", "field"))
    assert row.phase is Phase.CLOSED


async def test_an_authenticator_cleans_up_although_its_template_is_gone(tmp_path, runtime):
    """Its class and what it was made with stand in the ledger, but no secret."""
    cleaned = []

    class Opens(Authenticator):
        key_name = Unicode()
        passphrase_token = Unicode()

        async def prepare(self, intent):
            return Keys()

        async def open(self, intent, endpoint, keys):
            return Access(endpoint)

        async def cleanup(self, intent):
            cleaned.append((self.key_name, self.passphrase_token))

    kwargs = {"key_name": "id_ed25519", "passphrase_token": "SECRET"}
    registry = Registry([])
    registry.resolve = lambda kind, name, resource_type="": Component("opens", "x:Opens")
    registry.load = lambda kind, component: Opens
    runtime.pool = Pool(registry, Config(), tmp_path, "i" * 32)
    runtime.registry = registry
    opens = runtime.pool.authenticator("T", Opens, kwargs)
    planner = plan_for(runtime.provider, authenticator=opens, authenticator_kwargs=kwargs)
    resource = runtime.manager.begin(Owner("ada"), planner, FakeChild(), EventLog())
    await asyncio.wait_for(asyncio.shield(resource.url), 5)
    assert resource.record.authenticator_kwargs == {"key_name": "id_ed25519"}
    await runtime.manager.release(resource, "it was stopped")
    await asyncio.wait_for(resource.closed.wait(), 5)
    assert cleaned == [("id_ed25519", "")]
