"""A provider that keeps the contract, small enough to break it in one place."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from functools import cached_property

from traitlets import Unicode

from multiplespawner_core import (
    Capabilities,
    Endpoint,
    Handle,
    IdempotentCreate,
    InvalidSpecification,
    MadeBy,
    NotFound,
    Observation,
    Offer,
    OutcomeUnknown,
    Owned,
    Provider,
    ResourceState,
    Scope,
    Specification,
    Storage,
    Transient,
    Unauthorized,
)
from multiplespawner_core.testing import ProviderConformance

BOOT = 0.3
TERMINATE = 0.3
PAGE = 2
PENDING, READY = ResourceState.PENDING, ResourceState.READY
STOPPED = ResourceState.STOPPED
DELETING, GONE = ResourceState.DELETING, ResourceState.GONE
FAILED = ResourceState.FAILED

_numbers = itertools.count(1)


@dataclass
class Machine:
    id: str
    intent_id: str | None
    installation: str | None
    token: object
    user: str
    made: float
    deadline: object = None
    held: bool = False
    deleted: float | None = None
    stopped: float | None = None
    volume: bool = True
    files: str = "of its user"
    running: bool = False
    started: bool = False
    failure: object = None


class World:
    """The provider's side: machines, a clock that moves when somebody waits, and faults."""

    def __init__(self):
        self.machines = {}
        self.now = 0.0
        self.down = self.denied = self.lose = self.hold = self.break_lists = False
        self.failing = False

    async def sleep(self, seconds):
        self.now += seconds
        for _ in range(3):
            await asyncio.sleep(0)

    async def ask(self):
        await asyncio.sleep(0)
        if self.down:
            raise Transient("The rack cannot be reached.")
        if self.denied:
            raise Unauthorized("The rack refused the credentials.")

    async def answer(self):
        await asyncio.sleep(0)
        if self.lose:
            self.lose = False
            raise OutcomeUnknown("The rack did not answer.")

    def make(self, intent):
        for machine in self.machines.values():
            if machine.token == intent.token and self.state(machine) is not GONE:
                return machine
        made = Machine(
            id=f"m-{next(_numbers)}",
            intent_id=intent.id,
            installation=intent.installation_id,
            token=intent.token,
            user=intent.owner.user,
            made=self.now,
            deadline=intent.expires_at,
            held=self.hold,
            failure=self.failing,
        )
        self.machines[made.id] = made
        return made

    def state(self, machine):
        if machine.deleted is not None:
            ended = self.now - machine.deleted >= TERMINATE
            return GONE if ended else DELETING
        if machine.stopped is not None:
            return STOPPED if self.now - machine.stopped >= TERMINATE else PENDING
        if machine.failure and self.now - machine.made >= BOOT / 2:
            return FAILED
        held = machine.held and self.hold
        return READY if self.now - machine.made >= BOOT and not held else PENDING

    def delete(self, machine):
        if machine.deleted is None:
            machine.deleted = self.now
        machine.running = False

    def there(self):
        """Machines and volumes, by name."""
        machines = self.machines.values()
        found = {m.id for m in machines if self.state(m) is not GONE}
        return found | {f"{m.id}-volume" for m in machines if m.volume}

    @contextlib.contextmanager
    def set(self, name, value=True):
        setattr(self, name, value)
        try:
            yield
        finally:
            setattr(self, name, False)


