"""The ledger in an SQLite file: private, in WAL mode, and watched while the hub runs."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from multiplespawner_core.resources.backend import Backend, lock
from multiplespawner_core.resources.unavailable import LedgerUnavailable

_REMEDIES = (
    ("disk is full", "free space where it is"),
    ("disk I/O error", "look for the reason in the kernel's log, and at the file system's limits"),
    ("readonly database", "file and directory must be writable for the hub's user"),
    ("unable to open", "file and directory must exist and be writable for the hub's user"),
    ("Permission denied", "file and directory must be writable for the hub's user"),
    ("Read-only file system", "it must be mounted for writing"),
    ("No space left", "free space where it is"),
    ("is locked", "another program holds it: end that, such as an open sqlite3 shell"),
    ("not a database", "it is damaged or something else: restore its backup"),
    ("malformed", "it is damaged: stop the hub and restore its backup"),
)

_log = logging.getLogger(__name__)

_Identity = tuple[int, int]


class SQLite(Backend):
    """Every confirmed commit stands in the file that its name leads to.

    SQLite itself goes on writing to a file that was deleted or renamed, and with it everything
    would be gone at the next start. So the file and what belongs to it are compared with what was
    opened, before each commit and after it. What was deleted is written anew, from the
    connection that still holds all of it.
    """

    def __init__(self, url: URL) -> None:
        # What a link leads to, as SQLite names the files beside it.
        self._file = Path(str(url.database)).resolve()
        # Both belong to the connections: they come and go with the last of them.
        self._beside = [Path(f"{self._file}-wal"), Path(f"{self._file}-shm")]
        self._seen: dict[Path, _Identity | None] = {}
        engine = _engine(url, self._file)
        super().__init__(url, engine, engine)

    def prepare(self, held: ExitStack, *, shared: bool) -> None:
        # Made here so that it is private from its first byte.
        self._file.touch(mode=0o600, exist_ok=True)
        if shared:
            lock(held, Path(f"{self._file}.lock"), f"{self._file}", "ledger_url")
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            msg = f"it is damaged ({found}): restore its backup"
            raise LedgerUnavailable(msg)

    def opened(self) -> None:
        self._seen = self._identities()

    def check(self) -> None:
        now = self._identities()
        if now == self._seen:
            return
        if now[self._file] is None:
            self._write_anew()
        elif now[self._file] != self._seen[self._file]:
            self._refuse()
        else:
            self._complete()

    def intact(self, connection: Connection) -> bool:
        # Not on a full disk: then SQLite has rolled back what stood before the savepoint as well.
        return bool(connection.connection.dbapi_connection.in_transaction)  # type: ignore[union-attr]

    def remedy(self, error: BaseException) -> str:
        return next((remedy for text, remedy in _REMEDIES if text in str(error)), "")

    def _identities(self) -> dict[Path, _Identity | None]:
        return {file: _identity(file) for file in (self._file, *self._beside)}

    def _write_anew(self) -> None:
        new = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._copy(new)
            self.disconnect()
            for leftover in self._beside:
                leftover.unlink(missing_ok=True)
            os.link(new, self._file)  # unlike a rename it replaces nothing
            new.unlink()
            self._open_again()
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            msg = (
                f"the ledger's file {self._file} was deleted while the hub runs, and cannot be"
                f" written anew: {self.explain(error)}"
            )
            raise LedgerUnavailable(msg, written=None) from error
        _log.error(
            "the ledger's file %s was deleted while the hub runs; it was written anew and lacks"
            " nothing. Find out what deleted it: while no hub runs that loses the ledger",
            self._file,
        )

    def _complete(self) -> None:
        """Bring what stands in a deleted write-ahead log into the file itself."""
        with self.engine.connect() as connection:
            checkpoint = connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, _, _ = checkpoint.fetchone()
        beside = " or ".join(str(file) for file in self._beside)
        if busy:
            msg = (
                f"{beside} was deleted or replaced while the hub runs, and another program reads"
                " the ledger, such as an open sqlite3 shell: end that"
            )
            raise LedgerUnavailable(msg, written=None)
        self.disconnect()
        self._open_again()
        _log.error(
            "%s was deleted or replaced while the hub runs; the ledger lacks nothing. It belongs to"
            " the ledger as long as it exists: leave it alone",
            beside,
        )

    def _refuse(self) -> None:
        kept = self._file.with_name(f"{self._file.name}.kept")
        if not kept.exists():
            try:
                self._copy(kept)
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                _log.error("%s cannot be written: %s", kept, self.explain(error))
        msg = (
            f"the ledger's file {self._file} was replaced by another while the hub runs: nothing is"
            f" written any more. What the hub had written until then is in {kept}. Stop the hub,"
            f" put the file that belongs here in its place, and start the hub again"
        )
        raise LedgerUnavailable(msg, written=None)

    def _copy(self, target: Path) -> None:
        """Write everything that the open connection holds into another file, durably."""
        target.unlink(missing_ok=True)
        target.touch(mode=0o600)
        with self.engine.connect() as connection:
            connection.connection.execute("VACUUM INTO ?", (str(target),))
        for written in (target, target.parent):
            descriptor = os.open(written, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _open_again(self) -> None:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM installation")
        self.opened()


def _engine(url: URL, file: Path) -> Engine:
    # Opened without being created: a name that leads to nothing must not become an empty ledger.
    place = f"file:{quote(str(file))}?mode=rw"
    engine = create_engine(
        url,
        creator=lambda: sqlite3.connect(place, uri=True, check_same_thread=False),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        # SQLAlchemy begins transactions itself: sqlite3's own idea of them breaks savepoints.
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _identity(file: Path) -> _Identity | None:
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


__all__ = ("SQLite",)
