"""A hub without JupyterHub around it, a cloud that outlives it, and what must hold of both."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import sys
import warnings
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from unittest import mock

from chaos.virtual import EPOCH, Killed, MortalLoop

from multiplespawner_core.contracts import Access, Keys, Owner, ProviderError, Specification
from multiplespawner_core.planning.candidates import Candidates
from multiplespawner_core.planning.plan import Budget, Plan
from multiplespawner_core.resources import (
    creation,
    database,
    manager,
    pipeline,
    reconciler,
    release,
    timer,
)
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.failures import StartFailed
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import FAILED, SWEEP_INTERVAL, Manager
from multiplespawner_core.resources.providers import Reach
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.model import Call, Cloud
from multiplespawner_core.testing.cloud.provider import ModelCloud
from multiplespawner_core.testing.cloud.records import State
from multiplespawner_core.testing.cloud.settings import Settings
from multiplespawner_core.testing.cloud.translation import INSTALLATION_TAG

TYPE = "virtual_machine"
SETTLE = 2400.0
"""Seconds after which, with a hub and a cloud that work, everything must be in order: the time
that a start may take, the longest pause between two attempts to delete, and two sweeps."""

_TIMED = (creation, manager, pipeline, reconciler, release, timer)


class Violation(AssertionError):
    """Something that must always hold does not."""


class MarkedLedger(Ledger):
    world = None

    async def insert(self, record):
        return await self._marked("insert", super().insert(record))

    async def update(self, record, **changes):
        await self._marked("update", super().update(record, **changes))
        if "phase" in changes:
            self.world.note_phase(record.id, changes["phase"])

    async def _marked(self, name, work):
        self.world.point(f"{name}: before", work)
        result = await work
        self.world.point(f"{name}: after")
        return result


class InlineLedger(MarkedLedger):
    """Commits at once, in the loop: a thread would have a time of its own."""

    def __init__(self, backend, tenure):
        self.trouble = ""
        self._backend = backend
        self._tenure = tenure
        self._closed = False

    async def submit(self, operation):
        self.world.require_alive()
        future = asyncio.get_running_loop().create_future()
        self._commit([(operation, future)])
        return await asyncio.shield(future)

    def close(self):
        self._closed = True
        self._backend.close()


class MarkedProvider:
    """Mixed into a provider of the small cloud."""

    world = None

    async def _exchange(self, call):
        self.world.point(f"{call.method}: sent")
        try:
            answer = await super()._exchange(call)
        except Exception:
            self.world.point(f"{call.method}: answered")
            raise
        self.world.point(f"{call.method}: answered")
        return answer


class Provider(MarkedProvider, ModelCloud):
    pass


class Providers:
    def __init__(self, provider):
        self._provider = provider

    async def of(self, name, resource_type):
        return self._provider

    async def reached(self):
        return [Reach(scope, (TYPE,)) for scope in await self._provider.scopes()]

    def merged(self, reaches):
        return sorted(set(reaches))


class Authenticator:
    def __init__(self, world):
        self._world = world

    async def prepare(self, intent):
        self._world.point("prepare")
        return Keys()

    async def open(self, intent, endpoint, keys):
        self._world.point("open")
        await asyncio.sleep(1)
        return Access(endpoint)


class Child:
    """A server on a machine, which dies with it."""

    def __init__(self, world, owner, instance=None):
        self._world = world
        self._instance = instance
        self.owner = owner

    async def start(self, launch):
        self._world.point("child: start")
        await asyncio.sleep(1)
        if not self._world.runs(launch.handle.id):
            msg = "the machine is not there"
            raise RuntimeError(msg)
        self._instance = launch.handle.id
        self._world.servers.add(self._instance)
        self._world.point("child: started")
        return f"http://{self._instance}"

    async def poll(self):
        await asyncio.sleep(0)
        return None if self._world.answers(self._instance) else 1

    async def stop(self):
        self._world.point("child: stop")
        await asyncio.sleep(0.5)
        self._world.servers.discard(self._instance)

    def snapshot(self):
        return {"class": "model", "kwargs": {}, "state": {"instance": self._instance}}

    async def notice(self):
        self._world.jupyterhub.pop(self.owner, None)


class World:
    """Runs one schedule and checks what must hold.

    Args:
        schedule: what happens.
        directory: for the ledger; must not exist.
        template: a directory with an empty ledger.
    """

    sweep_interval = SWEEP_INTERVAL
    tails = (0, 1, 30, 700)
    """Seconds from the last step to the end of a hub, at the most; one is drawn for each."""
    standing = 3600
    """Seconds for which the meter must stand still."""

    def __init__(self, schedule, directory, template):
        self.schedule = schedule
        self.now = EPOCH
        self.directory = directory
        shutil.copytree(template, directory)
        self._rng = random.Random(schedule.seed + 1)
        settings = Settings(capacity={"north": {"small": 1}, "south": {"small": 2}})
        self.cloud = Cloud(settings, clock=lambda: self.now, rng=random.Random(schedule.seed + 2))
        arguments = {"token": "foreign", "name": "foreign", "shape": "large", "tags": {}}
        self.cloud.handle(Call("create", "north", arguments))
        (self.foreign,) = self.cloud.records()
        self.servers = set()
        self.jupyterhub = {}
        self.pending = {}
        self.labels = Counter()
        self.killed = Counter()
        self.numbers = Counter()
        self.phases = _Defaults()
        self.homes = {}
        self.given_up = set()
        self._alive = False
        self._life = None
        self._tasks = set()

    # -- what the parts say ---

    def point(self, label, work=None):
        """One of the places with a name."""
        try:
            self.require_alive()
            self.labels[label] += 1
            life = self._life
            if life is not None and label == life.label and self._count(label) == life.nth:
                self._kill(label)
        except BaseException:
            if work is not None:
                work.close()
            raise

    def require_alive(self):
        if not self._alive:
            raise Killed

    def _count(self, label):
        self._counted[label] += 1
        return self._counted[label]

    def _kill(self, where):
        self.killed[where] += 1
        self._alive = False
        raise Killed

    def note(self, what):
        """Count it for the figures."""
        self.numbers[what] += 1

    def note_phase(self, intent, phase):
        self.phases[intent][phase] = self.now

    def runs(self, instance):
        self.cloud.advance()
        return self.cloud.record(instance).state is State.RUNNING

    def answers(self, instance):
        return instance in self.servers and self.runs(instance)

    # -- lives of the hub ---

    def run(self):
        with virtual_time(self):
            for life in self.schedule.lives:
                self._live(life)
            self.cloud.faults.clear()
            self._live(None)

    def _live(self, life):
        loop = MortalLoop(self.now, kill_at=life.turn if life else 0)
        self._loop, self._life, self._counted, self._alive = loop, life, Counter(), True
        self.pending = {}
        self.ledger = None
        try:
            loop.run_until_complete(self._hub(life))
        except Killed:
            if self._alive:
                self.killed["between two callbacks"] += 1
        finally:
            self._alive = False
            self.now = loop.now
            loop.abandon()
            if self.ledger is not None and not self.ledger._closed:
                self.ledger.close()

    async def _hub(self, life):
        self._open()
        self.manager = Manager(self.ledger, Providers(self.provider), self._cleanup, self._revive)
        self.manager.recover(lambda: set(self.jupyterhub.values()), self.sweep_interval)
        for owner in list(self.jupyterhub):
            self._spawn(self._look_at(owner))
        self._spawn(self._poll_for_ever())
        if life is None:
            await self._in_order()
            await self.manager.shutdown()
            return
        for step in life.steps:
            await asyncio.sleep(step.after)
            getattr(self, step.what)(Owner(step.who), step.value)
        await asyncio.sleep(self._rng.choice(self.tails) * self._rng.random())
        await self.manager.shutdown()

    def _open(self):
        self.ledger = InlineLedger.open("", self.directory)
        self.ledger.world = self
        self.provider = Provider(
            self.cloud, state_dir=self.directory, installation_id=self.ledger.installation_id
        )
        self.provider.world = self

    def _spawn(self, work):
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cleanup(self, record):
        self.point("cleanup")

    def _revive(self, resource):
        state = resource.record.child.get("state") if resource.record else None
        return Child(self, resource.owner, state["instance"]) if state else None

    async def _look_at(self, owner):
        """JupyterHub asks at its start for each server that it knows."""
        resource = self.manager.find(self.jupyterhub[owner])
        if resource is None:
            self.jupyterhub.pop(owner, None)
            return
        if self._rng.random() < 0.7 and (child := self._revive(resource)):
            self.manager.link(resource, child)
        await resource.settled(5)
        if resource.poll() is not None and self.jupyterhub.get(owner) == resource.id:
            del self.jupyterhub[owner]

    async def _poll_for_ever(self):
        """JupyterHub asks whether its servers still run, every 30 seconds."""
        while True:
            await asyncio.sleep(30)
            for owner, intent in list(self.jupyterhub.items()):
                resource = self.manager.find(intent)
                if resource is None or resource.poll() is not None:
                    del self.jupyterhub[owner]

    # -- what happens ---

    def start(self, owner, what):
        if owner not in self.jupyterhub and owner not in self.pending:
            self.note("asked")
            child = Child(self, owner)
            planner = self._planner(*what)

            async def resumer(kept):
                return (await planner()) if kept.template == what[1] else None

            resource = self.manager.begin(owner, planner, child, EventLog(), resumer)
            self.pending[owner] = resource
            self._spawn(self._await_start(owner, resource))

    async def _await_start(self, owner, resource):
        try:
            await asyncio.shield(resource.url)
        except StartFailed:
            pass
        else:
            self.note("started")
            if resource.record.started_at is not None:
                self.note("resumed")
            self.jupyterhub[owner] = resource.id
            if resource.record.keeps:
                self.homes[resource.id] = resource.record.handle.id
        finally:
            self.pending.pop(owner, None)

    def _planner(self, lifetime, template):
        wanted = Specification(TYPE, cpu=1, memory=1)

        async def plans():
            return [
                Plan(
                    template=template,
                    keeps=template == "keeps",
                    deployment="D",
                    provider=self.provider,
                    offer=offer,
                    specification=wanted,
                    child_class=object,
                    child_kwargs={},
                    authenticator=Authenticator(self),
                    configurer=None,
                    lifetime=lifetime,
                    hub_connect_url=None,
                    budget=Budget(60, 120, 30, 0, 60),
                )
                for offer in await self.provider.offers(wanted)
            ]

        async def planner():
            return await Candidates([("model", plans)]).first()

        return planner

    def cancel(self, owner, _):
        if owner in self.pending:
            self.manager.begin_release(self.pending[owner], "the start was cancelled", FAILED)

    def stop(self, owner, _):
        if owner in self.jupyterhub:
            resource = self.manager.find(self.jupyterhub[owner])
            if resource is None:
                del self.jupyterhub[owner]
            else:
                self.manager.begin_release(resource, "it was stopped")
                self._spawn(self._await_stop(owner, resource))

    def restart(self, owner, what):
        """Its user stops it and starts it again."""
        if owner in self.jupyterhub:
            self.stop(owner, None)
            self._spawn(self._restart(owner, what))

    async def _restart(self, owner, what):
        while owner in self.jupyterhub:
            await asyncio.sleep(1)
        self.start(owner, what)

    async def _await_stop(self, owner, resource):
        await resource.released.wait()
        if self.jupyterhub.get(owner) == resource.id:
            del self.jupyterhub[owner]

    def fault(self, _, fault):
        self.cloud.add_fault(fault)

    def vanish(self, owner, _):
        """The machine ends by itself."""
        resource = self.manager.find(self.jupyterhub.get(owner, ""))
        if resource is not None and resource.record.handle is not None:
            self.given_up.add(resource.id)
            self.cloud.terminate(resource.record.handle.id)

    def forsake(self, owner, _):
        """The server is removed from JupyterHub's database, and nobody says so."""
        self.jupyterhub.pop(owner, None)

    def delete(self, owner, _):
        """The server is deleted in JupyterHub."""
        self.jupyterhub.pop(owner, None)
        for resource in self.manager.of(owner):
            self.given_up.add(resource.id)
            self._spawn(self.manager.release(resource, "the server was deleted", for_good=True))

    def rouse(self, owner, _):
        """Somebody starts at the provider what is kept."""
        for resource in self.manager.of(owner):
            if resource.kept:
                self._spawn(self._rouse(resource.record.handle))

    async def _rouse(self, handle):
        with suppress(ProviderError):
            await self.provider.start(handle)

    def wait(self, owner, _):
        pass

    # -- what must hold ---

    async def _in_order(self):
        await self._settle(self._require_what_is_shown)
        for owner in list(self.jupyterhub):
            self.stop(owner, None)
        await self._settle(self._require_nothing_is_shown)
        await self._require_still_meter()
        for owner in {row.owner for row in self.ledger.unfinished()}:
            self.delete(owner, None)
        await self._settle(self._require_nothing_is_kept)

    def _require_nothing_is_kept(self):
        self._require(self.ledger.unfinished() == [], "what is deleted is not kept")
        self._require_what_is_shown()

    async def _require_still_meter(self):
        before, kept = self.cloud.meter().by_id, {row.id for row in self.ledger.unfinished()}
        await asyncio.sleep(self.standing)
        self._require_still(before, self.cloud.meter().by_id, kept)

    def _require_still(self, before, after, kept):
        for one in self.cloud.records():
            if one.tags.get(INTENT_TAG):
                stays = one.tags[INTENT_TAG] in kept
                parts = [one.id, *(() if stays else (part.id for part in one.dependents))]
                self._require(
                    all(after[part] == before[part] for part in parts),
                    "the meter stands still when nobody runs, but for the disks that are kept",
                )

    async def _settle(self, require):
        await asyncio.sleep(SETTLE)
        require()

    def _require_nothing_is_shown(self):
        self._require_what_is_shown()
        self._require(self.jupyterhub == {}, "every server is stopped")

    def _require_what_is_shown(self):
        rows = self.ledger.unfinished()
        kept = [row for row in rows if row.phase is Phase.KEPT]
        self._require(
            {row.id for row in rows} - {row.id for row in kept} == set(self.jupyterhub.values())
            and all(row.phase in (Phase.RUNNING, Phase.KEPT) for row in rows),
            "live intents are the servers that JupyterHub shows, and what is kept",
        )
        self._require(
            not any(self.runs(row.handle.id) for row in kept),
            "what is kept does not run",
        )
        for intent, machine in self.homes.items():
            self._require(
                intent in self.given_up or any(row.handle.id == machine for row in rows),
                "what is to be kept is not deleted",
            )
        ours = [
            one
            for one in self.cloud.live()
            if one.tags.get(INSTALLATION_TAG) == self.ledger.installation_id
        ]
        of_intents = Counter(one.tags[INTENT_TAG] for one in ours)
        self._require(
            set(of_intents) <= {row.id for row in rows}, "what costs belongs to a live intent"
        )
        self._require(max(of_intents.values(), default=1) == 1, "one resource an intent")
        owners = Counter(row.owner for row in rows)
        self._require(max(owners.values(), default=1) == 1, "one live intent a server")
        for row in rows:
            self._require(
                row in kept or (row.handle is not None and self.answers(row.handle.id)),
                "every server that JupyterHub shows as running answers",
            )
        foreign = self.cloud.record(self.foreign.id)
        self._require(
            foreign.state is State.RUNNING and not foreign.tags, "nobody else's is touched"
        )

    def _require(self, holds, what):
        if not holds:
            unfinished = self.ledger.unfinished()
            rows = [(row.id[:6], row.phase.value, row.last_error) for row in unfinished]
            live = [
                (one.id, one.state.value, one.tags.get(INTENT_TAG, "")[:6])
                for one in self.cloud.live()
            ]
            shown = {owner.user: intent[:6] for owner, intent in self.jupyterhub.items()}
            msg = f"not so: {what}; rows {rows}, cloud {live}, JupyterHub {shown}"
            raise Violation(msg)

    # -- figures ---

    @property
    def slowest_reclaim(self):
        """Seconds from a release that was committed until it was proven complete."""
        return max(
            (
                seen[Phase.CLOSED] - seen[Phase.RELEASING]
                for seen in self.phases.values()
                if Phase.CLOSED in seen and Phase.RELEASING in seen
            ),
            default=0.0,
        )

    @property
    def duplicates(self):
        """Intents for which the cloud ever made more than one machine."""
        made = Counter(one.tags.get(INTENT_TAG, "") for one in self.cloud.records())
        return sum(count > 1 for intent, count in made.items() if intent)


class _Defaults(dict):
    def __missing__(self, key):
        self[key] = {}
        return self[key]


@contextmanager
def virtual_time(world):
    """Every clock is the loop's, and what a killed process leaves in memory says nothing."""

    def clock():
        world.now = world._loop.now
        return world.now

    clocks = SimpleNamespace(time=clock, monotonic=clock)
    with ExitStack() as stack:
        for module in _TIMED:
            stack.enter_context(mock.patch.object(module, "time", clocks))
        # It was upgraded as a template.
        stack.enter_context(mock.patch.object(database, "_upgrade"))
        stack.enter_context(mock.patch.object(sys, "unraisablehook"))
        stack.enter_context(warnings.catch_warnings())
        # Coroutines of a killed process that nobody awaits any more.
        warnings.simplefilter("ignore", RuntimeWarning)
        world.cloud._clock = clock
        yield
        gc.collect()


def template_ledger(directory):
    """A directory with an empty ledger."""

    async def make():
        Ledger.open("", directory).close()

    asyncio.run(make())
    return directory
