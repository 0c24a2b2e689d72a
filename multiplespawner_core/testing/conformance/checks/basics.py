"""Capabilities, scopes and offers."""

from __future__ import annotations

from dataclasses import replace

from multiplespawner_core.contracts import (
    RESOURCE_TYPES,
    Availability,
    Capabilities,
    IdempotentCreate,
    InvalidSpecification,
    MadeBy,
    Offer,
    Provider,
    Scope,
    Specification,
    Storage,
)
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.subject import Subject

_SIZES = {"cpu", "memory", "gpu"}


class Basics(Subject):
    @check(
        "Capabilities",
        "What a provider declares is complete and possible: the core's policy follows it.",
    )
    async def test_capabilities_are_possible(self, bench: Bench) -> None:
        provider = await bench.provider()
        found = bench.capabilities(provider)
        for problem in _problems(found, type(provider)):
            raise bench.broken(f"{problem}: {found}")

    @check("Provider.capabilities", "They are constant while the hub runs.")
    async def test_capabilities_are_constant(self, bench: Bench) -> None:
        provider = await bench.provider()
        first = bench.capabilities(provider)
        _, handle = await bench.run(provider)
        second = bench.capabilities(provider)
        bench.require(first == second, f"{first} became {second} with a resource")
        await bench.end(provider, handle)
        third = bench.capabilities(provider)
        bench.require(first == third, f"{first} became {third} after a resource")

    @check(
        "Provider.scopes",
        "There is a scope at least, each names the provider as it is configured, and a restart"
        " of the hub changes none: the ledger keeps them.",
    )
    async def test_scopes_stay(self, bench: Bench) -> None:
        provider = await bench.provider()
        first = bench.expect_all(await bench.call(provider.scopes), Scope, "scopes")
        bench.require(first, "there is none")
        bench.require(len({*first}) == len(first), f"one is there twice: {first}")
        for scope in first:
            named = scope.provider == provider.component and isinstance(scope.key, str)
            bench.require(named and scope.key, f"{scope} is not of {provider.component!r}")
        await bench.shutdown(provider)
        second = await bench.call((await bench.provider()).scopes)
        bench.require({*first} == {*second}, f"{first} became {second} with a restart")

    @check(
        "Provider.offers",
        "What is offered fits what was asked for, in a scope of the provider; what cannot be had"
        " now says why.",
    )
    async def test_offers_fit(self, bench: Bench) -> None:
        provider, wanted = await bench.provider(), self.specification
        scopes = await bench.call(provider.scopes)
        offers = bench.expect_all(await bench.call(provider.offers, wanted), Offer, "offers")
        bench.require(offers, f"nothing is offered for {wanted}")
        for offer in offers:
            bench.require(offer.scope in scopes, f"{offer} is in none of its scopes {scopes}")
            known = offer.availability is Availability.AVAILABLE or offer.reason
            bench.require(known, f"{offer} cannot be had now, and does not say why")
            for name in ("cpu", "memory", "gpu"):
                asked, given = getattr(wanted, name), getattr(offer, name)
                enough = not asked or given is None or given >= asked
                bench.require(enough, f"{name}: {asked} was asked for, and {given} is offered")

    @check(
        "Provider.offers",
        "What can never be had is refused with InvalidSpecification, or not offered.",
    )
    async def test_offers_refuse_the_impossible(self, bench: Bench) -> None:
        provider = await bench.provider()
        wanted = self.impossible or _other_type(bench.capabilities(provider), self.specification)
        try:
            offers = await bench.call(provider.offers, wanted)
        except InvalidSpecification as error:
            bench.require(str(error), "it does not say what is allowed")
            return
        free = [one for one in offers if one.availability is Availability.AVAILABLE]
        bench.require(not free, f"{free} for {wanted}")


def _other_type(capabilities: Capabilities, wanted: Specification) -> Specification:
    others = [name for name in RESOURCE_TYPES if name not in capabilities.resource_types]
    if not others:
        raise LeftOut("it has every resource type: nothing impossible is named: impossible = ...")
    return replace(wanted, resource_type=others[0])


def _problems(found: Capabilities, cls: type[Provider]) -> list[str]:
    types, storage = [*found.resource_types], [*found.storage]
    by_token = found.idempotent_create is IdempotentCreate.TOKEN
    durations = (found.create_timeout, found.ready_timeout, found.poll_interval)
    claims = {
        "resource_types must be some of RESOURCE_TYPES": types and {*types} <= {*RESOURCE_TYPES},
        "made_by must be a MadeBy": isinstance(found.made_by, MadeBy),
        "idempotent_create must be an IdempotentCreate": isinstance(
            found.idempotent_create, IdempotentCreate
        ),
        "sizes must be some of cpu, memory, gpu": {*found.sizes} <= _SIZES,
        "storage must be some Storage": storage and all(isinstance(s, Storage) for s in storage),
        "stop_start needs stop, start and the storage keep": not found.stop_start
        or (
            Storage.KEEP in storage
            and cls.stop is not Provider.stop
            and cls.start is not Provider.start
        ),
        "timeouts must be more than 0": all(duration > 0 for duration in durations),
        "list_grace cannot be less than 0": found.list_grace >= 0,
        # Else no lost answer could be resolved by sending the token again.
        "token_validity must be more than create_timeout": not by_token
        or found.token_validity > found.create_timeout,
    }
    return [problem for problem, kept in claims.items() if not kept]


__all__ = ("Basics",)
