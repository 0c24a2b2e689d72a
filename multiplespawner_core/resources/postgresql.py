"""The ledger in a PostgreSQL database: written by the one session that holds its lock."""

from __future__ import annotations

import time
import zlib
from contextlib import ExitStack
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, event

from multiplespawner_core.resources.backend import Backend, in_use
from multiplespawner_core.resources.unavailable import LedgerUnavailable

_CLASS = 0x6D73706C
"""The first half of the lock's key; the second follows from the schema."""

_PATIENCE = 2.0
"""Seconds in which a session whose hub was killed is gone, as a rule."""

_PARAMETERS = {
    "application_name": "multiplespawner",
    "connect_timeout": "10",
    # A peer that vanished is noticed while somebody still waits for the commit.
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

_SESSION = """
    SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
        ('idle_session_timeout', '0'),
        ('idle_in_transaction_session_timeout', '0'),
        ('tcp_keepalives_idle', '15'),
        ('tcp_keepalives_interval', '5'),
        ('tcp_keepalives_count', '3')
    ) AS wanted (name, value) USING (name)
    UNION ALL SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""
"""For the server, too: the lock of a machine that vanished must not outlive it by hours."""

_ME = """
    SELECT pg_backend_pid(), backend_start, coalesce(current_schema(), ''),
        current_setting('server_encoding')
    FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""

_HOLDER = """
    SELECT coalesce(host(client_addr), 'this machine'), backend_start::timestamptz(0)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_REMEDIES = {
    "53100": "free space on the database's server",
    "25006": "it is a standby, or set to read only: the ledger needs the primary",
    "42501": "the role must own the ledger's schema or tables",
}
_OF_CONNECTING = (
    ("password authentication failed", "see the password in the URL or in ~/.pgpass"),
    ("no password supplied", "put the password into the URL or into ~/.pgpass"),
    ("does not exist", "create it; a database with the encoding UTF8"),
    ("refused", "see that PostgreSQL runs and listens there"),
    ("No such file", "see that PostgreSQL runs and listens there"),
)
"""A refused connection has no code."""


class PostgreSQL(Backend):
    """The session that writes is the one that holds the lock: neither is lost without the other.

    It is a session lock, so it ends with the hub, however that ends. A new session takes it
    before it does anything else.
    """

    def __init__(self, url: URL) -> None:
        defaults = {name: value for name, value in _PARAMETERS.items() if name not in url.query}
        options: dict[str, Any] = {"connect_args": defaults, "hide_parameters": True}
        writer = create_engine(url, pool_size=1, max_overflow=0, **options)
        super().__init__(url, writer, create_engine(url, poolclass=NullPool, **options))
        self._mine: tuple[int, Any] | None = None
        event.listen(writer, "connect", self._begin_session)

    def prepare(self, held: ExitStack, *, shared: bool) -> None:
        """Nothing: the lock comes with the first connection."""

    def opened(self) -> None:
        """Nothing: there is no file to remember."""

    def check(self) -> None:
        """Nothing: a commit succeeds in a session that holds the lock, or not at all."""

    def intact(self, connection: Connection) -> bool:
        if connection.invalidated or connection.closed:
            return False
        session: Any = connection.connection.dbapi_connection
        return bool(session.info.transaction_status.name == "INTRANS")

    def remedy(self, error: BaseException) -> str:
        code = getattr(error, "sqlstate", None)
        if code is not None:
            return _REMEDIES.get(code, "")
        return next((remedy for text, remedy in _OF_CONNECTING if text in str(error)), "")

    def _begin_session(self, session: Any, _: Any) -> None:
        try:
            with session.cursor() as cursor:
                cursor.execute(_SESSION)
                cursor.execute(_ME)
                pid, started, schema, encoding = cursor.fetchone()
                _require_utf8(encoding)
                self._lock(cursor, zlib.crc32(schema.encode()) & 0x7FFFFFFF)
            session.commit()
        except BaseException:
            session.close()
            raise
        self._mine = (pid, started)

    def _lock(self, cursor: Any, key: int) -> None:
        give_up = time.monotonic() + _PATIENCE
        while not _answer(cursor, "SELECT pg_try_advisory_lock(%s, %s)", _CLASS, key):
            if self._mine is not None:
                # The connection is lost, and its server has not noticed.
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid = %s AND backend_start = %s",
                    self._mine,
                )
            if time.monotonic() > give_up:
                cursor.execute(_HOLDER, (_CLASS, key))
                holder = cursor.fetchone()
                since = f" (connected from {holder[0]} since {holder[1]})" if holder else ""
                raise in_use(f"the ledger {self.shown}{since}", "ledger_url")
            time.sleep(0.1)


def _require_utf8(encoding: str) -> None:
    if encoding != "UTF8":
        msg = f"its encoding is {encoding}: create the database with the encoding UTF8"
        raise LedgerUnavailable(msg)


def _answer(cursor: Any, statement: str, *values: Any) -> Any:
    cursor.execute(statement, values)
    return cursor.fetchone()[0]


__all__ = ("PostgreSQL",)
