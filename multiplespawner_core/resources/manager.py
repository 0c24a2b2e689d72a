"""The manager: owns every start, every running resource and every release of one hub."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime, timezone
from typing import Any

from multiplespawner_core.contracts import Owner, Provider, ResourceState
from multiplespawner_core.resources import pipeline, policy
from multiplespawner_core.resources.child import Child
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.failures import (
    Lost,
    NotExtended,
    Refused,
    StartCancelled,
    StartFailed,
    for_user,
    of_extension,
)
from multiplespawner_core.resources.gate import Gates
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.pipeline import PLAN_TIMEOUT, Planner, Resumer
from multiplespawner_core.resources.providers import Providers
from multiplespawner_core.resources.reconciler import Reconciler
from multiplespawner_core.resources.record import Phase, Record
from multiplespawner_core.resources.release import GONE, Cleanup, Release, Revive
from multiplespawner_core.resources.resource import Resource, new_id
from multiplespawner_core.resources.timer import Timer
from multiplespawner_core.resources.timing import bounded, end

FAILED = 1
"""Exit status of a server that never came up or was lost."""

EXPIRED = "its lifetime is over"
"""Reason of a release that no one asked for but the clock."""

SWEEP_INTERVAL = 600.0
"""Seconds from the end of a sweep to the next one, by default."""

Serving = Callable[[], "Collection[str] | None"]

_POLL_TIMEOUT = 30.0
_EXTEND_TIMEOUT = 30.0
_CLEANUP_TIMEOUT = 30.0
_POLL_INTERVAL = 10.0  # while the provider cannot say its own
_AGAIN = 30.0  # until a release that broke off by a defect is begun anew
_DRAIN_TIMEOUT = 20.0

DOUBT = 24 * 3600.0
"""Seconds from a setback of the ledger for which the ends that it names are not enforced."""

_LOSS = (
    "What was kept for this server is gone at its provider: it starts on something new, without"
    " the files that were there"
)

HANDOVER_TIMEOUT = 30.0
"""Seconds for which a start waits until what the server had before is gone."""

_log = logging.getLogger(__name__)


class Manager:
    """Work on resources outlives the request that asked for it: JupyterHub cancels those.

    Every method runs in the hub's event loop; none blocks it.

    Args:
        ledger: the durable record.
        providers: finds the one that made a row's resource; raises while its plugin is missing.
        cleanup: removes what an authenticator left for a row.
        revive: the child spawner of a server that ran before the hub was restarted.
    """

    def __init__(
        self, ledger: Ledger, providers: Providers, cleanup: Cleanup, revive: Revive
    ) -> None:
        self.ledger = ledger
        self._providers = providers
        self._cleanup = cleanup
        self._releases = Release(ledger, providers, cleanup, revive)
        self.reconciler = Reconciler(ledger, providers, self._held, self._look_for)
        self._resources: dict[str, Resource] = {}
        self._losses: set[Owner] = set()
        self._suspects: dict[tuple[str, int], float] = {}
        self._gates = Gates()
        self._timer: Timer[str] = Timer(self._expire)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._draining = False

    # -- the life of the hub ---------------------------------------------------------------

    def recover(self, serving: Serving, sweep_interval: float = SWEEP_INTERVAL) -> None:
        """Take up what an earlier hub left: finish releases, give up starts, check servers.

        Every scope is asked once for all that it holds, now and then every so often.

        Args:
            serving: says for which intents JupyterHub's own database shows running servers; None
                while nobody knows.
            sweep_interval: seconds from the end of a sweep to the next one.
        """
        self.resume(serving())
        self._spawn(self._sweep_for_ever(serving, sweep_interval))

    def resume(self, served: Collection[str] | None) -> None:
        """Take up every row that is not closed.

        Args:
            served: for which intents JupyterHub shows running servers; None if nobody knows.
        """
        self._losses = self.ledger.losses(GONE)
        for record in self.ledger.unfinished():
            resource = self.take_up(record)
            if record.phase in (Phase.STOPPING, Phase.RELEASING):
                for_good = record.phase is Phase.RELEASING
                status = resource.exit_status
                self.begin_release(resource, record.reason, status, for_good=for_good)
            elif record.phase is Phase.KEPT and not _may_run(record, served):
                continue
            elif record.phase is not Phase.RUNNING and not _may_run(record, served):
                self.begin_release(resource, "the hub ended while it was starting", FAILED)
            elif served is not None and record.id not in served:
                self.begin_release(resource, "JupyterHub knows no server for it", FAILED)
            elif (expires := _end_of(record)) is not None and expires <= time.time():
                # Begun before JupyterHub's first poll: what it takes to be running, it waits for.
                self.begin_release(resource, EXPIRED)
            else:
                resource.phase = Phase.RUNNING
                # It may be doubted that it is kept.
                resource.released.clear()
                resource.child_ended.clear()
                resource.verified.clear()
                self._look_after(resource)
                self._timer.set(resource.id, expires)

    def take_up(self, record: Record) -> Resource:
        """Hold what an earlier hub left; nothing is done with it yet."""
        resource = Resource(record.owner, id=record.id, record=record, phase=record.phase)
        resource.events.close()
        self._resources[record.id] = resource
        if record.phase in (Phase.STOPPING, Phase.KEPT, Phase.RELEASING):
            resource.exit_status = record.exit_status or 0
            resource.released.set()
        if record.phase is Phase.KEPT:
            resource.child_ended.set()
        if record.phase is Phase.RELEASING:
            resource.given_up.set()
        return resource

    async def shutdown(self, timeout: float = _DRAIN_TIMEOUT) -> None:
        """End the hub's part: starts are given up, running servers stay, releases go on later.

        Args:
            timeout: seconds for which releases that are under way are waited for.
        """
        self._draining = True
        self._timer.stop()
        for resource in list(self._resources.values()):
            if resource.pipeline is not None and not resource.pipeline.done():
                self.begin_release(resource, "the hub was stopped", FAILED)
        releases = [r.release for r in self._resources.values() if r.release is not None]
        if releases:
            await asyncio.wait(releases, timeout=timeout)
        for task in list(self._tasks):
            await end(task)
        self.ledger.close()

    # -- what a Spawner asks for -------------------------------------------------------------

    def begin(
        self,
        owner: Owner,
        planner: Planner,
        child: Child,
        events: EventLog,
        resumer: Resumer | None = None,
    ) -> Resource:
        """Begin a start that goes on until it has run, failed or been released.

        The caller awaits ``resource.url``, shielded, and may go away at any time. Until then
        ``resource.id`` may change: what is kept for the server has the id of its intent.

        Args:
            owner: whose server it is.
            planner: says how to start it on something new.
            child: starts the server.
            events: what the user sees.
            resumer: says how to start it on what is kept; without one that is refused.
        """
        resource = Resource(owner, child=child, events=events)
        before = self.of(owner)
        self._resources[resource.id] = resource
        starting = self._start(resource, planner, resumer or _nothing_kept, before)
        resource.pipeline = self._spawn(starting)
        return resource

    def find(self, intent_id: str) -> Resource | None:
        """The resource of an intent that is not closed."""
        return self._resources.get(intent_id)

    def link(self, resource: Resource, child: Child) -> None:
        """Look after the child of a server that an earlier hub started."""
        if resource.child is None:
            resource.child = child

    def begin_release(
        self, resource: Resource, reason: str, status: int = 0, *, for_good: bool = False
    ) -> None:
        """Release a resource, or stop it where files of its user are kept; all goes on behind.

        Args:
            resource: which.
            reason: for the ledger and the log.
            status: what `poll` reports once this is committed.
            for_good: nothing is kept, also if it is being stopped, or is kept, already.
        """
        if for_good:
            resource.for_good = resource.for_good or reason
            resource.hurry.set()
        if resource.release is None:
            self._timer.set(resource.id, None)
            if resource.pipeline is not None:
                self._fail(resource, StartCancelled())
            for task in (resource.pipeline, resource.watcher):
                if task is not None:
                    task.cancel()
            self._run_release(resource, reason, status)

    async def release(
        self, resource: Resource, reason: str, status: int = 0, *, for_good: bool = False
    ) -> None:
        """The same, and wait until it is committed."""
        if for_good:
            # Another object stands for it since it is kept.
            resource = self._resources.get(resource.id, resource)
        self.begin_release(resource, reason, status, for_good=for_good)
        await (resource.given_up if for_good else resource.released).wait()

    def dismiss(self, resource: Resource, reason: str) -> None:
        """Release a resource on an administrator's word, and make JupyterHub see the end.

        One that is being released already is tried again at once, if it waits after a failure.
        Nothing of it is kept.
        """
        running = resource.running
        self.begin_release(resource, reason, for_good=True)
        if running:
            self._spawn(self._end(resource, reason, 0))

    async def forget(self, resource: Resource, reason: str, by: str) -> None:
        """Close a row although nobody has shown that its resource is gone.

        Its provider is not asked for anything more; its authenticator removes the keys, which no
        later release would.

        Args:
            resource: being released, or of a provider whose plugin is missing.
            reason: why.
            by: who says so.

        Raises:
            Refused: it must be released instead.
        """
        record = resource.record
        if record is None or not self._may_be_forgotten(resource, record):
            raise Refused("Only what is being released can be forgotten: release it first.")
        if resource.release is None and not resource.released.is_set():
            self.dismiss(resource, f"to be forgotten: {reason}")
        if resource.release is not None:
            # What ends a server gently is not cut short.
            await resource.child_ended.wait()
        if resource.closed.is_set():
            raise Refused("It was given back meanwhile: there is nothing to forget.")
        record = resource.record or record
        await self._remove_keys(record)
        forgotten = f"forgotten by {by}: {reason}"
        await resource.commit(
            self.ledger, phase=Phase.CLOSED, closed_at=time.time(), reason=forgotten
        )
        resource.given_up.set()
        resource.closed.set()
        if resource.release is not None:
            await end(resource.release)
        self._resources.pop(resource.id, None)
        _log.warning(
            "%s of %s is %s; it was being released (%s), and the last error was: %s",
            resource.id, resource.owner, forgotten, record.reason, record.last_error or "none",
        )  # fmt: skip

    async def _remove_keys(self, record: Record) -> None:
        try:
            await bounded(self._cleanup(record), _CLEANUP_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - what keeps it open is to be forgotten
            _log.warning(
                "%s of %s: what its authenticator keeps for it may still be there",
                record.id, record.owner, exc_info=error,
            )  # fmt: skip

    def kept(self, user: str) -> list[Resource]:
        """What of a user's is stopped, or just being stopped, with files that wait for a start."""
        return [
            resource
            for resource in self._resources.values()
            if resource.owner.user == user and (resource.kept or _is_stopping(resource))
        ]

    def stranded(self, user: str) -> list[Resource]:
        """What of a user's was stopped and cannot be given back: a plugin is missing."""
        return [
            resource
            for resource in self._resources.values()
            if resource.owner.user == user
            and resource.released.is_set()
            and not resource.kept
            and resource.record is not None
            and self._missing(resource.record)
        ]

    def _missing(self, record: Record) -> str:
        return self._providers.missing(record.provider, record.specification.resource_type)

    def _may_be_forgotten(self, resource: Resource, record: Record) -> bool:
        ending = record.phase in (Phase.STOPPING, Phase.RELEASING)
        return resource.release is not None or ending or bool(self._missing(record))

    async def extend(self, resource: Resource, new_end: Callable[[float], float]) -> float:
        """Move the end of a running server to a later moment, and return that.

        The provider moves its own deadline first: an end that it did not confirm does not count.
        Goes on when the caller is cancelled, so that memory and ledger agree.

        Args:
            resource: which.
            new_end: from the end to the later one, in seconds since the epoch. Asked while no
                other extension of this server is under way; what it raises is passed on.

        Raises:
            NotExtended: the end stays where it was; the message says why.
        """
        task = asyncio.ensure_future(self._extend(resource, new_end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def reassign(self, resource: Resource, owner: Owner) -> None:
        """Follow a server whose user was given another name, of which JupyterHub says nothing."""
        if resource.owner != owner:
            resource.owner = owner
            self._spawn(resource.commit(self.ledger, owner=owner))

    async def rename(self, old: Owner, new: Owner) -> None:
        """Let what belongs to one server belong to another name."""
        for resource in self.of(old):
            resource.owner = new
            await resource.commit(self.ledger, owner=new)

    # -- starts -----------------------------------------------------------------------------

    async def _start(
        self,
        resource: Resource,
        planner: Planner,
        resumer: Resumer,
        before: Sequence[Resource],
    ) -> None:
        try:
            await self._hand_over(resource, before)
            url = await self._resume(resource, resumer)
            if url is None:
                url = await pipeline.run(
                    resource, planner, self.ledger, self._gates, self._set_aside
                )
        except Exception as error:  # noqa: BLE001 - whatever it was, the resource must go
            failure = for_user(error, resource.phase, resource.id)
            if resource.record is not None and resource.record.holds_files:
                message = f"{failure.message} What is kept for this server stays."
                failure = StartFailed(message, failure.reason, failure.status)
            _log.warning(
                "the start %s of %s failed: %s", resource.id, resource.owner, failure,
                exc_info=error,
            )  # fmt: skip
            # From here on the release must not wait for this task.
            resource.pipeline = None
            self._fail(resource, failure)
            await self.release(resource, failure.message, FAILED)
        else:
            resource.pipeline = None
            resource.events.close()
            self._look_after(resource)
            if resource.record is not None:
                self._timer.set(resource.id, resource.record.expires_at)
            resource.url.set_result(url)

    async def _hand_over(self, resource: Resource, before: Sequence[Resource]) -> None:
        """Let go of what this server had before: one live resource a server."""
        old = []
        for other in before:
            owner = other.child.owner if other.child is not None else other.owner
            if owner == resource.owner and other.kept:
                continue
            if owner == resource.owner:
                await self.release(other, "the server was started anew")
                old.append(self._spawn(_wait(other.closed)))
            else:
                # Its user was given another name, and somebody else has the old one now.
                self.reassign(other, owner)
        if old:
            resource.events.add("Waiting until the previous server has ended")
            await asyncio.wait(old, timeout=HANDOVER_TIMEOUT)
            for waiter in old:
                waiter.cancel()

    async def _set_aside(self, resource: Resource, reason: str) -> None:
        """Give back under its own intent what serves no start; the start gets another."""
        vain = Resource(
            resource.owner,
            id=resource.id,
            record=resource.record,
            phase=resource.phase,
            asked_at=resource.asked_at,
        )
        vain.events.close()
        vain.child_ended.set()  # none runs
        resource.id, resource.record, resource.phase = new_id(), None, Phase.CREATING
        self._resources |= {vain.id: vain, resource.id: resource}
        _log.info("the start %s of %s goes on as %s", vain.id, vain.owner, resource.id)
        # One live intent a server: the next is written once this one is committed as released.
        await self.release(vain, reason, FAILED, for_good=True)

    async def _resume(self, resource: Resource, resumer: Resumer) -> str | None:
        """Start what is kept for this server; None if nothing is, or not any more."""
        kept = self._live_beside(resource)
        if kept is None:
            if resource.owner in self._losses:
                self._losses.discard(resource.owner)
                resource.events.add(_LOSS)
            return None
        record = kept.record
        assert record is not None  # noqa: S101 - what is live beside a start has one
        plan = await bounded(resumer(record), PLAN_TIMEOUT) if kept.kept else None
        if self._resources.get(kept.id) is not kept or not kept.kept:
            message = "What is kept for this server is just being stopped. Try again later."
            raise StartFailed(message, "kept", 503)
        if plan is None:
            raise StartFailed(_other_choice(record), "kept", 409)
        del self._resources[resource.id]
        resource.id, resource.record = kept.id, record
        self._resources[resource.id] = resource
        try:
            return await pipeline.resume(resource, plan, self.ledger, self._gates, self._set_aside)
        except Lost:
            resource.events.add(_LOSS)
            reason = "what was kept is gone, and its user knows"
            await self._set_aside(resource, reason)
            return None

    def _live_beside(self, resource: Resource) -> Resource | None:
        """What this server has already, and cannot have twice."""
        for other in self.of(resource.owner):
            phase = None if other.record is None else other.record.phase
            if other is not resource and phase in (Phase.STOPPING, Phase.KEPT):
                return other
        return None

    def _fail(self, resource: Resource, failure: Exception) -> None:
        resource.events.fail(str(failure))
        if not resource.url.done():
            resource.url.set_exception(failure)

    # -- running servers ------------------------------------------------------------------------

    def _look_after(self, resource: Resource) -> None:
        if not self._draining:
            resource.watcher = self._spawn(self._watch(resource))

    async def _watch(self, resource: Resource) -> None:
        """Notice that a server ended by itself. An error is no answer: it goes on running."""
        record = resource.record
        assert record is not None  # noqa: S101 - only what runs is looked after
        complained = False
        while True:
            await asyncio.sleep(await self._interval(record))
            try:
                status = await bounded(self._look(resource, record), _POLL_TIMEOUT)
            except Exception as error:  # noqa: BLE001 - a poll that fails proves nothing
                if not complained:
                    _log.warning("%s of %s: poll failed: %r", resource.id, resource.owner, error)
                complained = True
                continue
            complained = False
            if status is not None:
                resource.watcher = None
                self._spawn(self._end(resource, f"the server ended with status {status}", status))
                return

    async def _look(self, resource: Resource, record: Record) -> int | None:
        """The child's word, else that of the provider: some children cannot be rebuilt."""
        if resource.child is not None:
            return await resource.child.poll()
        return FAILED if await self._is_gone(resource, record) else None

    async def _is_gone(self, resource: Resource, record: Record) -> bool:
        provider = await self._provider_of(record)
        if record.handle is None:
            return False
        if (await provider.describe(record.handle)).state is not ResourceState.GONE:
            return False
        # What its spawner would stop may be somebody else's by now.
        resource.child_ended.set()
        return True

    async def _provider_of(self, record: Record) -> Provider:
        return await self._providers.of(record.provider, record.specification.resource_type)

    async def _interval(self, record: Record) -> float:
        try:
            return (await self._provider_of(record)).capabilities().poll_interval
        except Exception:  # noqa: BLE001 - it says so itself where it is needed
            return _POLL_INTERVAL

    async def _end(self, resource: Resource, reason: str, status: int) -> None:
        await self.release(resource, reason, status)
        await resource.child_ended.wait()
        if resource.child is not None:
            await resource.child.notice()

    async def _extend(self, resource: Resource, new_end: Callable[[float], float]) -> float:
        async with resource.extending:
            record = resource.record
            if record is None or not resource.running:
                raise NotExtended("The server does not run.", "extension", 404)
            if record.expires_at is None:
                raise NotExtended("The server has no end that could be moved.", "extension", 409)
            moment = new_end(record.expires_at)
            if not moment > record.expires_at:
                raise NotExtended("An end is only moved to a later moment.", "extension", 400)
            try:
                await bounded(self._move_deadline(record, moment), _EXTEND_TIMEOUT)
                if resource.running:
                    await resource.commit(self.ledger, expires_at=moment)
            except Exception as error:
                _log.warning(
                    "the end of %s of %s was not moved", resource.id, resource.owner,
                    exc_info=error,
                )  # fmt: skip
                if resource.running:
                    raise of_extension(error, resource.id) from error
            if not resource.running:
                raise NotExtended("The server ended before its end was moved.", "extension", 409)
            self._timer.set(resource.id, moment)
            return moment

    async def _move_deadline(self, record: Record, moment: float) -> None:
        provider = await self._provider_of(record)
        assert record.handle is not None  # noqa: S101 - what runs has one
        await provider.extend(record.handle, datetime.fromtimestamp(moment, timezone.utc))

    def _expire(self, intent_id: str) -> None:
        resource = self._resources.get(intent_id)
        if resource is not None:
            # Begun here rather than in the task: no extension comes between.
            self.begin_release(resource, EXPIRED)
            self._spawn(self._end(resource, EXPIRED, 0))

    # -- sweeps ---------------------------------------------------------------------------------

    async def _sweep_for_ever(self, serving: Serving, interval: float) -> None:
        unserved: set[str] = set()
        while True:
            try:
                await self.reconciler.sweep()
                unserved = self._release_unserved(unserved, serving)
            except Exception:  # noqa: BLE001 - the next one may succeed
                _log.exception("a sweep failed")
            await asyncio.sleep(interval)

    def _running(self) -> list[Resource]:
        return [resource for resource in self._resources.values() if resource.running]

    def _held(self) -> list[Resource]:
        """What runs, and what is kept."""
        return [one for one in self._resources.values() if one.running or one.kept]

    async def _look_for(self, resource: Resource) -> bool:
        """Ask for what a list does not show as it should be, and end it if it is gone.

        Or if it is stopped, or has failed, at two sweeps: a child spawner that reaches its machine
        no more can tell nothing.
        """
        if resource.kept:
            return await self._look_at_kept(resource)
        record = resource.record
        if record is None or record.handle is None or not resource.running:
            return False
        provider = await self._provider_of(record)
        state = (await provider.describe(record.handle)).state
        run, now = (record.id, record.generation), asyncio.get_running_loop().time()
        if not policy.is_dead(state):
            self._suspects.pop(run, None)
            return False
        # Of a resource that was just started again, an old answer says that it is stopped.
        age = now - self._suspects.setdefault(run, now)
        if state is not ResourceState.GONE and age < provider.capabilities().list_grace:
            return False
        self._suspects.pop(run, None)
        # What its spawner would stop may be somebody else's by now, or cannot be reached.
        resource.child_ended.set()
        reason = GONE if state is ResourceState.GONE else f"its provider shows it as {state.value}"
        if resource.verified.is_set():
            self._spawn(self._end(resource, reason, FAILED))
        else:
            await self.release(resource, "it ended while the hub was down", FAILED)
        return True

    async def _look_at_kept(self, resource: Resource) -> bool:
        record = resource.record
        assert record is not None  # noqa: S101 - what is kept has both
        assert record.handle is not None  # noqa: S101 - the same
        state = (await (await self._provider_of(record)).describe(record.handle)).state
        if not resource.kept or state is ResourceState.STOPPED:
            return False
        if policy.is_lost(state):
            await self.release(resource, GONE, FAILED, for_good=True)
            return True
        _log.warning("%s of %s runs although it is kept", resource.id, resource.owner)
        self.begin_release(resource, "it ran although it was kept")
        return False

    def _release_unserved(self, before: set[str], serving: Serving) -> set[str]:
        """Release what JupyterHub has known no server for, at two sweeps in a row.

        At one only it may be a server that JupyterHub is about to write down.
        """
        served = serving()
        if served is None:
            return before
        unserved = {resource.id for resource in self._running() if resource.id not in served}
        for intent_id in unserved & before:
            self._spawn(
                self._end(self._resources[intent_id], "JupyterHub knows no server for it", FAILED)
            )
        return unserved

    # -- the rest -----------------------------------------------------------------------------

    def _run_release(self, resource: Resource, reason: str, status: int) -> None:
        if resource.closed.is_set():
            return  # it was forgotten while it waited to be begun anew

        def done(_: asyncio.Task[Any]) -> None:
            if not resource.closed.is_set() and not self._draining:
                _log.error("the release of %s broke off and is begun anew", resource.id)
                asyncio.get_running_loop().call_later(
                    _AGAIN, self._run_release, resource, reason, status
                )

        resource.release = self._spawn(self._give_up(resource, reason, status))
        resource.release.add_done_callback(done)

    async def _give_up(self, resource: Resource, reason: str, status: int) -> None:
        kept = await self._releases.run(resource, reason, status)
        # At once: whoever wants it gone for good finds the one or the other.
        self._resources.pop(resource.id, None)
        record = resource.record
        if kept and record is not None and record.phase is Phase.KEPT:
            self.take_up(record)
        else:
            resource.given_up.set()
            if record is not None and record.holds_files and record.reason == GONE:
                self._losses.add(resource.owner)
        resource.closed.set()

    def of(self, owner: Owner) -> list[Resource]:
        """Everything of one server that is not closed."""
        return [resource for resource in self._resources.values() if resource.owner == owner]

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task of the manager failed", exc_info=task.exception())


def _may_run(record: Record, served: Collection[str] | None) -> bool:
    """Whether a row that says otherwise may be older than its running server."""
    return record.doubted_at is not None and (served is None or record.id in served)


def _end_of(record: Record) -> float | None:
    """When its lifetime is over: it may have been moved since a restored ledger was saved."""
    if record.expires_at is None or record.doubted_at is None:
        return record.expires_at
    return max(record.expires_at, record.doubted_at + DOUBT)


async def _nothing_kept(_: Record) -> None:
    return None


def _is_stopping(resource: Resource) -> bool:
    record = resource.record
    return record is not None and record.phase is Phase.STOPPING and not resource.for_good


def _other_choice(record: Record) -> str:
    where = f"{record.deployment} from {record.provider} ({record.template})"
    return (
        f"The files of this server are kept on {where}, which is stopped. Start the same again, of"
        " the same size, or give them up on the hub's home page. An administrator can release"
        f" {record.id}."
    )


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


__all__ = ("FAILED", "Manager")
