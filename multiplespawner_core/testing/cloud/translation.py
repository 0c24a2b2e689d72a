"""From the small cloud's words to the contract's, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multiplespawner_core.contracts import (
    Availability,
    Capacity,
    Endpoint,
    Handle,
    Intent,
    InvalidSpecification,
    Keys,
    Observation,
    Offer,
    OutcomeUnknown,
    ProviderError,
    Quota,
    ResourceState,
    Scope,
    Specification,
    Throttled,
    Transient,
    Unauthorized,
)
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.model import Answer

INSTALLATION_TAG = "multiplespawner-installation"
OWNER_TAG = "multiplespawner-owner"
DEADLINE_TAG = "multiplespawner-deadline"

STATES = {
    "PROVISIONING": ResourceState.PENDING,
    "STARTING": ResourceState.PENDING,
    "RUNNING": ResourceState.READY,
    "STOPPING": ResourceState.PENDING,
    "STOPPED": ResourceState.STOPPED,
    "FAILED": ResourceState.FAILED,
    "TERMINATING": ResourceState.DELETING,
    "TERMINATED": ResourceState.GONE,
    "ATTACHED": ResourceState.READY,
    "LEFT": ResourceState.STOPPED,
}


class NotShown(Unauthorized):
    """Not found, or not allowed to be seen: the cloud does not say which, so nothing is proven."""


_ERRORS: Mapping[str, type[ProviderError]] = {
    "QuotaExceeded": Quota,
    "NotAuthenticated": Unauthorized,
    "NotAuthorizedOrNotFound": NotShown,
    "IncorrectState": Transient,
}


def error_of(answer: Answer, unknown: type[ProviderError]) -> ProviderError:
    """The contract's error for what the cloud says."""
    message = str(answer.body.get("message", "The cloud gave no reason."))
    code = str(answer.body.get("code", ""))
    if "Out of host capacity" in message:
        # Its code is that of any internal error.
        return Capacity("The cloud has no room for this size now.")
    if code == "TooManyRequests":
        return Throttled("The cloud asks to slow down.", answer.retry_after)
    if code in _ERRORS:
        return _ERRORS[code](message)
    if answer.status < 500:  # noqa: PLR2004 - HTTP's own number
        return InvalidSpecification(message)
    return unknown(f"The cloud answered {answer.status}: {message}")


def failed(instance: Mapping[str, Any]) -> Observation:
    """An instance that did not come up; the cloud says why as it says why it refuses."""
    reason, code = instance.get("reason", ""), instance.get("code", "")
    error = error_of(Answer(500, {"code": code, "message": reason}), OutcomeUnknown)
    if isinstance(error, (Capacity, Quota)):
        return Observation(ResourceState.FAILED, reason=str(error), error=type(error))
    return Observation(ResourceState.FAILED, reason=reason)


def offer_of(scope: Scope, shape: Mapping[str, Any]) -> Offer:
    """A shape of the cloud's as an offer."""
    reasons = {
        "NO_CAPACITY": "The cloud has no room for this size now.",
        "NO_QUOTA": "The account may not have more of this size.",
    }
    return Offer(
        scope=scope,
        shape=shape["name"],
        cpu=shape["cpu"],
        memory=shape["memory"],
        gpu=shape["gpu"],
        availability=Availability[shape["availability"]],
        reason=shape.get("reason") or reasons.get(shape["availability"], ""),
        price=shape["price"],
    )


def fits(shape: Mapping[str, Any], wanted: Specification) -> bool:
    """Whether a shape is as large as wanted."""
    return bool(
        shape["cpu"] >= (wanted.cpu or 0)
        and shape["memory"] >= (wanted.memory or 0)
        and shape["gpu"] >= wanted.gpu
    )


def tags_of(intent: Intent) -> dict[str, str]:
    """What a machine is marked with."""
    tags = {
        INTENT_TAG: intent.id,
        INSTALLATION_TAG: intent.installation_id,
        OWNER_TAG: str(intent.owner),
    }
    if intent.expires_at is not None:
        tags[DEADLINE_TAG] = intent.expires_at.isoformat()
    return tags


async def user_data(keys: Keys) -> dict[str, Any]:
    """What the machine is told at its first boot: whom to let in, and what to be known by."""
    data = dict(keys.user_data)
    if keys.public_key:
        data["authorized_keys"] = [keys.public_key]
    if keys.host_key_file:
        data["host_key"] = await asyncio.to_thread(Path(keys.host_key_file).read_text, "utf-8")
    return data


def handle_of(thing: Mapping[str, Any], scope: Scope) -> Handle:
    """The handle of an instance, or of something that depends on one."""
    data = {"created": thing["created"]}
    if "instance" in thing:
        data["instance"] = thing["instance"]
    return Handle(thing["id"], scope, data=data)


def of_instance(handle: Handle) -> dict[str, Any]:
    """The data of the handle of the instance that something depends on."""
    return {"created": handle.data["created"]}


def endpoint_of(instance: Mapping[str, Any]) -> Endpoint | None:
    """Where an instance is reached; None while nobody knows."""
    address = instance.get("address")
    if not address:
        return None
    return Endpoint(address["host"], address["port"], address.get("host_key"))


__all__ = (
    "DEADLINE_TAG",
    "INSTALLATION_TAG",
    "OWNER_TAG",
    "STATES",
    "NotShown",
    "endpoint_of",
    "error_of",
    "failed",
    "fits",
    "handle_of",
    "of_instance",
    "offer_of",
    "tags_of",
    "user_data",
)
