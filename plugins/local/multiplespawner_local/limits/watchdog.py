"""Memory limits without control groups: look now and then, and end the tree that holds too much.

Best effort: a tree may pass its limit between two looks, and nothing looks while the hub is down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import psutil

from multiplespawner_local.limits.base import NoLimiter

Usage = Callable[[str, int], Awaitable[int]]
End = Callable[[str], Awaitable[object]]
Limits = Callable[[], Awaitable[Mapping[str, int]]]

_log = logging.getLogger(__name__)


class WatchdogLimiter(NoLimiter):
    """Makes no groups; `Watchdog` does the work."""

    name = "watchdog"
    sizes = frozenset({"memory"})


class Watchdog:
    """Ends every tree that holds more memory than it may.

    Args:
        limits: bytes by server.
        usage: what a server's tree holds now, in bytes, exactly only where it may pass the limit.
        end: kills a server's tree.
        interval: seconds between looks.
    """

    def __init__(self, limits: Limits, usage: Usage, end: End, interval: float = 1.0) -> None:
        self._limits = limits
        self._usage = usage
        self._end = end
        self._interval = interval

    async def run(self) -> None:
        """Look for ever; a look that fails is logged and the next one follows."""
        while True:
            # Before the first look: who only asks for offers is gone by then, and ended nothing.
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the next look may succeed
                _log.exception("the memory watchdog could not look")

    async def look(self) -> None:
        for key, limit in (await self._limits()).items():
            held = await self._usage(key, limit)
            if held > limit:
                _log.warning("%s holds %d bytes of %d: its processes are ended", key, held, limit)
                await self._end(key)


def held_by(processes: Sequence[psutil.Process], limit: int) -> int:
    """What a tree holds; shared pages are told apart only where it decides, since that is slow."""
    resident = sum(_resident(process) for process in processes)
    return resident if resident <= limit else sum(_proportional(process) for process in processes)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except psutil.Error:
        return _resident(process)
    return int(getattr(info, "pss", 0) or info.uss)


__all__ = ("Watchdog", "WatchdogLimiter", "held_by")
