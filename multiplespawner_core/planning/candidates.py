"""One plan after the other: the offers of a choice, then those of what may take its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from multiplespawner_core.contracts import (
    Availability,
    Capacity,
    ConfigurationError,
    InvalidSpecification,
    Offer,
    ProviderError,
    Quota,
)
from multiplespawner_core.planning.plan import Plan

Refusal = ProviderError | ConfigurationError

_TAKABLE = (Availability.AVAILABLE, Availability.UNKNOWN)


def available(offers: Sequence[Offer]) -> Offer:
    """The first one that can be had.

    Raises:
        Capacity: none can be had now.
        Quota: the account may not have more.
    """
    for offer in offers:
        if offer.availability in _TAKABLE:
            return offer
    refusals = Refusals()
    for offer in offers:
        refusals.note(offer.scope.provider, why_not(offer))
    raise refusals.error()


def why_not(offer: Offer) -> Refusal:
    """What a provider would answer to whoever asked for it all the same."""
    if offer.availability is Availability.NO_QUOTA:
        return Quota(offer.reason or "the quota is used up")
    return Capacity(offer.reason or "there is no room for it now")


def place(offer: Offer) -> str:
    """An offer in words for the user."""
    return f"{offer.scope.provider} ({offer.shape}, {offer.scope.key})"


class Refusals:
    """What was tried in vain, by provider."""

    def __init__(self) -> None:
        self._errors: dict[str, list[Refusal]] = {}

    def note(self, provider: str, error: Refusal) -> None:
        self._errors.setdefault(provider, []).append(error)

    def error(self) -> Refusal:
        """All of it as one error; of several kinds the one that waiting may cure."""
        errors = [error for of_one in self._errors.values() for error in of_one]
        if len(errors) == 1:
            return errors[0]
        told = {
            provider: "; ".join(dict.fromkeys(str(error) for error in of_one))
            for provider, of_one in self._errors.items()
        }
        if len(told) == 1:
            message = next(iter(told.values()))
        else:
            message = "; ".join(f"{provider}: {reasons}" for provider, reasons in told.items())
        kinds = {type(error) for error in errors}
        for kind in (Quota, InvalidSpecification):
            if kinds == {kind}:
                return kind(message)
        return Capacity(message or "there is no room for it now")


Wanted = tuple[str, Callable[[], Awaitable[Sequence[Plan]]]]
"""A provider's name, and what asks it: a plan for each of its offers, best first."""


class Candidates:
    """What a start may be made of, asked for only when it is needed.

    Args:
        wanted: what the user chose, then what may take its place.
    """

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._wanted = list(wanted)
        self._plans: list[Plan] = []
        self._refusals = Refusals()
        self._told: list[str] = []

    async def first(self) -> Plan:
        """The best plan.

        Raises:
            Capacity: there is none now.
            Quota: the account may not have more.
            InvalidSpecification: there will never be one.
        """
        while True:
            plan = self._take()
            if plan is not None:
                told, self._told = self._told, []
                return replace(plan, turned_down=told, otherwise=self._after(plan))
            if not self._wanted:
                raise self._refusals.error()
            provider, ask = self._wanted.pop(0)
            try:
                self._plans = list(await ask())
            except (ProviderError, ConfigurationError) as error:
                self._refuse(provider, provider, error)
            else:
                if not self._plans:
                    self._refuse(provider, provider, Capacity("there is no room for it now"))

    def _take(self) -> Plan | None:
        while self._plans:
            plan = self._plans.pop(0)
            if plan.offer.availability in _TAKABLE:
                return plan
            self._refuse(plan.offer.scope.provider, place(plan.offer), why_not(plan.offer))
        return None

    def _after(self, plan: Plan) -> Callable[[ProviderError], Coroutine[Any, Any, Plan]]:
        async def after(error: ProviderError) -> Plan:
            self._refuse(plan.offer.scope.provider, place(plan.offer), error)
            return await self.first()

        return after

    def _refuse(self, provider: str, where: str, error: Refusal) -> None:
        self._refusals.note(provider, error)
        self._told.append(f"{where}: {error}")


__all__ = ("Candidates", "available", "place")
