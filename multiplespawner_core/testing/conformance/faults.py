"""Using the faults that an author supplies, and what must come of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from multiplespawner_core.contracts import (
    NotFound,
    OutcomeUnknown,
    ProviderError,
    Throttled,
    Transient,
)
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.subject import Context

_TRIES = 3

Call = tuple[str, Callable[[], Coroutine[Any, Any, Any]]]


@contextlib.asynccontextmanager
async def during(fault: Context) -> AsyncIterator[None]:
    """With a context manager of either kind."""
    if isinstance(fault, AbstractAsyncContextManager):
        async with fault:
            yield
    else:
        with fault:
            yield


async def require_refused(
    bench: Bench, calls: list[Call], allowed: type[ProviderError], why: str
) -> None:
    """Each call must raise `allowed`, and never answer as if it knew."""
    for name, call in calls:
        try:
            answer = await _tried(bench, call, allowed)
        except NotFound as error:
            raise bench.broken(
                f"{name} raised {error!r}: {why}, and that proves nothing"
            ) from error
        except allowed:
            continue
        except ProviderError as error:
            kind = allowed.__name__
            raise bench.broken(f"{name} raised {error!r}, not {kind}: {why}") from error
        raise bench.broken(f"{name} answered {answer!r:.200}: {why}, so nobody knows")


async def _tried(
    bench: Bench, call: Callable[[], Coroutine[Any, Any, Any]], allowed: type[ProviderError]
) -> Any:
    """Call, a few times where an answer was lost on top of it."""
    for _ in range(_TRIES):
        try:
            return await bench.attempt(call)
        except (Transient, Throttled, OutcomeUnknown) as error:
            if isinstance(error, allowed):
                raise
            last = error
    raise last


__all__ = ("Call", "during", "require_refused")
