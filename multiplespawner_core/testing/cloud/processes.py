"""Processes of a machine: those below its sshd, and those with its mark wherever they went.

An sshd writes its title over its environment; it has the mark in its command line instead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "MULTIPLESPAWNER_MACHINE"
"""In the environment of everything that runs on a machine: the machine's directory."""

CONFIG = "sshd_config"
"""In the machine's directory: what its sshd was started with."""

_PROC = Path("/proc")
_PAUSE = 0.02


def started(pid: int) -> int | None:
    """When a process started, in the kernel's measure; None if it does not run."""
    found = _stat(pid)
    return None if found is None else found[1]


def is_same(pid: int, start: int) -> bool:
    """Whether it is that process, and not another that has its number now."""
    return started(pid) == start


def tree(mark: str, root: int | None = None) -> list[int]:
    """Everything below `root`, and what carries the mark, with what is below that."""
    parents: dict[int, int] = {}
    found = set() if root is None else {root}
    entry, config = f"\0{MARK}={mark}\0".encode(), f"{mark}/{CONFIG} ".encode()
    for path in _PROC.iterdir():
        if not path.name.isdecimal():
            continue
        pid = int(path.name)
        seen = _stat(pid)
        if seen is None or pid == os.getpid():
            continue
        parents[pid] = seen[0]
        with contextlib.suppress(OSError):
            marked = entry in b"\0" + (path / "environ").read_bytes() + b"\0"
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ") + b" "
            if marked or config in line:
                found.add(pid)
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in found}
        grown = not below <= found
        found |= below
    return sorted(found & set(parents))


def end(mark: str, root: int | None = None, timeout: float = 10) -> None:
    """Kill the whole tree, whatever it forks meanwhile.

    Raises:
        TimeoutError: some of it is still there.
    """
    deadline = time.monotonic() + timeout
    while remaining := tree(mark, root):
        if time.monotonic() > deadline:
            msg = f"{mark}: {remaining} did not end"
            raise TimeoutError(msg)
        # Stopped first, so that none can start another while the rest is being killed.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in remaining:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        _reap(remaining)
        time.sleep(_PAUSE)


def _reap(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):  # not a child of this process
            os.waitpid(pid, os.WNOHANG)


def _stat(pid: int) -> tuple[int, int] | None:
    """Parent and start of a process that runs; a zombie does not."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name, in brackets, may itself contain some.
    fields = text.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else (int(fields[1]), int(fields[19]))


__all__ = ("CONFIG", "MARK", "end", "is_same", "started", "tree")
