"""Giving a resource back, until the provider has shown that it is gone, or stopped and kept."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from multiplespawner_core.contracts import (
    Handle,
    Provider,
    ResourceState,
)
from multiplespawner_core.resources import policy
from multiplespawner_core.resources.child import Child
from multiplespawner_core.resources.failures import Lost, for_log
from multiplespawner_core.resources.ledger import Ledger, UnknownRow
from multiplespawner_core.resources.providers import Providers
from multiplespawner_core.resources.record import Phase, Record
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.resources.timing import GRACE, bounded

Cleanup = Callable[[Record], Coroutine[Any, Any, None]]
Revive = Callable[[Resource], Child | None]

STOP_TIMEOUT = 90.0
"""Seconds that a child's own stop may take before its resource is taken away under it."""

GONE = "its provider shows that it is gone"
"""Reason of a release that no one asked for, but the resource exists no more."""

_CALL_TIMEOUT = 120.0
_LOOK_PAUSE = 0.2
_FIRST = 3  # as after so many failures: two seconds until it is deleted once more

_log = logging.getLogger(__name__)


class Release:
    """Releases resources; one instance serves the whole manager.

    Args:
        ledger: where the release is committed before anything else happens.
        providers: finds the one that made a row's resource; raises while its plugin is missing.
        cleanup: removes what an authenticator left for a row.
        revive: the child spawner of a server that ran before the hub was restarted.
    """

    def __init__(
        self, ledger: Ledger, providers: Providers, cleanup: Cleanup, revive: Revive
    ) -> None:
        self._ledger = ledger
        self._providers = providers
        self._cleanup = cleanup
        self._revive = revive

    async def run(self, resource: Resource, reason: str, status: int) -> bool:
        """Commit the end, stop the child gently, delete the resource, close the row.

        Where files of its user are to be kept it is stopped instead, unless `Resource.for_good`
        says otherwise or comes to say so meanwhile.

        Returns:
            Whether it is kept.
        """
        _log.info("releasing %s of %s: %s", resource.id, resource.owner, reason)
        keeps = _keeps(resource)
        phase = Phase.STOPPING if keeps else Phase.RELEASING
        await self._commit(resource, phase, reason, status)
        if resource.pipeline is not None:
            # It was cancelled with the release; what it was doing must not go on beside it.
            await asyncio.wait({resource.pipeline}, timeout=2 * GRACE)
        if not resource.child_ended.is_set():
            await self._stop_child(resource)
            resource.child_ended.set()
        if keeps:
            lost = await self._stop(resource)
            if not (lost or resource.for_good):
                return True
            reason = resource.for_good or GONE
            await self._commit(resource, Phase.RELEASING, reason, status)
        await self._give_back(resource)
        return False

    async def _commit(self, resource: Resource, phase: Phase, reason: str, status: int) -> None:
        if resource.record is not None and resource.record.phase is not phase:
            await self._insist(
                resource, phase=phase, phase_deadline=None, reason=reason, exit_status=status
            )
        resource.phase = phase
        resource.exit_status = status
        resource.released.set()
        if phase is Phase.RELEASING:
            resource.given_up.set()

    async def _stop_child(self, resource: Resource) -> None:
        try:
            child = resource.child or self._revive(resource)
            if child is not None:
                await bounded(child.stop(), STOP_TIMEOUT)
        except Exception:  # noqa: BLE001
            # Not the end of it: the provider ends what is left.
            _log.exception("%s of %s: its spawner could not stop it", resource.id, resource.owner)

    async def _stop(self, resource: Resource) -> bool:
        """Stop what is kept, for as long as it takes and it is to be kept; commit that it is.

        Returns:
            Whether the provider has shown that it is gone.
        """
        failures = 0
        while not resource.for_good and resource.record is not None:
            try:
                if await self._is_stopped(resource, resource.record):
                    await self._insist(resource, phase=Phase.KEPT, last_error="")
                    _log.info("%s of %s is stopped and kept", resource.id, resource.owner)
                    break
            except Lost:
                return True
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not go on running
                failures += 1
                _log.warning(
                    "%s of %s could not be stopped (attempt %d), trying again",
                    resource.id, resource.owner, failures, exc_info=error,
                )  # fmt: skip
                await self._note(resource, for_log(error))
                await _pause(resource, policy.pause(failures, error))
        return False

    async def _is_stopped(self, resource: Resource, record: Record) -> bool:
        # Asked before it is stopped: what still works on it may start it again.
        busy = resource.busy()
        provider = await self._providers.of(record.provider, record.specification.resource_type)
        handle = record.handle
        if handle is None:
            found = await self._find(provider, resource, record)
            if not found:
                raise Lost
            handle = found[0]
            await resource.commit(self._ledger, handle=handle)
        try:
            await bounded(provider.stop(handle), _CALL_TIMEOUT)
        except Exception as error:
            seen = await bounded(provider.describe(handle), _CALL_TIMEOUT)
            if policy.is_lost(seen.state):
                raise Lost from error
            raise
        stopped = await _until_stopped(provider, handle, resource)
        if busy:
            await asyncio.wait(busy, timeout=_CALL_TIMEOUT)
            return False
        return stopped

    async def _give_back(self, resource: Resource) -> None:
        failures = 0
        while resource.record is not None:
            try:
                if await self._is_given_back(resource, resource.record):
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, the resource must still go
                failures += 1
                _log.warning(
                    "%s of %s could not be given back (attempt %d), trying again",
                    resource.id, resource.owner, failures, exc_info=error,
                )  # fmt: skip
                await self._note(resource, for_log(error))
                await _pause(resource, policy.pause(failures, error))

    async def _is_given_back(self, resource: Resource, record: Record) -> bool:
        # Asked before it is deleted: what still works on it may make it again.
        busy = resource.busy()
        if record.generation:  # else it was never written, and nothing was asked for
            await self._delete(resource, record)
            await bounded(self._cleanup(record), _CALL_TIMEOUT)
        if busy:
            await asyncio.wait(busy, timeout=_CALL_TIMEOUT)
            return False
        with contextlib.suppress(UnknownRow):
            closed = {"phase": Phase.CLOSED, "closed_at": time.time(), "last_error": ""}
            await resource.commit(self._ledger, **closed)
        _log.info("%s of %s is given back", resource.id, resource.owner)
        return True

    async def _delete(self, resource: Resource, record: Record) -> None:
        provider = await self._providers.of(record.provider, record.specification.resource_type)
        handles = {}
        if record.handle is not None:
            # What is known goes at once; what is not seen yet is waited for.
            handles[record.handle.id] = record.handle
            await bounded(provider.delete(record.handle), _CALL_TIMEOUT)
        for handle in await self._find(provider, resource, record):
            if handles.setdefault(handle.id, handle) is handle:
                await bounded(provider.delete(handle), _CALL_TIMEOUT)
        for handle in handles.values():
            await _until_gone(provider, handle)

    async def _find(self, provider: Provider, resource: Resource, record: Record) -> list[Handle]:
        """What carries the intent, also beside the recorded handle: a create may act twice.

        Lists are to be trusted a grace after the create. Where no handle was recorded it may
        have been accepted unseen: only two empty answers, a grace apart, prove that nothing
        was made.
        """
        intent, grace = record.intent(), provider.capabilities().list_grace
        if record.handle is not None:
            age = asyncio.get_running_loop().time() - resource.asked_at
            await asyncio.sleep(max(0.0, grace - age))
            return await bounded(_list(provider.find(intent, record.scope)), _CALL_TIMEOUT)
        for _ in range(2):
            await asyncio.sleep(grace)
            found = await bounded(_list(provider.find(intent, record.scope)), _CALL_TIMEOUT)
            if found:
                return found
        return []

    async def _insist(self, resource: Resource, **changes: Any) -> None:
        """Commit, for as long as it takes: until then the server counts as running."""
        failures = 0
        while True:
            try:
                return await resource.commit(self._ledger, **changes)
            except UnknownRow:
                # Not written yet, or removed by somebody: what exists has to go all the same.
                _log.warning("the ledger has no row for %s, which is being released", resource.id)
                return None
            except Exception:  # noqa: BLE001 - no failure of the ledger ends a release
                failures += 1
                _log.exception("the ledger could not record the release of %s", resource.id)
                await asyncio.sleep(policy.pause(failures))

    async def _note(self, resource: Resource, error: str) -> None:
        if resource.record is not None and resource.record.last_error != error:
            try:
                await resource.commit(self._ledger, last_error=error)
            except Exception:  # noqa: BLE001 - no failure of the ledger ends a release
                _log.exception("the ledger could not record the error of %s", resource.id)


