"""Processes of one run: those that bear its mark, and all below them.

The mark is the run's directory. It stands in the environment of everything that the run starts.
A connection that OpenSSH keeps writes its title over that, but has its socket in the directory.
"""

from __future__ import annotations

import contextlib
import os
import time

import psutil

MARK = "MULTIPLESPAWNER_CONFIGURING"
"""In the environment of everything that a run starts on the hub's machine: its directory."""

_PAUSE = 0.05
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def marked(directory: str) -> list[psutil.Process]:
    """Every process of that run which has not ended; never this one or one above it."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        # Others' processes cannot be looked into, and are none of ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in spared and _is_marked(process, directory):
                for one in (process, *process.children(recursive=True)):
                    if one.status() not in _ENDED:
                        found[one.pid] = one
    return list(found.values())


def end(directory: str, timeout: float = 5) -> bool:
    """Kill all of them, whatever they start meanwhile; False if some are still there."""
    deadline = time.monotonic() + timeout
    while remaining := marked(directory):
        if time.monotonic() > deadline:
            return False
        # Stopped first, so that none can start another while the rest is being killed.
        for action in (psutil.Process.suspend, psutil.Process.kill):
            for process in remaining:
                with contextlib.suppress(psutil.Error):
                    action(process)
        time.sleep(_PAUSE)
    return True


def _is_marked(process: psutil.Process, directory: str) -> bool:
    if process.environ().get(MARK) == directory:
        return True
    return any(f"{directory}/" in word for word in process.cmdline()[:1])


__all__ = ("MARK", "end", "marked")
