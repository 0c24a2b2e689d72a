"""What a user is told when a start or an extension fails; the rest goes to the log."""

from __future__ import annotations

import asyncio

from multiplespawner_core.contracts import (
    Capacity,
    InvalidSpecification,
    MultipleSpawnerError,
    OutcomeUnknown,
    ProviderError,
    Quota,
    Throttled,
    Transient,
)
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.unavailable import LedgerUnavailable

_STEPS = {
    Phase.CREATING: "obtaining the resource",
    Phase.RESUMING: "starting what was kept",
    Phase.WAITING: "waiting for the resource",
    Phase.OPENING: "connecting to the resource",
    Phase.CONFIGURING: "configuring the resource",
    Phase.LAUNCHING: "starting the server",
}

_STATUS = (
    (InvalidSpecification, 400),
    (Quota, 403),
    ((Capacity, OutcomeUnknown, Throttled, Transient), 503),
)


class Failure(MultipleSpawnerError):
    """What was asked for did not happen, in words for the user who waits for it.

    Args:
        message: for the user; names no secret.
        reason: a short label for JupyterHub's metrics.
        status: HTTP status of the answer.
    """

    def __init__(self, message: str, reason: str, status: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.status = status


class StartFailed(Failure):
    """A start that failed."""


class NotExtended(Failure):
    """The end of a server stays where it was."""


class Refused(Failure):
    """What was asked for is not done."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message, "refused", status)


class StartCancelled(StartFailed):
    """The server was stopped while it was starting."""

    def __init__(self) -> None:
        super().__init__("The start was cancelled.", "cancelled", 409)


class Lost(MultipleSpawnerError):
    """The provider has shown that what was kept is gone."""


class ChildFailed(MultipleSpawnerError):
    """The child spawner failed and said why in words meant for the user."""


def for_user(error: BaseException, phase: Phase, intent_id: str | None) -> StartFailed:
    """Say why a start failed in words that are fit for the user."""
    if isinstance(error, StartFailed):
        return error
    step = _STEPS.get(phase, "preparing the start")
    return StartFailed(*_told(error, step, "the start was given up", phase.value, intent_id))


def of_extension(error: BaseException, intent_id: str) -> NotExtended:
    """The same of an extension."""
    if isinstance(error, NotExtended):
        return error
    return NotExtended(*_told(error, "moving the end", "it stays", "extension", intent_id))


def for_log(error: BaseException) -> str:
    """An error as it may be stored and shown to administrators.

    Our own errors are written for people; any other text may hold a secret.
    """
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, MultipleSpawnerError) else f"{kind}, see the log"


def _told(
    error: BaseException, step: str, outcome: str, label: str, intent_id: str | None
) -> tuple[str, str, int]:
    """The texts of our own errors are written for users.

    Anything else may hold a token or a path, so only the step is named, and the id by which the
    administrator finds it in the log.
    """
    # Two classes on Python 3.10.
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        message = f"{_sentence(step)} took too long, so {outcome}. Try again later."
        return message, "timeout", 503
    if isinstance(error, LedgerUnavailable):
        message = (
            f"The hub cannot record what it does at the moment, so {outcome}. Try again later; your"
            " administrator finds the reason in the hub's log."
        )
        return message, "ledger", 503
    if isinstance(error, MultipleSpawnerError) and str(error):
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        kind = type(error).__name__ if isinstance(error, ProviderError) else label
        return f"{_sentence(step)} failed: {error}", kind.lower(), status
    hint = f" Tell your administrator the id {intent_id}." if intent_id else ""
    return f"{_sentence(step)} failed for a technical reason.{hint}", label, 500


def _sentence(step: str) -> str:
    return step[0].upper() + step[1:]


__all__ = (
    "ChildFailed",
    "Failure",
    "Lost",
    "NotExtended",
    "Refused",
    "StartCancelled",
    "StartFailed",
    "for_log",
    "for_user",
    "of_extension",
)
