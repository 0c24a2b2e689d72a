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

from chaos.invariants import Invariant, Violation
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
from multiplespawner_core.resources.reconciler import Verdict
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.model import Call, Cloud
from multiplespawner_core.testing.cloud.provider import ModelCloud, NoAnswer, NoConnection
from multiplespawner_core.testing.cloud.records import State
from multiplespawner_core.testing.cloud.settings import Settings
from multiplespawner_core.testing.cloud.translation import INSTALLATION_TAG

TYPE = "virtual_machine"
SETTLE = 2400.0
"""Seconds after which, with a hub and a cloud that work, everything must be in order: the time
that a start may take, the longest pause between two attempts to delete, and two sweeps."""

SETTINGS = Settings(capacity={"north": {"small": 1}, "south": {"small": 2}})

LONGEST_START = 1000.0
"""Seconds that a start may take, with every offer tried."""

_ENDING = (Phase.STOPPING, Phase.RELEASING)
_TIMED = (creation, manager, pipeline, reconciler, release, timer)


class MarkedLedger(Ledger):
    world = None

    async def insert(self, record):
        return await self._marked("insert", super().insert(record))

    async def update(self, record, **changes):
        await self._marked("update", super().update(record, **changes))
        if "phase" in changes:
            self.world.note_phase(record, changes["phase"])

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

    async def insert(self, record):
        row = await super().insert(record)
        self.world.check_owners()
        return row

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


class CarryingCloud(ModelCloud):
    """What was sent arrives, whatever becomes of who sent it."""

    world = None

    async def _exchange(self, call):
        if call.method == "create":
            self.world.check_create(call)
        await asyncio.sleep(0)
        if self.cloud.is_down(call):
            raise NoConnection
        held = self.cloud.hold(call)
        answer = await self.world.send(call, held) if held else self.cloud.handle(call)
        await asyncio.sleep(answer.delay)
        if answer.lost:
            raise NoAnswer
        return answer

    def _scope_keys(self):
        return self.world.scopes


