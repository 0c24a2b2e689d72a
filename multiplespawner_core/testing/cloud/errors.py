"""How the small cloud refuses: an HTTP status and a code, as clouds do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """One way to say no."""

    status: int
    code: str
    message: str


ERRORS = {
    "invalid": Refusal(400, "InvalidParameter", "The request cannot be read."),
    "quota": Refusal(400, "QuotaExceeded", "The account may not have more of this shape."),
    "unauthorized": Refusal(401, "NotAuthenticated", "The credentials were refused."),
    "not_found": Refusal(404, "NotAuthorizedOrNotFound", "Not found, or not allowed to be seen."),
    "state": Refusal(409, "IncorrectState", "This cannot be done in the present state."),
    "token": Refusal(409, "InvalidatedRetryToken", "The token was used for something else."),
    "throttled": Refusal(429, "TooManyRequests", "Too many requests."),
    "internal": Refusal(500, "InternalError", "An internal error occurred."),
    "capacity": Refusal(500, "InternalError", "Out of host capacity."),
    "unavailable": Refusal(503, "ServiceUnavailable", "The service is not available."),
}
"""By the name that faults use. Lack of room has the code of any internal error, as in some clouds:
only the message tells them apart."""


class RefusedError(Exception):
    """Raised inside the model where a request is refused."""

    def __init__(self, name: str, message: str = "", retry_after: float | None = None) -> None:
        self.refusal = ERRORS[name]
        self.retry_after = retry_after
        super().__init__(message or self.refusal.message)


__all__ = ("ERRORS", "Refusal", "RefusedError")
