"""What a check works with: providers of several hubs, intents, the core's way of calling."""

from __future__ import annotations

import asyncio
import inspect
import uuid
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from multiplespawner_core.contracts import (
    Availability,
    Capabilities,
    Handle,
    IdempotentCreate,
    Intent,
    Keys,
    MadeBy,
    OutcomeUnknown,
    Owned,
    Owner,
    Provider,
    ResourceState,
    Scope,
    Throttled,
    Transient,
)
from multiplespawner_core.resources.timing import bounded
from multiplespawner_core.testing.conformance.rules import Rule, Teller

if TYPE_CHECKING:
    from multiplespawner_core.testing.conformance import ProviderConformance
    from multiplespawner_core.testing.conformance.subject import Child

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.02, 0.5, 1.3
_GRACE = 1.0


class Bench(Teller):
    """One for each check; nothing of what was made on it is left.

    Args:
        case: what the author said.
        rule: that is checked.
        folder: for the state of hubs.
        parts: receives why parts of the check were left out.
    """

    def __init__(
        self, case: ProviderConformance, rule: Rule, folder: Path, parts: list[str]
    ) -> None:
        super().__init__(rule, parts)
        self.case = case
        self.folder = folder
        self._hubs: dict[str, str] = {}
        self._providers: list[Provider] = []
        self._intents: set[str] = set()
        self._made: dict[str, tuple[Provider, Handle]] = {}
        self._children: dict[str, Child] = {}
        self._keys: Keys | None = None

    # --- hubs and their providers ---

    async def provider(self, hub: str = "one") -> Provider:
        """A new object for this hub, as a restart makes it: what was kept is the state_dir."""
        installation = self._hubs.setdefault(hub, uuid.uuid4().hex)
        state_dir = self.folder / f"state-{hub}"
        state_dir.mkdir(mode=0o700, exist_ok=True)
        made = await settle(self.case.make_provider(installation, state_dir))
        provider: Provider = self.expect(made, Provider, "make_provider")
        self._providers.append(provider)
        await self._bounded(provider.startup())
        return provider

    async def shutdown(self, provider: Provider) -> None:
        self._providers.remove(provider)
        await self._bounded(provider.shutdown())

    def expect(self, answer: Any, kind: type[T] | tuple[type[T], ...], method: str) -> T:
        if not isinstance(answer, kind):
            raise self.broken(f"{method} answered {answer!r:.200}")
        return answer

    def expect_all(self, answer: Any, kind: type[T], method: str) -> list[T]:
        """A sequence of such answers, as a list."""
        return [self.expect(one, kind, method) for one in self.expect(answer, Sequence, method)]

    # --- calling as the core calls ---

    async def call(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Call, and again after every error that says that it may be called again."""
        pauses = _pauses(self.case.patience)
        while True:
            try:
                return await self._bounded(method(*arguments))
            except (Transient, Throttled, OutcomeUnknown) as error:
                pause = next(pauses, None)
                if pause is None:
                    raise
                await self.case.sleep(max(pause, getattr(error, "retry_after", None) or 0))

    async def attempt(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Call once."""
        return await self._bounded(method(*arguments))

    async def eventually(
        self,
        look: Callable[[], Awaitable[T]],
        accept: Callable[[T], object],
        within: float | None = None,
    ) -> T:
        """What is seen once it is acceptable, or by a look that begins after `within` seconds."""
        pauses = _pauses(self.case.patience if within is None else within)
        while True:
            seen = await look()
            if accept(seen):
                return seen
            pause = next(pauses, None)
            if pause is None:
                return seen
            await self.case.sleep(pause)

    async def wanted(self, provider: Provider, user: str = "ada", server: str = "") -> Intent:
        """A new intent for the first offer that can be had."""
        offers = await self.call(provider.offers, self.case.specification)
        free = [offer for offer in offers if offer.availability is Availability.AVAILABLE]
        self.require(free, f"nothing can be had for {self.case.specification}: {offers}")
        intent_id = uuid.uuid4().hex
        self._intents.add(intent_id)
        return Intent(
            id=intent_id,
            token=f"{intent_id}-1",
            attempt=1,
            installation_id=provider.installation_id,
            owner=Owner(user, server),
            offer=free[0],
            specification=self.case.specification,
            expires_at=datetime.now(timezone.utc) + timedelta(hours=1),
        )

    async def create(self, provider: Provider, intent: Intent) -> Handle:
        """Create as the core does: a lost answer is resolved."""
        method, keys = provider.create, self.keys
        if self.capabilities(provider).idempotent_create is not IdempotentCreate.NONE:
            return self._note(provider, await self.call(method, intent, keys))
        try:
            return self._note(provider, await self.attempt(method, intent, keys))
        except OutcomeUnknown:
            handles = await self.found(provider, intent)
            if not handles:
                raise
            return self._note(provider, handles[0])

    async def make(self, provider: Provider, user: str = "ada") -> tuple[Intent, Handle]:
        intent = await self.wanted(provider, user)
        return intent, await self.create(provider, intent)

    async def run(self, provider: Provider, user: str = "ada") -> tuple[Intent, Handle]:
        """A resource with its child, where the child makes what runs."""
        intent, handle = await self.make(provider, user)
        await self.start(provider, intent, handle)
        return intent, handle

    async def start(self, provider: Provider, intent: Intent, handle: Handle) -> None:
        """Start the child, where the child makes what runs; once for each intent."""
        if self.by_child(provider) and intent.id not in self._children:
            self._children[intent.id] = await self.case.start_child(provider, intent, handle)

    def adopt(self, intent: Intent, child: Child) -> None:
        """A child that was started elsewhere; it is ended with the rest."""
        self._children[intent.id] = child

    async def child_runs(self, intent: Intent) -> bool | None:
        """None without a child."""
        child = self._children.get(intent.id)
        return None if child is None else await settle(child.poll()) is None

    # --- looking ---

    async def found(self, provider: Provider, intent: Intent, count: int = 1) -> list[Handle]:
        """What `find` answers, as soon as it is so many or once lists are to be trusted."""

        async def look() -> list[Handle]:
            answer = await self.call(provider.find, intent, intent.offer.scope)
            return self.expect_all(answer, Handle, "find")

        grace = self.capabilities(provider).list_grace
        return await self.eventually(look, lambda seen: len(seen) == count, grace)

    async def listed(self, provider: Provider, scope: Scope) -> list[Owned]:
        """One look at everything that is this hub's."""
        answer = await self.call(provider.list_owned, provider.installation_id, scope)
        return self.expect_all(answer, Owned, "list_owned")

    async def listed_of(
        self,
        provider: Provider,
        intents: Sequence[Intent],
        count: int,
        state: ResourceState | None = None,
    ) -> list[Owned]:
        """What is listed of these intents: once it is so many, in that state, or trustworthy."""
        ids = {intent.id for intent in intents}

        async def look() -> list[Owned]:
            listed = await self.listed(provider, intents[0].offer.scope)
            return [one for one in listed if one.intent_id in ids]

        def complete(seen: list[Owned]) -> bool:
            states = [one.state for one in seen if not one.dependent]
            as_wanted = state is None or set(states) == {state}
            return len(states) == count and as_wanted and (count > 0 or not seen)

        grace = self.capabilities(provider).list_grace
        return await self.eventually(look, complete, grace)

    async def state(self, provider: Provider, handle: Handle) -> ResourceState:
        return (await self.call(provider.describe, handle)).state

    async def until_gone(self, provider: Provider, handle: Handle) -> None:
        """Wait for the proof; a delete that is not carried out is asked for again."""

        async def look() -> ResourceState:
            seen = await self.state(provider, handle)
            if seen not in (ResourceState.GONE, ResourceState.DELETING):
                await self.call(provider.delete, handle)
            return seen

        state = await self.eventually(look, lambda seen: seen is ResourceState.GONE)
        self.require(
            state is ResourceState.GONE, f"{handle.id} was deleted and still is {state.value}"
        )

    async def release(self, provider: Provider, intent: Intent) -> None:
        """Give back as the core does after a start of which no handle was recorded."""
        for _ in range(2):
            await self.case.sleep(self.capabilities(provider).list_grace)
            handles = await self.call(provider.find, intent, intent.offer.scope)
            if handles:
                break
        for handle in handles:
            await self.call(provider.delete, handle)
        for handle in handles:
            await self.until_gone(provider, handle)

    async def end(self, provider: Provider, handle: Handle) -> None:
        await self.call(provider.delete, handle)
        await self.until_gone(provider, handle)

    # --- the rest ---

    def capabilities(self, provider: Provider) -> Capabilities:
        return self.expect(provider.capabilities(), Capabilities, "capabilities")

    def by_child(self, provider: Provider) -> bool:
        return self.capabilities(provider).made_by is MadeBy.CHILD

    @property
    def keys(self) -> Keys:
        """What an authenticator would have prepared."""
        if self._keys is None:
            self._keys = self.case.make_keys(self.folder)
        return self._keys

    async def close(self) -> None:
        """Delete everything that was made; what cannot be is told as a warning."""
        for provider in reversed(self._providers):
            try:
                await self._clear(provider)
            except Exception as error:  # noqa: BLE001 - the check has told what is wrong
                warnings.warn(f"something may be left behind: {error!r}", stacklevel=1)
        for child in self._children.values():
            if await settle(child.poll()) is None:
                await settle(child.stop())
        for provider in reversed(self._providers):
            try:
                await self._bounded(provider.shutdown())
            except Exception as error:  # noqa: BLE001 - the others are shut down all the same
                warnings.warn(f"shutdown failed: {error!r}", stacklevel=1)

    async def _clear(self, provider: Provider) -> None:
        handles = {
            key: handle for key, (by, handle) in self._made.items() if self._is(by, provider)
        }
        for scope in {handle.scope for handle in handles.values()}:
            for owned in await self.listed(provider, scope):
                # A provider that is wrong may list what is somebody else's.
                if owned.intent_id in self._intents:
                    handles.setdefault(owned.handle.id, owned.handle)
        for handle in handles.values():
            await self.end(provider, handle)
        self._made = {key: made for key, made in self._made.items() if key not in handles}

    @staticmethod
    def _is(one: Provider, other: Provider) -> bool:
        return one.installation_id == other.installation_id

    def _note(self, provider: Provider, handle: Handle) -> Handle:
        self.expect(handle, Handle, "create")
        self._made[handle.id] = provider, handle
        return handle

    async def _bounded(self, work: Coroutine[Any, Any, T]) -> T:
        patience = self.case.patience
        try:
            return await bounded(work, patience, _GRACE)
        except asyncio.TimeoutError:
            name = getattr(work, "__qualname__", "a call")
            raise self.broken(f"{name} did not answer within {patience:g} s") from None


async def settle(value: Any) -> Any:
    """What an author's method returns, coroutine or not."""
    return await value if inspect.isawaitable(value) else value


def another_attempt(intent: Intent) -> Intent:
    """The same intent after its first attempt was resolved."""
    attempt = intent.attempt + 1
    return replace(intent, attempt=attempt, token=f"{intent.id}-{attempt}")


def _pauses(total: float) -> Any:
    """Pauses that grow, `total` seconds in all."""
    pause, left = _FIRST_PAUSE, total
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


__all__ = ("Bench", "another_attempt", "settle")
