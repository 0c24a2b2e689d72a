"""Cancelling a coroutine at a given one of its awaits, as a task's `cancel` does it."""

from __future__ import annotations

import asyncio
import enum
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class When(str, enum.Enum):
    """Relative to what the coroutine waits for."""

    BEFORE = "before its answer"
    AFTER = "after its answer"


@dataclass
class Cancelled:
    """What came of it.

    Args:
        suspensions: how often the coroutine waited.
        reached: whether it waited often enough to be cancelled.
        ended: whether it ended in time.
        swallowed: what it did instead of passing the cancellation on; empty if it did.
    """

    suspensions: int = 0
    reached: bool = False
    ended: bool = True
    swallowed: str = ""


async def count(work: Coroutine[Any, Any, T]) -> tuple[int, T]:
    """How often `work` waits if nobody disturbs it, and its result."""
    waits = 0

    def note(_: Any) -> None:
        nonlocal waits
        waits += 1

    result = await _stepped(work, note)
    return waits, result


async def cancel_at(
    work: Coroutine[Any, Any, Any], number: int, when: When, timeout: float
) -> Cancelled:
    """Run `work` and cancel it at its wait of this number, from 1.

    With BEFORE it never gets what it waits for; with AFTER that has happened already, and only the
    coroutine has not been told: the answer of a request that was accepted is lost.
    """
    told = Cancelled()

    def note(waiting: Any) -> None:
        told.suspensions += 1
        if told.suspensions == number:
            told.reached = True
            if when is When.AFTER and isinstance(waiting, asyncio.Future):
                # In front of the task's own callback, which was not added yet.
                waiting.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()

    task = asyncio.ensure_future(_awaited(_stepped(work, note)))
    done, _ = await asyncio.wait({task}, timeout=timeout)
    if not done:
        task.cancel()
        told.ended = False
    elif task.cancelled():
        pass
    elif told.reached:
        error = task.exception()
        told.swallowed = "returned" if error is None else f"raised {error!r}"
    else:
        task.exception()  # it failed of itself, before it was its turn
    return told


async def _awaited(work: Any) -> Any:
    return await work


@types.coroutine
def _stepped(work: Coroutine[Any, Any, T], note: Callable[[Any], None]) -> Generator[Any, Any, T]:
    """Drive `work` like ``await``, and tell `note` what it waits for each time."""
    step: Callable[[Any], Any] = work.send
    value: Any = None
    while True:
        try:
            waiting = step(value)
        except StopIteration as done:
            result: T = done.value
            return result
        note(waiting)
        try:
            value, step = (yield waiting), work.send
        except BaseException as error:  # noqa: BLE001 - it is passed on
            value, step = error, work.throw


__all__ = ("Cancelled", "When", "cancel_at", "count")