class Rack(Provider):
    """Machines that the provider makes."""

    made_by = MadeBy.PROVIDER
    api_token = Unicode("rack-token-7461b2").tag(config=True)

    def __init__(self, world, **kwargs):
        super().__init__(**kwargs)
        self.world = world

    def capabilities(self):
        return Capabilities(
            resource_types=("virtual_machine",),
            made_by=self.made_by,
            idempotent_create=IdempotentCreate.TOKEN,
            token_validity=3600,
            list_grace=0.05,
            sizes=frozenset({"cpu"}),
            storage=(Storage.EPHEMERAL, Storage.KEEP),
            stop_start=True,
        )

    async def scopes(self):
        return [Scope(self.component, "rack")]

    async def offers(self, specification):
        await self.world.ask()
        if specification.resource_type != "virtual_machine":
            raise InvalidSpecification("The rack has machines.")
        return [Offer(scope, "blade", cpu=2) for scope in await self.scopes()]

    async def create(self, intent, keys):
        creating = asyncio.ensure_future(self._create(intent, keys))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            await asyncio.wait({creating})
            if not creating.cancelled():
                creating.exception()
            raise

    async def _create(self, intent, keys):
        self._require(intent.offer.scope)
        await self.world.ask()
        machine = self.world.make(intent)
        await self.world.answer()
        return self._handle(machine, intent.offer.scope)

    def _handle(self, machine, scope):
        return Handle(machine.id, scope, data={"user": machine.user})

    async def find(self, intent, scope):
        self._require(scope)
        await self.world.ask()
        machines = self.world.machines.values()
        return [self._handle(m, scope) for m in machines if self._is_of(m, intent)]

    def _is_of(self, machine, intent):
        return machine.intent_id == intent.id and self.world.state(machine) is not GONE

    async def describe(self, handle):
        self._require(handle.scope)
        await self.world.ask()
        machine = self.world.machines.get(handle.id)
        state = GONE if machine is None else self.world.state(machine)
        if state is FAILED:
            return Observation(state, reason="no room", error=machine.failure)
        return Observation(state, Endpoint("192.0.2.1") if state is READY else None)

    async def delete(self, handle):
        self._require(handle.scope)
        await self.world.ask()
        machine = self.world.machines.get(handle.id)
        if machine is not None:
            self.world.delete(machine)
            machine.volume = False
        await asyncio.sleep(0)

    async def list_owned(self, installation_id, scope):
        self._require(scope)
        machines = [m for m in self.world.machines.values() if m.installation == installation_id]
        return await self._paged([one for m in machines for one in self._owned(m, scope)])

    async def _paged(self, owned):
        found = []
        for start in range(0, len(owned) or 1, PAGE):
            await self.world.ask()
            if start and self.world.break_lists:
                raise Transient("The rack broke off.")
            found += owned[start : start + PAGE]
        return found

    def _owned(self, machine, scope):
        state, handle = self.world.state(machine), self._handle(machine, scope)
        if state is not GONE:
            yield Owned(handle, machine.intent_id, state)
        if machine.volume:
            volume = Handle(f"{machine.id}-volume", scope, data=handle.data)
            yield Owned(volume, machine.intent_id, READY, dependent=True)

    async def extend(self, handle, deadline):
        (await self._there(handle)).deadline = deadline

    async def stop(self, handle):
        machine = await self._there(handle)
        if machine.stopped is None:
            machine.stopped = self.world.now
        machine.running = False

    async def start(self, handle):
        machine = await self._there(handle)
        if machine.stopped is not None:
            machine.stopped, machine.made = None, self.world.now

    async def _there(self, handle):
        self._require(handle.scope)
        await self.world.ask()
        machine = self.world.machines.get(handle.id)
        if machine is None or machine.deleted is not None:
            raise NotFound("There is no such machine.")
        return machine

    def _require(self, scope):
        if scope.key != "rack":
            raise Transient("That is another rack.")


class Place(Rack):
    """Places that the child fills."""

    made_by = MadeBy.CHILD

    def _handle(self, machine, scope):
        return Handle(machine.id, scope, Endpoint("192.0.2.1"), {"user": machine.user})

    async def describe(self, handle):
        seen = await super().describe(handle)
        if seen.state is not READY:
            return seen
        running = self.world.machines[handle.id].running
        return Observation(READY if running else PENDING)

    def child_traits(self, intent, handle):
        return {"mem_limit": 2**30, "environment": {"PLACE": intent.id}}


class FakeChild:
    def __init__(self, machine):
        self.machine = machine

    def poll(self):
        return None if self.machine.running else 0

    def stop(self):
        self.machine.running = False


class RackConformance(ProviderConformance):
    """With everything that an author can supply."""

    provider = Rack
    specification = Specification("virtual_machine", cpu=1)
    many = 5
    patience = 1.5

    @cached_property
    def world(self):
        return World()

    def make_provider(self, installation_id, state_dir):
        return self.provider(
            self.world,
            component=self.component,
            state_dir=state_dir,
            installation_id=installation_id,
        )

    async def start_child(self, provider, intent, handle):
        await asyncio.sleep(0)
        machine = self.world.machines[handle.id]
        machine.running = True
        await asyncio.sleep(0)
        machine.started = True
        return FakeChild(machine)

    async def sleep(self, seconds):
        await self.world.sleep(seconds)

    def unreachable(self, provider):
        return self.world.set("down")

    def unauthorized(self, provider):
        return self.world.set("denied")

    def lost_answer(self, provider):
        return self.world.set("lose")

    def never_ready(self, provider):
        return self.world.set("hold")

    def fails_later(self, provider, error):
        return self.world.set("failing", error)

    def broken_list(self, provider):
        return self.world.set("break_lists")

    async def inventory(self, provider):
        return self.world.there()

    async def files(self, provider, handle):
        return self.world.machines[handle.id].files

    async def deadline(self, provider, handle):
        return self.world.machines[handle.id].deadline
