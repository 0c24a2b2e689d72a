"""An event loop that can be killed, and whose time passes when there is nothing else to do."""

from __future__ import annotations

import asyncio
import selectors

EPOCH = 1_800_000_000.0


class Killed(KeyboardInterrupt):
    """The process is gone. Derived from what asyncio lets through out of every task."""


class Stuck(AssertionError):
    """Nothing is left that could ever happen."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout=None):
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise Stuck
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs one callback a turn, so that it can be killed between any two.

    Args:
        now: what its clock says at first.
        kill_at: number of the turn at which it is killed; 0 for never.
    """

    def __init__(self, now=EPOCH, kill_at=0):
        selector = _Selector()
        selector.loop = self
        self.now = now
        self.turns = 0
        self.kill_at = kill_at
        super().__init__(selector)
        # A float of this size tells no shorter times apart, and what is due would never be.
        self._clock_resolution = 1e-5

    def time(self):
        return self.now

    def monotonic(self):
        return self.now

    def _run_once(self):
        self.turns += 1
        if self.turns == self.kill_at:
            raise Killed
        first = self._ready.popleft() if self._ready else None
        rest = list(self._ready)
        self._ready.clear()
        if first is not None:
            self._ready.append(first)
        super()._run_once()
        new = list(self._ready)
        self._ready.clear()
        self._ready.extend([*rest, *new])

    def abandon(self):
        """What is left of a process that was killed: nothing of it goes on."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False
        self.close()
