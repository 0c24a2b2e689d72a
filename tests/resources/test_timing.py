"""Waiting that always ends."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from multiplespawner_core.resources.timing import bounded, end


class Work:
    """Something to wait for, and what became of it."""

    def __init__(self, ignores=0, error=None):
        self.ignores = ignores
        self.error = error
        self.cancelled = 0
        self.may_end = asyncio.Event()

    async def run(self):
        while not self.may_end.is_set():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.error:
                    raise self.error from None
                if self.cancelled > self.ignores:
                    raise
        return "done"


async def test_a_result():
    assert await bounded(asyncio.sleep(0, "yes"), 5) == "yes"


async def test_an_error():
    async def fail():
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await bounded(fail(), 5)


async def test_a_timeout_cancels():
    work = Work()
    with pytest.raises(asyncio.TimeoutError):
        await bounded(work.run(), 0.01)
    assert work.cancelled == 1


async def test_no_time_at_all():
    with pytest.raises(asyncio.TimeoutError):
        await bounded(Work().run(), 0)


async def test_work_that_ignores_its_cancellation_is_left_behind(caplog):
    work = Work(ignores=9)
    started = time.monotonic()
    with pytest.raises(asyncio.TimeoutError):
        await bounded(work.run(), 0.01, grace=0.05)
    assert time.monotonic() - started < 2
    assert "ignored its cancellation and was left behind" in caplog.text
    assert work.cancelled == 1
    work.may_end.set()
    await asyncio.sleep(0)


async def test_an_outcome_that_comes_too_late_is_dropped(caplog):
    async def late():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"

    with pytest.raises(asyncio.TimeoutError):
        await bounded(late(), 0.01)
    assert "left behind" not in caplog.text


async def test_an_error_on_cancellation_is_dropped(caplog):
    caplog.set_level(logging.DEBUG, "multiplespawner_core")
    with pytest.raises(asyncio.TimeoutError):
        await bounded(Work(error=LookupError("torn")).run(), 0.01)
    assert "LookupError('torn') while it was cancelled" in caplog.text


async def test_cancelled_from_outside():
    work = Work()
    task = asyncio.create_task(bounded(work.run(), 5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled == 1


async def test_cancelled_from_outside_while_work_ignores_it(caplog):
    work = Work(ignores=9)
    task = asyncio.create_task(bounded(work.run(), 5, grace=0.02))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "left behind" in caplog.text
    work.may_end.set()
    await asyncio.sleep(0)


async def test_end_of_what_has_ended():
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await task
    await end(task)
    assert task.result() == "done"
