"""What a provider, authenticator or configurer may raise, and on which the core's policy hangs.

The message of each of these is shown to the user who started the server. It must name no secret.
Anything else that a plugin raises is a defect of the plugin: it goes to the hub's log with its
traceback, and the user sees only which step failed.
"""

from __future__ import annotations


class MultipleSpawnerError(Exception):
    """The base of every error that multiplespawner raises on purpose."""


class ConfigurationError(MultipleSpawnerError):
    """What an administrator wrote cannot work; the message names the place and the remedy."""


class ProviderError(MultipleSpawnerError):
    """The base of what a provider raises."""


class Capacity(ProviderError):
    """The provider has no room for this size now. Another offer may be tried."""


class Quota(ProviderError):
    """The account may not have more of this. Another scope may be tried."""


class InvalidSpecification(ProviderError):
    """The provider will never accept this request. No retry helps."""


class Unauthorized(ProviderError):
    """The credentials were refused. Never evidence that a resource is gone."""


class Throttled(ProviderError):
    """The provider asks to slow down.

    Args:
        message: what to tell the user.
        retry_after: seconds to wait, where the provider named them.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Transient(ProviderError):
    """The request surely was *not* accepted; the same request may be sent again."""


class OutcomeUnknown(ProviderError):
    """The request may have been accepted: a timeout, a reset connection, a 5xx answer.

    The core tries no other offer before it knows: it sends the same token again, or asks `find`.
    """


class NotFound(ProviderError):
    """The provider positively knows no such resource."""


class OpenFailed(MultipleSpawnerError):
    """An authenticator could not open a resource."""


class ConfigureFailed(MultipleSpawnerError):
    """A configurer could not make a resource ready."""


__all__ = (
    "Capacity",
    "ConfigurationError",
    "ConfigureFailed",
    "InvalidSpecification",
    "MultipleSpawnerError",
    "NotFound",
    "OpenFailed",
    "OutcomeUnknown",
    "ProviderError",
    "Quota",
    "Throttled",
    "Transient",
    "Unauthorized",
)
