"""Cancellation at each await of every method: nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from multiplespawner_core.contracts import IdempotentCreate, Intent, Provider, ResourceState
from multiplespawner_core.testing.conformance.bench import Bench, settle
from multiplespawner_core.testing.conformance.checks.deleting import inventory, require_nothing
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.stepping import When, cancel_at, count
from multiplespawner_core.testing.conformance.subject import Subject

_MOST = 25
"""Awaits of one method at which it is cancelled; of more, these many spread over all."""

_SETTLED = 0.3
"""Seconds in which what went on behind a cancelled call shows, at the least."""

Work = Callable[[], Coroutine[Any, Any, Any]]


class Cancelling(Subject):
    @check(
        "Provider.create",
        "It may be cancelled at any await: what was accepted by then is found and can be deleted,"
        " nothing appears later, and the same token works again.",
    )
    async def test_create_can_be_cancelled(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent = await bench.wanted(provider)
        waits = await waits_of(bench, partial(provider.create, intent, bench.keys))
        await bench.release(provider, intent)
        before = await inventory(self, bench, provider)
        intents = []
        for number, when in points(waits):
            for again in (False, True):
                intent = await bench.wanted(provider)
                intents.append(intent)
                work = partial(provider.create, intent, bench.keys)
                if not await cancel(bench, "create", work, number, when):
                    continue
                if again and _repeatable(bench, provider):
                    handle = await bench.create(provider, intent)
                    await bench.start(provider, intent, handle)
                    state = await bench.state(provider, handle)
                    alive = state in (ResourceState.PENDING, ResourceState.READY)
                    bench.require(alive, f"{_at(number, when)}, the token led to {state.value}")
                await bench.release(provider, intent)
        await self.sleep(max(_SETTLED, bench.capabilities(provider).list_grace))
        if intents:
            await require_nothing(bench, provider, *intents)
        left = await inventory(self, bench, provider) - before
        bench.require(not left, f"after it was cancelled, this was left behind: {sorted(left)}")

    @check(
        "Provider.delete",
        "It may be cancelled at any await: deleted again, the resource is gone, with all of it.",
    )
    async def test_delete_can_be_cancelled(self, bench: Bench) -> None:
        provider = await bench.provider()
        before = await inventory(self, bench, provider)
        _, handle = await bench.run(provider)
        waits = await waits_of(bench, partial(provider.delete, handle))
        await bench.until_gone(provider, handle)
        for number, when in points(waits):
            intent, handle = await bench.run(provider)
            await cancel(bench, "delete", partial(provider.delete, handle), number, when)
            await bench.end(provider, handle)
            await require_nothing(bench, provider, intent)
            runs = await bench.child_runs(intent)
            bench.require(not runs, f"{_at(number, when)}, what the child had started is running")
        await self.sleep(_SETTLED)
        left = await inventory(self, bench, provider) - before
        bench.require(not left, f"after it was cancelled, this was left behind: {sorted(left)}")

    @check(
        "Provider.delete",
        "Where the child makes what runs, the child's start may be cancelled at any await: whatever"
        " it had begun ends with the resource.",
    )
    async def test_the_child_s_start_can_be_cancelled(self, bench: Bench) -> None:
        provider = await bench.provider()
        if not bench.by_child(provider):
            raise LeftOut("made_by is provider: its resource is there before the child's start")
        intent, handle = await bench.make(provider)
        waits, child = await count(settle(self.start_child(provider, intent, handle)))
        bench.adopt(intent, child)
        await bench.end(provider, handle)
        made = [(intent, handle)]
        for number, when in points(waits):
            intent, handle = await bench.make(provider)
            made.append((intent, handle))
            start = settle(self.start_child(provider, intent, handle))
            await cancel_at(start, number, when, self.patience)
            await bench.end(provider, handle)
        await self.sleep(_SETTLED)
        await require_nothing(bench, provider, *(intent for intent, _ in made))
        for _, handle in made:
            state = await bench.state(provider, handle)
            bench.require(state is ResourceState.GONE, f"what was gone is {state.value} now")

    @check(
        "Provider",
        "Every method may be cancelled at any await; one that only looks, or moves the deadline,"
        " works again afterwards and has changed nothing else.",
    )
    async def test_the_rest_can_be_cancelled(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, handle = await bench.run(provider)
        await bench.found(provider, intent)
        assert intent.expires_at is not None  # noqa: S101 - of every intent of the bench
        later, scope = intent.expires_at + timedelta(hours=1), handle.scope
        methods: dict[str, Work] = {
            "scopes": provider.scopes,
            "offers": partial(provider.offers, self.specification),
            "find": partial(provider.find, intent, scope),
            "describe": partial(provider.describe, handle),
            "list_owned": partial(provider.list_owned, provider.installation_id, scope),
            "extend": partial(provider.extend, handle, later),
        }
        for name, work in methods.items():
            waits = await waits_of(bench, work)
            for number, when in points(waits):
                await cancel(bench, name, work, number, when)
                await bench.call(work)
        await _require_alive(bench, provider, intent)


async def _require_alive(bench: Bench, provider: Provider, intent: Intent) -> None:
    found = await bench.found(provider, intent)
    bench.require(len(found) == 1, f"after calls were cancelled, {found} is there")
    state = await bench.state(provider, found[0])
    alive = state in (ResourceState.PENDING, ResourceState.READY)
    bench.require(alive, f"after calls were cancelled, it is {state.value}")


async def waits_of(bench: Bench, work: Work) -> int:
    """How often it waits if nobody disturbs it."""

    async def counted() -> int:
        waits, _ = await count(work())
        return waits

    return await bench.call(counted)


async def cancel(bench: Bench, name: str, work: Work, number: int, when: When) -> bool:
    """Whether it was cancelled, rather than done before."""
    told = await cancel_at(work(), number, when, bench.case.patience)
    bench.require(told.ended, f"{name}, {_at(number, when)}, did not end")
    bench.require(
        not told.swallowed, f"{name}, {_at(number, when)}, {told.swallowed} instead of ending"
    )
    return told.reached


def _at(number: int, when: When) -> str:
    return f"cancelled at its wait number {number}, {when.value}"


def points(waits: int) -> Iterator[tuple[int, When]]:
    """Where to cancel what waits so often."""
    step = max(1, -(-waits // _MOST))
    for number in range(1, waits + 1, step):
        for when in When:
            yield number, when


def _repeatable(bench: Bench, provider: Provider) -> bool:
    idempotent = bench.capabilities(provider).idempotent_create
    return idempotent is not IdempotentCreate.NONE


__all__ = ("Cancelling", "cancel", "points", "waits_of")
