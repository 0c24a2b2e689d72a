"""One timer for all lifetimes, on the wall clock."""

from __future__ import annotations

import asyncio
import types

import pytest

from multiplespawner_core.resources import timer as timer_module
from multiplespawner_core.resources.timer import Timer


class Clock:
    now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timer_module, "time", types.SimpleNamespace(time=clock.time))
    monkeypatch.setattr(timer_module, "_LONGEST_NAP", 0.002)
    return clock


@pytest.fixture
async def fired(clock):
    """What fell due; `timer` is its timer."""

    class Fired(list):
        timer = None

        async def at(self, moment):
            clock.now = moment
            await asyncio.sleep(0.02)
            return list(self)

    fired = Fired()
    fired.timer = Timer(fired.append)
    yield fired
    fired.timer.stop()


async def test_in_the_order_of_their_moments(fired):
    for key, moment in (("c", 1030), ("a", 1010), ("b", 1020), ("a2", 1010)):
        fired.timer.set(key, moment)
    assert await fired.at(1009.9) == []
    assert await fired.at(1010) == ["a", "a2"]
    assert await fired.at(1100) == ["a", "a2", "b", "c"]
    assert await fired.at(2000) == ["a", "a2", "b", "c"]


async def test_never_inside_of_set(fired):
    fired.timer.set("past", 1)
    assert fired == []
    assert await fired.at(1000) == ["past"]


async def test_set_again_later(fired):
    fired.timer.set("a", 1010)
    fired.timer.set("a", 1020)
    assert await fired.at(1015) == []
    assert await fired.at(1020) == ["a"]


async def test_set_again_earlier(fired):
    fired.timer.set("a", 1020)
    fired.timer.set("a", 1010)
    assert await fired.at(1015) == ["a"]
    assert await fired.at(1025) == ["a"]


async def test_set_twice_to_one_moment_fires_once(fired):
    fired.timer.set("a", 1010)
    fired.timer.set("a", 1010)
    assert await fired.at(1010) == ["a"]


async def test_removed(fired):
    fired.timer.set("a", 1010)
    fired.timer.set("b", 1010)
    fired.timer.set("a", None)
    fired.timer.set("never set", None)
    assert await fired.at(1011) == ["b"]


async def test_removed_and_set_again(fired):
    fired.timer.set("a", 1010)
    fired.timer.set("a", None)
    fired.timer.set("a", 1020)
    assert await fired.at(1015) == []
    assert await fired.at(1020) == ["a"]


async def test_set_from_within(clock):
    fired = []

    def due(key):
        fired.append((key, clock.now))
        if key < 3:
            timer.set(key + 1, 1010)

    timer = Timer(due)
    timer.set(1, 1005)
    clock.now = 1005
    await asyncio.sleep(0.02)
    clock.now = 1010
    await asyncio.sleep(0.02)
    assert fired == [(1, 1005), (2, 1010), (3, 1010)]
    timer.stop()


async def test_stop_forgets_everything(fired):
    fired.timer.set("a", 1010)
    fired.timer.stop()
    assert await fired.at(1020) == []
    assert fired.timer._handle is None


async def test_one_callback_that_fails_does_not_end_the_timer(clock):
    fired, told = [], []

    def due(key):
        if key == "bad":
            raise ValueError(key)
        fired.append(key)

    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    timer = Timer(due)
    for key in ("bad", "good"):
        timer.set(key, 1010)
    timer.set("later", 1020)
    clock.now = 1010
    await asyncio.sleep(0.02)
    assert fired == ["good"]
    clock.now = 1020
    await asyncio.sleep(0.02)
    assert fired == ["good", "later"]
    assert [type(context["exception"]) for context in told] == [ValueError]
    timer.stop()
