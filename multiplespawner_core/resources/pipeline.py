"""One start, from plan to URL: the sequence that every provider runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from typing import Any, TypeVar

from multiplespawner_core.catalogue.findings import looks_secret
from multiplespawner_core.catalogue.limits import MOST
from multiplespawner_core.catalogue.placeholders import of_owner
from multiplespawner_core.contracts import (
    Access,
    Capacity,
    Endpoint,
    Handle,
    Keys,
    Observation,
    OutcomeUnknown,
    ProviderError,
    Quota,
    ResourceState,
    Throttled,
    Transient,
)
from multiplespawner_core.planning.boundary import expect
from multiplespawner_core.planning.plan import Plan
from multiplespawner_core.resources import creation, policy
from multiplespawner_core.resources.child import Launch
from multiplespawner_core.resources.failures import Lost, StartFailed
from multiplespawner_core.resources.gate import Gate, Gates, Unavailable
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.record import Phase, Record
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.resources.storable import storable
from multiplespawner_core.resources.timing import bounded
from multiplespawner_core.resources.unavailable import LedgerUnavailable

T = TypeVar("T")

Planner = Callable[[], Coroutine[Any, Any, Plan]]
SetAside = Callable[[Resource, str], Coroutine[Any, Any, None]]
Resumer = Callable[[Record], Coroutine[Any, Any, "Plan | None"]]
"""From what is kept to the plan that starts it again; None where something else was chosen."""

PLAN_TIMEOUT = 30.0
"""Seconds that the offers may take; a provider answers from its cache."""

_DESCRIBE_PAUSE = 1.0
_LONGEST_DESCRIBE_PAUSE = 5.0
_MISSED = 0.1
"""Of what a resource takes, the part for which it may stay unnoticed that it is ready."""

_NEVER = MOST["lifetime"] * 60
"""Seconds until a deadline that stands for none."""

_REPEATABLE = (OutcomeUnknown, Throttled, Transient)

_log = logging.getLogger(__name__)


async def run(
    resource: Resource, planner: Planner, ledger: Ledger, gates: Gates, set_aside: SetAside
) -> str:
    """Start a server and return its URL; raises whatever kept it from starting.

    Every step is committed before the next one begins, so that a hub that dies here leaves a row
    which says what may exist.

    Args:
        resource: what is started.
        planner: says how.
        ledger: the durable record.
        gates: let so many starts at a time ask a provider.
        set_aside: gives back what was obtained in vain, for the reason that it is told, and lets
            the start go on under another intent.
    """
    resource.events.add("Looking for a place", 1)
    plan = await bounded(planner(), PLAN_TIMEOUT)
    step = _Steps(resource, plan, ledger, gates, set_aside)
    await step.write_intent()
    await step.prepare()
    handle, endpoint = await step.obtain()
    access = await step.open(endpoint)
    await step.configure(access)
    return await step.launch(handle, access)


async def resume(
    resource: Resource, plan: Plan, ledger: Ledger, gates: Gates, set_aside: SetAside
) -> str:
    """Start again what is kept for a server, and return its URL.

    Args:
        resource: what is started, with the record of what is kept.
        plan: says how.
        ledger: the durable record.
        gates: let so many starts at a time ask a provider.
        set_aside: as for `run`.

    Raises:
        Lost: its provider has shown that it is gone.
    """
    resource.events.add("Starting what was kept for this server", 1)
    step = _Steps(resource, plan, ledger, gates, set_aside)
    await step.write_generation()
    await step.prepare()
    handle = await step.wake()
    # What the child makes is not there before the child has started it.
    made = handle.endpoint if plan.made_by_child else None
    endpoint = made or await step.wait_until_ready(handle)
    await step.move_deadline(handle)
    access = await step.open(endpoint)
    await step.configure(access)
    return await step.launch(handle, access)


class _Steps:
    def __init__(
        self,
        resource: Resource,
        plan: Plan,
        ledger: Ledger,
        gates: Gates,
        set_aside: SetAside,
    ) -> None:
        self._resource = resource
        self._plan = plan
        self._ledger = ledger
        self._gates = gates
        self._set_aside = set_aside
        self._began: float | None = None
        self._spent: dict[str, float] = defaultdict(float)  # seconds, on earlier offers as well
        self._keys = Keys()
        self._handle: Handle | None = None

    @property
    def _record(self) -> Record:
        record = self._resource.record
        assert record is not None  # noqa: S101 - written by the first step
        return record

    async def write_intent(self) -> None:
        """Commit intent, scope and token before the provider hears of them."""
        plan, now = self._plan, time.time()
        self._began = self._began or now
        record = Record(
            id=self._resource.id,
            installation_id=self._ledger.installation_id,
            owner=self._resource.owner,
            generation=0,
            template=plan.template,
            deployment=plan.deployment,
            provider=plan.offer.scope.provider,
            offer=plan.offer,
            specification=plan.specification,
            created_at=now,
            phase_deadline=now + plan.budget.create,
            expires_at=None if plan.lifetime is None else self._began + plan.lifetime,
            authenticator=_path(plan.authenticator),
            authenticator_kwargs=storable(plan.authenticator_kwargs, looks_secret),
            keeps=plan.keeps,
        )
        # Set before it is committed: a release that comes now finds the row to update.
        self._resource.record = record
        try:
            self._resource.record = await self._ledger.insert(record)
        except Exception as error:
            if not isinstance(error, LedgerUnavailable) or error.written is False:
                # Nothing was written and nothing was asked for: there is nothing to release.
                self._resource.record = None
            raise

    async def write_generation(self) -> None:
        """Commit that it is started again before the provider hears of that."""
        record, now = self._record, time.time()
        self._handle = record.handle
        self._resource.phase = Phase.RESUMING
        await self._commit(
            phase=Phase.RESUMING,
            phase_deadline=now + self._plan.budget.create,
            generation=record.generation + 1,
            started_at=now,
            reason="",
            exit_status=None,
        )

    async def prepare(self) -> None:
        authenticator = self._plan.authenticator
        if authenticator is not None:
            preparing = authenticator.prepare(self._record.intent())
            self._keys = await self._within("prepare", preparing, self._plan.budget.create)

    async def obtain(self) -> tuple[Handle, Endpoint]:
        """Create the resource and wait for it; of the next best offer where one is not to be had.

        Raises:
            Capacity, Quota: no offer is left; the message says what was tried.
        """
        self._tell_of_refusals()
        while True:
            try:
                handle = await self._create()
                return handle, handle.endpoint or await self.wait_until_ready(handle)
            except (Capacity, Quota, Unavailable) as error:
                if self._plan.otherwise is None:
                    raise
                asking, reason = self._plan.otherwise(error), str(error)
            self._plan = await bounded(asking, PLAN_TIMEOUT)
            if self._handle is None:
                # Surely nothing was made: `creation.create` has resolved every doubt.
                await self._write_attempt()
            else:
                await self._begin_anew(reason)
            self._tell_of_refusals()

    async def _begin_anew(self, reason: str) -> None:
        """What was accepted has failed, and is there: an intent has one resource, so the next offer
        gets another intent, while the first is given back behind.
        """
        await self._set_aside(self._resource, reason)
        self._handle = None
        await self.write_intent()
        await self.prepare()

    def _tell_of_refusals(self) -> None:
        for refusal in self._plan.turned_down:
            self._resource.events.add(f"Not to be had: {refusal}")

    async def _write_attempt(self) -> None:
        """Commit the next offer with its scope and token before its provider hears of it."""
        plan, record = self._plan, self._record
        await self._commit(
            attempt=record.attempt + 1,
            provider=plan.offer.scope.provider,
            offer=plan.offer,
            specification=plan.specification,
            keeps=plan.keeps,
        )

    async def _create(self) -> Handle:
        plan, events = self._plan, self._resource.events
        gate = self._gates.of(plan.provider)
        async with gate.turn(plan.budget.queue, lambda ahead: events.add(_queued(ahead), 3)):
            events.add(f"Asking {plan.offer.scope.provider} for {plan.deployment}", 5)
            return await self._ask(gate)

    async def _ask(self, gate: Gate) -> Handle:
        plan = self._plan
        answers: list[ProviderError] = []

        def noted(error: ProviderError) -> None:
            answers.append(error)
            gate.note(error)

        creating = creation.create(plan.provider, self._record.intent(), self._keys, noted)
        try:
            handle = await self._within("create", creating, plan.budget.create)
        except asyncio.TimeoutError:
            if not answers:
                raise
            message = f"Obtaining the resource took too long; the last answer was: {answers[-1]}."
            raise StartFailed(message, "timeout", 503) from answers[-1]
        gate.note(None)
        self._resource.asked_at = asyncio.get_running_loop().time()
        expect(handle, Handle, plan.provider, "create")
        if plan.made_by_child:
            expect(handle.endpoint, Endpoint, plan.provider, "create: Handle.endpoint")
        self._handle = handle
        return handle

    async def wake(self) -> Handle:
        """Have what is kept started."""
        plan, handle, events = self._plan, self._handle, self._resource.events
        assert handle is not None  # noqa: S101 - what is kept has one
        gate = self._gates.of(plan.provider)
        async with gate.turn(plan.budget.queue, lambda ahead: events.add(_queued(ahead), 3)):
            events.add(f"Asking {handle.scope.provider} to start it again", 5)
            waking = self._wake(handle, gate)
            await bounded(waking, plan.budget.create, left=self._resource.left)
        return handle

    async def _wake(self, handle: Handle, gate: Gate) -> None:
        failures = 0
        while True:
            try:
                await self._plan.provider.start(handle)
            except ProviderError as error:
                _log.info("%s: start: %s: %s", self._record.id, type(error).__name__, error)
                if await self._is_lost(handle):
                    # Some do not tell what is gone from what may not be seen: no trouble of theirs.
                    raise Lost from error
                gate.note(error)
                if not isinstance(error, _REPEATABLE):
                    raise
                failures += 1
                await asyncio.sleep(policy.pause(failures, error))
            else:
                gate.note(None)
                return

    async def _is_lost(self, handle: Handle) -> bool:
        try:
            return policy.is_lost((await self._plan.provider.describe(handle)).state)
        except ProviderError:
            return False

    async def move_deadline(self, handle: Handle) -> None:
        """Let first the provider know the new end, then the ledger, as with an extension.

        What was written on the resource when it was made, or moved since, may have passed.
        """
        lifetime, began = self._plan.lifetime, self._record.began_at
        if lifetime is None and self._record.expires_at is None:
            return
        moment = began + (_NEVER if lifetime is None else lifetime)
        deadline = datetime.fromtimestamp(moment, timezone.utc)
        await bounded(self._extend(handle, deadline), self._plan.budget.create)
        await self._commit(expires_at=None if lifetime is None else moment)

    async def _extend(self, handle: Handle, deadline: datetime) -> None:
        failures = 0
        while True:
            try:
                return await self._plan.provider.extend(handle, deadline)
            except _REPEATABLE as error:
                failures += 1
                await asyncio.sleep(policy.pause(failures, error))

    async def wait_until_ready(self, handle: Handle) -> Endpoint:
        budget = self._plan.budget.ready
        await self._enter(Phase.WAITING, budget - self._spent["ready"])
        self._resource.events.add("Waiting until the resource is ready", 15)
        return await self._within("ready", self._watch(handle), budget)

    async def open(self, endpoint: Endpoint) -> Access:
        authenticator = self._plan.authenticator
        if authenticator is None:
            return Access(endpoint)
        await self._enter(Phase.OPENING, self._plan.budget.open)
        self._resource.events.add("Connecting to the resource", 40)
        return await bounded(
            authenticator.open(self._record.intent(), endpoint, self._keys), self._plan.budget.open
        )

    async def configure(self, access: Access) -> None:
        if self._plan.configurer is None:
            return
        await self._enter(Phase.CONFIGURING, self._plan.budget.configure)
        events = self._resource.events
        events.add("Configuring the resource", 50)
        configurer = self._plan.configurer(self._placeholders(access))
        await bounded(
            configurer.apply(self._record.intent(), access, events.add),
            self._plan.budget.configure,
        )

    async def launch(self, handle: Handle, access: Access) -> str:
        child = self._resource.child
        assert child is not None  # noqa: S101 - a start begins with one
        await self._enter(Phase.LAUNCHING, self._plan.budget.launch)
        self._resource.events.add("Starting the server", 70)
        launch = Launch(
            intent=self._record.intent(),
            plan=self._plan,
            handle=handle,
            access=access,
            placeholders=self._placeholders(access),
            events=self._resource.events,
        )
        url = await bounded(child.start(launch), self._plan.budget.launch, left=self._resource.left)
        self._resource.events.add("The server has started", 95)
        await self._commit(
            phase=Phase.RUNNING, phase_deadline=None, url=url, child=child.snapshot()
        )
        self._resource.phase = Phase.RUNNING
        return url

    async def _watch(self, handle: Handle) -> Endpoint:
        failures = 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                seen = await self._plan.provider.describe(handle)
                expect(seen, Observation, self._plan.provider, "describe")
            except ProviderError as error:
                failures += 1
                _log.warning("%s: describing it failed: %s", self._record.id, error)
                await asyncio.sleep(policy.pause(failures, error))
                continue
            failures = 0
            if seen.state is ResourceState.READY and seen.endpoint:
                return seen.endpoint
            if self._record.started_at is not None:
                _require_kept(seen)
            elif seen.state in (ResourceState.FAILED, ResourceState.GONE, ResourceState.DELETING):
                raise _why_it_failed(seen)
            await asyncio.sleep(_describe_pause(loop.time() - began))

    def _placeholders(self, access: Access) -> dict[str, str]:
        return {
            **of_owner(self._resource.owner),
            "endpoint": access.endpoint.address,
            "server_public_ip": access.endpoint.address,
            "server_host_key": access.endpoint.host_key or self._keys.host_public_key or "",
            "auth_key": self._keys.public_key or "",
        }

    async def _enter(self, phase: Phase, budget: float) -> None:
        self._resource.phase = phase
        # The handle stands in the same commit, which waits for the disk, instead of in its own:
        # whatever follows a create begins with this.
        await self._commit(phase=phase, phase_deadline=time.time() + budget, handle=self._handle)

    async def _commit(self, **changes: Any) -> None:
        await self._resource.commit(self._ledger, **changes)

    async def _within(self, what: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Its result; all offers that are tried share the time that it may take."""
        began = time.monotonic()
        try:
            timeout = max(0.0, seconds - self._spent[what])
            return await bounded(work, timeout, left=self._resource.left)
        finally:
            self._spent[what] += time.monotonic() - began


def _why_it_failed(seen: Observation) -> Exception:
    reason = seen.reason or "it disappeared while it was being made"
    if seen.error is not None and issubclass(seen.error, (Capacity, Quota)):
        return seen.error(reason)
    return StartFailed(f"The resource could not be made: {reason}.", "resource")


def _require_kept(seen: Observation) -> None:
    if policy.is_lost(seen.state):
        raise Lost
    if seen.state is ResourceState.FAILED:
        reason = seen.reason or "its provider does not say why"
        raise StartFailed(f"What was kept could not be started: {reason}.", "resource")


def _describe_pause(waited: float) -> float:
    """Hundreds of machines that take minutes are not to be asked for every second."""
    return min(max(waited * _MISSED, _DESCRIBE_PAUSE), _LONGEST_DESCRIBE_PAUSE)


def _queued(ahead: int) -> str:
    before = "1 start is" if ahead == 1 else f"{ahead} starts are"
    return f"Waiting for a turn: {before} before this one" if ahead else "Waiting: next in turn"


def _path(component: object | None) -> str | None:
    cls = type(component)
    return None if component is None else f"{cls.__module__}.{cls.__qualname__}"


__all__ = ("Planner", "Resumer", "resume", "run")
