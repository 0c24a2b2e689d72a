"""Deleting: all of it, nothing else, and as often as it takes; and moving the end."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import partial

from multiplespawner_core.contracts import (
    Handle,
    Intent,
    NotFound,
    Provider,
    ProviderError,
    ResourceState,
)
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.subject import Subject


class Deleting(Subject):
    @check(
        "Provider.delete",
        "It deletes the resource with everything that depends on it; accepted at once, GONE in"
        " the end.",
    )
    async def test_delete_ends_everything(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent = await bench.wanted(provider)
        before = await inventory(self, bench, provider)
        handle = await bench.create(provider, intent)
        await bench.start(provider, intent, handle)
        await bench.end(provider, handle)
        await require_nothing(bench, provider, intent)
        gone = await bench.state(provider, handle)
        bench.require(gone is ResourceState.GONE, f"it was gone, and now is {gone.value}")
        runs = await bench.eventually(partial(bench.child_runs, intent), lambda runs: not runs)
        bench.require(not runs, "what the child had started is running")
        after = await inventory(self, bench, provider)
        bench.require(after <= before, f"left behind: {sorted(after - before)}")

    @check("Provider.delete", "It is idempotent; what is missing is a success.")
    async def test_delete_again_is_a_success(self, bench: Bench) -> None:
        provider = await bench.provider()
        _, handle = await bench.run(provider)
        for _ in range(2):
            await bench.call(provider.delete, handle)
        await bench.until_gone(provider, handle)
        await bench.call(provider.delete, handle)
        # A hub that lost its state has never seen it.
        stranger = await bench.provider("two")
        await bench.call(stranger.delete, handle)

    @check("Provider.delete", "It touches nothing else.")
    async def test_delete_spares_others(self, bench: Bench) -> None:
        provider = await bench.provider()
        _, handle = await bench.run(provider, "ada")
        await self._end_beside(bench, provider, handle, "bob")

    @check(
        "Provider.delete",
        "It goes by the intent's label and the provider's id: the next server of the same owner,"
        " which may bear the same name, is spared, also when what is gone is deleted again.",
    )
    async def test_delete_spares_the_next_generation(self, bench: Bench) -> None:
        provider = await bench.provider()
        _, handle = await bench.run(provider, "ada")
        await bench.end(provider, handle)
        await self._end_beside(bench, provider, handle, "ada")

    async def _end_beside(
        self, bench: Bench, provider: Provider, handle: Handle, user: str
    ) -> None:
        """Delete while another one of this user runs."""
        other, spared = await bench.run(provider, user)
        with contextlib.suppress(NotFound):  # another check's question
            await bench.end(provider, handle)
        state = await bench.state(provider, spared)
        alive = state in (ResourceState.PENDING, ResourceState.READY)
        bench.require(alive, f"{spared.id} is {state.value} since {handle.id} was deleted")
        found = [one.id for one in await bench.found(provider, other)]
        bench.require(found == [spared.id], f"{spared.id} is not found since {handle.id} went")
        runs = await bench.child_runs(other)
        bench.require(runs is not False, f"the child of {spared.id} ended with {handle.id}")

    @check(
        "Provider.extend",
        "It moves the deadline wherever create wrote it, again as well, and raises where nothing"
        " was moved.",
    )
    async def test_extend_moves_the_deadline(self, bench: Bench) -> None:
        provider = await bench.provider()
        if type(provider).extend is Provider.extend:
            raise LeftOut("extend is not overridden: create writes the deadline nowhere")
        intent, handle = await bench.run(provider)
        assert intent.expires_at is not None  # noqa: S101 - of every intent of the bench
        for hours in (1, 1, 2):
            later = intent.expires_at + timedelta(hours=hours)
            await bench.call(provider.extend, handle, later)
            try:
                written = await self.deadline(provider, handle)
            except LeftOut as why:
                bench.without(why)
                continue
            near = written is not None and abs(written - later) < timedelta(seconds=1)
            bench.require(near, f"moved to {later}, and {written} is written")
        await bench.end(provider, handle)
        try:
            await bench.attempt(provider.extend, handle, later)
        except ProviderError:
            return
        raise bench.broken("it claims to have moved the deadline of what is gone")


async def require_nothing(bench: Bench, provider: Provider, *intents: Intent) -> None:
    """Nothing is found or listed of them, dependents included."""
    for intent in intents:
        found = [one.id for one in await bench.found(provider, intent, count=0)]
        bench.require(not found, f"{found} is still found")
    listed = await bench.listed_of(provider, intents, 0)
    bench.require(not listed, f"still listed: {listed}")


async def inventory(case: Subject, bench: Bench, provider: Provider) -> set[str]:
    """What really exists, if the author can tell; else nothing, and that is reported."""
    try:
        return {*await case.inventory(provider)}
    except LeftOut as why:
        bench.without(why)
        return set()


__all__ = ("Deleting", "inventory", "require_nothing")
