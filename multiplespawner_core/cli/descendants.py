"""Everything that this process has started, however indirectly: found and ended.

Servers and proxy are in sessions of their own, so no signal to a group reaches them when the hub
dies before it has stopped them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")


class Descendants:
    """Those that are started from now on. Does nothing where there is no ``/proc``."""

    def __init__(self) -> None:
        _adopt_orphans(True)
        self._spared = frozenset(_below(os.getpid(), frozenset()))

    def running(self) -> list[int]:
        """Those that have not ended."""
        return [pid for pid in _below(os.getpid(), self._spared) if _runs(pid)]

    def release(self) -> None:
        """From now on orphans are somebody else's."""
        _adopt_orphans(False)

    def end(self, timeout: float = 10) -> bool:
        """Kill them until there are none; False if some remain."""
        deadline = time.monotonic() + timeout
        while found := _below(os.getpid(), self._spared):
            if time.monotonic() > deadline:
                return False
            for number in (signal.SIGSTOP, signal.SIGKILL):  # the stopped cannot fork meanwhile
                for pid in found:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            for pid in found:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
        return True


def _adopt_orphans(adopt: bool) -> None:
    """Whether they become our children, and not those of process 1."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return False


def _below(root: int, spared: frozenset[int]) -> list[int]:
    """The processes below `root`, without `spared` and what is below those."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent ...; the name may hold anything.
            parent = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
            children[parent].append(int(entry.parent.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        new = [pid for pid in children[waiting.pop()] if pid not in spared]
        found += new
        waiting += new
    return found


__all__ = ("Descendants",)
