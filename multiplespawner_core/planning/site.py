"""The site: what this hub offers, and from a request to a plan."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from multiplespawner_core.catalogue import Resolution, ResolvedTemplate, deployment_split
from multiplespawner_core.catalogue.model import Deployment
from multiplespawner_core.catalogue.placeholders import of_owner, render
from multiplespawner_core.contracts import (
    Authenticator,
    Availability,
    Capabilities,
    Capacity,
    ConfigurationError,
    Configurer,
    MadeBy,
    Offer,
    Owner,
    Provider,
    Quota,
    Specification,
)
from multiplespawner_core.planning.boundary import expect
from multiplespawner_core.planning.plan import Budget, Placeholders, Plan
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.selection.request import Choice, Request, select

MINUTE = 60.0
"""Seconds in the unit of lifetimes."""

_log = logging.getLogger(__name__)

_CHILD_DEFAULTS = {"start_timeout": 60, "http_timeout": 30}
"""JupyterHub's own (``jupyterhub/spawner.py``), for a class that does not say."""


@dataclass(frozen=True)
class Option:
    """A choice together with all that it resolves to."""

    choice: Choice
    resolved: ResolvedTemplate
    provider: Provider
    child_class: type[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    child_kwargs: Mapping[str, Any] = field(default_factory=dict)


class Site:
    """Everything that can be chosen here, in the administrator's order.

    Args:
        resolution: templates and deployments with their classes.
        pool: makes providers and the rest.
    """

    def __init__(self, resolution: Resolution, pool: Pool) -> None:
        self.problems: list[str] = []
        self._pool = pool
        self._templates = {resolved.template.name: resolved for resolved in resolution.templates}
        self._options: dict[tuple[str, str, str], Option] = {}
        for resolved, provider, deployment in resolution.combinations():
            try:
                option = self._option(resolved, provider, deployment)
            except ConfigurationError as error:
                name = resolved.template.name
                self._complain(f"template {name!r} with provider {provider!r}: {error}")
            except Exception as error:  # noqa: BLE001
                # A defect of one provider takes its own choices away and no other's.
                _log.exception("provider %r is defective", provider)
                what = f"{type(error).__name__}: {error}"
                name = resolved.template.name
                self._complain(f"template {name!r}: provider {provider!r} is defective: {what}")
            else:
                # The first template that fits a choice starts it.
                self._options.setdefault(option.choice.where, option)

    def choices(self) -> list[Choice]:
        """The valid combinations."""
        return [option.choice for option in self._options.values()]

    def select(self, options: Mapping[str, Any]) -> tuple[Request, Choice]:
        """What user options mean here.

        Raises:
            InvalidOptions: nothing; the message says what is allowed.
        """
        return select(options, self.choices())

    def budget(self, choice: Choice) -> Budget:
        """How long each phase of such a start may take."""
        option = self._options[choice.where]
        capabilities = option.provider.capabilities()
        resolved = option.resolved
        waits = capabilities.made_by is MadeBy.PROVIDER
        return Budget(
            create=capabilities.create_timeout,
            ready=capabilities.ready_timeout if waits else 0,
            open=resolved.authenticator.open_timeout if resolved.authenticator else 0,
            configure=resolved.configurer.apply_timeout if resolved.configurer else 0,
            launch=self._child_timeout(option, "start_timeout"),
        )

    def http_timeout(self, choice: Choice) -> float:
        """Seconds that the server may take to answer once its child has started it."""
        return self._child_timeout(self._options[choice.where], "http_timeout")

    async def plan(self, request: Request, owner: Owner) -> Plan:
        """Everything that a start needs; asks the provider what it offers.

        Raises:
            InvalidSpecification: no offer will ever fit.
            Capacity: none can be had now.
            Quota: the account may not have more.
        """
        option = self._options.get((request.provider, request.resource_type, request.deployment))
        if option is None:
            msg = "what was chosen is no longer offered; choose again"
            raise ConfigurationError(msg)
        provider = await self._pool.ready(option.provider)
        specification = Specification(
            resource_type=request.resource_type,
            cpu=request.cpu,
            memory=request.memory,
            gpu=request.gpu,
            attributes=render(option.attributes, of_owner(owner)),
        )
        resolved = option.resolved
        return Plan(
            template=resolved.template.name,
            deployment=request.deployment,
            provider=provider,
            offer=_best(_offers(provider, await provider.offers(specification))),
            specification=specification,
            child_class=option.child_class,
            child_kwargs=option.child_kwargs,
            authenticator=await self.authenticator(resolved.template.name),
            configurer=self._configurer(resolved),
            lifetime=None if request.lifetime is None else request.lifetime * MINUTE,
            hub_connect_url=resolved.template.hub_connect_url,
            budget=self.budget(option.choice),
        )

    async def authenticator(self, template: str) -> Authenticator | None:
        """The authenticator of a template; None if it has none or the template is gone."""
        resolved = self._templates.get(template)
        if resolved is None or resolved.authenticator is None:
            return None
        kept = self._pool.authenticator(
            template, resolved.authenticator, resolved.authenticator_kwargs
        )
        return await self._pool.ready(kept)

    def _configurer(self, resolved: ResolvedTemplate) -> Any:
        return None if resolved.configurer is None else partial(self._configure, resolved)

    def _configure(self, resolved: ResolvedTemplate, placeholders: Placeholders) -> Configurer:
        assert resolved.configurer is not None  # noqa: S101 - asked for only where there is one
        kwargs = render(dict(resolved.configurer_kwargs), placeholders)
        return self._pool.make(resolved.configurer, resolved.template.name, kwargs)

    def _child_timeout(self, option: Option, name: str) -> float:
        given = option.child_kwargs.get(name)
        if given is None:
            given = _configured(self._pool.config, option.child_class, name)
        return float(given)

    def _option(self, resolved: ResolvedTemplate, name: str, deployment: Deployment) -> Option:
        resource_type = resolved.template.resource_type
        provider = self._pool.provider(name, resource_type)
        assert resolved.spawner is not None  # noqa: S101 - available templates have one
        capabilities = expect(provider.capabilities(), Capabilities, provider, "capabilities")
        child_class = provider.child_class(resolved.spawner)
        if not (isinstance(child_class, type) and issubclass(child_class, resolved.spawner)):
            msg = f"child_class returned {child_class!r}, no subclass of {resolved.spawner!r}"
            raise TypeError(msg)
        attributes, traits = deployment_split(deployment, type(provider), resolved.spawner)
        choice = Choice(
            provider=name,
            resource_type=resource_type,
            deployment=deployment.name,
            template=resolved.template.name,
            sizes=capabilities.sizes,
        )
        return Option(
            choice=choice,
            resolved=resolved,
            provider=provider,
            child_class=child_class,
            attributes=attributes,
            child_kwargs={**resolved.spawner_kwargs, **traits},
        )

    def _complain(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def _offers(provider: Provider, offers: Any) -> list[Offer]:
    if isinstance(offers, (str, bytes)) or not isinstance(offers, Sequence):
        msg = f"{type(provider).__name__}.offers returned {offers!r}, not a list of Offer"
        raise TypeError(msg)
    return [expect(offer, Offer, provider, "offers") for offer in offers]


def _best(offers: Sequence[Offer]) -> Offer:
    for offer in offers:
        if offer.availability in (Availability.AVAILABLE, Availability.UNKNOWN):
            return offer
    reasons = "; ".join(dict.fromkeys(offer.reason for offer in offers if offer.reason))
    if offers and all(offer.availability is Availability.NO_QUOTA for offer in offers):
        raise Quota(reasons or "the quota is used up")
    raise Capacity(reasons or "there is no room for it now")


def _configured(config: Any, cls: type[Any], name: str) -> Any:
    """The value that configuration gives to a trait of `cls`, before any instance exists."""
    for base in cls.__mro__:
        if name in config.get(base.__name__, {}):
            return config[base.__name__][name]
    trait = cls.class_traits().get(name)
    return _CHILD_DEFAULTS[name] if trait is None else trait.default()


__all__ = ("Option", "Site")
