"""A provider, child and planner in this process, with faults on demand."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from pathlib import Path

from multiplespawner_core.catalogue.limits import Limits, combine
from multiplespawner_core.contracts import (
    Capabilities,
    Endpoint,
    Handle,
    IdempotentCreate,
    MadeBy,
    Observation,
    Offer,
    Owned,
    Owner,
    Provider,
    ResourceState,
    Scope,
    Specification,
    Storage,
    Unauthorized,
)
from multiplespawner_core.planning.candidates import Candidates
from multiplespawner_core.planning.plan import Budget, Plan
from multiplespawner_core.resources.providers import Reach

SCOPE = Scope("fake", "here")

_numbers = itertools.count(1)


class FakeProvider(Provider):
    """Keeps its machines in a dictionary that outlives it, as a cloud would.

    Args:
        cloud: handle id -> (intent id, state).
        faults: method name -> exceptions that its next calls raise, before they act; an exception
            with a true ``after`` is raised after the call has acted.
    """

    poll_interval = 0.02

    def __init__(self, cloud=None, made_by=MadeBy.PROVIDER, **kwargs):
        super().__init__(
            component="fake", state_dir=Path("/nonexistent"), installation_id="i" * 32, **kwargs
        )
        self.cloud = {} if cloud is None else cloud
        self.made_by = made_by
        self.faults = defaultdict(list)
        self.gates = {}
        self.delays = {}
        self.unlisted = set()
        self.of = {}
        self.calls = []
        self.intents = []
        self.offered = [Offer(SCOPE, "small", cpu=1, memory=1)]
        self.width = 20
        self.grace = 0.01
        self.idempotent = IdempotentCreate.TOKEN
        self.slow_delete = 0
        self.deadlines = {}
        self.stop_start = False

    def capabilities(self):
        return Capabilities(
            resource_types=("virtual_machine",),
            made_by=self.made_by,
            idempotent_create=self.idempotent,
            token_validity=3600,
            list_grace=self.grace,
            sizes=frozenset({"cpu", "memory"}),
            storage=[Storage.EPHEMERAL, *[Storage.KEEP] * self.stop_start],
            stop_start=self.stop_start,
            concurrent_creates=self.width,
            create_timeout=5,
            ready_timeout=5,
            poll_interval=self.poll_interval,
        )

    async def scopes(self):
        return [SCOPE]

    async def offers(self, specification):
        await self._enter("offers")
        return self.offered

    async def create(self, intent, keys):
        self.intents.append(intent)
        fault = await self._enter("create")
        for handle_id, (_, token, _) in self.cloud.items():
            if token == intent.token and self.idempotent is not IdempotentCreate.NONE:
                return Handle(handle_id, intent.offer.scope)
        handle_id = f"vm-{next(_numbers)}"
        self.cloud[handle_id] = (intent.id, intent.token, ResourceState.READY)
        self._after(fault)
        return Handle(handle_id, intent.offer.scope)

    async def find(self, intent, scope):
        fault = await self._enter("find")
        self._after(fault)
        return [Handle(h, scope) for h, (owner, _, _) in self.cloud.items() if owner == intent.id]

    async def describe(self, handle):
        fault = await self._enter("describe")
        self._after(fault)
        if handle.id not in self.cloud:
            return Observation(ResourceState.GONE)
        return Observation(self.cloud[handle.id][2], Endpoint("192.0.2.1"), "a reason")

    async def delete(self, handle):
        fault = await self._enter("delete")
        self.cloud.pop(handle.id, None)
        self._after(fault)

    async def extend(self, handle, deadline):
        fault = await self._enter("extend")
        self.deadlines[handle.id] = deadline
        self._after(fault)

    async def stop(self, handle):
        fault = await self._enter("stop")
        self._become(handle, ResourceState.STOPPED)
        self._after(fault)

    async def start(self, handle):
        fault = await self._enter("start")
        self._become(handle, ResourceState.READY)
        self._after(fault)

    def _become(self, handle, state):
        if handle.id not in self.cloud:
            raise Unauthorized("not found, or not yours")
        self.cloud[handle.id] = (*self.cloud[handle.id][:2], state)

    def fails_to_become(self, handle, state):
        failed = state is ResourceState.READY
        self.cloud[handle.id] = (
            *self.cloud[handle.id][:2],
            ResourceState.FAILED if failed else state,
        )

    async def list_owned(self, installation_id, scope):
        fault = await self._enter("list_owned")
        self._after(fault)
        return [
            Owned(Handle(h, scope), i, s, dependent=h.startswith("disk"), depends_on=self.of.get(h))
            for h, (i, _, s) in self.cloud.items()
            if h not in self.unlisted
        ]

    async def _enter(self, name):
        self.calls.append(name)
        gate = self.gates.get(name)
        if gate is not None:
            await gate.wait()
        await asyncio.sleep(self.delays.get(name, 0))
        if self.faults[name]:
            fault = self.faults[name].pop(0)
            if getattr(fault, "after", False):
                return fault
            raise fault
        return None

    def _after(self, fault):
        if fault is not None:
            raise fault


def after(error):
    """The error, raised after the call has acted: the answer that was lost."""
    error.after = True
    return error


class FakeChild:
    """A child spawner whose server is an attribute."""

    def __init__(self, fail=None, ignore_cancel=False, owner=None):
        self._owner = owner
        self.alive = False
        self.fail = fail
        self.gate = None
        self.ignore_cancel = ignore_cancel
        self.status = 7
        self.stops = 0
        self.noticed = asyncio.Event()
        self.poll_error = None
        self.stop_error = None
        self.launch = None

    @property
    def owner(self):
        return self._owner or Owner("ada")

    async def start(self, launch):
        self.launch = launch
        while self.gate is not None and not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                if not self.ignore_cancel:
                    raise
        if self.fail is not None:
            raise self.fail
        self.alive = True
        return "http://192.0.2.1:8888"

    async def poll(self):
        if self.poll_error is not None:
            raise self.poll_error
        return None if self.alive else self.status

    async def stop(self):
        self.stops += 1
        if self.stop_error is not None:
            raise self.stop_error
        self.alive = False

    def snapshot(self):
        return {"class": "fake.Child", "kwargs": {}, "state": {"pid": 1}}

    async def notice(self):
        self.noticed.set()


def free_limits(*sizes):
    """No limits; of the sizes only those that the provider enforces are for users to set."""
    combined = combine(Limits(), Limits())
    settable = {*sizes, "lifetime"}
    return {n: one if n in settable else one.closed() for n, one in combined.items()}


def plan_for(provider, *, lifetime=None, authenticator=None, configurer=None, budget=5.0, **plan):
    """A planner that asks the provider for its offers."""

    async def plans():
        specification = Specification("virtual_machine", cpu=1, memory=1)
        return [
            Plan(
                template="fake",
                deployment="image",
                provider=provider,
                offer=offer,
                specification=specification,
                child_class=object,
                child_kwargs={},
                authenticator=authenticator,
                configurer=configurer,
                lifetime=lifetime,
                hub_connect_url=None,
                budget=Budget(budget, budget, budget, budget, budget),
                **plan,
            )
            for offer in await provider.offers(specification)
        ]

    async def planner():
        return await Candidates([(provider.component, plans)]).first()

    return planner


class FakeProviders:
    """The one provider, whatever it is asked by; a test may set why it cannot be found."""

    def __init__(self, provider):
        self.provider = provider
        self.error = None

    async def of(self, name, resource_type):
        if self.error is not None:
            raise self.error
        return self.provider

    def missing(self, name, resource_type):
        return "" if self.error is None else str(self.error)

    async def reached(self):
        types = self.provider.capabilities().resource_types
        return [Reach(scope, types) for scope in await self.provider.scopes()]

    def merged(self, reaches):
        return sorted(set(reaches))
