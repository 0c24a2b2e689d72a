"""The site: what this hub offers, and from a request to a plan."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from traitlets import HasTraits

from multiplespawner_core.catalogue import (
    Finding,
    Resolution,
    ResolvedTemplate,
    deployment_split,
)
from multiplespawner_core.catalogue.findings import KeyPath
from multiplespawner_core.catalogue.limits import Allowed
from multiplespawner_core.catalogue.model import Deployment
from multiplespawner_core.catalogue.placeholders import of_owner, render
from multiplespawner_core.contracts import (
    Authenticator,
    Capabilities,
    ConfigurationError,
    Configurer,
    MadeBy,
    Offer,
    Owner,
    Provider,
    ProviderError,
    Specification,
    Storage,
)
from multiplespawner_core.planning.boundary import expect
from multiplespawner_core.planning.candidates import Candidates, available
from multiplespawner_core.planning.plan import Budget, Made, Placeholders, Plan
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.selection.request import (
    WHERE,
    Choice,
    Request,
    User,
    fallbacks,
    select,
)

MINUTE = 60.0
"""Seconds in the unit of lifetimes."""

_log = logging.getLogger(__name__)

_CHILD_DEFAULTS = {"start_timeout": 60, "http_timeout": 30}
"""JupyterHub's own (``jupyterhub/spawner.py``), for a class that does not say."""


