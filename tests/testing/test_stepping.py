"""Cancelling at a given await, as a task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from multiplespawner_core.testing.conformance.stepping import When, cancel_at, count


class Work:
    """Waits three times, and tells what it saw."""

    def __init__(self):
        self.seen = []

    async def run(self):
        for name in ("first", "second"):
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(self.answer, future, name)
            try:
                self.seen.append(await future)
            except asyncio.CancelledError:
                self.seen.append(f"{name} {'cancelled' if future.cancelled() else future.result()}")
                raise
        await asyncio.sleep(0)
        return "done"

    def answer(self, future, name):
        if not future.done():
            future.set_result(f"answer to the {name}")


async def test_undisturbed():
    assert await count(Work().run()) == (3, "done")


@pytest.mark.parametrize(
    ("number", "when", "seen"),
    [
        (1, When.BEFORE, ["first cancelled"]),
        (1, When.AFTER, ["first answer to the first"]),
        (2, When.BEFORE, ["answer to the first", "second cancelled"]),
        (2, When.AFTER, ["answer to the first", "second answer to the second"]),
        (3, When.BEFORE, ["answer to the first", "answer to the second"]),
        (3, When.AFTER, ["answer to the first", "answer to the second"]),
    ],
)
async def test_every_await(number, when, seen):
    work = Work()
    told = await cancel_at(work.run(), number, when, 5)
    assert work.seen == seen
    assert (told.suspensions, told.reached, told.ended, told.swallowed) == (number, True, True, "")


async def test_one_that_waits_less_often_is_not_cancelled():
    told = await cancel_at(Work().run(), 4, When.BEFORE, 5)
    assert (told.suspensions, told.reached, told.swallowed) == (3, False, "")


async def test_an_error_of_its_own_is_no_cancellation():
    async def fail():
        await asyncio.sleep(0)
        raise ValueError

    assert not (await cancel_at(fail(), 2, When.AFTER, 5)).reached
    told = await cancel_at(fail(), 1, When.AFTER, 5)
    assert (told.reached, told.swallowed) == (True, "")


async def test_what_is_swallowed_is_told():
    async def swallow(error=None):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            if error:
                raise error from None

    assert (await cancel_at(swallow(), 1, When.BEFORE, 5)).swallowed == "returned"
    told = await cancel_at(swallow(KeyError("x")), 1, When.BEFORE, 5)
    assert told.swallowed == "raised KeyError('x')"


async def test_one_that_does_not_end_is_left_behind():
    gate = asyncio.Event()

    async def stubborn():
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    told = await cancel_at(stubborn(), 1, When.BEFORE, 0.05)
    assert (told.reached, told.ended) == (True, False)
    gate.set()
