"""Creating a resource so that afterwards it is known whether there is one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from multiplespawner_core.contracts import (
    Handle,
    Intent,
    Keys,
    OutcomeUnknown,
    Provider,
    ProviderError,
)
from multiplespawner_core.resources import policy

_PROOF = 2
"""Empty answers, each after the provider's grace, that prove that nothing was made."""

_log = logging.getLogger(__name__)


async def create(
    provider: Provider,
    intent: Intent,
    keys: Keys,
    noted: Callable[[ProviderError], None] = lambda _: None,
) -> Handle:
    """Create the resource; an outcome that is unknown is resolved before this returns or raises.

    The same token is sent again where the provider knows it; else `find` is asked until the
    resource shows up, or twice finds nothing after the provider's grace.

    Args:
        provider: is asked.
        intent: what for.
        keys: for the resource.
        noted: is told every error after which it is tried again.

    Raises:
        ProviderError: surely no resource was made.
    """
    first = time.monotonic()
    failures = 0
    doubt: OutcomeUnknown | None = None
    while True:
        try:
            return await provider.create(intent, keys)
        except ProviderError as error:
            failures += 1
            noted(error)
            _log.info("%s: create: %s: %s", intent.id, type(error).__name__, error)
            if isinstance(error, OutcomeUnknown):
                doubt = error
            nap = policy.pause(failures, error)
            if _may_repeat(provider, (error, doubt), time.monotonic() - first + nap):
                await asyncio.sleep(nap)
            elif doubt is None:
                raise
            else:
                # Whatever this answer says, an earlier request may have been accepted.
                found = await _search(provider, intent)
                if found is None:
                    raise
                return found


def _may_repeat(provider: Provider, errors: Sequence[ProviderError | None], age: float) -> bool:
    capabilities = provider.capabilities()
    return all(
        error is None or policy.may_repeat_create(error, capabilities, age) for error in errors
    )


async def _search(provider: Provider, intent: Intent) -> Handle | None:
    grace = provider.capabilities().list_grace
    empty = failures = 0
    while empty < _PROOF:
        await asyncio.sleep(grace)
        try:
            found = await provider.find(intent, intent.offer.scope)
        except ProviderError as error:
            # It proves nothing; the caller's budget bounds how often it is asked again.
            failures += 1
            await asyncio.sleep(policy.pause(failures, error))
            continue
        if found:
            return found[0]
        empty += 1
    return None


__all__ = ("create",)
