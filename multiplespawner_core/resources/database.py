"""Opening the ledger's database: locked, upgraded, and known to belong to this installation."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.util
from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.resources.installation import installation_id

MIGRATIONS = Path(__file__).parent / "migrations"

_NOT_A_FILE = (
    "c.MultipleSpawner.ledger_url is not the URL of an SQLite file,"
    " such as 'sqlite:////srv/hub/ledger.sqlite'"
)


def open_database(url: str, state_dir: Path) -> tuple[Engine, str, ExitStack]:
    """The engine, the installation's id, and the locks that keep other hubs away while held.

    Args:
        url: of an SQLite file; empty means ``ledger.sqlite`` in `state_dir`.
        state_dir: private directory of this installation; made where it is missing.

    Raises:
        ConfigurationError: it cannot be opened, another hub holds it, or a newer version of
            multiplespawner made it.
    """
    parsed = parse_url(url or f"sqlite:///{state_dir / 'ledger.sqlite'}")
    with ExitStack() as locks:
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _lock(locks, state_dir / "ledger.lock", f"{state_dir}", "state_dir")
        except OSError as error:
            msg = f"c.MultipleSpawner.state_dir {state_dir} cannot be used: {error}"
            raise ConfigurationError(msg) from error
        try:
            engine = _engine(parsed)
            if url:
                _lock(locks, Path(f"{parsed.database}.lock"), f"{parsed.database}", "ledger_url")
            with engine.begin() as connection:
                _upgrade(connection)
                identity = installation_id(connection, state_dir / "installation_id")
        except (SQLAlchemyError, OSError, alembic.util.CommandError) as error:
            raise ConfigurationError(_explain(parsed, error)) from error
        return engine, identity, locks.pop_all()


def _lock(locks: ExitStack, file: Path, what: str, trait: str) -> None:
    """Take a lock that dies with its holder."""
    lock = FileLock(file, mode=0o600)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        msg = (
            f"another hub uses {what}: stop it, or give each hub its own c.MultipleSpawner.{trait}"
        )
        raise ConfigurationError(msg) from None
    locks.callback(lock.release)


def parse_url(url: str) -> URL:
    """The URL of a ledger.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # What was written is not repeated: it may hold a password.
        raise ConfigurationError(_NOT_A_FILE) from None
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(_NOT_A_FILE)
    return parsed


def _engine(url: URL) -> Engine:
    # Made here so that it is private from its first byte.
    Path(str(url.database)).touch(mode=0o600, exist_ok=True)
    engine = create_engine(url, connect_args={"check_same_thread": False}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        # SQLAlchemy begins transactions itself: sqlite3's own idea of them breaks savepoints.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=5000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _upgrade(connection: Connection) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def _explain(url: URL, error: Exception) -> str:
    shown = url.render_as_string(hide_password=True)
    if isinstance(error, alembic.util.CommandError):
        return (
            f"the ledger {shown} was made by a newer multiplespawner-core: {error};"
            " install that version again, or restore the ledger's backup"
        )
    detail = getattr(error, "orig", None) or error
    return f"the ledger {shown} cannot be opened: {detail}; see c.MultipleSpawner.ledger_url"


__all__ = ("open_database", "parse_url")
