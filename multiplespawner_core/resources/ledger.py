"""The ledger: the durable record of every resource, written by one thread with group commit."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import DBAPIError

from multiplespawner_core.contracts import (
    Offer,
    Owner,
    Scope,
    Specification,
)
from multiplespawner_core.resources.backend import Backend
from multiplespawner_core.resources.database import open_database
from multiplespawner_core.resources.providers import Reach
from multiplespawner_core.resources.record import (
    Phase,
    Record,
    handle_from_json,
    handle_to_json,
)
from multiplespawner_core.resources.tables import intents, scopes
from multiplespawner_core.resources.tenure import Setback, Tenure
from multiplespawner_core.resources.unavailable import LedgerUnavailable

_BATCH = 200
_COLUMNS = {"owner": ("user_name", "server_name"), "offer": ("offer", "scope_key")}
"""Fields of a record that more than one column holds; every other field has its column's name."""

Operation = Callable[[Connection], Any]
_Job = tuple[Operation, "asyncio.Future[Any]"]
_Outcome = tuple[Any, "BaseException | None"]

_log = logging.getLogger(__name__)


class UnknownRow(LookupError):
    """A row that should be changed does not exist: it was never written, or somebody removed it."""


class Ledger:
    """Opened once by the hub; every write is awaited until it is committed.

    Writes that arrive while a commit is under way share the next one. Each runs in its own
    savepoint, so one that fails takes no other with it. What they raise is passed on; where the
    database itself cannot take them, everyone gets `LedgerUnavailable`, and the next write tries
    again.
    """

    def __init__(self, backend: Backend, tenure: Tenure) -> None:
        self.trouble = ""
        """Why nothing can be written at present, for the administrator; empty if it can."""
        self._backend = backend
        self._tenure = tenure
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(
            target=self._write, name="multiplespawner-ledger", daemon=True
        )
        self._thread.start()

    @classmethod
    def open(cls, url: str, state_dir: Path) -> Ledger:
        """Lock, upgrade and open the ledger; synchronous, for the hub's start.

        Args:
            url: of an SQLite file or a PostgreSQL database; empty means ``ledger.sqlite`` in
                `state_dir`.
            state_dir: private directory of this installation; made where it is missing.

        Raises:
            ConfigurationError: it cannot be opened, another hub holds it, or a newer version of
                multiplespawner made it.
        """
        return cls(*open_database(url, state_dir))

    @property
    def installation_id(self) -> str:
        """What marks everything that this hub owns."""
        return self._tenure.installation_id

    @property
    def setbacks(self) -> Collection[Setback]:
        """Each time that the ledger was found to be lost or restored from a backup, oldest first.

        From then on there may be resources of ours that it does not know. Rows are never removed:
        an intent without one was not forgotten, but the ledger that held it is gone.
        """
        return self._tenure.setbacks

    def unfinished(self) -> list[Record]:
        """Every row that is not closed; synchronous, for the hub's start."""
        with self._backend.readers.connect() as connection:
            rows = connection.execute(select(intents).where(intents.c.phase != Phase.CLOSED.value))
            return [record_of(row) for row in rows]

    def losses(self, reason: str) -> set[Owner]:
        """The servers of which the latest resource was to be kept, and was closed for `reason`.

        Synchronous, for the hub's start.
        """
        later = intents.alias()
        same = (
            later.c.installation_id == intents.c.installation_id,
            later.c.user_name == intents.c.user_name,
            later.c.server_name == intents.c.server_name,
        )
        newer = select(later.c.id).where(*same, later.c.created_at > intents.c.created_at)
        lost = intents.c.keeps & (intents.c.reason == reason) & ~newer.exists()
        with self._backend.readers.connect() as connection:
            rows = connection.execute(
                select(intents).where(lost, intents.c.phase == Phase.CLOSED.value)
            )
            return {record.owner for record in map(record_of, rows) if record.holds_files}

    async def insert(self, record: Record) -> Record:
        """Commit a new intent; its generation is counted on from the server's latest."""

        def run(connection: Connection) -> int:
            latest = select(func.max(intents.c.generation)).where(
                intents.c.installation_id == record.installation_id,
                intents.c.user_name == record.owner.user,
                intents.c.server_name == record.owner.server,
            )
            generation = (connection.execute(latest).scalar() or 0) + 1
            _remember_scope(connection, record)
            values = {**_values(record), "generation": generation}
            connection.execute(insert(intents).values(**values))
            return generation

        generation = await self.submit(run)
        return replace(record, generation=generation)

    async def update(self, record: Record, **changes: Any) -> None:
        """Commit changed fields of a row, and only those.

        Raises:
            UnknownRow: there is no such row.
        """
        changed_record = replace(record, **changes)
        values = _values(changed_record)
        columns = [column for name in changes for column in _COLUMNS.get(name, (name,))]
        statement = update(intents).where(intents.c.id == record.id)
        changed = statement.values({column: values[column] for column in columns})

        def run(connection: Connection) -> None:
            if "offer" in changes:
                _remember_scope(connection, changed_record)
            if connection.execute(changed).rowcount != 1:
                msg = f"the ledger has no row {record.id}"
                raise UnknownRow(msg)

        await self.submit(run)

    async def history(self, owner: Owner) -> list[Record]:
        """Every row of a server, oldest first."""

        def run(connection: Connection) -> list[Record]:
            query = select(intents).where(
                intents.c.user_name == owner.user, intents.c.server_name == owner.server
            )
            rows = connection.execute(query.order_by(intents.c.generation))
            return [record_of(row) for row in rows]

        result: list[Record] = await self.submit(run)
        return result

    async def rows(self, ids: Collection[str]) -> dict[str, Record]:
        """The rows of some intents, closed or not, by their ids; those that exist."""
        wanted = sorted(ids)

        def run(connection: Connection) -> dict[str, Record]:
            found: dict[str, Record] = {}
            for start in range(0, len(wanted), _BATCH):
                some = intents.c.id.in_(wanted[start : start + _BATCH])
                rows = connection.execute(select(intents).where(some))
                found |= {record.id: record for record in map(record_of, rows)}
            return found

        result: dict[str, Record] = await self.submit(run)
        return result

    async def reaches(self) -> list[Reach]:
        """Every scope that was ever used, with the type of what was to be made there."""

        def run(connection: Connection) -> list[Reach]:
            return [
                Reach(Scope(row.provider, row.scope_key), (row.resource_type,))
                for row in connection.execute(select(scopes))
            ]

        result: list[Reach] = await self.submit(run)
        return result

    async def submit(self, operation: Operation) -> Any:
        """Run `operation` in the writer thread and return its result once it is committed."""
        if self._closed:
            msg = "the ledger is closed"
            raise RuntimeError(msg)
        future = asyncio.get_running_loop().create_future()
        self._jobs.put((operation, future))
        # A cancelled caller does not take the write back: what is queued will be committed.
        return await asyncio.shield(future)

    def close(self) -> None:
        """Commit what is queued, then let go of database and lock."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()
        self._backend.close()

    def _write(self) -> None:
        open_for_business = True
        while open_for_business:
            batch = [self._jobs.get()]
            while len(batch) < _BATCH and not self._jobs.empty():
                batch.append(self._jobs.get())
            open_for_business = None not in batch
            self._commit([job for job in batch if job is not None])

    def _commit(self, batch: list[_Job]) -> None:
        if not batch:
            return
        try:
            outcomes = self._transact([operation for operation, _ in batch])
        except LedgerUnavailable as error:
            outcomes = [(None, self._unavailable(error))] * len(batch)
        else:
            if self.trouble:
                _log.warning("the ledger can be written again")
            self.trouble = ""
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            _settle(future, *outcome)

    def _transact(self, operations: list[Operation]) -> list[_Outcome]:
        try:
            return self._once(operations)
        except LedgerUnavailable as error:
            cause = error.__cause__
            lost = isinstance(cause, DBAPIError) and cause.connection_invalidated
            if error.written is None or not lost:
                raise
        # The connection was lost, surely before the commit: a new one may do.
        return self._once(operations)

    def _once(self, operations: list[Operation]) -> list[_Outcome]:
        written: bool | None = False
        try:
            self._backend.check()
            with self._backend.engine.begin() as connection:
                self._tenure.renew(connection)
                outcomes = [self._attempt(connection, operation) for operation in operations]
                # From here on the answer may be lost, and not the commit.
                written = None
            self._backend.check()
        except LedgerUnavailable:
            raise
        except Exception as error:
            # Whatever it was, everyone who waits for this commit is told, and the thread goes on.
            raise LedgerUnavailable(self._backend.explain(error), written=written) from error
        self._tenure.note()
        return outcomes

    def _attempt(self, connection: Connection, operation: Operation) -> _Outcome:
        failure = None
        try:
            with connection.begin_nested():
                try:
                    return operation(connection), None
                except Exception as error:
                    failure = error
                    raise
        except Exception as error:  # noqa: BLE001 - told to the one who wrote it
            if not self._backend.intact(connection):
                # What ended the transaction, not what the way back to the savepoint met.
                raise (failure or error) from None
            return None, error

    def _unavailable(self, error: LedgerUnavailable) -> LedgerUnavailable:
        message = f"the ledger {self._backend.shown} cannot be written: {error}"
        if message != self.trouble:
            _log.error("%s", message)
        self.trouble = message
        failure = LedgerUnavailable(message, written=error.written)
        failure.__cause__ = error.__cause__
        return failure


def _settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    def settle() -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # the loop ended before the write did; nobody waits any more
        _log.debug("a ledger write outlived its event loop")


def _remember_scope(connection: Connection, record: Record) -> None:
    """In the transaction that writes the intent: nothing can be made where no sweep looks."""
    values = {
        "provider": record.provider,
        "resource_type": record.specification.resource_type,
        "scope_key": record.scope.key,
    }
    known = select(scopes).where(*(scopes.c[name] == value for name, value in values.items()))
    if connection.execute(known).first() is None:
        connection.execute(insert(scopes).values(**values))


def _values(record: Record) -> dict[str, Any]:
    offer = record.offer
    wanted = record.specification
    return {
        "id": record.id,
        "installation_id": record.installation_id,
        "user_name": record.owner.user,
        "server_name": record.owner.server,
        "generation": record.generation,
        "attempt": record.attempt,
        "template": record.template,
        "deployment": record.deployment,
        "provider": record.provider,
        "authenticator": record.authenticator,
        "authenticator_kwargs": dict(record.authenticator_kwargs),
        "scope_key": record.scope.key,
        "offer": {
            "shape": offer.shape,
            "cpu": offer.cpu,
            "memory": offer.memory,
            "gpu": offer.gpu,
            "price": offer.price,
        },
        "specification": {
            "resource_type": wanted.resource_type,
            "cpu": wanted.cpu,
            "memory": wanted.memory,
            "gpu": wanted.gpu,
            "attributes": dict(wanted.attributes),
        },
        "phase": record.phase.value,
        "phase_deadline": record.phase_deadline,
        "expires_at": record.expires_at,
        "handle": handle_to_json(record.handle),
        "child": dict(record.child),
        "url": record.url,
        "exit_status": record.exit_status,
        "reason": _storable(record.reason),
        "last_error": _storable(record.last_error),
        "created_at": record.created_at,
        "closed_at": record.closed_at,
        "doubted_at": record.doubted_at,
        "started_at": record.started_at,
        "keeps": record.keeps,
    }


def _storable(text: str) -> str:
    """Text of any origin: neither database takes lone surrogates, nor PostgreSQL a NUL."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def record_of(row: Row[Any]) -> Record:
    """A row of the table `intents`."""
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented accessor
    scope = Scope(values["provider"], values["scope_key"])
    return Record(
        id=values["id"],
        installation_id=values["installation_id"],
        owner=Owner(values["user_name"], values["server_name"]),
        generation=values["generation"],
        attempt=values["attempt"],
        template=values["template"],
        deployment=values["deployment"],
        provider=values["provider"],
        authenticator=values["authenticator"],
        authenticator_kwargs=values["authenticator_kwargs"],
        offer=Offer(scope=scope, **values["offer"]),
        specification=Specification(**values["specification"]),
        phase=Phase(values["phase"]),
        phase_deadline=values["phase_deadline"],
        expires_at=values["expires_at"],
        handle=handle_from_json(values["handle"], scope),
        child=values["child"],
        url=values["url"],
        exit_status=values["exit_status"],
        reason=values["reason"],
        last_error=values["last_error"],
        created_at=values["created_at"],
        closed_at=values["closed_at"],
        doubted_at=values["doubted_at"],
        started_at=values["started_at"],
        keeps=values["keeps"],
    )


__all__ = ("Ledger", "LedgerUnavailable", "UnknownRow", "record_of")
