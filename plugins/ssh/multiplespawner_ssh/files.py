"""Files that nobody else may read, and that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in the place of what was there."""
    new = _written(path, data)
    try:
        new.replace(path)
    except OSError:
        new.unlink()
        raise


def keep(path: Path, make: Callable[[], bytes]) -> bytes:
    """What the file holds; made where it is missing. Of two that make it at once one wins."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    new = _written(path, make())
    try:
        # Unlike a rename this does not replace what somebody else has made meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
    return path.read_bytes()


def folder(path: Path) -> Path:
    """A directory of mode 0700, made where it is missing, as those above it."""
    if not path.parent.exists():
        folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _written(path: Path, data: bytes) -> Path:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        new.unlink()
        raise
    return new


__all__ = ("folder", "keep", "write")
