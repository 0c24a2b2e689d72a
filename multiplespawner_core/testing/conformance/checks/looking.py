"""Finding, describing and listing: what is there, and what is only not seen."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from multiplespawner_core.contracts import (
    Capacity,
    Endpoint,
    Handle,
    Intent,
    Observation,
    Provider,
    ProviderError,
    Quota,
    ResourceState,
    Scope,
    Unauthorized,
)
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.faults import Call, during, require_refused
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.subject import Subject

_UNDER_WAY = (ResourceState.PENDING, ResourceState.READY)
_WRONG = (ResourceState.FAILED, ResourceState.GONE, ResourceState.DELETING, ResourceState.STOPPED)


class Looking(Subject):
    @check("Provider.find", "It finds what carries this intent and nothing else.")
    async def test_find_only_this_intent(self, bench: Bench) -> None:
        provider, neighbour = await bench.provider(), await bench.provider("two")
        intent, handle = await bench.make(provider, "ada")
        await bench.make(provider, "bob")
        await bench.make(neighbour, "ada")
        found = [one.id for one in await bench.found(provider, intent)]
        bench.require(found == [handle.id], f"{found} for the intent of {handle.id}")
        unknown = await bench.wanted(provider, "ada")
        found = [one.id for one in await bench.found(provider, unknown, count=0)]
        bench.require(not found, f"{found} for an intent of which nobody has heard")

    @check("Provider.find", "It finds a resource in any state but gone.")
    async def test_find_in_every_state(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, handle = await bench.make(provider)

        async def require_found(when: str) -> None:
            found = [one.id for one in await bench.found(provider, intent)]
            bench.require(handle.id in found, f"{handle.id} is not found {when}")

        await require_found("right after it was created")
        await bench.start(provider, intent, handle)
        await bench.eventually(
            partial(bench.state, provider, handle), lambda seen: seen is not ResourceState.PENDING
        )
        await require_found("once it is ready")
        await bench.call(provider.delete, handle)
        if await bench.state(provider, handle) is ResourceState.DELETING:
            seen = await bench.call(provider.find, intent, handle.scope)
            state = await bench.state(provider, handle)
            there = seen or state is ResourceState.GONE
            bench.require(there, f"{handle.id} is not found while it is {state.value}")

    @check(
        "Provider.describe",
        "From PENDING it becomes READY, with an endpoint, within ready_timeout, and stays so.",
    )
    async def test_describe_until_ready(self, bench: Bench) -> None:
        provider = await bench.provider()
        if bench.by_child(provider):
            raise LeftOut("made_by is child: test_what_the_child_made_is_seen takes its place")
        _, handle = await bench.make(provider)
        within = min(bench.capabilities(provider).ready_timeout, self.patience)
        look = partial(bench.call, provider.describe, handle)

        def settled(seen: Observation) -> bool:
            bench.expect(seen, Observation, "describe")
            return seen.state is not ResourceState.PENDING

        for when in ("", " after it was ready"):
            seen = await bench.eventually(look, settled, within)
            bench.require(seen.state not in _WRONG, f"it says {seen.state.value}{when}: {seen}")
            bench.require(seen.state is ResourceState.READY, f"it is {seen.state.value}{when}")
            bench.require(isinstance(seen.endpoint, Endpoint), f"{seen} has no endpoint")

    @check(
        "Observation",
        "What was accepted and fails for want of room or quota is FAILED with error Capacity or"
        " Quota and a reason, is found, and is gone once it was deleted.",
    )
    async def test_a_late_failure_says_why(self, bench: Bench) -> None:
        provider = await bench.provider()
        if bench.by_child(provider):
            raise LeftOut("made_by is child: create reserves the place, or refuses")
        for error in (Capacity, Quota):
            async with during(self.fails_later(provider, error)):
                intent, handle = await bench.make(provider)
                look = partial(bench.call, provider.describe, handle)
                seen = await bench.eventually(look, lambda one: one.state not in _UNDER_WAY)
            bench.require(seen.state is ResourceState.FAILED, f"it failed, and is {seen.state}")
            bench.require(seen.error is error, f"{error.__name__} is told as {seen.error}")
            bench.require(seen.reason, "the user is told no reason")
            found = [one.id for one in await bench.found(provider, intent)]
            bench.require(handle.id in found, f"{handle.id} failed, and is not found any more")
            await bench.end(provider, handle)

    @check(
        "Provider.describe",
        "GONE, and an empty list, only on positive evidence: of a scope that this provider cannot"
        " look into it knows nothing.",
    )
    async def test_a_foreign_scope_proves_nothing(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, handle = await bench.make(provider)
        foreign = Scope(provider.component, "a scope that the conformance kit made up")
        calls = _looks(provider, replace(intent, offer=replace(intent.offer, scope=foreign)))
        elsewhere = replace(handle, scope=foreign)
        calls += [("describe", partial(provider.describe, elsewhere))]
        calls += _switches(bench, provider, elsewhere)
        await require_refused(bench, calls, ProviderError, f"it was asked in {foreign.key!r}")

    @check(
        "Provider.describe",
        "GONE, an empty list and an accepted request only on positive evidence: what an API that"
        " cannot be reached does is an error.",
    )
    async def test_unreachable_proves_nothing(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, handle = await bench.make(provider)
        async with during(self.unreachable(provider)):
            calls = _calls(bench, provider, intent, handle)
            await require_refused(bench, calls, ProviderError, "the API could not be reached")

    @check("Unauthorized", "Refused credentials are told as such: never evidence of anything else.")
    async def test_refused_credentials_prove_nothing(self, bench: Bench) -> None:
        provider = await bench.provider()
        intent, handle = await bench.make(provider)
        async with during(self.unauthorized(provider)):
            calls = _calls(bench, provider, intent, handle)
            await require_refused(bench, calls, Unauthorized, "the credentials were refused")

    @check(
        "Provider.list_owned",
        "It is complete for its scope, with what is pending, each with its intent, and what it"
        " lists can be deleted by that.",
    )
    async def test_list_is_complete(self, bench: Bench) -> None:
        provider = await bench.provider()
        made = [await bench.make(provider, f"user-{i}") for i in range(self.many)]
        await bench.start(provider, *made[0])
        listed = await bench.listed_of(provider, [intent for intent, _ in made], self.many)
        resources = {o.intent_id: o for o in listed if not o.dependent}
        for intent, handle in made:
            bench.require(
                intent.id in resources, f"{handle.id} is missing, one of {self.many}: {listed}"
            )
            owned = resources[intent.id]
            same = (owned.handle.id, owned.handle.scope) == (handle.id, handle.scope)
            bench.require(same, f"{handle} is listed as {owned.handle}")
            state = owned.state
            bench.require(state not in _WRONG, f"{handle.id} is listed as {state}")
        for owned in resources.values():
            await bench.end(provider, owned.handle)

    @check("Provider.list_owned", "It lists nothing of another installation.")
    async def test_list_only_this_installation(self, bench: Bench) -> None:
        provider, neighbour = await bench.provider(), await bench.provider("two")
        intent, handle = await bench.make(provider)
        other, _ = await bench.make(neighbour)
        await bench.listed_of(neighbour, [other], 1)
        for owned in await bench.listed(provider, handle.scope):
            ours = owned.intent_id in (None, intent.id)
            bench.require(ours, f"{owned} is of another installation")
        await bench.listed_of(provider, [intent], 1)
        for owned in await bench.listed(neighbour, handle.scope):
            theirs = owned.handle.id != handle.id
            bench.require(theirs, f"{owned} is listed for another installation")

    @check("Provider.list_owned", "A list that breaks off raises: a part of it is no list.")
    async def test_list_is_never_partial(self, bench: Bench) -> None:
        provider = await bench.provider()
        made = [await bench.make(provider, f"user-{i}") for i in range(self.many)]
        # So that there is more than a first part.
        await bench.listed_of(provider, [intent for intent, _ in made], self.many)
        scope = made[0][1].scope
        async with during(self.broken_list(provider)):
            listing = partial(provider.list_owned, provider.installation_id, scope)
            await require_refused(
                bench, [("list_owned", listing)], ProviderError, "the list broke off"
            )

    @check(
        "Provider.shutdown",
        "Resources stay: after a restart of the hub they are found, described, listed and deleted.",
    )
    async def test_resources_survive_a_restart(self, bench: Bench) -> None:
        first = await bench.provider()
        intent, handle = await bench.run(first)
        await bench.shutdown(first)
        second = await bench.provider()
        state = await bench.state(second, handle)
        bench.require(state not in _WRONG, f"after a restart it is {state.value}")
        found = [one.id for one in await bench.found(second, intent)]
        bench.require(found == [handle.id], f"after a restart {found} is found")
        listed = await bench.listed_of(second, [intent], 1)
        bench.require(listed, "after a restart it is not listed")
        await bench.end(second, handle)
        bench.require(not await bench.child_runs(intent), "after a restart it is not ended")


def _looks(provider: Provider, intent: Intent) -> list[Call]:
    scope = intent.offer.scope
    return [
        ("find", partial(provider.find, intent, scope)),
        ("list_owned", partial(provider.list_owned, provider.installation_id, scope)),
    ]


def _calls(bench: Bench, provider: Provider, intent: Intent, handle: Handle) -> list[Call]:
    unknown = replace(intent, id=f"{intent.id}0", token=f"{intent.token}0")
    return [
        *_looks(provider, intent),
        ("describe", partial(provider.describe, handle)),
        ("delete", partial(provider.delete, handle)),
        ("create", partial(provider.create, unknown, bench.keys)),
        *_switches(bench, provider, handle),
    ]


def _switches(bench: Bench, provider: Provider, handle: Handle) -> list[Call]:
    """Stop and start, where they are declared."""
    if not bench.capabilities(provider).stop_start:
        return []
    return [("stop", partial(provider.stop, handle)), ("start", partial(provider.start, handle))]


__all__ = ("Looking",)
