"""How many playbooks run at once on the hub's machine, whichever templates they are of."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from weakref import WeakKeyDictionary


class Turns:
    """First come, first served."""

    def __init__(self) -> None:
        self._under_way = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @contextlib.asynccontextmanager
    async def turn(self, most: int, waits: Callable[[int], None]) -> AsyncIterator[None]:
        """One of at most `most` at once.

        Args:
            most: as many may be under way, with this one.
            waits: told how many wait before this one, where it cannot begin at once.
        """
        if self._waiting or self._under_way >= most:
            waits(len(self._waiting))
            await self._queue(most)
        else:
            self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._next()

    async def _queue(self, most: int) -> None:
        place = asyncio.get_running_loop().create_future(), most
        self._waiting.append(place)
        try:
            await place[0]
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            else:  # it was its turn already
                self._under_way -= 1
            self._next()
            raise

    def _next(self) -> None:
        while self._waiting and self._under_way < self._waiting[0][1]:
            future, _ = self._waiting.popleft()
            if not future.done():
                self._under_way += 1
                future.set_result(None)


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns() -> Turns:
    """Those of the running event loop."""
    return _of_loops.setdefault(asyncio.get_running_loop(), Turns())


__all__ = ("Turns", "turns")
