"""What has been promised to whom: one file for each intent, so that it survives the hub."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from multiplespawner_local.machine import Size, boot_id

_log = logging.getLogger(__name__)

_SUFFIX = ".json"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


@dataclass(frozen=True)
class Reservation:
    """A place on this machine.

    Args:
        intent_id: whose.
        installation_id: of the hub.
        user: JupyterHub's user name.
        server: JupyterHub's server name, empty for the default one.
        cpu: vCPUs; None is no limit, and counts as none taken.
        memory: GB; None likewise.
        same_user: whether its processes may run as the hub's own user.
        created: seconds since the epoch.
        boot_id: when it was made; nothing of an earlier boot is running.
        groups: the control groups that hold it.
        readable: False where the file is damaged: it is then taken for the whole machine.
    """

    intent_id: str
    installation_id: str = ""
    user: str = ""
    server: str = ""
    cpu: float | None = None
    memory: float | None = None
    same_user: bool = False
    created: float = 0
    boot_id: str = ""
    groups: tuple[str, ...] = ()
    readable: bool = True


class Store:
    """The reservations of one state directory, shared by every process that uses it.

    They outlive the hub but need not outlive the machine, so nothing waits for the disk: what was
    reserved before the last boot counts for nothing.

    Args:
        directory: made with mode 0700.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reported: set[str] = set()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Between looking at what is free and taking it, nobody else may do the same."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def all(self) -> list[Reservation]:
        """Every reservation.

        Raises:
            OSError: the directory cannot be read; that says nothing of what is in it.
        """
        try:
            # Not by glob, which finds nothing in what it cannot read.
            paths = sorted(self._directory.iterdir())
        except FileNotFoundError:
            return []
        named = (path for path in paths if path.suffix == _SUFFIX and _SAFE.match(path.stem))
        found = (self._read(path) for path in named)
        return [reservation for reservation in found if reservation is not None]

    def get(self, intent_id: str) -> Reservation | None:
        """One of them, None if there is none; raises OSError as `all` does."""
        return self._read(self._path(intent_id))

    def put(self, reservation: Reservation) -> None:
        """Write it: whoever reads meanwhile finds all of it or nothing."""
        path = self._path(reservation.intent_id)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        draft = path.with_suffix(".tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(asdict(reservation), stream)
        draft.replace(path)

    def remove(self, intent_id: str) -> None:
        self._path(intent_id).unlink(missing_ok=True)
        self._reported.discard(intent_id)

    def _path(self, intent_id: str) -> Path:
        if not _SAFE.match(intent_id):
            message = f"{intent_id!r} cannot be the name of a file"
            raise ValueError(message)
        return self._directory / f"{intent_id}{_SUFFIX}"

    def _read(self, path: Path) -> Reservation | None:
        try:
            written = path.stat().st_mtime
        except FileNotFoundError:
            return None
        try:
            return _parsed(json.loads(path.read_bytes()), path.stem)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            now = written > psutil.boot_time()
            if now:
                self._report(path, error)
        return Reservation(path.stem, boot_id=boot_id() if now else "", readable=False)

    def _report(self, path: Path, error: Exception) -> None:
        if path.stem not in self._reported:
            self._reported.add(path.stem)
            _log.error(
                "the reservation %s is damaged (%s): it counts as the whole machine until its"
                " server is released; if nothing of it is running, delete the file",
                path,
                error,
            )


def new(reservation: Reservation) -> Reservation:
    """The same, made now."""
    return replace(reservation, created=time.time(), boot_id=boot_id())


def free(total: Size, reservations: list[Reservation]) -> Size:
    """What is left. Nothing that was reserved before the last boot can still be running."""
    held = [held for held in reservations if held.boot_id == boot_id()]
    if not all(one.readable for one in held):
        return Size(0, 0)
    cpu = sum(one.cpu or 0 for one in held)
    memory = sum(one.memory or 0 for one in held)
    return Size(max(0.0, total.cpu - cpu), max(0.0, total.memory - memory))


def _parsed(found: Any, intent_id: str) -> Reservation:
    reservation = Reservation(**{**found, "groups": tuple(found["groups"])})
    for size in (reservation.cpu, reservation.memory):
        if size is not None and not (isinstance(size, (int, float)) and 0 < size < float("inf")):
            message = f"{size!r} is no size"
            raise ValueError(message)
    if reservation.intent_id != intent_id or not reservation.readable:
        message = f"it is of {reservation.intent_id!r}"
        raise ValueError(message)
    return reservation


__all__ = ("Reservation", "Store", "free", "new")
