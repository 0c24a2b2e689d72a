"""Time that passes faster than the machine's, alike in every process: small settings in one number.

What a hub or a cloud takes for an hour is two minutes, so that the schedules of processes are those
of virtual time.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import time
from collections import deque
from types import SimpleNamespace

from chaos.virtual import EPOCH

SPEED = 30.0


def clock():
    """Seconds since the epoch, as the machine has them only at `EPOCH`."""
    return EPOCH + (time.time() - EPOCH) * SPEED


CLOCKS = SimpleNamespace(time=clock, monotonic=clock)
"""In the place of the module `time`."""


class _Selector(selectors.DefaultSelector):
    def select(self, timeout=None):
        return super().select(timeout if timeout is None else timeout / SPEED)


class _Turns(deque):
    """Callbacks of a loop that are ready; the process ends before the n-th of them.

    Counted where one is taken out: other threads put some in.
    """

    left = 0
    kill = None

    def popleft(self):
        self.left -= 1
        if self.left == 0:
            self.kill()
        return super().popleft()


class FastLoop(asyncio.SelectorEventLoop):
    """Its seconds are short.

    Args:
        kill: called before the callback with number `kill_at`.
        kill_at: 0 for never.
    """

    def __init__(self, kill=None, kill_at=0):
        super().__init__(_Selector())
        self._ready = _Turns(self._ready)
        self._ready.kill, self._ready.left = kill, kill_at

    def time(self):
        return super().time() * SPEED


class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        return FastLoop()


def end_at_once():
    """What a crash does: nothing of this process goes on, in no thread."""
    os.kill(os.getpid(), signal.SIGKILL)
