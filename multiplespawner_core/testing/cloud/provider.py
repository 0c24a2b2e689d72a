"""The small cloud as a provider: what a client of it must know, over any transport."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from traitlets import Dict, Float, Integer

from multiplespawner_core.contracts import (
    Availability,
    Capabilities,
    Capacity,
    Endpoint,
    Handle,
    IdempotentCreate,
    Intent,
    InvalidSpecification,
    Keys,
    Observation,
    Offer,
    OutcomeUnknown,
    Owned,
    Provider,
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
from multiplespawner_core.testing.cloud.model import Answer, Call, Cloud

T = TypeVar("T")

INSTALLATION_TAG = "multiplespawner-installation"
OWNER_TAG = "multiplespawner-owner"
DEADLINE_TAG = "multiplespawner-deadline"

INTENT_VARIABLE = "MULTIPLESPAWNER_INTENT"
"""In the environment of servers: the intent that they belong to."""

_CHANGING = frozenset({"create", "terminate", "stop", "start", "tag", "delete_dependent"})

_STATES = {
    "PROVISIONING": ResourceState.PENDING,
    "STARTING": ResourceState.PENDING,
    "RUNNING": ResourceState.READY,
    "STOPPING": ResourceState.STOPPED,
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


class NoConnection(Exception):
    """Raised by transports: nobody listens, so the request surely was not accepted."""


class NoAnswer(Exception):
    """Raised by transports: the request was sent, and what became of it is not known."""


class CloudProvider(Provider):
    """Everything but the transport."""

    concurrency = Integer(16, min=1, help="Requests under way at once.").tag(config=True)

    list_grace = Float(
        5.0, min=0, help="Seconds after which what a list does not show is not there."
    ).tag(config=True)

    token_validity = Float(86400.0, min=0, help="Seconds that the cloud remembers a token.").tag(
        config=True
    )

    ready_timeout = Float(600.0, min=0, help="Seconds that a machine may take to come up.").tag(
        config=True
    )

    blocking = Dict(
        value_trait=Float(),
        help="""Method of this provider -> seconds for which it blocks the event loop.

        A fault on purpose, for tests that prove that such a thing is noticed.
        """,
    ).tag(config=True)

    deployment_schema: ClassVar[Mapping[str, Any]] = {
        "image": {"type": "string", "minLength": 1, "description": "what the machine boots"}
    }

    def __init__(
        self, *, component: str, state_dir: Path, installation_id: str, **kwargs: Any
    ) -> None:
        super().__init__(
            component=component, state_dir=state_dir, installation_id=installation_id, **kwargs
        )
        self._places: asyncio.Semaphore | None = None
        self._shapes: dict[Scope, list[dict[str, Any]]] = {}

    @abstractmethod
    async def _exchange(self, call: Call) -> Answer:
        """Carry one request there and its answer back.

        Raises:
            NoConnection: it was surely not accepted.
            NoAnswer: nobody knows.
        """

    @abstractmethod
    def _scope_keys(self) -> Sequence[str]:
        """The scopes that the configuration reaches."""

    # --- the contract ---

    def capabilities(self) -> Capabilities:
        return Capabilities(
            resource_types=("virtual_machine",),
            idempotent_create=IdempotentCreate.TOKEN,
            token_validity=self.token_validity,
            list_grace=self.list_grace,
            sizes=frozenset({"cpu", "memory", "gpu"}),
            ready_timeout=self.ready_timeout,
        )

    async def scopes(self) -> Sequence[Scope]:
        return [Scope(self.component, key) for key in self._scope_keys()]

    async def offers(self, specification: Specification) -> Sequence[Offer]:
        self._block("offers")
        if specification.resource_type != "virtual_machine":
            msg = f"This cloud has no {specification.resource_type}."
            raise InvalidSpecification(msg)
        offers: list[Offer] = []
        errors: list[ProviderError] = []
        for scope in await self.scopes():
            try:
                found = (await self._ask("shapes", scope))["shapes"]
                self._shapes[scope] = [
                    {**shape, "availability": "UNKNOWN", "reason": ""} for shape in found
                ]
            except ProviderError as error:
                # What it had the last time may still be there.
                errors.append(error)
                found = [{**shape, "reason": str(error)} for shape in self._shapes.get(scope, ())]
            offers += [_offer(scope, shape) for shape in found if _fits(shape, specification)]
        if not offers and errors:
            raise errors[0]
        if not offers:
            msg = "This cloud has no shape of that size."
            raise InvalidSpecification(msg)
        # The smallest that can be had comes first.
        return sorted(
            offers,
            key=lambda one: (one.availability is not Availability.AVAILABLE, one.cpu, one.memory),
        )

    async def create(self, intent: Intent, keys: Keys) -> Handle:
        self._block("create")
        arguments = {
            "token": intent.token,
            "name": f"multiplespawner-{intent.id}",
            "shape": intent.offer.shape,
            "image": intent.specification.attributes.get("image", ""),
            "tags": _tags(intent),
            "user_data": await _user_data(keys),
        }
        scope = intent.offer.scope
        body = await _settled(self._ask("create", scope, **arguments))
        return _handle(body["instance"], scope)

    async def find(self, intent: Intent, scope: Scope) -> Sequence[Handle]:
        self._block("find")
        owned = await self._tagged(scope, INTENT_TAG, intent.id)
        found = {one.handle.id: one.handle for one in owned if not one.dependent}
        for one in owned:
            # What an instance left behind is the intent's as well, under the instance's name.
            if one.dependent:
                instance = str(one.handle.data["instance"])
                found.setdefault(instance, Handle(instance, scope, data=_of_instance(one.handle)))
        return list(found.values())

    async def describe(self, handle: Handle) -> Observation:
        self._block("describe")
        if "instance" in handle.data:
            return Observation(await self._state_of_dependent(handle))
        try:
            instance = (await self._ask("get", handle.scope, id=handle.id))["instance"]
        except NotShown:
            await self._require_absent(handle)
            instance = {"state": "TERMINATED"}
        state = _STATES[instance["state"]]
        if state is ResourceState.GONE:
            # What is left of a young one may not be shown yet.
            left = await self._dependents(handle) or not await self._is_old(handle)
            return Observation(ResourceState.DELETING if left else ResourceState.GONE)
        endpoint = _endpoint(instance)
        if state is ResourceState.READY and endpoint is None:
            # It runs, and where it is reached is not known yet.
            state = ResourceState.PENDING
        return Observation(state, endpoint, instance.get("reason", ""))

    async def delete(self, handle: Handle) -> None:
        self._block("delete")
        if "instance" in handle.data:
            await self._delete_dependent(handle.id, handle.scope)
            return
        try:
            await self._ask("terminate", handle.scope, id=handle.id)
        except NotShown:
            await self._require_absent(handle)
        for one in await self._dependents(handle):
            if one["state"] == "LEFT":
                await self._delete_dependent(one["id"], handle.scope)

    async def list_owned(self, installation_id: str, scope: Scope) -> Sequence[Owned]:
        self._block("list_owned")
        return await self._tagged(scope, INSTALLATION_TAG, installation_id)

    def child_traits(self, intent: Intent, handle: Handle) -> Mapping[str, Any]:  # noqa: ARG002
        return {"environment": {INTENT_VARIABLE: intent.id}}

    async def extend(self, handle: Handle, deadline: datetime) -> None:
        self._block("extend")
        tags = {DEADLINE_TAG: deadline.isoformat()}
        await self._ask("tag", handle.scope, id=handle.id, tags=tags)

    async def stop(self, handle: Handle) -> None:
        """Stop the machine; its boot volume and its address stay, and cost."""
        await self._ask("stop", handle.scope, id=handle.id)

    async def start(self, handle: Handle) -> None:
        """Start a machine that was stopped; it may get another address."""
        await self._ask("start", handle.scope, id=handle.id)

    # --- what it is made of ---

    async def _ask(self, method: str, scope: Scope, **arguments: Any) -> Mapping[str, Any]:
        """Ask the cloud; every error is one of the contract's."""
        if self._places is None:
            self._places = asyncio.Semaphore(self.concurrency)
        unknown = OutcomeUnknown if method in _CHANGING else Transient
        async with self._places:
            try:
                answer = await self._exchange(Call(method, scope.key, arguments))
            except NoConnection as error:
                raise Transient(f"The cloud cannot be reached ({error}).") from error
            except NoAnswer as error:
                raise unknown(f"The cloud did not answer ({error}).") from error
        if answer.status == 200:  # noqa: PLR2004 - HTTP's own number
            return answer.body
        raise _error(answer, unknown)

    async def _pages(self, method: str, name: str, scope: Scope, **arguments: Any) -> list[Any]:
        """The whole list, or an error; a page may be empty and still name a next one."""
        found: dict[str, Any] = {}
        mark: Any = None
        while True:
            page = {} if mark is None else {"page": mark}
            body = await self._ask(method, scope, **arguments, **page)
            found.update((one["id"], one) for one in body[name])
            mark = body["next"]
            if mark is None:
                return [{**one, "now": body["now"]} for one in found.values()]

    async def _tagged(self, scope: Scope, tag: str, value: str) -> list[Owned]:
        """What has this tag and is not gone. The cloud cannot select by tag."""
        instances = await self._pages("list", "instances", scope)
        dependents = await self._pages("list_dependents", "dependents", scope)
        return [
            Owned(
                _handle(one, scope),
                one["tags"].get(INTENT_TAG),
                _STATES[one["state"]],
                dependent="kind" in one,
                depends_on=one.get("instance"),
            )
            for one in (*instances, *dependents)
            if one["tags"].get(tag) == value and _STATES[one["state"]] is not ResourceState.GONE
        ]

    async def _dependents(self, handle: Handle) -> list[Any]:
        return await self._pages("list_dependents", "dependents", handle.scope, instance=handle.id)

    async def _state_of_dependent(self, handle: Handle) -> ResourceState:
        there = await self._pages(
            "list_dependents", "dependents", handle.scope, instance=handle.data["instance"]
        )
        for one in there:
            if one["id"] == handle.id:
                return _STATES[one["state"]]
        await self._require_old(handle)
        return ResourceState.GONE

    async def _delete_dependent(self, dependent_id: str, scope: Scope) -> None:
        await self._ask("delete_dependent", scope, id=dependent_id)

    async def _require_absent(self, handle: Handle) -> None:
        """Raise, unless a complete list proves that there is no such instance any more."""
        if any(
            one["id"] == handle.id for one in await self._pages("list", "instances", handle.scope)
        ):
            raise Transient("The cloud shows this machine in a list, and not by itself.")
        await self._require_old(handle)

    async def _require_old(self, handle: Handle) -> None:
        if not await self._is_old(handle):
            raise Transient("The cloud does not show this yet.")

    async def _is_old(self, handle: Handle) -> bool:
        """Whether every list must show it by now, or never will; by the cloud's own clock."""
        now = (await self._ask("shapes", handle.scope))["now"]
        return bool(now - float(handle.data.get("created", now)) >= self.list_grace)

    def _block(self, method: str) -> None:
        if seconds := self.blocking.get(method):
            time.sleep(seconds)


