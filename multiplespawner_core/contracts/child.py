"""What a child spawner may implement to work on an opened resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from multiplespawner_core.contracts.values import Access


@runtime_checkable
class TakesAccess(Protocol):
    """A class of spawners that log in to the resource themselves.

    Others start their server without the authenticator's keys, and need none of this.
    """

    @classmethod
    def access_traits(cls, access: Access) -> Mapping[str, Any]:
        """What an instance must be given to get there: its traits, which name no secret.

        Called after the configurer, also where the template has no authenticator; `access` then
        holds the provider's endpoint alone. These win over everything that a template says, and
        are kept in the ledger, so that a restarted hub can poll and stop the server.
        """
        ...


__all__ = ("TakesAccess",)
