"""What the ledger needs of a database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine

from multiplespawner_core.contracts import ConfigurationError

_SHOWN = {"host", "port", "dbname", "service", "sslmode", "target_session_attrs"}
"""Parameters of a URL that hold no secret."""


class LedgerInUse(ConfigurationError):
    """A hub, or a command, holds the ledger's lock."""


class Backend(ABC):
    """The database of a ledger, as its one writer needs it.

    Args:
        url: where it is.
        engine: of the writer.
        readers: of whoever reads beside the writer.
    """

    def __init__(self, url: URL, engine: Engine, readers: Engine) -> None:
        self.shown = show(url)
        self.engine = engine
        self.readers = readers
        self.held = ExitStack()

    @abstractmethod
    def prepare(self, held: ExitStack, *, shared: bool) -> None:
        """Lock it, as far as that is possible before the first connection, and look at it.

        Args:
            held: what ends with the hub.
            shared: whether other hubs, with other state directories, may name it as well.
        """

    @abstractmethod
    def opened(self) -> None:
        """Called once, after the first commit."""

    @abstractmethod
    def check(self) -> None:
        """Called before and after each commit, outside of a transaction.

        Raises:
            LedgerUnavailable: what is or was committed is not durable.
        """

    @abstractmethod
    def intact(self, connection: Connection) -> bool:
        """Whether a transaction still stands after one of its savepoints was rolled back."""

    @abstractmethod
    def remedy(self, error: BaseException) -> str:
        """What an administrator does about an error of this database; empty if nobody knows."""

    def explain(self, error: BaseException) -> str:
        """An error in one line, without anything secret, and what to do about it."""
        cause = getattr(error, "orig", None) or error
        remedy = self.remedy(cause)
        return " ".join(str(cause).split()) + (f"; {remedy}" if remedy else "")

    def disconnect(self) -> None:
        """Close every connection."""
        self.readers.dispose()
        self.engine.dispose()

    def close(self) -> None:
        """Let go of the database, then of its locks."""
        self.held.close()


def lock(held: ExitStack, file: Path, what: str, trait: str) -> None:
    """Take a lock that dies with its holder."""
    taken = FileLock(file, mode=0o600)
    try:
        taken.acquire(blocking=False)
    except Timeout:
        raise in_use(what, trait) from None
    held.callback(taken.release)


def in_use(what: str, trait: str) -> LedgerInUse:
    """What a second hub is told."""
    return LedgerInUse(
        f"another hub uses {what}: stop it, or give each hub its own c.MultipleSpawner.{trait}"
    )


def show(url: URL) -> str:
    """A URL as messages may show it."""
    query = {name: value for name, value in url.query.items() if name in _SHOWN}
    return url.set(query=query).render_as_string(hide_password=True)


__all__ = ("Backend", "LedgerInUse", "in_use", "lock", "show")
