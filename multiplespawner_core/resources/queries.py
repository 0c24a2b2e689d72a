"""What is asked of the ledger for people to read; beside a hub, and without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    Select,
    create_engine,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.resources.backend import show
from multiplespawner_core.resources.database import heads, parse_url
from multiplespawner_core.resources.ledger import record_of
from multiplespawner_core.resources.record import Phase, Record
from multiplespawner_core.resources.tables import intents

Query = Callable[[Connection], list[Record]]

_FEW = 5


def unclosed(user: str | None = None) -> Query:
    """Every row that is not closed, oldest first.

    Args:
        user: only those of this one.
    """
    query = select(intents).where(intents.c.phase != Phase.CLOSED.value)
    return _of(query.order_by(intents.c.created_at), user)


def history(limit: int, user: str | None = None) -> Query:
    """Rows, closed or not, newest first.

    Args:
        limit: how many at the most.
        user: only those of this one.
    """
    return _of(select(intents).order_by(intents.c.created_at.desc()).limit(limit), user)


def beginning_with(prefix: str) -> Query:
    """A few of the rows whose ids begin like that, closed or not."""
    found = select(intents).where(intents.c.id.startswith(prefix, autoescape=True))
    return _of(found.order_by(intents.c.id).limit(_FEW))


@contextmanager
def reading(url: str, state_dir: Path) -> Iterator[Connection]:
    """The ledger as it is, beside a hub or without one; nothing is locked, made or upgraded.

    Args:
        url: as for `Ledger.open`.
        state_dir: likewise.

    Raises:
        ConfigurationError: there is none, or it is not as this version writes it.
    """
    parsed = parse_url(url or f"sqlite:///{state_dir / 'ledger.sqlite'}")
    shown = show(parsed)
    try:
        with _engine(parsed).connect() as connection:
            version = connection.execute(text("SELECT version_num FROM multiplespawner_version"))
            if tuple(version.scalars()) != heads():
                msg = (
                    f"the ledger {shown} is as another version of multiplespawner-core writes it:"
                    " call the command of the version that the hub uses"
                )
                raise ConfigurationError(msg)
            yield connection
    except (OSError, SQLAlchemyError) as error:
        detail = getattr(error, "orig", None) or error
        msg = (
            f"the ledger {shown} cannot be read: {detail}; call the command in the directory in"
            " which the hub is started, as the user that the hub runs as"
        )
        raise ConfigurationError(msg) from error


def _engine(url: URL) -> Engine:
    """An engine that cannot write."""
    if url.get_backend_name() != "sqlite":
        options = {"postgresql_readonly": True}
        return create_engine(
            url, poolclass=NullPool, hide_parameters=True, execution_options=options
        )
    database = str(url.database)
    Path(database).stat()
    # Only a hub that runs or was killed leaves such a file; without one SQLite would make it.
    how = "mode=ro" if Path(f"{database}-wal").exists() else "immutable=1"
    file = f"sqlite:///file:{quote(database)}?{how}&uri=true"
    return create_engine(file, poolclass=NullPool, hide_parameters=True)


def _of(query: Select[tuple[object, ...]], user: str | None = None) -> Query:
    chosen = query if user is None else query.where(intents.c.user_name == user)
    return lambda connection: [record_of(row) for row in connection.execute(chosen)]


__all__ = ("Query", "beginning_with", "history", "reading", "unclosed")
