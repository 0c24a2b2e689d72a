"""One timer for all lifetimes."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")

_LONGEST_NAP = 30.0
"""Seconds after which the wall clock is looked at again: it may have been set, or the machine
may have slept."""


class Timer(Generic[K]):
    """Calls back when the wall clock passes the moments that were set.

    Args:
        due: called with the key, in the event loop.
    """

    def __init__(self, due: Callable[[K], None]) -> None:
        self._due = due
        self._moments: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, key: K, moment: float | None) -> None:
        """Call back for `key` at `moment` (seconds since the epoch), and at no other one."""
        if moment is None:
            self._moments.pop(key, None)
            return
        self._moments[key] = moment
        self._count += 1
        heapq.heappush(self._heap, (moment, self._count, key))
        self._arm()

    def stop(self) -> None:
        """Forget everything."""
        self._moments.clear()
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            nap = min(max(self._heap[0][0] - time.time(), 0), _LONGEST_NAP)
            self._handle = asyncio.get_running_loop().call_later(nap, self._ring)

    def _ring(self) -> None:
        self._handle = None
        try:
            while self._heap and self._heap[0][0] <= time.time():
                moment, _, key = heapq.heappop(self._heap)
                if self._moments.get(key) == moment:
                    del self._moments[key]
                    self._due(key)
        finally:
            self._arm()


__all__ = ("Timer",)
