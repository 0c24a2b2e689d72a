"""Waiting that always ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

GRACE = 5.0
"""Seconds that cancelled work gets to end before it is left behind."""

_log = logging.getLogger(__name__)


async def bounded(
    work: Coroutine[Any, Any, T],
    timeout: float,
    grace: float = GRACE,
    left: set[asyncio.Future[Any]] | None = None,
) -> T:
    """The result of `work`, or TimeoutError after `timeout` seconds.

    Unlike `asyncio.wait_for` this also returns when `work` swallows its cancellation: then it is
    left behind after `grace` seconds, with a warning in the log.

    Args:
        work: what is waited for.
        timeout: seconds.
        grace: seconds that it gets to end once it is cancelled.
        left: receives the task while it is under way, and keeps it if it is left behind.

    Raises:
        asyncio.TimeoutError: it took too long.
        RuntimeError: it was cancelled from within; that must not look like our own cancellation.
    """
    task = asyncio.ensure_future(work)
    if left is not None:
        left.add(task)
        task.add_done_callback(left.discard)
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        await end(task, grace)
        raise
    if task.cancelled():
        msg = "it was cancelled from within"
        raise RuntimeError(msg)
    if task.done():
        return task.result()
    await end(task, grace)
    raise asyncio.TimeoutError


async def end(task: asyncio.Future[Any], grace: float = GRACE) -> None:
    """Cancel `task` and wait for it, `grace` seconds at the most; its outcome is dropped."""
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=grace)
    if not done:
        _log.warning("%r ignored its cancellation and was left behind", task)
    elif not task.cancelled() and task.exception() is not None:
        _log.debug("%r ended with %r while it was cancelled", task, task.exception())


__all__ = ("GRACE", "bounded", "end")