def _keeps(resource: Resource) -> bool:
    return not resource.for_good and resource.record is not None and resource.record.holds_files


async def _until_gone(provider: Provider, handle: Handle) -> None:
    """Wait for the proof, for as long as one call may take; the caller tries again after that.

    A delete that was accepted may be forgotten: it is asked for again, ever more rarely.
    """
    loop = asyncio.get_running_loop()

    async def look() -> None:
        for number in itertools.count(_FIRST):
            again = loop.time() + policy.pause(number)
            while loop.time() < again:
                if (await provider.describe(handle)).state is ResourceState.GONE:
                    return
                await asyncio.sleep(_LOOK_PAUSE)
            await provider.delete(handle)

    await bounded(look(), _CALL_TIMEOUT)


async def _until_stopped(provider: Provider, handle: Handle, resource: Resource) -> bool:
    """The same for what is kept; false if it is to be kept no longer."""

    async def look() -> bool:
        while not resource.for_good:
            state = (await provider.describe(handle)).state
            if policy.is_lost(state):
                raise Lost
            if state is ResourceState.STOPPED:
                return True
            await asyncio.sleep(_LOOK_PAUSE)
        return False

    return await bounded(look(), _CALL_TIMEOUT)


async def _pause(resource: Resource, seconds: float) -> None:
    """Wait before the next attempt, unless somebody asks for it."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(resource.hurry.wait(), seconds)
    resource.hurry.clear()


async def _list(found: Awaitable[Any]) -> list[Handle]:
    return list(await found)


__all__ = ("GONE", "Release")
