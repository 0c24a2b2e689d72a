"""Comparing what providers hold with what the ledger says, so that nothing is leaked or lost."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from multiplespawner_core.contracts import Handle, Owned, Provider, ResourceState
from multiplespawner_core.planning.boundary import expect
from multiplespawner_core.resources.failures import Refused, for_log
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.providers import Providers, Reach
from multiplespawner_core.resources.record import Phase, Record
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.resources.timing import bounded

_LIST_TIMEOUT = 120.0
_CALL_TIMEOUT = 120.0
_LOOKS = 20
_LOOK_PAUSE = 0.25
_AT_ONCE = 10
"""Calls about single resources that are under way at the same time."""

_log = logging.getLogger(__name__)


class Verdict(str, enum.Enum):
    """What a thing that a provider holds for this installation is.

    LIVE: an intent that is not closed accounts for it; a release that is under way sees to it.
    EXTRA: a second thing for an intent that has its own; it is deleted.
    LEFTOVER: its intent is closed; it is deleted.
    UNKNOWN: the ledger never held its intent. Intents are written before anything is asked for,
    so a ledger was lost or restored: it is left alone and reported, for a person to decide.
    """

    LIVE = "live"
    EXTRA = "extra"
    LEFTOVER = "leftover"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Found:
    """One thing that no live intent accounts for.

    Args:
        reach: where it is.
        owned: what the provider says of it.
        verdict: what it is.
        deleted: whether it is being deleted: the provider has accepted that.
        error: why not, where that was tried.
    """

    reach: Reach
    owned: Owned
    verdict: Verdict
    deleted: bool = False
    error: str = ""


@dataclass(frozen=True)
class ScopeReport:
    """What a sweep found in one scope.

    Args:
        reach: where.
        count: things that the provider holds there for this installation.
        found: those which no live intent accounts for.
        ended: ids of intents whose resources the provider showed to be gone.
        error: why nothing is known of this scope; then nothing was concluded of it either.
    """

    reach: Reach
    count: int = 0
    found: tuple[Found, ...] = ()
    ended: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Report:
    """What a sweep over all scopes found. Times are seconds since the epoch."""

    began_at: float
    ended_at: float
    scopes: tuple[ScopeReport, ...]

    @property
    def found(self) -> list[Found]:
        """Everything that no live intent accounts for."""
        return [found for scope in self.scopes for found in scope.found]


def judge(owned: Owned, row: Record | None) -> Verdict:
    """What a thing is, by the row of the intent that it carries; the row was read after it."""
    if row is None:
        return Verdict.UNKNOWN
    if row.phase is Phase.CLOSED:
        return Verdict.LEFTOVER
    # Until its handle is written, nobody knows which of several will be the one. A release asks
    # for all that carry the intent.
    if row.handle is None or row.phase is Phase.RELEASING:
        return Verdict.LIVE
    of = owned.depends_on if owned.dependent else owned.handle.id
    return Verdict.LIVE if of in (None, row.handle.id) else Verdict.EXTRA


class Reconciler:
    """Sweeps the scopes, one sweep at a time.

    Args:
        ledger: says what ought to exist.
        providers: know what exists.
        held: the servers that ought to run, and what is kept for others, in this moment.
        gone: is told of each that a list does not show so; says whether it is gone.
    """

    def __init__(
        self,
        ledger: Ledger,
        providers: Providers,
        held: Callable[[], Iterable[Resource]],
        gone: Callable[[Resource], Coroutine[Any, Any, bool]],
    ) -> None:
        self._ledger = ledger
        self._providers = providers
        self._held = held
        self._gone = gone
        self._sweeping = asyncio.Lock()
        self._calls = asyncio.Semaphore(_AT_ONCE)
        self._told: set[tuple[Reach, str]] = set()
        self._unknown: dict[Reach, str] = {}
        self.latest: Report | None = None

    async def sweep(self, *, dry_run: bool = False) -> Report:
        """Look into every scope that was ever used or can be used now.

        Args:
            dry_run: only say what would be done; `Found.deleted` then says that it would be.
        """
        async with self._sweeping:
            began = time.time()
            reaches = (*await self._ledger.reaches(), *await self._providers.reached())
            merged = self._providers.merged(reaches)
            sweeping = (self._sweep(reach, dry_run=dry_run) for reach in merged)
            scopes = await asyncio.gather(*sweeping)
            report = Report(began, time.time(), tuple(scopes))
            if not dry_run:
                self._tell(report)
                self.latest = report
            return report

    async def discard(self, found: Found) -> bool:
        """Delete what was quarantined, as an administrator says; returns whether it is gone.

        Accepted is not gone: what is not gone at once stays in the report until a sweep finds
        that it is.

        Raises:
            Refused: it is there no more, a row accounts for it by now, or it was not deleted.
            LedgerUnavailable: nobody knows whether a row accounts for it.
        """
        async with self._sweeping:
            provider, there = await self._still_unknown(found)
            try:
                await bounded(provider.delete(there.handle), _CALL_TIMEOUT)
                gone = await bounded(_is_gone_soon(provider, there.handle), _CALL_TIMEOUT)
            except Exception as error:
                raise _not_done(found, error) from error
            if gone and self.latest is not None:
                self.latest = _without(self.latest, found)
            return gone

    async def _still_unknown(self, found: Found) -> tuple[Provider, Owned]:
        """The thing, as its provider and the ledger have it now."""
        reach = found.reach
        try:
            provider = await self._provider_of(reach)
            owned = await bounded(self._list(provider, reach), _LIST_TIMEOUT)
        except Exception as error:
            raise _not_done(found, error) from error
        # Of a ledger that was set back under this hub nothing is believed: this raises.
        rows = await self._ledger.rows({one.intent_id for one in owned if one.intent_id})
        for one in _judged(reach, owned, rows):
            if one.owned.handle.id == found.owned.handle.id and one.verdict is Verdict.UNKNOWN:
                return provider, one.owned
        raise Refused(f"{found.owned.handle.id} is not quarantined any more: sweep again.")

    async def _sweep(self, reach: Reach, *, dry_run: bool) -> ScopeReport:
        checked = self._held_in(reach)
        try:
            return await self._look_into(reach, dry_run=dry_run)
        finally:
            for resource in checked:
                resource.verified.set()

    async def _look_into(self, reach: Reach, *, dry_run: bool) -> ScopeReport:
        try:
            provider = await self._provider_of(reach)
            # The provider first and the ledger second: whatever is in the list had its row by then.
            owned = await bounded(self._list(provider, reach), _LIST_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - it proves nothing, and holds up no other scope
            self._complain(reach, repr(error))
            return ScopeReport(reach, error=for_log(error))
        self._unknown.pop(reach, None)
        rows = await self._ledger.rows({one.intent_id for one in owned if one.intent_id})
        there = {one.handle.id for one in owned if not one.dependent}
        found = await asyncio.gather(
            *(
                self._deal_with(provider, one, there, dry_run=dry_run)
                for one in _judged(reach, owned, rows)
            )
        )
        absent = [] if dry_run else self._absent(reach, owned)
        gone = await asyncio.gather(*(self._is_gone(resource) for resource in absent))
        ended = [one.id for one, is_gone in zip(absent, gone, strict=True) if is_gone]
        return ScopeReport(reach, len(owned), tuple(found), tuple(ended))

    async def _provider_of(self, reach: Reach) -> Provider:
        return await self._providers.of(reach.scope.provider, reach.resource_types[0])

    async def _list(self, provider: Provider, reach: Reach) -> list[Owned]:
        listed: Any = await provider.list_owned(self._ledger.installation_id, reach.scope)
        things = [expect(one, Owned, provider, "list_owned") for one in listed]
        return [one for one in things if one.state is not ResourceState.GONE]

    def _absent(self, reach: Reach, owned: Sequence[Owned]) -> list[Resource]:
        """Running servers that the list does not show as ready, and what is kept and not stopped.

        It may lag, and where the child makes the thing it may show a mere reservation: that is a
        reason to ask, no evidence.
        """
        present = {(one.intent_id, one.state) for one in owned if not one.dependent}
        return [one for one in self._held_in(reach) if (one.id, _expected(one)) not in present]

    def _held_in(self, reach: Reach) -> list[Resource]:
        return [
            resource
            for resource in self._held()
            if resource.record is not None and _is_in(resource.record, reach)
        ]

    async def _is_gone(self, resource: Resource) -> bool:
        async with self._calls:
            try:
                return await bounded(self._gone(resource), _CALL_TIMEOUT)
            except Exception as error:  # noqa: BLE001 - a look that fails proves nothing
                _log.warning("%s of %s: %r", resource.id, resource.owner, error)
                return False

    async def _deal_with(
        self, provider: Provider, found: Found, there: Collection[str], *, dry_run: bool
    ) -> Found:
        owned = found.owned
        if found.verdict is Verdict.UNKNOWN or dry_run:
            return replace(found, deleted=found.verdict is not Verdict.UNKNOWN)
        if owned.state is ResourceState.DELETING or owned.depends_on in there:
            # What depends on something goes with it, and what is left of it with the next sweep.
            return replace(found, deleted=True)
        async with self._calls:
            try:
                await bounded(provider.delete(owned.handle), _CALL_TIMEOUT)
            except Exception as error:  # noqa: BLE001 - the next sweep tries again
                _log.warning("%s could not be deleted: %r", owned.handle.id, error)
                return replace(found, error=for_log(error))
        return replace(found, deleted=True)

    def _complain(self, reach: Reach, why: str) -> None:
        """Once for as long as it stays so: a plugin may be disabled for weeks."""
        if self._unknown.get(reach) != why:
            _log.warning("nothing is known of %s: %s", _place(reach), why)
        self._unknown[reach] = why

    def _tell(self, report: Report) -> None:
        """Say of each thing once what it is: for as long as it stays the report shows it."""
        there = {_key(one): one for one in report.found}
        for key, one in there.items():
            if key not in self._told:
                _log.log(*_words(one))
        unknown = {scope.reach for scope in report.scopes if scope.error}
        self._told = {*there, *(key for key in self._told if key[0] in unknown)}


def _is_in(record: Record, reach: Reach) -> bool:
    resource_type = record.specification.resource_type
    return record.scope == reach.scope and resource_type in reach.resource_types


def _expected(resource: Resource) -> ResourceState:
    return ResourceState.STOPPED if resource.kept else ResourceState.READY


def _judged(reach: Reach, owned: Sequence[Owned], rows: Mapping[str, Record]) -> list[Found]:
    judged = (
        Found(reach, one, judge(one, rows.get(one.intent_id) if one.intent_id else None))
        for one in owned
    )
    return [one for one in judged if one.verdict is not Verdict.LIVE]


def _words(found: Found) -> tuple[int, str]:
    thing = f"{found.owned.handle.id} in {_place(found.reach)}"
    if found.verdict is Verdict.UNKNOWN:
        message = (
            f"{thing} is this installation's, but the ledger never held its intent: a ledger was"
            " lost or restored. It is left alone: see multiplespawner resources list"
        )
        return logging.ERROR, message
    why = {
        Verdict.EXTRA: f"is a second one for the intent {found.owned.intent_id}",
        Verdict.LEFTOVER: f"was left over from the closed intent {found.owned.intent_id}",
    }[found.verdict]
    return logging.WARNING, f"{thing} {why}: it is deleted"


def _key(found: Found) -> tuple[Reach, str]:
    return found.reach, found.owned.handle.id


def _place(reach: Reach) -> str:
    return f"{reach.scope.provider} {reach.scope.key}"


async def _is_gone_soon(provider: Provider, handle: Handle) -> bool:
    for _ in range(_LOOKS):
        if (await provider.describe(handle)).state is ResourceState.GONE:
            return True
        await asyncio.sleep(_LOOK_PAUSE)
    return False


def _not_done(found: Found, error: Exception) -> Refused:
    handle_id = found.owned.handle.id
    _log.warning("%s could not be deleted", handle_id, exc_info=error)
    return Refused(f"{handle_id} could not be deleted: {for_log(error)}.", 503)


def _without(report: Report, found: Found) -> Report:
    """The same without a thing that is gone, and what depended on it, which went with it."""
    gone = found.owned.handle.id

    def is_left(one: Found) -> bool:
        return one.reach != found.reach or gone not in (one.owned.handle.id, one.owned.depends_on)

    scopes = (replace(scope, found=tuple(filter(is_left, scope.found))) for scope in report.scopes)
    return replace(report, scopes=tuple(scopes))


__all__ = ("Found", "Reconciler", "Report", "ScopeReport", "Verdict", "judge")
