"""How long the event loop was held up, by whom, and how much of it is the machine's fault."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

_LOOK = 0.01
_ROUNDS = 100
_NOISE = 5
"""So many times what an idle loop shows is still taken for noise."""


class Held:
    """The longest time for which one callback held the loop up.

    Args:
        seconds: without what the thread spent waiting for a processor, where the kernel tells.
        place: where it was when that was noticed.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.place = ""

    def longer(self, seconds: float, place: str) -> None:
        if seconds > self.seconds:
            self.seconds, self.place = seconds, place


@contextlib.contextmanager
def watched(limit: float) -> Iterator[Held]:
    """Measure every callback of this thread's loop; those above `limit` are looked at.

    Args:
        limit: seconds from which on it is worth knowing where the loop is.
    """
    held = Held()
    started: list[float] = []
    seen: list[str] = [""]
    loop_thread, original = threading.get_ident(), asyncio.Handle._run  # noqa: SLF001 - no other way

    def run(handle: Any) -> None:
        if threading.get_ident() != loop_thread:
            original(handle)
            return
        waited, seen[0] = _waited(), ""
        begin = time.monotonic()
        started[:] = [begin]
        try:
            original(handle)
        finally:
            started.clear()
            taken = time.monotonic() - begin - (_waited() - waited)
            held.longer(taken, seen[0])

    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            since = started[:1]
            if since and time.monotonic() - since[0] > limit and not seen[0]:
                seen[0] = _place(loop_thread)

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        with mock.patch.object(asyncio.Handle, "_run", run):
            yield held
    finally:
        ended.set()
        looker.join()


async def noise() -> float:
    """The longest that a loop without work is held up on this machine as it is now."""
    loop = asyncio.get_running_loop()
    with watched(limit=60) as held:
        for _ in range(_ROUNDS):
            await loop.run_in_executor(None, _nothing)
            await asyncio.sleep(0)
    return held.seconds


def limit(wanted: float, idle: float) -> float:
    """From where on a loop counts as blocked; on a machine that stutters that is later."""
    return max(wanted, min(_NOISE * idle, 4 * wanted))


def _nothing() -> None:
    """What a thread is asked for when only the way there is of interest."""


def _waited() -> float:
    """Seconds that this thread was ready and had no processor; Linux alone tells."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as stream:  # noqa: PTH123 - measured code
            return int(stream.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _place(thread: int) -> str:
    """The innermost lines of the thread that are not of the interpreter's own library."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - as faulthandler shows it
    lines = traceback.extract_stack(frame)
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - a prefix of file names
    own = [
        line
        for line in lines
        if not line.filename.startswith(library) or "site-packages" in line.filename
    ]
    shown = [f"{line.filename}:{line.lineno} in {line.name}" for line in reversed(own)]
    return "; ".join(one for one in shown if __file__ not in one)[:600]


__all__ = ("Held", "limit", "noise", "watched")
