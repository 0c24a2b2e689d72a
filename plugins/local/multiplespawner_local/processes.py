"""Processes by the marker in their environment: what finds a tree when its hub has died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import psutil

INTENT = "MULTIPLESPAWNER_INTENT"
INSTALLATION = "MULTIPLESPAWNER_INSTALLATION"

_PAUSE = 0.05
_LINUX = sys.platform == "linux"
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True)
class Seen:
    """A running process.

    Args:
        parent: its parent's number.
        started: when, in the platform's measure; tells it from another that gets its number.
        uid: its real user, where it has a mark.
        intent: the mark in its environment, empty without.
        installation: likewise.
    """

    parent: int
    started: float
    uid: int = -1
    intent: str = ""
    installation: str = ""


Snapshot = Mapping[int, Seen]


def scan() -> Snapshot:
    """Every running process. Takes some milliseconds: for a thread, not the event loop."""
    found: dict[int, Seen] = {}
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            # In this order: a mark that is read belongs to that start, or to a later one, which
            # `_process` tells from it.
            running, parent, started = _stat(pid)
            if running:
                found[pid] = Seen(parent, started, *_marks(pid))
    return found


def members(snapshot: Snapshot, intent_id: str, *, same_user: bool) -> list[psutil.Process]:
    """The marked processes of one server and all below them.

    A process of the hub's own user counts only where servers may run as that user. The hub and
    what it descends from never count, even where the hub was started from a notebook's terminal.
    """
    waiting = [
        pid
        for pid, seen in snapshot.items()
        if seen.intent == intent_id and (same_user or seen.uid != os.getuid())
    ]
    if not waiting:
        return []
    spared = protected()
    below: dict[int, list[int]] = defaultdict(list)
    for pid, seen in snapshot.items():
        below[seen.parent].append(pid)
    found: dict[int, psutil.Process | None] = {}
    while waiting:
        pid = waiting.pop()
        if pid not in spared and pid not in found:
            found[pid] = _process(pid, snapshot[pid])
            waiting += below[pid]
    return [process for process in found.values() if process is not None]


def strays(snapshot: Snapshot, installation_id: str, *, same_user: bool) -> set[str]:
    """The intents of which processes with this installation's mark are running."""
    spared = protected()
    return {
        seen.intent
        for pid, seen in snapshot.items()
        if seen.intent
        and seen.installation == installation_id
        and pid not in spared
        and (same_user or seen.uid != os.getuid())
    }


def kill_marked(intent_id: str, *, same_user: bool, timeout: float = 5) -> bool:
    """End a server's tree, whatever it forks meanwhile; False if some of it remains."""
    deadline = time.monotonic() + timeout
    while remaining := members(scan(), intent_id, same_user=same_user):
        if time.monotonic() > deadline:
            return False
        # Stopped first, so that none can start another while the rest is being killed.
        for action in (psutil.Process.suspend, psutil.Process.kill):
            _each(remaining, action)
        time.sleep(_PAUSE)
    return True


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return psutil.Process(pid).status() not in _ENDED
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def protected() -> frozenset[int]:
    """This process and what it descends from."""
    own = psutil.Process()
    return frozenset({own.pid, 1, *(parent.pid for parent in own.parents())})


class Scanner:
    """Shares looks between those who wait for one: each gets one that began after it asked.

    Args:
        executor: where the looking is done.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._running: asyncio.Task[Snapshot] | None = None
        self._next: asyncio.Task[Snapshot] | None = None

    async def snapshot(self) -> Snapshot:
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def _after(self, previous: asyncio.Task[Snapshot] | None) -> Snapshot:
        if previous is not None:
            await asyncio.wait([previous])
        self._running, self._next = self._next, None
        return await asyncio.get_running_loop().run_in_executor(self._executor, scan)


def _stat(pid: int) -> tuple[bool, int, float]:
    """Whether it runs (a zombie does not), its parent, and when it started."""
    if not _LINUX:
        process = psutil.Process(pid)
        return process.status() not in _ENDED, process.ppid(), process.create_time()
    # A quarter of what psutil takes, which counts where a machine has thousands of processes. The
    # name, in brackets, may itself contain some.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return fields[0] not in (b"Z", b"X"), int(fields[1]), int(fields[19])


def _marks(pid: int) -> tuple[int, str, str]:
    """What `Seen` says of a process that has a mark; most have none and cost one look."""
    try:
        if _LINUX and INTENT.encode() not in _read(f"/proc/{pid}/environ"):
            return -1, "", ""
        process = psutil.Process(pid)
        environment = process.environ()
        uid = process.uids().real
    except (psutil.AccessDenied, PermissionError):
        return -1, "", ""
    return uid, environment.get(INTENT, ""), environment.get(INSTALLATION, "")


def _read(path: str) -> bytes:
    """What a file of the kernel says; a file object would ask for its size and kind as well."""
    found = b""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while part := os.read(descriptor, 1 << 16):
            found += part
    finally:
        os.close(descriptor)
    return found


def _process(pid: int, seen: Seen) -> psutil.Process | None:
    """What can be signalled: the process that was seen, never another that has its number now."""
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        _, _, started = _stat(pid)
        if started == seen.started:
            return process
    return None


def _each(processes: Iterable[psutil.Process], action: Callable[[psutil.Process], object]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            action(process)


__all__ = (
    "INSTALLATION",
    "INTENT",
    "Scanner",
    "Seen",
    "Snapshot",
    "is_running",
    "kill_marked",
    "members",
    "protected",
    "scan",
    "strays",
)
