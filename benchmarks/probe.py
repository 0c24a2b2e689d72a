"""Measures inside a hub. Its configuration imports this file; the benchmark asks over HTTP."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import json
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupyterhub.spawner
import jupyterhub.utils
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.user import User
from tornado import web

TICK = 0.005
"""Seconds between two looks at whether the event loop is late."""

FINE_WAIT = 0.01
"""Seconds that one of JupyterHub's waits naps at the most, where a benchmark asks for that."""

_METHODS = ("start", "stop", "get_options_form")


class LagMeter:
    """How late the event loop is, at moments on a fixed grid.

    While the loop is held up, every moment that passes counts: one block of 50 ms makes ten of
    the looks late and not only one.
    """

    def __init__(self) -> None:
        self.own: list[float] = []
        """The same if time only passed while this process has a processor: what others on the
        machine take is left out, and so is what the process waits for."""
        self._lags: list[float] = []
        self._due = 0.0
        self._cpu = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self.end()
        self._lags, self.own = [], []
        self._due = asyncio.get_running_loop().time()
        self._cpu = time.process_time()
        self._tick()

    def end(self) -> list[float]:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        return self._lags

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now, cpu = loop.time(), time.process_time()
        own = min(now - self._due, cpu - self._cpu)
        self._cpu = cpu
        while self._due <= now:
            self._lags.append(now - self._due)
            self._due += TICK
        while own >= 0:
            self.own.append(own)
            own -= TICK
        self._handle = loop.call_at(self._due, self._tick)


class Boots:
    """When the stubs' machines come up: at once, or held until a benchmark lets them."""

    def __init__(self) -> None:
        self._order: dict[str, int] = {}
        self._held = False
        self._opened = asyncio.Event()
        self._first = 0.0
        self._every = 0.0

    def hold(self) -> None:
        """From now on, none."""
        self._held = True
        self._order.clear()
        self._opened.clear()

    def open(self, every: float) -> None:
        """Those that were held: one after the other, `every` seconds apart."""
        self._first, self._every = time.monotonic(), every
        self._opened.set()

    def is_up(self, machine: str) -> bool:
        if machine not in self._order:
            return True
        return self._opened.is_set() and self._at(machine) <= time.monotonic()

    def begin(self, machine: str) -> None:
        """Note a machine that was asked for."""
        if self._held:
            self._order[machine] = len(self._order)

    async def wait(self, machine: str) -> None:
        if machine in self._order:
            await self._opened.wait()
            await asyncio.sleep(max(0.0, self._at(machine) - time.monotonic()))

    def _at(self, machine: str) -> float:
        return self._first + self._order[machine] * self._every


class Probe:
    """What happens between `begin`, or the start of the process, and `end`."""

    def __init__(self) -> None:
        self.fine = False
        self.calls: Counter[str] = Counter()
        """What a stub's provider was asked."""
        self.boots = Boots()
        self._spans: list[dict[str, Any]] = []
        self._lag = LagMeter()
        self._cpu = 0.0

    def begin(self, *, fine: bool, lag: bool) -> None:
        """Forget what was measured.

        Args:
            fine: let JupyterHub look in short regular naps instead of ever longer random ones.
            lag: watch the event loop.
        """
        self.fine = fine
        self._spans = []
        self.calls.clear()
        self._cpu = time.process_time()
        if lag:
            self._lag.begin()

    def end(self) -> dict[str, Any]:
        self.fine = False
        cpu = time.process_time() - self._cpu
        return {
            "spans": self._spans,
            "lags": self._lag.end(),
            "own_lags": self._lag.own,
            "cpu": cpu,
            "calls": dict(self.calls),
        }

    def timed(self, span: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method`, each call of which is noted as a span of this name."""

        @functools.wraps(method)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                result = method(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result
            finally:
                self._spans.append({"span": span, "seconds": time.perf_counter() - began})

        return wrapper


PROBE = Probe()


class BeginHandler(web.RequestHandler):
    async def get(self) -> None:
        wanted = {name: self.get_query_argument(name) == "True" for name in ("fine", "lag")}
        PROBE.begin(**wanted)
        self.finish("{}")


class EndHandler(web.RequestHandler):
    async def get(self) -> None:
        self.finish(json.dumps(PROBE.end()))


class HoldHandler(web.RequestHandler):
    async def get(self) -> None:
        PROBE.boots.hold()
        self.finish("{}")


class OpenHandler(web.RequestHandler):
    async def get(self) -> None:
        PROBE.boots.open(float(self.get_query_argument("every")))
        self.finish("{}")


class CountHandler(web.RequestHandler):
    async def get(self) -> None:
        self.finish(json.dumps(self.settings["users"].count_active_users()))


class MemoryHandler(web.RequestHandler):
    async def get(self) -> None:
        self.finish(json.dumps(memory()))


def memory() -> float:
    """KiB that this process has."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def install(config: Any) -> None:
    """Take the measures in the hub that reads `config`."""
    config.JupyterHub.extra_handlers = [
        (r"/api/benchmark/begin", BeginHandler),
        (r"/api/benchmark/end", EndHandler),
        (r"/api/benchmark/hold", HoldHandler),
        (r"/api/benchmark/open", OpenHandler),
        (r"/api/benchmark/count", CountHandler),
        (r"/api/benchmark/memory", MemoryHandler),
    ]
    _time_spawners()
    _time_children()
    _refine_waits()


def _time_spawners() -> None:
    """What JupyterHub itself calls; the spawners that a wrapping one makes are not touched."""
    make = User._new_spawner  # noqa: SLF001 - where every Spawner of the hub is made

    @functools.wraps(make)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        spawner = make(*args, **kwargs)
        for name in _METHODS:
            setattr(spawner, name, PROBE.timed(name, getattr(spawner, name)))
        return spawner

    User._new_spawner = wrapper  # noqa: SLF001 - the same


def _time_children() -> None:
    """The class that really starts servers, whoever calls it."""
    for name in ("start", "stop"):
        method = getattr(LocalProcessSpawner, name)
        setattr(LocalProcessSpawner, name, PROBE.timed(f"child.{name}", method))


def _refine_waits() -> None:
    """JupyterHub's random waits, up to 0.2 s at first, hide what a start costs."""
    wait = jupyterhub.utils.exponential_backoff

    @functools.wraps(wait)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if PROBE.fine:
            kwargs = {**kwargs, "start_wait": FINE_WAIT, "max_wait": FINE_WAIT}
        return await wait(*args, **kwargs)

    for module in (jupyterhub.utils, jupyterhub.spawner):
        module.exponential_backoff = wrapper


__all__ = ("PROBE", "install")
