"""What to do next, as pure functions of what is known."""

from __future__ import annotations

from multiplespawner_core.contracts import (
    IdempotentCreate,
    OutcomeUnknown,
    ResourceState,
    Throttled,
    Transient,
)
from multiplespawner_core.contracts.values import Capabilities

LONGEST_PAUSE = 300.0
"""Seconds between two attempts to delete, at the most."""


def pause(failures: int, error: BaseException | None = None) -> float:
    """Seconds to wait after the n-th failure in a row, from 0.5 doubling to `LONGEST_PAUSE`."""
    wanted = getattr(error, "retry_after", None)
    if isinstance(wanted, (int, float)) and wanted >= 0:
        return min(float(wanted), LONGEST_PAUSE)
    return min(0.5 * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE)


def may_repeat_create(error: BaseException, capabilities: Capabilities, age: float) -> bool:
    """Whether the same `create`, with the same token, may be sent again.

    Args:
        error: what the last one raised.
        capabilities: of the provider.
        age: seconds from the first one to the one that would be sent next.
    """
    if isinstance(error, (Transient, Throttled)):
        return True
    if not isinstance(error, OutcomeUnknown):
        return False
    if capabilities.idempotent_create is IdempotentCreate.NAME:
        return True
    by_token = capabilities.idempotent_create is IdempotentCreate.TOKEN
    return by_token and age < 0.9 * capabilities.token_validity


def is_lost(state: ResourceState) -> bool:
    """Whether there is nothing more to keep: a delete is not taken back."""
    return state in (ResourceState.DELETING, ResourceState.GONE)


def is_dead(state: ResourceState) -> bool:
    """Nothing runs on it any more, whatever its child spawner can still be asked."""
    return is_lost(state) or state in (ResourceState.STOPPED, ResourceState.FAILED)


__all__ = ("LONGEST_PAUSE", "is_dead", "is_lost", "may_repeat_create", "pause")
