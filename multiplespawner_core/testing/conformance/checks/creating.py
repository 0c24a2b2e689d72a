"""Creating: at once, once, and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from multiplespawner_core.contracts import (
    Endpoint,
    Handle,
    IdempotentCreate,
    Intent,
    OutcomeUnknown,
    Provider,
    ProviderError,
    ResourceState,
    Throttled,
    Transient,
)
from multiplespawner_core.testing.conformance.bench import Bench, another_attempt
from multiplespawner_core.testing.conformance.faults import during
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.subject import Subject

_AT_ONCE = 4


class Creating(Subject):
    @check("Provider.create", "It returns as soon as there is an id and never waits for readiness.")
    async def test_create_does_not_wait(self, bench: Bench) -> None:
        provider = await bench.provider()
        if bench.by_child(provider):
            raise LeftOut("made_by is child: nothing is ready before the child's start")
        intent = await bench.wanted(provider)
        try:
            async with during(self.never_ready(provider)):
                handle = await bench.create(provider, intent)
                state = await bench.state(provider, handle)
        except LeftOut:
            handle = await bench.create(provider, intent)
            state = await bench.state(provider, handle)
            if state is not ResourceState.PENDING:
                raise
        bench.require(state is ResourceState.PENDING, f"it was {state.value} when create returned")

    @check(
        "Handle",
        "It carries the scope of its intent and survives being stored as JSON; where the child"
        " makes what runs it has an endpoint.",
    )
    async def test_handle_can_be_stored(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, handle = await bench.make(provider)
        bench.require(handle.id and isinstance(handle.id, str), f"its id is {handle.id!r}")
        scope = intent.offer.scope
        bench.require(handle.scope == scope, f"it is in {handle.scope}, not {scope}")
        try:
            stored = json.loads(json.dumps(dict(handle.data)))
        except (TypeError, ValueError) as error:
            raise bench.broken(f"its data is not JSON-able: {error}") from error
        bench.require(stored == handle.data, f"its data {handle.data} comes back as {stored}")
        endpoint = handle.endpoint
        bench.require(endpoint is None or isinstance(endpoint, Endpoint), f"it has {endpoint!r}")
        if bench.by_child(provider):
            bench.require(endpoint, "it has no endpoint")
        # What was read from the ledger is as good as what create returned.
        again = Handle(handle.id, scope, endpoint, stored)
        await bench.end(provider, again)

    @check(
        "Provider.create",
        "With the same token again it makes no second resource where idempotent_create promises"
        " so; also after the child was started where the child makes what runs.",
    )
    async def test_create_again_makes_no_second(self, bench: Bench) -> None:
        provider = await bench.provider()
        _require_idempotent(bench, provider)
        intent, first = await bench.run(provider)
        second = await bench.create(provider, intent)
        bench.require(first.id == second.id, f"{first.id} became {second.id}")
        await _require_one(bench, provider, intent, [first])
        bench.require(await bench.child_runs(intent) is not False, "it ended the child")

    @check(
        "Provider.create",
        "Nor does it make a second one for the same token after a restart of the hub.",
    )
    async def test_create_again_after_a_restart(self, bench: Bench) -> None:
        first = await bench.provider()
        _require_idempotent(bench, first)
        intent, handle = await bench.make(first)
        await bench.shutdown(first)
        second = await bench.provider()
        again = await bench.create(second, intent)
        bench.require(handle.id == again.id, f"{handle.id} became {again.id}")
        await _require_one(bench, second, intent, [handle])

    @check("Provider.create", "Of several calls at once with one token one resource comes.")
    async def test_create_at_once_makes_one(self, bench: Bench) -> None:
        provider = await bench.provider()
        _require_idempotent(bench, provider)
        intent = await bench.wanted(provider)
        calls = [bench.attempt(provider.create, intent, bench.keys) for _ in range(_AT_ONCE)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        handles = [answer for answer in answers if isinstance(answer, Handle)]
        for answer in answers:
            if not isinstance(answer, (Handle, OutcomeUnknown, Throttled, Transient)):
                raise bench.broken(f"one of them failed: {answer!r}")
        # One more, since all of them may have been turned away.
        await _require_one(
            bench, provider, intent, [*handles, await bench.create(provider, intent)]
        )

    @check(
        "Intent",
        "Another intent is another resource, and so is another attempt, with a token of its own,"
        " once the one before is gone.",
    )
    async def test_another_token_makes_another(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, first = await bench.make(provider, "ada")
        other, second = await bench.make(provider, "bob")
        bench.require(first.id != second.id, f"two intents both got {first.id}")
        await bench.end(provider, first)
        later = another_attempt(intent)
        third = await bench.create(provider, later)
        await bench.start(provider, later, third)
        state = await bench.state(provider, third)
        alive = state in (ResourceState.PENDING, ResourceState.READY)
        bench.require(alive, f"the second attempt got {third.id}, which is {state.value}")
        found = [one.id for one in await bench.found(provider, later)]
        bench.require(found == [third.id], f"the second attempt made {third.id}; found: {found}")
        bench.require(
            [one.id for one in await bench.found(provider, other)] == [second.id],
            "the other intent's resource is not found any more",
        )

    @check(
        "OutcomeUnknown",
        "An answer that was lost is told as OutcomeUnknown; then the same token again, or find,"
        " leads to the one resource.",
    )
    async def test_a_lost_answer_is_resolved(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent = await bench.wanted(provider)
        told: ProviderError | None = None
        async with during(self.lost_answer(provider)):
            try:
                await bench.attempt(provider.create, intent, bench.keys)
            except ProviderError as error:
                told = error
        bench.require(isinstance(told, OutcomeUnknown), f"the answer was lost, and told: {told!r}")
        found = await bench.found(provider, intent)
        if bench.capabilities(provider).idempotent_create is not IdempotentCreate.NONE:
            found += [await bench.create(provider, intent)]
        await _require_one(bench, provider, intent, found)


def _require_idempotent(bench: Bench, provider: Provider) -> None:
    if bench.capabilities(provider).idempotent_create is IdempotentCreate.NONE:
        raise LeftOut("idempotent_create is none: create is never sent again")


async def _require_one(
    bench: Bench, provider: Provider, intent: Intent, handles: Sequence[Handle]
) -> None:
    found = {*(one.id for one in handles), *(h.id for h in await bench.found(provider, intent))}
    bench.require(len(found) == 1, f"one token led to {len(found)} resources: {sorted(found)}")
    listed = [o.handle.id for o in await bench.listed_of(provider, [intent], 1) if not o.dependent]
    # Whether it is listed at all is another check's question.
    bench.require(len(listed) <= 1, f"one token led to what is listed as {listed}")


__all__ = ("Creating",)
