"""Who this hub is: a random id that marks everything it owns, kept outside the ledger as well."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from sqlalchemy import Connection, insert, select

from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.resources.tables import installation

_ID = re.compile(r"[0-9a-f]{32}\Z")


def installation_id(connection: Connection, file: Path) -> str:
    """The id, from the ledger and the file; made where neither has one.

    A ledger that was lost takes the id from the file, so that what it held stays recognisable.

    Raises:
        ConfigurationError: ledger and file belong to different installations.
    """
    in_ledger = connection.execute(select(installation.c.id)).scalar()
    in_file = _read(file)
    if in_ledger and in_file and in_ledger != in_file:
        msg = (
            f"{file} says that this installation is {in_file}, but the ledger belongs to"
            f" {in_ledger}: one of them is another hub's. Restore the one that belongs here,"
            " or point c.MultipleSpawner.state_dir or ledger_url elsewhere"
        )
        raise ConfigurationError(msg)
    identity = in_ledger or in_file or uuid.uuid4().hex
    if not in_file:
        write_private(file, identity + "\n")
    if not in_ledger:
        connection.execute(insert(installation).values(id=identity))
    return identity


def write_private(path: Path, content: str) -> None:
    """Write a file of mode 0600 as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _read(file: Path) -> str | None:
    try:
        content = file.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not _ID.match(content):
        msg = (
            f"{file} does not hold an installation id;"
            " restore it, or delete it to take the ledger's"
        )
        raise ConfigurationError(msg)
    return content


__all__ = ("installation_id", "write_private")
