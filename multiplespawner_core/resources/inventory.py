"""What administrators see of all resources, and what they can do: one for hub and command."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from sqlalchemy import Connection

from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.resources import queries
from multiplespawner_core.resources.failures import Refused
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.resources.providers import Providers, Reach, missing
from multiplespawner_core.resources.queries import Query
from multiplespawner_core.resources.reconciler import Found, Report, ScopeReport, Verdict
from multiplespawner_core.resources.record import Phase, Record
from multiplespawner_core.resources.resource import Resource

MOST = 10_000
"""Rows of the history that are answered at the most."""

_ID = re.compile(r"[0-9a-f]{4,32}\Z")
_QUARANTINED = re.compile(r"q[0-9a-f]{4,15}\Z")
_FIFTEEN = 15  # with the q as long as half an intent's id

Missing = Callable[[str, str], str]
Model = dict[str, Any]

_log = logging.getLogger(__name__)


class Inventory:
    """The administrators' side of the manager.

    Ids may be shortened to a beginning that no other has. All answers are JSON-able.

    Args:
        manager: owns what exists.
        providers: know which plugins are missing.
    """

    def __init__(self, manager: Manager, providers: Providers) -> None:
        self._manager = manager
        self._missing = providers.missing

    async def list(self, user: str | None = None) -> Model:
        """Everything that is not given back, and what the latest sweep left to be decided."""
        rows = await self._ask(queries.unclosed(user))
        return listing(rows, self._missing, self._manager.reconciler.latest)

    async def history(self, limit: int, user: str | None = None) -> Model:
        """Rows, closed or not, newest first."""
        rows = await self._ask(queries.history(limit, user))
        return {"resources": [model(row, self._missing) for row in rows]}

    async def show(self, given: str) -> Model:
        """One row, closed or not, or one quarantined thing.

        Raises:
            Refused: there is none, or more than one.
        """
        if _QUARANTINED.match(given):
            return quarantined(self._quarantined(given))
        return model(await self._row(given), self._missing)

    async def release(self, given: str, by: str) -> Model:
        """Begin to give a resource back; goes on behind.

        Raises:
            Refused: there is nothing to be given back.
        """
        if _QUARANTINED.match(given):
            raise Refused(_EXPLICITLY)
        resource = await self._open(given)
        _log.info("%s releases %s of %s", by, resource.id, resource.owner)
        self._manager.dismiss(resource, f"released by {by}")
        return await self.show(resource.id)

    async def discard(self, given: str, by: str) -> Model:
        """Delete a quarantined thing: nothing else ever does.

        Raises:
            Refused: it is not quarantined, or its provider did not delete it.
            LedgerUnavailable: nobody knows whether it is.
        """
        if not _QUARANTINED.match(given):
            raise Refused(f"{given} is no id of something quarantined: these begin with a q.", 400)
        found = self._quarantined(given)
        thing = quarantined(found)
        where = f"{thing['provider']} {thing['scope']}"
        _log.warning("%s deletes %s in %s, which is quarantined", by, thing["handle"], where)
        gone = await self._manager.reconciler.discard(found)
        return {**thing, "state": "gone" if gone else "deleting"}

    async def forget(self, given: str, reason: str, by: str) -> Model:
        """Close a row that cannot be given back.

        Raises:
            Refused: it is closed, it must be released first, or there is no reason.
        """
        if not reason.strip():
            raise Refused("Say why it is to be forgotten.", 400)
        resource = await self._open(given)
        await self._manager.forget(resource, " ".join(reason.split()), by)
        return await self.show(resource.id)

    async def reconcile(self, *, dry_run: bool = False) -> Model:
        """Sweep all scopes now."""
        report = await self._manager.reconciler.sweep(dry_run=dry_run)
        return {**swept(report), "dry_run": dry_run}

    async def _ask(self, query: Query) -> Sequence[Record]:
        rows: Sequence[Record] = await self._manager.ledger.submit(query)
        return rows

    async def _row(self, given: str) -> Record:
        return only(given, await self._ask(queries.beginning_with(checked(given))))

    async def _open(self, given: str) -> Resource:
        row = await self._row(given)
        resource = self._manager.find(row.id)
        if resource is None and row.phase is not Phase.CLOSED:
            resource = self._manager.take_up(row)
        if resource is None or row.phase is Phase.CLOSED:
            raise Refused(f"{row.id} is closed: {row.reason or 'nothing of it is left'}.")
        return resource

    def _quarantined(self, given: str) -> Found:
        latest = self._manager.reconciler.latest
        found = [one for one in left(latest) if quarantined(one)["id"].startswith(given)]
        if len(found) == 1:
            return found[0]
        if found:
            raise Refused(f"{given} means more than one thing: write more of the id.")
        when = "no sweep has ended yet" if latest is None else "the latest sweep found none"
        raise Refused(f"Nothing quarantined has the id {given}: {when}.", 404)


class Reader:
    """The same for reading alone, without a manager.

    Args:
        connection: to the ledger.
        registry: knows which plugins are missing.
    """

    def __init__(self, connection: Connection, registry: Registry) -> None:
        self._connection = connection
        self._missing = partial(missing, registry)

    async def list(self, user: str | None = None) -> Model:
        return listing(queries.unclosed(user)(self._connection), self._missing, None)

    async def history(self, limit: int, user: str | None = None) -> Model:
        rows = queries.history(limit, user)(self._connection)
        return {"resources": [model(row, self._missing) for row in rows]}

    async def show(self, given: str) -> Model:
        rows = queries.beginning_with(checked(given))(self._connection)
        return model(only(given, rows), self._missing)


def checked(given: str) -> str:
    """The beginning of an id.

    Raises:
        Refused: it is none.
    """
    if _QUARANTINED.match(given):
        raise Refused(f"Nothing is known of {given}: only a sweep says what is quarantined.", 404)
    if not _ID.match(given):
        raise Refused(f"{given!r:.60} is no id: 4 to 32 of the digits 0 to 9 and a to f.", 400)
    return given


def only(given: str, rows: Sequence[Record]) -> Record:
    """The one row that is meant.

    Raises:
        Refused: there is none, or more than one.
    """
    if not rows:
        raise Refused(f"The ledger has no resource {given}.", 404)
    if len(rows) > 1:
        ids = ", ".join(row.id for row in rows)
        raise Refused(f"{given} means more than one resource: {ids}. Write more of the id.")
    return rows[0]


def listing(rows: Iterable[Record], missing: Missing, report: Report | None) -> Model:
    """The answer of `list`.

    Args:
        rows: those that are not closed.
        missing: says of a provider and a type why no plugin can be asked.
        report: of the latest sweep; None if nobody knows.
    """
    return {
        "resources": [model(row, missing) for row in rows],
        "quarantined": [quarantined(found) for found in left(report)],
        "unknown_scopes": [
            _scope(one) for one in ([] if report is None else report.scopes) if one.error
        ],
        "swept_at": None if report is None else iso(report.ended_at),
    }


def left(report: Report | None) -> list[Found]:
    """What a sweep left for a person to decide."""
    found = [] if report is None else report.found
    return [one for one in found if one.verdict is Verdict.UNKNOWN]


def model(row: Record, missing: Missing) -> Model:
    """A row as administrators see it; nothing in it is a secret."""
    offer, wanted = row.offer, row.specification
    open_ = row.phase is not Phase.CLOSED
    stopped = row.phase in (Phase.STOPPING, Phase.KEPT)
    return {
        "id": row.id,
        "user": row.owner.user,
        "server": row.owner.server,
        "phase": row.phase.value,
        "provider": row.provider,
        "scope": row.scope.key,
        "resource_type": wanted.resource_type,
        "template": row.template,
        "deployment": row.deployment,
        "shape": offer.shape,
        "cpu": offer.cpu,
        "memory": offer.memory,
        "gpu": offer.gpu,
        "price": offer.price,
        "handle": None if row.handle is None else row.handle.id,
        "generation": row.generation,
        "attempt": row.attempt,
        "created_at": iso(row.created_at),
        "expires_at": None if row.expires_at is None or stopped else iso(row.expires_at),
        "closed_at": None if row.closed_at is None else iso(row.closed_at),
        "reason": row.reason,
        "last_error": row.last_error,
        "unreachable": missing(row.provider, wanted.resource_type) if open_ else "",
    }


def quarantined(found: Found) -> Model:
    """What the ledger never held, as administrators see it."""
    handle = found.owned.handle
    scope = found.reach.scope
    marks = "\0".join((scope.provider, scope.key, *found.reach.resource_types, handle.id))
    return {
        "id": f"q{hashlib.sha256(marks.encode()).hexdigest()[:_FIFTEEN]}",
        **_where(found.reach),
        "handle": handle.id,
        "intent": found.owned.intent_id,
        "state": found.owned.state.value,
        "dependent": found.owned.dependent,
    }


def swept(report: Report) -> Model:
    """What a sweep found."""
    return {
        "began_at": iso(report.began_at),
        "ended_at": iso(report.ended_at),
        "scopes": [
            {
                **_scope(one),
                "count": one.count,
                "ended": list(one.ended),
                "found": [_found(found) for found in one.found],
            }
            for one in report.scopes
        ],
    }


def iso(moment: float) -> str:
    """ISO 8601, UTC, in whole seconds."""
    shown = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")
    return shown.replace("+00:00", "Z")


def _scope(one: ScopeReport) -> Model:
    return {**_where(one.reach), "error": one.error}


def _found(found: Found) -> Model:
    thing = quarantined(found)
    if found.verdict is not Verdict.UNKNOWN:
        thing["id"] = None  # nobody has to decide about it
    return {
        **thing,
        "verdict": found.verdict.value,
        "deleted": found.deleted,
        "error": found.error,
    }


def _where(reach: Reach) -> Model:
    return {
        "provider": reach.scope.provider,
        "scope": reach.scope.key,
        "resource_types": list(reach.resource_types),
    }


_EXPLICITLY = (
    "It is quarantined: the ledger never held its intent, and it may be the server of a user."
    " It is deleted only if you say that you mean a quarantined thing."
)

__all__ = (
    "MOST",
    "Inventory",
    "Reader",
    "iso",
)
