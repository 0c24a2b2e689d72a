"""Before a provider is asked: so many starts at a time, and none while it cannot answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from multiplespawner_core.contracts import (
    OutcomeUnknown,
    Provider,
    ProviderError,
    Throttled,
    Transient,
    Unauthorized,
)

_PATIENCE: Final = 5
"""Answers in a row that show nothing but trouble, after which a provider is left alone."""

_SHORTEST: Final = 15.0
_LONGEST: Final = 300.0

_TROUBLE = (OutcomeUnknown, Transient)


class Unavailable(Transient):
    """The provider was not asked: it is in trouble, or there are too many who ask."""


class Gate:
    """The way to one provider.

    It closes when the provider refuses the hub's credentials, and after `_PATIENCE` answers in a
    row that show nothing but trouble; then it lets a single start through to see, at intervals
    that double. A start that is not let through has asked for nothing.

    Args:
        name: component name of the provider, for the user.
        width: starts that may ask at the same time.
    """

    def __init__(self, name: str, width: int) -> None:
        self._name = name
        self._width = width
        self._inside = 0
        self._queue: deque[tuple[asyncio.Future[None], Callable[[int], None]]] = deque()
        self._troubles = 0
        self._closed_until = 0.0
        self._not_before = 0.0
        self._why = ""

    @asynccontextmanager
    async def turn(self, timeout: float, told: Callable[[int], None]) -> AsyncIterator[None]:
        """Wait for a turn, first come, first served, and keep it for the block.

        Args:
            timeout: seconds to wait at the most.
            told: is told how many are before this one, whenever that changes.

        Raises:
            Unavailable: there was no turn; the message says why.
        """
        now = asyncio.get_running_loop().time()
        self._require_open(now)
        await self._enter(timeout, told)
        try:
            await self._wait_for_throttling(now + timeout)
            # Once more: it may have been closed while this one waited.
            self._pass(asyncio.get_running_loop().time())
            yield
        finally:
            self._leave()

    def note(self, error: ProviderError | None) -> None:
        """Learn from an answer of the provider; None is one that was good."""
        now = asyncio.get_running_loop().time()
        if isinstance(error, Throttled):
            if error.retry_after is not None:
                self._not_before = max(self._not_before, now + error.retry_after)
        elif isinstance(error, Unauthorized):
            self._troubles = max(self._troubles + 1, _PATIENCE)
            self._close(now, "it refuses the hub's credentials; tell your administrator")
        elif isinstance(error, _TROUBLE):
            self._troubles += 1
            if self._troubles >= _PATIENCE:
                self._close(now, "it does not answer as it should")
        else:
            # Also where it has no room: whatever it says, it answers.
            self._troubles = 0
            self._closed_until = 0.0

    def _close(self, now: float, why: str) -> None:
        self._why = why
        self._closed_until = now + self._interval()

    def _interval(self) -> float:
        return min(_SHORTEST * 2.0 ** min(self._troubles - _PATIENCE, 10), _LONGEST)

    def _require_open(self, now: float) -> None:
        if now < self._closed_until:
            wait = max(1, round(self._closed_until - now))
            msg = f"{self._name} is not asked at present: {self._why}. Try again in {wait} s"
            raise Unavailable(msg)

    def _pass(self, now: float) -> None:
        self._require_open(now)
        if self._troubles >= _PATIENCE:
            # This one goes to see; until its answer is there, or the interval over, no other does.
            self._closed_until = now + self._interval()

    async def _wait_for_throttling(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while (wait := self._not_before - loop.time()) > 0:
            if self._not_before > end:
                msg = f"{self._name} asks the hub to slow down. Try again in {wait:.0f} s"
                raise Unavailable(msg)
            await asyncio.sleep(wait)

    async def _enter(self, timeout: float, told: Callable[[int], None]) -> None:
        if self._inside < self._width and not self._queue:
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((turn, told))
        told(len(self._queue) - 1)
        try:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the turn.
            await asyncio.wait({turn}, timeout=timeout)
        except asyncio.CancelledError:
            if turn.done():
                self._leave()
            else:
                self._forget(turn)
            raise
        if not turn.done():
            self._forget(turn)
            msg = f"too many servers are being started there; none came through in {timeout:g} s"
            raise Unavailable(msg)

    def _leave(self) -> None:
        self._inside -= 1
        if self._queue:
            turn, _ = self._queue.popleft()
            self._inside += 1
            turn.set_result(None)
            self._tell()

    def _forget(self, turn: asyncio.Future[None]) -> None:
        self._queue = deque(one for one in self._queue if one[0] is not turn)
        self._tell()

    def _tell(self) -> None:
        for ahead, (_, told) in enumerate(self._queue):
            told(ahead)


class Gates:
    """One gate for each provider."""

    def __init__(self) -> None:
        self._gates: dict[Provider, Gate] = {}

    def of(self, provider: Provider) -> Gate:
        """The gate of a provider; its capabilities say how wide it is."""
        if provider not in self._gates:
            width = max(1, provider.capabilities().concurrent_creates)
            self._gates[provider] = Gate(provider.component, width)
        return self._gates[provider]


__all__ = ("Gate", "Gates", "Unavailable")
