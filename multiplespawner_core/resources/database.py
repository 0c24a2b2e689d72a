"""Opening the ledger's database: locked, upgraded, and known to belong to this installation."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from pathlib import Path

import alembic.command
import alembic.config
import alembic.util
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.resources.backend import Backend, lock
from multiplespawner_core.resources.postgresql import PostgreSQL
from multiplespawner_core.resources.sqlite import SQLite
from multiplespawner_core.resources.tenure import Tenure, begin_tenure
from multiplespawner_core.resources.unavailable import LedgerUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"

_NO_LEDGER = (
    "c.MultipleSpawner.ledger_url is neither the URL of an SQLite file, such as"
    " 'sqlite:////srv/hub/ledger.sqlite', nor that of a PostgreSQL database, such as"
    " 'postgresql+psycopg://hub@db.example.org/ledger'"
)
_NOT_ENCODED = (
    "c.MultipleSpawner.ledger_url cannot be read: special characters of a password are written"
    " percent-encoded (@ as %40, / as %2F), or the password stands in ~/.pgpass"
)
_NO_DRIVER = (
    "c.MultipleSpawner.ledger_url names a PostgreSQL database, which needs psycopg:"
    " pip install 'multiplespawner-core[postgresql]'"
)


def open_database(url: str, state_dir: Path) -> tuple[Backend, Tenure]:
    """The database of the ledger, locked and upgraded, and this hub's time as its writer.

    Args:
        url: of an SQLite file or a PostgreSQL database; empty means ``ledger.sqlite`` in
            `state_dir`.
        state_dir: private directory of this installation; made where it is missing.

    Raises:
        ConfigurationError: it cannot be opened, another hub holds it, or a newer version of
            multiplespawner made it.
    """
    parsed = parse_url(url or f"sqlite:///{state_dir / 'ledger.sqlite'}")
    with ExitStack() as held:
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock(held, state_dir / "ledger.lock", f"{state_dir}", "state_dir")
        except OSError as error:
            msg = (
                f"c.MultipleSpawner.state_dir {state_dir} cannot be used: {error};"
                " the hub's user must be able to write there"
            )
            raise ConfigurationError(msg) from error
        backend = PostgreSQL(parsed) if parsed.get_backend_name() != "sqlite" else SQLite(parsed)
        held.callback(backend.disconnect)
        try:
            backend.prepare(held, shared=bool(url))
            with backend.engine.begin() as connection:
                _upgrade(connection)
                tenure = begin_tenure(connection, state_dir)
            backend.opened()
            tenure.note()
        except alembic.util.CommandError as error:
            msg = (
                f"the ledger {backend.shown} was made by a newer multiplespawner-core: {error};"
                " install that version again, or restore the ledger's backup"
            )
            raise ConfigurationError(msg) from error
        except (SQLAlchemyError, OSError, LedgerUnavailable) as error:
            msg = (
                f"the ledger {backend.shown} cannot be opened: {backend.explain(error)};"
                " see c.MultipleSpawner.ledger_url"
            )
            raise ConfigurationError(msg) from error
        backend.held = held.pop_all()
        return backend, tenure


def parse_url(url: str) -> URL:
    """The URL of a ledger.

    Raises:
        ConfigurationError: it is none, or the driver for it is not installed.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # What was written is not repeated: it may hold a password.
        raise ConfigurationError(_NO_LEDGER) from None
    except ValueError:  # a port that is none: the password contains a colon or a slash
        raise ConfigurationError(_NOT_ENCODED) from None
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgresql(parsed)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(_NO_LEDGER)
    return parsed


def _postgresql(url: URL) -> URL:
    if "@" in f"{url.host}{url.database}":
        raise ConfigurationError(_NOT_ENCODED)
    try:
        importlib.import_module("psycopg")
    except ImportError as error:
        msg = f"{_NO_DRIVER} ({' '.join(str(error).split())})"
        raise ConfigurationError(msg) from error
    return url.set(drivername="postgresql+psycopg")


def heads() -> tuple[str, ...]:
    """The version of the tables that this code reads and writes."""
    return tuple(ScriptDirectory.from_config(_alembic()).get_heads())


def _alembic() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> None:
    config = _alembic()
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


__all__ = ("heads", "open_database", "parse_url")
