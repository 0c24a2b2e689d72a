"""The small cloud as a provider: what a client of it must know, over any transport."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from traitlets import Dict, Float, Integer

from multiplespawner_core.contracts import (
    Availability,
    Capabilities,
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
    ResourceState,
    Scope,
    Specification,
    Storage,
    Transient,
)
from multiplespawner_core.testing.cloud.meter import INTENT_TAG
from multiplespawner_core.testing.cloud.model import Answer, Call, Cloud
from multiplespawner_core.testing.cloud.translation import (
    DEADLINE_TAG,
    INSTALLATION_TAG,
    STATES,
    NotShown,
    endpoint_of,
    error_of,
    failed,
    fits,
    handle_of,
    of_instance,
    offer_of,
    tags_of,
    user_data,
)

INTENT_VARIABLE = "MULTIPLESPAWNER_INTENT"
"""In the environment of servers: the intent that they belong to."""

_CHANGING = frozenset({"create", "terminate", "stop", "start", "tag", "delete_dependent"})


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
            storage=(Storage.EPHEMERAL, Storage.KEEP),
            stop_start=True,
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
            offers += [offer_of(scope, shape) for shape in found if fits(shape, specification)]
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
            "tags": tags_of(intent),
            "user_data": await user_data(keys),
        }
        scope = intent.offer.scope
        body = await _settled(self._ask("create", scope, **arguments))
        return handle_of(body["instance"], scope)

    async def find(self, intent: Intent, scope: Scope) -> Sequence[Handle]:
        self._block("find")
        owned = await self._tagged(scope, INTENT_TAG, intent.id)
        found = {one.handle.id: one.handle for one in owned if not one.dependent}
        for one in owned:
            # What an instance left behind is the intent's as well, under the instance's name.
            if one.dependent:
                instance = str(one.handle.data["instance"])
                found.setdefault(instance, Handle(instance, scope, data=of_instance(one.handle)))
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
        state = STATES[instance["state"]]
        if state is ResourceState.GONE:
            # What is left of a young one may not be shown yet.
            left = await self._dependents(handle) or not await self._is_old(handle)
            return Observation(ResourceState.DELETING if left else ResourceState.GONE)
        if state is ResourceState.FAILED:
            return failed(instance)
        endpoint = endpoint_of(instance)
        if state is ResourceState.READY and endpoint is None:
            # It runs, and where it is reached is not known yet.
            state = ResourceState.PENDING
        return Observation(state, endpoint)

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

    def child_traits(self, intent: Intent, handle: Handle) -> Mapping[str, Any]:  # noqa: ARG002 - all machines alike
        return {"environment": {INTENT_VARIABLE: intent.id}}

    async def extend(self, handle: Handle, deadline: datetime) -> None:
        self._block("extend")
        tags = {DEADLINE_TAG: deadline.isoformat()}
        await self._ask("tag", handle.scope, id=handle.id, tags=tags)

    async def stop(self, handle: Handle) -> None:
        """Stop the machine; its boot volume and its address stay, and cost."""
        self._block("stop")
        await _settled(self._ask("stop", handle.scope, id=handle.id))

    async def start(self, handle: Handle) -> None:
        """Start a machine that was stopped; it may get another address."""
        self._block("start")
        await _settled(self._ask("start", handle.scope, id=handle.id))

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
        raise error_of(answer, unknown)

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
                handle_of(one, scope),
                one["tags"].get(INTENT_TAG),
                STATES[one["state"]],
                dependent="kind" in one,
                depends_on=one.get("instance"),
            )
            for one in (*instances, *dependents)
            if one["tags"].get(tag) == value and STATES[one["state"]] is not ResourceState.GONE
        ]

    async def _dependents(self, handle: Handle) -> list[Any]:
        return await self._pages("list_dependents", "dependents", handle.scope, instance=handle.id)

    async def _state_of_dependent(self, handle: Handle) -> ResourceState:
        there = await self._pages(
            "list_dependents", "dependents", handle.scope, instance=handle.data["instance"]
        )
        for one in there:
            if one["id"] == handle.id:
                return STATES[one["state"]]
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


__all__ = (
    "INTENT_VARIABLE",
    "CloudProvider",
    "ModelCloud",
    "NoAnswer",
    "NoConnection",
)
