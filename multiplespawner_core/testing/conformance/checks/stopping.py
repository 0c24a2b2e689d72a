"""Stopping and starting again, where the provider declares it."""

from __future__ import annotations

from functools import partial
from typing import Any

from multiplespawner_core.contracts import (
    Handle,
    Intent,
    Observation,
    Provider,
    ProviderError,
    ResourceState,
)
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.checks.cancelling import cancel, points, waits_of
from multiplespawner_core.testing.conformance.checks.deleting import inventory, require_nothing
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.subject import Subject


class Stopping(Subject):
    @check(
        "Provider.stop",
        "What is stopped says so, runs no more, and is started again as the same resource with the"
        " same files; stop and start are idempotent.",
    )
    async def test_stop_and_start_keep_it(self, bench: Bench) -> None:
        provider = await _provider(bench)
        intent, handle = await _running(bench, provider)
        files = await self._files(bench, provider, handle)
        before = await inventory(self, bench, provider)
        for _ in range(2):
            await _stop(bench, provider, intent, handle)
        await bench.call(provider.start, handle)
        await _start(bench, provider, handle)
        # What runs already is a success as well.
        await bench.call(provider.start, handle)
        found = [one.id for one in await bench.found(provider, intent)]
        bench.require(found == [handle.id], f"{handle.id} was started again, and {found} is found")
        after = await inventory(self, bench, provider)
        bench.require(after == before, f"there was {sorted(before)}, and now is {sorted(after)}")
        now = await self._files(bench, provider, handle)
        bench.require(now == files, f"its files were {files}, and now are {now}")

    @check(
        "Provider.stop",
        "What is stopped is found and listed as such, also after a restart of the hub, and deleted"
        " like anything else.",
    )
    async def test_what_is_stopped_is_seen_and_deleted(self, bench: Bench) -> None:
        first = await _provider(bench)
        intent, handle = await _running(bench, first)
        await _stop(bench, first, intent, handle)
        await bench.shutdown(first)
        second = await bench.provider()
        found = [one.id for one in await bench.found(second, intent)]
        bench.require(found == [handle.id], f"{handle.id} is stopped, and {found} is found")
        # A list that is as old as `list_grace` allows may still tell what was before the stop.
        listed = await bench.listed_of(second, [intent], 1, ResourceState.STOPPED)
        states = [one.state for one in listed if not one.dependent]
        bench.require(states == [ResourceState.STOPPED], f"stopped, it is listed as {states}")
        await bench.end(second, handle)
        await require_nothing(bench, second, intent)

    @check("Provider.start", "What is gone is not started: it raises, and makes nothing.")
    async def test_what_is_gone_is_not_started(self, bench: Bench) -> None:
        provider = await _provider(bench)
        intent, handle = await _running(bench, provider)
        await bench.end(provider, handle)
        for name in ("start", "stop"):
            try:
                await bench.attempt(getattr(provider, name), handle)
            except ProviderError:
                continue
            raise bench.broken(f"{name} claims to have been done with what is gone")
        await require_nothing(bench, provider, intent)

    @check(
        "Provider.stop",
        "It and start may be cancelled at any await: called again, each does what it says, with the"
        " same resource.",
    )
    async def test_stop_and_start_can_be_cancelled(self, bench: Bench) -> None:
        provider = await _provider(bench)
        intent, handle = await _running(bench, provider)
        before = await inventory(self, bench, provider)
        stop, start = partial(provider.stop, handle), partial(provider.start, handle)
        waits = await waits_of(bench, stop)
        await _stop(bench, provider, intent, handle)
        waits = max(waits, await waits_of(bench, start))
        await _start(bench, provider, handle)
        for number, when in points(waits):
            await cancel(bench, "stop", stop, number, when)
            await _stop(bench, provider, intent, handle)
            await cancel(bench, "start", start, number, when)
            await _start(bench, provider, handle)
        found = [one.id for one in await bench.found(provider, intent)]
        bench.require(found == [handle.id], f"of {handle.id} there is {found}")
        after = await inventory(self, bench, provider)
        bench.require(after == before, f"there was {sorted(before)}, and now is {sorted(after)}")

    async def _files(self, bench: Bench, provider: Provider, handle: Handle) -> Any:
        try:
            return await self.files(provider, handle)
        except LeftOut as why:
            bench.without(why)
            return None


async def _provider(bench: Bench) -> Provider:
    provider = await bench.provider()
    if not bench.capabilities(provider).stop_start:
        raise LeftOut("stop_start is not declared")
    return provider


async def _running(bench: Bench, provider: Provider) -> tuple[Intent, Handle]:
    intent, handle = await bench.run(provider)
    await _until(bench, provider, handle, ResourceState.READY)
    return intent, handle


async def _stop(bench: Bench, provider: Provider, intent: Intent, handle: Handle) -> None:
    await bench.call(provider.stop, handle)
    await _until(bench, provider, handle, ResourceState.STOPPED)
    runs = await bench.child_runs(intent)
    bench.require(not runs, "it says that it is stopped, and the child runs")


async def _start(bench: Bench, provider: Provider, handle: Handle) -> None:
    await bench.call(provider.start, handle)
    if not bench.by_child(provider):
        seen = await _until(bench, provider, handle, ResourceState.READY)
        bench.require(seen.endpoint, f"started again it has no endpoint: {seen}")


async def _until(
    bench: Bench, provider: Provider, handle: Handle, state: ResourceState
) -> Observation:
    look = partial(bench.call, provider.describe, handle)
    seen = await bench.eventually(look, lambda one: one.state is state)
    bench.require(seen.state is state, f"{handle.id} does not become {state.value}: {seen}")
    return seen


__all__ = ("Stopping",)
