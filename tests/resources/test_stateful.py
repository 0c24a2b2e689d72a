"""The manager against a simple model: what each user's server should be, whatever happens."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos.schedule import USERS, Schedule
from chaos.world import LONGEST_START, SETTLE, World, template_ledger, virtual_time
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources.failures import NotExtended, Refused
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.testing.cloud.faults import Fault, FaultKind
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.settings import Settings
from multiplespawner_core.web.kept import give_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DATA = st.data()
SECONDS = st.sampled_from([0.5, 5.0, 60.0, 700.0])
LIFETIMES = st.sampled_from([None, 200.0, 900.0])
TEMPLATES = st.sampled_from(["deletes", "keeps"])

FAULTS = st.builds(
    Fault,
    kind=st.sampled_from(list(FaultKind)),
    method=st.sampled_from(["*", "create", "terminate", "list", "get", "tag", "stop", "start"]),
    times=st.sampled_from([1, 3, None]),
    seconds=st.sampled_from([5.0, 60.0]),
    error=st.sampled_from(["capacity", "internal", "throttled", "unauthorized", "not_found"]),
    delay=st.sampled_from([0.5, 20.0]),
)

AFTERMATH = 400.0
"""Seconds after a fault in which a start may still fail for it: a provider is left alone for a
while, and what is delayed arrives late."""

MOMENT = 0.01
"""Seconds in which whatever waits for nothing has happened."""


@dataclass
class Kept:
    """What should be stopped, with a user's files.

    Args:
        intent: its row's.
        machine: at the cloud.
        lost: whether that ended by itself.
    """

    intent: str
    machine: str
    lost: bool = False


@dataclass
class Server:
    """What there should be.

    Args:
        began: when it was asked for.
        lifetime: seconds until it ends; None for no end.
        template: ``keeps`` or ``deletes``.
        kept: what it should be started on.
        intent: once it runs.
        machine: likewise.
        end: once it runs; None for no end.
        troubled: whether it may fail to start.
        lost: when its machine ended by itself.
    """

    began: float
    lifetime: float | None
    template: str
    kept: Kept | None = None
    intent: str | None = None
    machine: str | None = None
    end: float | None = None
    troubled: bool = False
    lost: float | None = None


class ManagerMachine(RuleBasedStateMachine):
    """The model says which servers run and what is kept; manager, ledger, cloud and JupyterHub
    must agree.
    """

    template = None

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.directory = Path(tempfile.mkdtemp())
        self.model = {}
        self.kept = {}
        self.trouble_until = 0.0
        calm = Settings(lost_answers=0)
        schedule = Schedule(seed, ())
        self.world = World(schedule, self.directory / "state", self.template, calm)
        self.patches = ExitStack()
        self.open()

    def open(self):
        self.world.boot()
        if not hasattr(self, "entered"):
            self.entered = self.patches.enter_context(virtual_time(self.world)) or True
        self.run(self._begin())

    async def _begin(self):
        self.world.begin()
        await asyncio.sleep(MOMENT)

    def run(self, work):
        return self.world._loop.run_until_complete(work)

    @property
    def now(self):
        return self.world._loop.now

    def moment(self):
        self.run(asyncio.sleep(MOMENT))

    def does(self, what, owner, value=None):
        async def act():
            getattr(self.world, what)(owner, value)
            await asyncio.sleep(MOMENT)

        self.run(act())

    def resource_of(self, owner):
        return self.world.manager.find(self.model[owner].intent)

    def free(self):
        return [owner for owner in map(Owner, USERS) if owner not in self.model]

    def starting(self):
        return [owner for owner, server in self.model.items() if not server.intent]

    def running(self):
        return [owner for owner, one in self.model.items() if one.intent and not one.lost]

    def resting(self):
        """Of whom something is kept, and no start is under way on it."""
        return [owner for owner in self.kept if owner not in self.model]

    def rows(self):
        return {row.id: row for row in self.world.ledger.unfinished()}

    # -- what happens ---

    @precondition(free)
    @rule(
        data=DATA,
        lifetime=LIFETIMES,
        template=TEMPLATES,
        patience=st.sampled_from([0.5, 20.0, 20.0]),
    )
    def start(self, data, lifetime, template, patience):
        owner = data.draw(st.sampled_from(self.free()))
        kept = self.kept.get(owner)
        server = Server(self.now, lifetime, template, kept)
        server.troubled = self.now < self.trouble_until
        if kept is not None:
            # Another choice is refused, and so is any while it is still being stopped.
            row = self.rows().get(kept.intent)
            stopped = row is not None and row.phase is Phase.KEPT
            server.troubled |= kept.lost or template == "deletes" or not stopped
        self.model[owner] = server
        self.does("start", owner, (lifetime, template))
        self.run(asyncio.sleep(patience))

    @precondition(running)
    @rule(data=DATA)
    def stop(self, data):
        self.stopped(data.draw(st.sampled_from(self.running())))

    def stopped(self, owner):
        self.ended(owner)
        self.does("stop", owner)

    def ended(self, owner):
        server = self.model.pop(owner)
        if server.template == "keeps" and not server.lost:
            self.kept[owner] = Kept(server.intent, server.machine)

    @precondition(starting)
    @rule(data=DATA)
    def cancel(self, data):
        owner = data.draw(st.sampled_from(self.starting()))
        del self.model[owner]
        self.does("cancel", owner)
        assert owner not in self.world.pending

    @precondition(running)
    @rule(data=DATA, seconds=SECONDS)
    def extend(self, data, seconds):
        owner = data.draw(st.sampled_from(self.running()))
        server = self.model[owner]
        try:
            work = self.world.manager.extend(self.resource_of(owner), lambda end: end + seconds)
            moved = self.run(work)
        except NotExtended:
            assert server.end is None or self.now < self.trouble_until
        else:
            assert moved == server.end + seconds
            server.end = moved

    @precondition(running)
    @rule(data=DATA)
    def vanish(self, data):
        owner = data.draw(st.sampled_from(self.running()))
        self.model[owner].lost = self.now
        self.does("vanish", owner)

    @precondition(resting)
    @rule(data=DATA)
    def vanish_while_kept(self, data):
        kept = self.kept[data.draw(st.sampled_from(self.resting()))]
        kept.lost = True
        self.world.given_up.add(kept.intent)
        self.world.cloud.terminate(kept.machine)

    @precondition(resting)
    @rule(data=DATA)
    def rouse(self, data):
        self.does("rouse", data.draw(st.sampled_from(self.resting())))

    @precondition(resting)
    @rule(data=DATA)
    def give_up(self, data):
        owner = data.draw(st.sampled_from(self.resting()))
        kept = self.kept.pop(owner)
        self.world.given_up.add(kept.intent)
        try:
            self.run(give_up(self.world.manager, owner, "its user"))
        except Refused:
            assert kept.lost or self.now < self.trouble_until

    @rule(data=DATA)
    def delete(self, data):
        owner = data.draw(st.sampled_from([*map(Owner, USERS)]))
        self.model.pop(owner, None)
        self.kept.pop(owner, None)
        self.does("delete", owner)

    @rule(fault=FAULTS)
    def fault(self, fault):
        self.world.fault(None, fault)
        self.trouble_until = max(self.trouble_until, self.now + fault.seconds + AFTERMATH)
        for server in self.model.values():
            server.troubled = True

    @rule(seconds=SECONDS)
    def time_passes(self, seconds):
        self.run(asyncio.sleep(seconds))

    @rule()
    def sweep(self):
        self.run(self.world.manager.reconciler.sweep())

    @rule()
    def restart(self):
        self.give_up_starts()
        self.run(self.world.manager.shutdown())
        self.world.end()
        self.open()

    @rule()
    def kill(self):
        self.give_up_starts()
        self.world.end()
        self.open()

    def give_up_starts(self):
        self.model = {owner: server for owner, server in self.model.items() if server.intent}

    # -- what there should be ---

    @invariant()
    def agrees(self):
        self.agree()

    def agree(self):
        self.sound = False
        for owner in map(Owner, USERS):
            if owner in self.model:
                self.follow(owner, self.model[owner])
            if owner not in self.model:
                assert owner not in self.world.jupyterhub
                assert not any(one.running for one in self.world.manager.of(owner))
                self.follow_kept(owner)
        assert self.world._broken is None, self.world._broken
        self.sound = True

    def follow(self, owner, server):
        """What time has made of it, and whether it is so."""
        if not server.intent:
            self.follow_start(owner, server)
        if server.intent and self.is_over(owner, server):
            self.moment()
            self.ended(owner)
        elif server.intent and not server.lost:
            resource = self.resource_of(owner)
            assert self.world.jupyterhub[owner] == server.intent
            assert resource.running
            assert resource.poll() is None
            assert resource.record.expires_at == server.end
            assert self.world.answers(resource.record.handle.id)

    def follow_kept(self, owner):
        kept = self.kept.get(owner)
        if kept is not None and not kept.lost:
            row = self.rows()[kept.intent]
            assert row.phase is not Phase.RELEASING
            assert row.handle.id == kept.machine

    def follow_start(self, owner, server):
        if owner in self.world.pending:
            assert self.now - server.began < LONGEST_START
        elif server.intent is None and owner in self.world.jupyterhub:
            server.intent = self.world.jupyterhub[owner]
            record = self.resource_of(owner).record
            server.end, server.machine = record.expires_at, record.handle.id
            kept = self.kept.pop(owner, None)
            if kept is not None and not kept.lost:
                assert server.template == "keeps"
                assert (server.intent, server.machine) == (kept.intent, kept.machine)
            if server.lifetime is not None:
                assert server.began <= server.end - server.lifetime <= self.now
            else:
                assert server.end is None
        elif server.lifetime is None or self.now < server.began + server.lifetime:
            # Between its start and this look it cannot have come to its end.
            assert server.troubled, "a start failed for no reason"
            del self.model[owner]
        else:
            del self.model[owner]
            self.learn_what_is_kept(owner, server)

    def learn_what_is_kept(self, owner, server):
        """Of a server that nobody has seen run: it may have come to its end or have failed."""
        for row in self.rows().values():
            if row.owner == owner and row.phase in (Phase.STOPPING, Phase.KEPT):
                assert server.kept or server.template == "keeps"
                if server.kept is None or server.kept.lost:
                    self.kept[owner] = Kept(row.id, row.handle.id)

    def is_over(self, owner, server):
        if server.lost:
            return owner not in self.world.jupyterhub
        return server.end is not None and self.now >= server.end

    def teardown(self):
        if not hasattr(self, "patches"):
            return
        try:
            if self.sound:
                self.settle()
        finally:
            self.world.end()
            self.patches.close()
            shutil.rmtree(self.directory)

    def settle(self):
        """Without faults, and in time, everything is as the model says, and in the end nothing."""
        self.world.cloud.faults.clear()
        self.run(asyncio.sleep(SETTLE))
        self.agree()
        assert set(self.world.jupyterhub) == set(self.model)
        self.world.require_what_is_shown()
        for owner in list(self.model):
            self.stopped(owner)
        self.run(asyncio.sleep(SETTLE))
        self.agree()
        self.world.require_what_is_shown()
        waiting = {kept.intent for kept in self.kept.values() if not kept.lost}
        assert set(self.rows()) == waiting
        for owner in list(self.kept):
            self.does("delete", owner)
        self.run(asyncio.sleep(SETTLE))
        assert self.world.ledger.unfinished() == []
        assert not [one for one in self.world.cloud.live() if one.tags.get(INTENT_TAG)]


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory):
    ManagerMachine.template = template_ledger(tmp_path_factory.mktemp("template") / "state")


TestTheManager = ManagerMachine.TestCase
TestTheManager.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, derandomize=True
)
