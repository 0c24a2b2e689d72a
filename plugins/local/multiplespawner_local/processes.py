"""Processes by the marker in their environment: what finds a tree when its hub has died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import psutil

INTENT = "MULTIPLESPAWNER_INTENT"
INSTALLATION = "MULTIPLESPAWNER_INSTALLATION"

_PAUSE = 0.05


@dataclass(frozen=True)
class Seen:
    """A running process."""

    process: psutil.Process
    parent: int
    uid: int
    intent: str = ""
    installation: str = ""


Snapshot = Mapping[int, Seen]


def scan() -> Snapshot:
    """Every running process. Takes some tens of milliseconds: for a thread, not the event loop."""
    found: dict[int, Seen] = {}
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                    found[pid] = _look(process)
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
    found: dict[int, psutil.Process] = {}
    while waiting:
        pid = waiting.pop()
        if pid not in spared and pid not in found:
            found[pid] = snapshot[pid].process
            waiting += below[pid]
    return list(found.values())


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
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
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


def _look(process: psutil.Process) -> Seen:
    environment: Mapping[str, str] = {}
    with contextlib.suppress(psutil.AccessDenied):
        environment = process.environ()
    return Seen(
        process=process,
        parent=process.ppid(),
        uid=process.uids().real,
        intent=environment.get(INTENT, ""),
        installation=environment.get(INSTALLATION, ""),
    )


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
