"""What the ledger holds of one resource, and the phases that it goes through."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime, timezone
from typing import Any

from multiplespawner_core.contracts import (
    Endpoint,
    Handle,
    Intent,
    Offer,
    Owner,
    Scope,
    Specification,
)


class Phase(str, enum.Enum):
    """Where a resource is in its life; each but CLOSED has an exit that needs no person."""

    CREATING = "creating"
    WAITING = "waiting"
    OPENING = "opening"
    CONFIGURING = "configuring"
    LAUNCHING = "launching"
    RUNNING = "running"
    STOPPING = "stopping"
    KEPT = "kept"
    RESUMING = "resuming"
    RELEASING = "releasing"
    CLOSED = "closed"


@dataclass(frozen=True)
class Record:
    """One row of the ledger. Times are seconds since the epoch, UTC.

    Args:
        id: of the intent.
        installation_id: of the hub that owns it.
        owner: whose server it is for.
        generation: counts the intents of this server, and the starts of what is kept, from 1.
        authenticator: class path of what made its keys; None if nothing did.
        authenticator_kwargs: what that was made with, without secrets.
        attempt: counts the offers tried for this intent, from 1.
        template: name of the template it was started from.
        deployment: name of the deployment.
        provider: component name of the provider.
        offer: what was chosen.
        specification: what was asked for.
        phase: where it is.
        phase_deadline: when the phase must have ended; None for what has no such moment.
        expires_at: end of the lifetime; None for no end.
        handle: what the provider calls it, once it answered.
        child: what is needed to poll and stop the server once its template is gone.
        url: where the server answers.
        exit_status: what `poll` reports once the release is committed.
        reason: why it was released.
        last_error: of the latest failed attempt to delete it.
        created_at: when the intent was written.
        started_at: when it was started again after it was kept; None if it never was.
        keeps: whether it is stopped, rather than deleted, when its server ends.
        closed_at: when the provider had shown that it is gone.
        doubted_at: when the ledger turned out to have been set back after this was written: it may
            have changed since, and its end may have been moved. None if nothing is wrong.
    """

    id: str
    installation_id: str
    owner: Owner
    generation: int
    template: str
    deployment: str
    provider: str
    offer: Offer
    specification: Specification
    created_at: float
    started_at: float | None = None
    keeps: bool = False
    authenticator: str | None = None
    authenticator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    phase: Phase = Phase.CREATING
    phase_deadline: float | None = None
    expires_at: float | None = None
    handle: Handle | None = None
    child: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None
    exit_status: int | None = None
    reason: str = ""
    last_error: str = ""
    closed_at: float | None = None
    doubted_at: float | None = None

    @property
    def token(self) -> str:
        """The idempotency token: a function of intent and attempt, so that a crash repeats it."""
        return hashlib.sha256(f"{self.id}:{self.attempt}".encode()).hexdigest()[:32]

    @property
    def began_at(self) -> float:
        """When its latest start began: from then on its lifetime counts."""
        return self.created_at if self.started_at is None else self.started_at

    @property
    def holds_files(self) -> bool:
        """Whether files of its user that are to be kept may be on it.

        Only once a server has run there; of a doubted row nobody knows whether one has.
        """
        return self.keeps and (bool(self.child) or self.doubted_at is not None)

    @property
    def scope(self) -> Scope:
        """Where the resource is or will be."""
        return self.offer.scope

    def intent(self) -> Intent:
        """The row as its provider sees it."""
        expires = self.expires_at
        return Intent(
            id=self.id,
            token=self.token,
            attempt=self.attempt,
            installation_id=self.installation_id,
            owner=self.owner,
            offer=self.offer,
            specification=self.specification,
            expires_at=None if expires is None else datetime.fromtimestamp(expires, timezone.utc),
        )


def handle_to_json(handle: Handle | None) -> dict[str, Any] | None:
    """A handle as the ledger stores it; its scope stands in a column of its own."""
    if handle is None:
        return None
    endpoint = handle.endpoint
    return {
        "id": handle.id,
        "data": dict(handle.data),
        "endpoint": endpoint and [*astuple(endpoint)],
    }


def handle_from_json(value: Mapping[str, Any] | None, scope: Scope) -> Handle | None:
    """The inverse of `handle_to_json`."""
    if value is None:
        return None
    endpoint = Endpoint(*value["endpoint"]) if value["endpoint"] else None
    return Handle(value["id"], scope, endpoint, value["data"])


__all__ = ("Phase", "Record", "handle_from_json", "handle_to_json")