_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Option:
    """A choice together with all that it resolves to."""

    choice: Choice
    resolved: ResolvedTemplate
    deployment: Deployment
    provider: Provider
    child_class: type[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    child_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def admits(self, user: User) -> bool:
        """Whether that user may choose it."""
        restricted = (self.resolved.template, self.deployment)
        return all(one.admits(user.name, user.groups) for one in restricted)


class Site:
    """Everything that can be chosen here, in the administrator's order.

    Args:
        resolution: templates and deployments with their classes.
        pool: makes providers and the rest.
    """

    def __init__(self, resolution: Resolution, pool: Pool) -> None:
        self.resolution = resolution
        self.problems: list[Finding] = []
        self._pool = pool
        self._templates = {resolved.template.name: resolved for resolved in resolution.templates}
        self._options: dict[_Key, Option] = {}
        for resolved, provider, deployment in resolution.combinations():
            try:
                option = self._option(resolved, provider, deployment)
                needed = self._deadlines(option)
            except ConfigurationError as error:
                self._complain(resolved, provider, str(error))
            except Exception as error:  # noqa: BLE001
                # A defect of one provider takes its own choices away and no other's.
                _log.exception("provider %r is defective", provider)
                self._complain(resolved, provider, f"is defective: {type(error).__name__}: {error}")
            else:
                self._options[_key(option.choice)] = option
                self._warn_of_deadlines(option, needed)

    def __len__(self) -> int:
        """How many combinations there are, for whichever user."""
        return len(self._options)

    def choices(self, user: User) -> list[Choice]:
        """The valid combinations for that user: what nobody else may use is not among them.

        Of several templates for one combination the first one starts it that the user may use.
        """
        choices: dict[tuple[str, str, str], Choice] = {}
        for option in self._options.values():
            if option.choice.where not in choices and option.admits(user):
                choices[option.choice.where] = option.choice
        return list(choices.values())

    def select(self, options: Mapping[str, Any], user: User) -> tuple[Request, Choice]:
        """What user options mean here.

        Raises:
            InvalidOptions: nothing; the message says what is allowed.
        """
        return select(options, self.choices(user))

    async def unavailable(
        self, choices: Sequence[Choice], timeout: float
    ) -> dict[tuple[str, str, str], str]:
        """Why some of the choices cannot be had now, in words for the user, by their ``where``.

        Each is asked for with the least that may be had of it, since less than the default may
        do. A provider that does not answer in time is taken to be able: the start will tell.

        Args:
            choices: which to ask for.
            timeout: seconds to wait for the providers' answers.
        """
        questions: dict[str, asyncio.Task[str]] = {}
        asked: dict[tuple[str, str, str], asyncio.Task[str]] = {}
        for choice in choices:
            option = self._options[_key(choice)]
            specification = _specification(option, _at_least(choice), option.attributes)
            # Many deployments ask the same of a provider.
            question = f"{id(option.provider)} {specification}"
            if question not in questions:
                asking = self._why_not(option.provider, specification)
                questions[question] = asyncio.ensure_future(asking)
            asked[choice.where] = questions[question]
        if questions:
            _, late = await asyncio.wait(questions.values(), timeout=timeout)
            for task in late:
                task.cancel()
        answered = {where: task for where, task in asked.items() if task.done()}
        return {where: reason for where, task in answered.items() if (reason := task.result())}

    def limits(self, template: str) -> Mapping[str, Allowed]:
        """What the template allows, by quantity; nothing if it is gone."""
        resolved = self._templates.get(template)
        return {} if resolved is None else resolved.limits

    def storage(self, template: str, provider: Provider) -> Storage:
        """What becomes of users' files on what that provider made for a template, gone or not."""
        resolved = self._templates.get(template)
        offered = provider.capabilities().storage
        wanted = None if resolved is None else resolved.template.storage
        return offered[0] if wanted is None or wanted not in offered else wanted

    def budget(self, choice: Choice) -> Budget:
        """How long each phase of such a start may take."""
        return self._budget(self._options[_key(choice)])

    def http_timeout(self, choice: Choice) -> float:
        """Seconds that the server may take to answer once its child has started it."""
        return self._child_timeout(self._options[_key(choice)], "http_timeout")

    def fallbacks(
        self, options: Mapping[str, Any], user: User, choice: Choice
    ) -> list[tuple[Request, Choice]]:
        """What may take the place of a choice that is not to be had, in the administrator's order.

        The same of the template's other providers, unless the options name one: whoever names a
        provider wants that one.
        """
        return fallbacks(options, choice, self.choices(user))

    async def plan(self, wanted: Sequence[tuple[Request, Choice]], owner: Owner) -> Plan:
        """Everything that a start needs; asks the provider what it offers.

        Should that not be to be had after all, `Plan.otherwise` has the next best.

        Args:
            wanted: what was chosen, then what may take its place.
            owner: whose server it is for.

        Raises:
            InvalidSpecification: no offer will ever fit.
            Capacity: none can be had now.
            Quota: the account may not have more.
        """
        return await Candidates(
            [(one.provider, partial(self._plans, asked, one, owner)) for asked, one in wanted]
        ).first()

    async def plan_again(
        self, wanted: Sequence[tuple[Request, Choice]], owner: Owner, made: Made
    ) -> Plan | None:
        """The plan to start once more what was made before; None where it is not what is wanted.

        The provider is not asked what it offers: nothing is to be made.

        Args:
            wanted: as for `plan`.
            owner: whose server it is for.
            made: what was made.
        """
        where = (made.template, made.deployment, made.offer.scope.provider)
        for request, choice in wanted:
            if (choice.template, choice.deployment, choice.provider) == where:
                specification = self.specification(request, choice, owner)
                if specification == made.specification:
                    await self._pool.ready(self.option(choice).provider)
                    return await self._plan(request, choice, made.offer, specification)
        return None

    async def _plans(self, request: Request, choice: Choice, owner: Owner) -> list[Plan]:
        specification = self.specification(request, choice, owner)
        return [
            await self._plan(request, choice, offer, specification)
            for offer in await self.offers(choice, specification)
        ]

    async def _plan(
        self, request: Request, choice: Choice, offer: Offer, specification: Specification
    ) -> Plan:
        option = self.option(choice)
        resolved = option.resolved
        return Plan(
            template=resolved.template.name,
            deployment=request.deployment,
            provider=option.provider,
            offer=offer,
            specification=specification,
            child_class=option.child_class,
            child_kwargs=option.child_kwargs,
            authenticator=await self._authenticator(resolved),
            authenticator_kwargs=resolved.authenticator_kwargs,
            configurer=self._configurer(resolved),
            lifetime=None if request.lifetime is None else request.lifetime * MINUTE,
            hub_connect_url=resolved.template.hub_connect_url,
            budget=self._budget(option),
            keeps=choice.stops,
        )

    def option(self, choice: Choice) -> Option:
        """All that a choice resolves to."""
        return self._options[_key(choice)]

    def specification(self, request: Request, choice: Choice, owner: Owner) -> Specification:
        """What the provider is asked for."""
        option = self.option(choice)
        return _specification(option, request, render(option.attributes, of_owner(owner)))

    async def offers(self, choice: Choice, specification: Specification) -> list[Offer]:
        """What the provider of that choice can give for it, best first.

        Raises:
            InvalidSpecification: no offer will ever fit.
        """
        provider = await self._pool.ready(self.option(choice).provider)
        return _offers(provider, await provider.offers(specification))

    async def _authenticator(self, resolved: ResolvedTemplate) -> Authenticator | None:
        if resolved.authenticator is None:
            return None
        kept = self._pool.authenticator(
            resolved.template.name, resolved.authenticator, resolved.authenticator_kwargs
        )
        return await self._pool.ready(kept)

    def _configurer(self, resolved: ResolvedTemplate) -> Any:
        return None if resolved.configurer is None else partial(self._configure, resolved)

    def _configure(self, resolved: ResolvedTemplate, placeholders: Placeholders) -> Configurer:
        assert resolved.configurer is not None  # noqa: S101 - asked for only where there is one
        kwargs = render(dict(resolved.configurer_kwargs), placeholders)
        directory = self.resolution.directory
        return self._pool.make(
            resolved.configurer,
            resolved.template.name,
            {"configuration_dir": directory, **kwargs},
        )

    def _child_timeout(self, option: Option, name: str) -> float:
        return self._timeout(option.child_class, option.child_kwargs, name)

    def _timeout(self, cls: type[Any], kwargs: Mapping[str, Any], name: str) -> float:
        given = kwargs.get(name)
        if given is None:
            given = configured(self._pool.config, cls, name)
        try:
            return float(given)
        except (TypeError, ValueError):
            msg = f"{name} of {cls.__name__} is no number of seconds: {given!r}"
            raise ConfigurationError(msg) from None

    def _deadlines(self, option: Option) -> dict[str, float]:
        """Seconds that such a start may take; what is no number shows here and not at the start."""
        return {
            "start_timeout": self._budget(option).total,
            "http_timeout": self._child_timeout(option, "http_timeout"),
        }

    def _budget(self, option: Option) -> Budget:
        capabilities = option.provider.capabilities()
        resolved = option.resolved
        waits = capabilities.made_by is MadeBy.PROVIDER
        return Budget(
            create=capabilities.create_timeout,
            ready=capabilities.ready_timeout if waits else 0,
            open=resolved.authenticator.open_timeout if resolved.authenticator else 0,
            configure=self._configure_timeout(resolved),
            launch=self._child_timeout(option, "start_timeout"),
        )

    def _configure_timeout(self, resolved: ResolvedTemplate) -> float:
        if resolved.configurer is None:
            return 0
        return self._timeout(resolved.configurer, resolved.configurer_kwargs, "apply_timeout")

    async def _why_not(self, provider: Provider, specification: Specification) -> str:
        try:
            await self._pool.ready(provider)
            available(_offers(provider, await provider.offers(specification)))
        except (ProviderError, ConfigurationError) as error:
            return str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - the start will tell; a form must not fail
            _log.warning("provider %s cannot say what it offers: %r", provider.component, error)
        return ""

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
        storage = _storage(resolved, capabilities)
        choice = Choice(
            provider=name,
            resource_type=resource_type,
            deployment=deployment.name,
            template=resolved.template.name,
            limits=_enforced(resolved, capabilities),
            storage=storage,
            stops=storage is Storage.KEEP and capabilities.stop_start,
        )
        return Option(
            choice=choice,
            resolved=resolved,
            deployment=deployment,
            provider=provider,
            child_class=child_class,
            attributes=attributes,
            child_kwargs={**resolved.spawner_kwargs, **traits},
        )

    def _complain(self, resolved: ResolvedTemplate, provider: str, problem: str) -> None:
        template = resolved.template
        steps = ("providers", resolved.position_of(provider))
        finding = self.resolution.finding(template, steps, f"provider {provider!r}: {problem}")
        if finding not in self.problems:
            self.problems.append(finding)

    def _warn_of_deadlines(self, option: Option, needed: Mapping[str, float]) -> None:
        """JupyterHub goes by our own timeouts, whatever a child may take."""
        whats = {"start_timeout": "a start", "http_timeout": "the first answer of a server"}
        for name, what in whats.items():
            self._warn_of_deadline(option, name, what, needed[name])

    def _warn_of_deadline(self, option: Option, name: str, what: str, needed: float) -> None:
        given = _section(self._pool.config, "MultipleSpawner").get(name)
        if isinstance(given, (int, float)) and given < needed:
            template = option.resolved.template
            steps: KeyPath = ("spawner", "kwargs", name)
            finding = self.resolution.finding(
                template,
                steps,
                f"{what} with provider {option.choice.provider!r} may take {needed:g} s, but"
                f" c.MultipleSpawner.{name} ends it after {given:g} s",
                "leave that setting out: it follows from the templates",
                severity="warning",
            )
            if finding not in self.problems:
                self.problems.append(finding)


def _key(choice: Choice) -> _Key:
    return (*choice.where, choice.template)


def _at_least(choice: Choice) -> Request:
    """A size without a default is the provider's to choose, whatever may be asked for."""
    least = {
        name: allowed.typed(allowed.minimum)
        for name, allowed in choice.limits.items()
        if allowed.settable and allowed.default is not None
    }
    return select({**dict(zip(WHERE, choice.where, strict=True)), **least}, [choice])[0]


def _specification(option: Option, request: Request, attributes: Any) -> Specification:
    return Specification(
        resource_type=option.choice.resource_type,
        cpu=request.cpu,
        memory=request.memory,
        gpu=request.gpu,
        attributes=attributes,
    )


def _enforced(resolved: ResolvedTemplate, capabilities: Capabilities) -> dict[str, Allowed]:
    """The limits, without the sizes that mean nothing to the provider."""
    limits = {}
    for name, allowed in resolved.limits.items():
        enforced = name == "lifetime" or name in capabilities.sizes
        if not enforced and name == "gpu" and allowed.minimum:
            msg = "it gives no GPUs to servers, but the template's limits ask for one at least"
            raise ConfigurationError(msg)
        limits[name] = allowed if enforced else allowed.closed()
    return limits


def _storage(resolved: ResolvedTemplate, capabilities: Capabilities) -> Storage:
    wanted = resolved.template.storage
    if wanted is None:
        return capabilities.storage[0]
    if wanted not in capabilities.storage:
        possible = " or ".join(one.value for one in capabilities.storage)
        msg = f"it has no storage of kind {wanted.value!r}; allowed: {possible}"
        raise ConfigurationError(msg)
    return wanted


def _offers(provider: Provider, offers: Any) -> list[Offer]:
    if isinstance(offers, (str, bytes)) or not isinstance(offers, Sequence):
        msg = f"{type(provider).__name__}.offers returned {offers!r}, not a list of Offer"
        raise TypeError(msg)
    return [expect(offer, Offer, provider, "offers") for offer in offers]


def configured(config: Any, cls: type[Any], name: str) -> Any:
    """The value that configuration gives to a trait of `cls`, before any instance exists."""
    for base in cls.__mro__:
        section = _section(config, base.__name__)
        if name in section:
            return section[name]
    trait = cls.class_traits().get(name)
    if trait is None:
        return getattr(cls, name, _CHILD_DEFAULTS.get(name))
    try:
        # As a method decides it (traitlets' `@default`), which the trait itself does not know.
        blank: Any = HasTraits.__new__(cls)
        return blank.trait_defaults(name)
    except Exception:  # noqa: BLE001 - the method may need what only a real instance has
        return trait.default()


def _section(config: Any, name: str) -> Mapping[str, Any]:
    section: Mapping[str, Any] = config.get(name, {})
    return section


__all__ = ("Option", "Site", "configured")
