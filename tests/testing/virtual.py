"""An event loop whose time passes only while everybody waits, and then at once."""

from __future__ import annotations

import asyncio
import selectors


class _Selector(selectors.DefaultSelector):
    loop = None

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout is None:
            msg = "everybody waits for something that never comes"
            raise RuntimeError(msg)
        if not ready:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing in it may come from outside: no threads, no sockets.

    Args:
        now: what its clock says at first.
    """

    def __init__(self, now=1000.0):
        self.now = now
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        # A float of a date's size tells no shorter times apart, and what is due would never be.
        self._clock_resolution = 1e-5

    def time(self):
        return self.now


def run(main):
    """The result of `main(loop)`, in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()