class Provider(MarkedProvider, CarryingCloud):
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
        await self._world.hang("prepare")
        return Keys()

    async def open(self, intent, endpoint, keys):
        self._world.point("open")
        await self._world.hang("open")
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
        await self._world.hang("child: start")
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
        await self._world.hang("child: stop")
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
        settings: of the cloud.
    """

    sweep_interval = SWEEP_INTERVAL
    tails = (0, 1, 30, 700)
    """Seconds from the last step to the end of a hub, at the most; one is drawn for each."""
    standing = 3600
    """Seconds for which the meter must stand still."""

    def __init__(self, schedule, directory, template, settings=SETTINGS):
        self.schedule = schedule
        self.now = EPOCH
        self.directory = directory
        shutil.copytree(template, directory)
        self._rng = random.Random(schedule.seed + 1)
        self.cloud = Cloud(settings, clock=lambda: self.now, rng=random.Random(schedule.seed + 2))
        arguments = {"token": "foreign", "name": "foreign", "shape": "large", "tags": {}}
        self.cloud.handle(Call("create", "north", arguments))
        (self.foreign,) = self.cloud.records()
        self.servers = set()
        self.jupyterhub = {}
        self.pending = {}
        self._began = {}
        self.scopes = settings.scopes
        self.unwanted = set()
        self.hanging = Counter()
        self.labels = Counter()
        self.killed = Counter()
        self.numbers = Counter()
        self.phases = _Defaults()
        self.homes = {}
        self.given_up = set()
        self._alive = False
        self._life = None
        self._tasks = set()
        self._in_transit = []
        self._orphans = set()
        self._broken = None

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

    def note_phase(self, row, phase):
        """Of a row, as it was before; once it is committed."""
        self._check_phase(row, phase)
        self.phases[row.id][phase] = self.now

    async def hang(self, place):
        """What is awaited there never comes, if that was to happen."""
        if self.hanging[place]:
            self.hanging[place] -= 1
            self.note(f"hung: {place}")
            await asyncio.Event().wait()

    def send(self, call, held):
        """Hand a request to the network, which holds it for so long."""
        answered = asyncio.get_running_loop().create_future()
        request = (self.now + held, call)
        self._in_transit.append(request)
        self._deliver(request, answered)
        return answered

    def _deliver(self, request, answered=None):
        due, call = request

        def arrive():
            self._in_transit.remove(request)
            answer = self.cloud.handle(call)
            if answered is None:
                self.note("late")
                self._orphans.add(call.arguments.get("token"))
            elif not answered.done():
                answered.set_result(answer)

        asyncio.get_running_loop().call_at(due, arrive)

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
            self.hanging.clear()
            self._live(None)

    def _live(self, life):
        self.boot(life)
        try:
            self._loop.run_until_complete(self._hub(life))
        except Killed:
            if self._alive:
                self.killed["between two callbacks"] += 1
        finally:
            self.end()
        if self._broken is not None:
            raise self._broken

    def boot(self, life=None):
        """A process in which a hub can begin."""
        self._loop = MortalLoop(self.now, kill_at=life.turn if life else 0)
        self._life, self._counted, self._alive = life, Counter(), True
        self.scopes = life.scopes if life else self.schedule.scopes
        self.pending = {}
        self.ledger = None

    def end(self):
        """It is gone, with whatever it was doing."""
        self._alive = False
        self.now = self._loop.now
        self._loop.abandon()
        if self.ledger is not None and not self.ledger._closed:
            self.ledger.close()

    async def _hub(self, life):
        self.begin()
        if life is None:
            await self._in_order()
            await self.manager.shutdown()
            return
        for step in life.steps:
            await asyncio.sleep(step.after)
            getattr(self, step.what)(Owner(step.who), step.value)
        await asyncio.sleep(self._rng.choice(self.tails) * self._rng.random())
        await self.manager.shutdown()

    def begin(self):
        """What a hub does when it starts; within its loop."""
        self._open()
        self.manager = Manager(self.ledger, Providers(self.provider), self._cleanup, self._revive)
        self.manager.recover(lambda: set(self.jupyterhub.values()), self.sweep_interval)
        for owner in list(self.jupyterhub):
            self._spawn(self._look_at(owner))
        self._spawn(self._poll_for_ever())

    def _open(self):
        for request in list(self._in_transit):
            self._deliver(request)
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
        if self.jupyterhub.get(owner) == resource.id and self._has_ended(resource):
            del self.jupyterhub[owner]

    async def _poll_for_ever(self):
        """JupyterHub asks whether its servers still run, every 30 seconds."""
        while True:
            await asyncio.sleep(30)
            for owner, intent in list(self.jupyterhub.items()):
                resource = self.manager.find(intent)
                if resource is None or self._has_ended(resource):
                    del self.jupyterhub[owner]
            self._check_now()

    def _has_ended(self, resource):
        has_ended = resource.poll() is not None
        if has_ended:
            rows = {row.id: row.phase for row in self.ledger.unfinished()}
            ended = (*_ENDING, Phase.KEPT, Phase.CLOSED)
            told = rows.get(resource.id, Phase.CLOSED) in ended
            self._check(Invariant.TOLD, told, resource.id)
        return has_ended

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
            self._began[owner] = asyncio.get_running_loop().time()
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
            self.unwanted.discard(resource.id)
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
            resource = self.pending[owner]
            self.unwanted.add(resource.id)
            self.manager.begin_release(resource, "the start was cancelled", FAILED)
            self._check(Invariant.PROMPT, resource.url.done(), resource.id)

    def stop(self, owner, _):
        if owner in self.jupyterhub:
            resource = self.manager.find(self.jupyterhub[owner])
            if resource is None:
                del self.jupyterhub[owner]
            else:
                self.unwanted.add(resource.id)
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

    def hold_up(self, _, place):
        self.hanging[place] += 1

    def kill(self, owner, _):
        self._kill("while it waited")

    def sweep(self, owner, _):
        self._spawn(self.manager.reconciler.sweep())

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

    # -- what must hold at every moment ---

    def check_create(self, call):
        """Of a request that is about to be sent."""
        intent = call.arguments["tags"][INTENT_TAG]
        rows = {row.id: row.scope.key for row in self.ledger.unfinished()}
        self._check(Invariant.COMMITTED, rows.get(intent) == call.scope, f"{intent}: {rows}")

    def check_owners(self):
        """Once an intent is written."""
        live = [row for row in self.ledger.unfinished() if row.phase is not Phase.RELEASING]
        owners = Counter(row.owner for row in live)
        self._check(Invariant.ONE_INTENT, max(owners.values()) == 1, owners)

    def _check_phase(self, row, phase):
        """Once a phase is committed."""
        if phase is Phase.CLOSED:
            left = [one for one in self.cloud.live() if one.tags.get(INTENT_TAG) == row.id]
            # What the cloud made beside the one that it was asked for may show up later, and so
            # may what was asked for by a hub that was killed meanwhile: that is for the sweep.
            asked = [one.id for one in left if one.id in self._first_of_each_request()]
            self._check(Invariant.EVIDENCE, not asked, asked)
        elif phase in _ENDING and row.phase is Phase.RUNNING:
            over = row.expires_at is not None and row.expires_at <= self.now
            shown = row.id in self.jupyterhub.values() and row.id not in self.unwanted
            serves = shown and not over and self.answers(row.handle.id)
            self._check(Invariant.SPARED, not serves, row.id)

    def _first_of_each_request(self):
        first = {}
        for one in self.cloud.records():
            if one.token not in self._orphans:
                first.setdefault(one.token, one.id)
        return set(first.values())

    def _check_now(self):
        for owner in self.pending:
            taken = asyncio.get_running_loop().time() - self._began[owner]
            self._check(Invariant.BOUNDED, taken <= LONGEST_START, f"{owner}: {taken}")
        pending = {resource.id for resource in self.pending.values()}
        settled = (Phase.RUNNING, Phase.KEPT, *_ENDING)
        starts = {row.id for row in self.ledger.unfinished() if row.phase not in settled}
        self._check(Invariant.UNDER_WAY, starts <= pending, starts - pending)
        report = self.manager.reconciler.latest
        found = report.found if report else []
        unknown = [one.owned.handle.id for one in found if one.verdict is Verdict.UNKNOWN]
        self._check(Invariant.KNOWN, not unknown, unknown)
        asked = {}
        for one in self.cloud.records():
            asked.setdefault(one.tags.get(INTENT_TAG), set()).add(one.token)
        again = [intent for intent, tokens in asked.items() if len(tokens) > 1]
        self._check(Invariant.ONCE, not again, again)

    def _check(self, invariant, holds, state):
        """Kept until the hub's life is over: within it, whatever is raised is dealt with."""
        if not holds and self._broken is None:
            self._broken = Violation(invariant, state)

    # -- what must hold in the end ---

    async def _in_order(self):
        await self._settle(self.require_what_is_shown)
        for owner in list(self.jupyterhub):
            self.stop(owner, None)
        await self._settle(self._require_nothing_is_shown)
        await self._require_still_meter()
        for owner in {row.owner for row in self.ledger.unfinished()}:
            self.delete(owner, None)
        await self._settle(self._require_nothing_is_kept)

    def _require_nothing_is_kept(self):
        self._require(Invariant.GIVEN_UP, self.ledger.unfinished() == [])
        self.require_what_is_shown()

    async def _require_still_meter(self):
        before, kept = self.cloud.meter().by_id, {row.id for row in self.ledger.unfinished()}
        await asyncio.sleep(self.standing)
        self._require_still(before, self.cloud.meter().by_id, kept)

    def _require_still(self, before, after, kept):
        for one in self.cloud.records():
            if one.tags.get(INTENT_TAG):
                stays = one.tags[INTENT_TAG] in kept
                parts = [one.id, *(() if stays else (part.id for part in one.dependents))]
                still = all(after[part] == before[part] for part in parts)
                self._require(Invariant.STILL, still)

    async def _settle(self, require):
        await asyncio.sleep(SETTLE)
        require()

    def _require_nothing_is_shown(self):
        self.require_what_is_shown()
        self._require(Invariant.STOPPED, self.jupyterhub == {})

    def require_what_is_shown(self):
        rows = self.ledger.unfinished()
        kept = [row for row in rows if row.phase is Phase.KEPT]
        self._require(
            Invariant.SHOWN,
            {row.id for row in rows} - {row.id for row in kept} == set(self.jupyterhub.values())
            and all(row.phase in (Phase.RUNNING, Phase.KEPT) for row in rows),
        )
        self._require(Invariant.AT_REST, not any(self.runs(row.handle.id) for row in kept))
        for intent, machine in self.homes.items():
            there = any(row.handle is not None and row.handle.id == machine for row in rows)
            self._require(Invariant.KEPT, intent in self.given_up or there)
        ours = [
            one
            for one in self.cloud.live()
            if one.tags.get(INSTALLATION_TAG) == self.ledger.installation_id
        ]
        of_intents = Counter(one.tags[INTENT_TAG] for one in ours)
        self._require(Invariant.PAID, set(of_intents) <= {row.id for row in rows})
        self._require(Invariant.ONE_RESOURCE, max(of_intents.values(), default=1) == 1)
        owners = Counter(row.owner for row in rows)
        self._require(Invariant.ONE_INTENT, max(owners.values(), default=1) == 1)
        for row in rows:
            answers = row.handle is not None and self.answers(row.handle.id)
            self._require(Invariant.ANSWERS, row in kept or answers)
        foreign = self.cloud.record(self.foreign.id)
        self._require(Invariant.FOREIGN, foreign.state is State.RUNNING and not foreign.tags)

    def _require(self, invariant, holds):
        if not holds:
            unfinished = self.ledger.unfinished()
            rows = [(row.id[:6], row.phase.value, row.last_error) for row in unfinished]
            live = [
                (one.id, one.state.value, one.tags.get(INTENT_TAG, "")[:6])
                for one in self.cloud.live()
            ]
            shown = {owner.user: intent[:6] for owner, intent in self.jupyterhub.items()}
            raise Violation(invariant, f"rows {rows}, cloud {live}, JupyterHub {shown}")

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
