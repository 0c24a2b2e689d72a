"""Virtual time in a process that can be killed."""

from __future__ import annotations

import asyncio

from testing.virtual import VirtualLoop

EPOCH = 1_800_000_000.0


class Killed(KeyboardInterrupt):
    """The process is gone. Derived from what asyncio lets through out of every task."""


class MortalLoop(VirtualLoop):
    """Runs one callback a turn, so that it can be killed between any two.

    Args:
        now: what its clock says at first.
        kill_at: number of the turn at which it is killed; 0 for never.
    """

    def __init__(self, now, kill_at=0):
        self.turns = 0
        self.kill_at = kill_at
        super().__init__(now)

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