class ModelCloud(CloudProvider):
    """The model of the cloud in this process.

    Args:
        cloud: the model; it outlives providers, as a cloud does.
    """

    def __init__(
        self,
        cloud: Cloud,
        *,
        component: str = "model",
        state_dir: Path,
        installation_id: str,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("list_grace", 2 * cloud.settings.lag)
        kwargs.setdefault("token_validity", cloud.settings.token_validity)
        super().__init__(
            component=component, state_dir=state_dir, installation_id=installation_id, **kwargs
        )
        self.cloud = cloud

    def _scope_keys(self) -> Sequence[str]:
        return self.cloud.settings.scopes

    async def _exchange(self, call: Call) -> Answer:
        await asyncio.sleep(0)
        if self.cloud.is_down(call):
            raise NoConnection("connection refused")
        await _nap(self.cloud.hold(call))
        answer = self.cloud.handle(call)
        await _nap(answer.delay)
        if answer.lost:
            raise NoAnswer("connection reset")
        return answer


async def _nap(seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds))


async def _settled(asking: Any) -> Any:
    """The answer; cancelled meanwhile, this ends only once it is known what became of it.

    What has been sent cannot be taken back, and a machine that is made after everybody has gone
    would be looked for too early.
    """
    task = asyncio.ensure_future(asking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


def _error(answer: Answer, unknown: type[ProviderError]) -> ProviderError:
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


def _offer(scope: Scope, shape: Mapping[str, Any]) -> Offer:
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


def _fits(shape: Mapping[str, Any], wanted: Specification) -> bool:
    return bool(
        shape["cpu"] >= (wanted.cpu or 0)
        and shape["memory"] >= (wanted.memory or 0)
        and shape["gpu"] >= wanted.gpu
    )


def _tags(intent: Intent) -> dict[str, str]:
    tags = {
        INTENT_TAG: intent.id,
        INSTALLATION_TAG: intent.installation_id,
        OWNER_TAG: str(intent.owner),
    }
    if intent.expires_at is not None:
        tags[DEADLINE_TAG] = intent.expires_at.isoformat()
    return tags


async def _user_data(keys: Keys) -> dict[str, Any]:
    """What the machine is told at its first boot: whom to let in, and what to be known by."""
    data = dict(keys.user_data)
    if keys.public_key:
        data["authorized_keys"] = [keys.public_key]
    if keys.host_key_file:
        data["host_key"] = await asyncio.to_thread(Path(keys.host_key_file).read_text, "utf-8")
    return data


def _handle(thing: Mapping[str, Any], scope: Scope) -> Handle:
    data = {"created": thing["created"]}
    if "instance" in thing:
        data["instance"] = thing["instance"]
    return Handle(thing["id"], scope, data=data)


def _of_instance(handle: Handle) -> dict[str, Any]:
    return {"created": handle.data["created"]}


def _endpoint(instance: Mapping[str, Any]) -> Endpoint | None:
    address = instance.get("address")
    if not address:
        return None
    return Endpoint(address["host"], address["port"], address.get("host_key"))


__all__ = (
    "DEADLINE_TAG",
    "INSTALLATION_TAG",
    "INTENT_TAG",
    "INTENT_VARIABLE",
    "OWNER_TAG",
    "CloudProvider",
    "ModelCloud",
    "NoAnswer",
    "NoConnection",
    "NotShown",
)
