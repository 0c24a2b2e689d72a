"""Checking templates and deployments against the classes of the installed plugins."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from traitlets import TraitError

from multiplespawner_core.catalogue.attributes import Problem, split
from multiplespawner_core.catalogue.coercion import coerce, settable_traits
from multiplespawner_core.catalogue.document import Document
from multiplespawner_core.catalogue.findings import Finding, KeyPath, Severity, suggestion
from multiplespawner_core.catalogue.limits import Allowed, Limits, combine, conflicts
from multiplespawner_core.catalogue.load import Catalogue
from multiplespawner_core.catalogue.model import Block, Deployment, Template
from multiplespawner_core.contracts import (
    Authenticator,
    Component,
    ConfigurationError,
    Configurer,
    Kind,
    Plugin,
    Provider,
)


class Registry(Protocol):
    """What is needed of `multiplespawner_core.plugins.registry.Registry`."""

    def resolve(self, kind: Kind, name: str, resource_type: str = "") -> Component: ...

    def load(self, kind: Kind, component: Component) -> type[Any]: ...


@dataclass(frozen=True)
class ResolvedTemplate:
    """A template with the classes that its names mean.

    Args:
        template: as the file has it.
        providers: by component name, those that can be used.
        spawner: class of the child; None if it cannot be used.
        configurer: None if there is none, or it cannot be used.
        authenticator: None if there is none, or it cannot be used.
        spawner_kwargs: traits of the child, as the traits take them.
        configurer_kwargs: keyword arguments of the configurer.
        authenticator_kwargs: keyword arguments of the authenticator.
        limits: what users may ask for, by quantity.
        reasons: why users do not see it, for the administrator.
    """

    template: Template
    providers: Mapping[str, type[Provider]] = field(default_factory=dict)
    spawner: type[Any] | None = None
    configurer: type[Configurer] | None = None
    authenticator: type[Authenticator] | None = None
    spawner_kwargs: Mapping[str, Any] = field(default_factory=dict)
    configurer_kwargs: Mapping[str, Any] = field(default_factory=dict)
    authenticator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Allowed] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    _spellings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def available(self) -> bool:
        """Whether users may see it."""
        return not self.reasons

    def classes(self) -> Iterator[type[Any]]:
        """Every class that its names mean."""
        yield from self.providers.values()
        yield from (cls for cls in (self.spawner, self.configurer, self.authenticator) if cls)

    def position_of(self, provider: str) -> int:
        """Where a provider stands in the template's list, from 0, by its component name."""
        return self.template.providers.index(self._spellings.get(provider, provider))

    def providers_for(self, deployment: Deployment) -> tuple[str, ...]:
        """Component names of the providers on which it may start that deployment."""
        resource_type = self.template.resource_type
        return tuple(
            name
            for name in self.providers
            if deployment.fits(resource_type, name)
            or deployment.fits(resource_type, self._spellings.get(name, name))
        )


@dataclass(frozen=True)
class ResolvedDeployment:
    """A deployment, and why users do not see it.

    Args:
        deployment: as the file has it.
        reasons: for the administrator; none if it is in use.
    """

    deployment: Deployment
    reasons: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether users may see it."""
        return not self.reasons


@dataclass(frozen=True)
class Resolution:
    """The catalogue, checked against the installed plugins."""

    templates: tuple[ResolvedTemplate, ...] = ()
    deployments: tuple[ResolvedDeployment, ...] = ()
    findings: tuple[Finding, ...] = ()
    _document: Document | None = field(default=None, repr=False)
    _flawed: tuple[ResolvedTemplate, ...] = field(default=(), repr=False)

    def classes(self) -> Iterator[type[Any]]:
        """Every class that was imported for the files, put to use or not."""
        for resolved in (*self.templates, *self._flawed):
            yield from resolved.classes()

    @property
    def directory(self) -> Path | None:
        """Where relative paths in templates start."""
        return None if self._document is None else self._document.directory

    def finding(
        self,
        template: Template,
        steps: KeyPath,
        message: str,
        hint: str = "",
        severity: Severity = "error",
    ) -> Finding:
        """A finding about a part of a template, for what only shows once it is put to use."""
        assert self._document is not None  # noqa: S101 - the template came from it
        return self._document.finding(template.path(*steps), message, hint, severity=severity)

    def combinations(self) -> Iterator[tuple[ResolvedTemplate, str, Deployment]]:
        """Everything that can be started: template, component name of the provider, deployment."""
        for template in self.templates:
            if template.available:
                for resolved in self.deployments:
                    if resolved.available:
                        for provider in template.providers_for(resolved.deployment):
                            yield template, provider, resolved.deployment


def resolve(
    catalogue: Catalogue, registry: Registry, site_limits: Limits | None = None
) -> Resolution:
    """Find the class for every name, and check every value against its class.

    An unknown name breaks only the templates that need it. What has an error already is checked
    as well: whoever writes the files is told everything at once.

    Args:
        catalogue: what the files say.
        registry: knows the classes.
        site_limits: hold for every template.
    """
    findings: list[Finding] = []

    def resolved(template: Template) -> ResolvedTemplate:
        assert catalogue.template_document is not None  # noqa: S101 - the template came from it
        check = _Template(catalogue.template_document, registry, template, site_limits or Limits())
        found = check.resolved()
        findings.extend(check.findings)
        return found

    templates = tuple(map(resolved, catalogue.templates))
    flawed = tuple(map(resolved, catalogue.flawed_templates))
    available = [template for template in templates if template.available]
    deployments = []
    if catalogue.deployment_document:
        document = catalogue.deployment_document
        for deployment in catalogue.deployments:
            # A template that cannot be used takes no deployment out of use.
            reasons = _check_deployment(document, deployment, available)
            deployments.append(ResolvedDeployment(deployment, tuple(map(str, reasons))))
        for deployment in (*catalogue.deployments, *catalogue.flawed_deployments):
            findings += _check_deployment(document, deployment, (*templates, *flawed))
    return Resolution(
        templates, tuple(deployments), tuple(findings), catalogue.template_document, flawed
    )


class _Template:
    """Resolves one template, collecting what is wrong with it."""

    def __init__(
        self, document: Document, registry: Registry, template: Template, site_limits: Limits
    ) -> None:
        self.findings: list[Finding] = []
        self._site_limits = site_limits
        self._document = document
        self._registry = registry
        self._template = template

    def resolved(self) -> ResolvedTemplate:
        parts: dict[str, Any] = {}
        for key, block in self._template.blocks():
            found = self._class(Kind(key), block.class_name, (key, "class"))
            if found is not None:
                parts[key] = found[1]
                parts[f"{key}_kwargs"] = self._arguments(key, block, found[1])
        limits = self._limits()
        broken = [finding for finding in self.findings if finding.severity == "error"]
        providers, spellings = self._providers()
        if not providers:
            broken = self.findings
        reasons = tuple(map(str, broken))
        return ResolvedTemplate(
            self._template, providers, **parts, limits=limits, reasons=reasons, _spellings=spellings
        )

    def _limits(self) -> dict[str, Allowed]:
        for name, key, message in conflicts(self._template.limits, self._site_limits):
            # A default that may not be had is moved; a range of which nothing is left is an error.
            severity: Severity = "warning" if key == "default" else "error"
            self._report(("limits", name, key), message, severity=severity)
        return combine(self._template.limits, self._site_limits)

    def _providers(self) -> tuple[dict[str, type[Provider]], dict[str, str]]:
        providers, spellings = {}, {}
        for index, name in enumerate(self._template.providers):
            found = self._class(Kind.PROVIDER, name, ("providers", index))
            if found is not None:
                providers[found[0]] = found[1]
                spellings[found[0]] = name
        return providers, spellings

    def _class(self, kind: Kind, name: str, steps: KeyPath) -> tuple[str, type[Any]] | None:
        """The component's own name and its class."""
        try:
            component = self._registry.resolve(kind, name, self._template.resource_type)
            return component.name, self._registry.load(kind, component)
        except ConfigurationError as error:
            self._report(steps, str(error))
            return None

    def _arguments(self, key: str, block: Block, cls: type[Any]) -> dict[str, Any]:
        traits = settable_traits(cls)
        parameters = set() if key == "spawner" else constructor_parameters(cls)
        arguments = {}
        for steps, name, value in self._keywords(key, block):
            path = (key, *steps)
            if name in traits:
                try:
                    arguments[name] = coerce(traits[name], value)
                except TraitError as error:
                    self._report(path, str(error))
            elif name in parameters:
                arguments[name] = value
            else:
                self._report(path, *_unknown_trait(cls, name, {*traits, *parameters}), at_key=True)
        if issubclass(cls, Configurer):
            for problem in cls.problems(arguments, self._document.directory):
                self._report((key,), problem)
        return arguments

    def _keywords(self, key: str, block: Block) -> Iterator[tuple[KeyPath, str, Any]]:
        yield from block.keywords()
        if not block.args:
            return
        if key == "spawner" and "args" not in block.kwargs:
            # A Spawner takes no positional arguments, but has a trait of that name.
            yield ("args",), "args", list(block.args)
        else:
            self._report((key, "args"), "no positional arguments are taken", "write kwargs")

    def _report(
        self,
        steps: KeyPath,
        message: str,
        hint: str = "",
        *,
        at_key: bool = False,
        severity: Severity = "error",
    ) -> None:
        path = self._template.path(*steps)
        self.findings.append(
            self._document.finding(path, message, hint, at_key=at_key, severity=severity)
        )


def constructor_parameters(cls: type[Any]) -> set[str]:
    """What the constructor takes by name, besides what every plugin's constructor is given."""
    given = (inspect.signature(base.__init__).parameters for base in (Plugin, Configurer))
    taken = inspect.signature(cls.__init__).parameters.values()
    by_name = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    named = {parameter.name for parameter in taken if parameter.kind in by_name}
    return named.difference(*given)


def _unknown_trait(cls: type[Any], name: str, allowed: set[str]) -> tuple[str, str]:
    if name in cls.class_traits():
        return f"the trait {name!r} of {cls.__name__} is not for configuration files to set", ""
    return f"{cls.__name__} has no trait {name!r}", suggestion(name, sorted(allowed))


def _check_deployment(
    document: Document, deployment: Deployment, templates: Sequence[ResolvedTemplate]
) -> list[Finding]:
    pairs = {
        (name, template.providers[name], template.spawner): None
        for template in templates
        if template.spawner is not None
        for name in template.providers_for(deployment)
    }
    problems: list[Problem] = []
    for name, provider, spawner in pairs:
        problems += split(deployment, provider, spawner, name)[2]
    return [
        document.finding(deployment.path(*item.path), item.message, item.hint, at_key=item.at_key)
        for item in dict.fromkeys(problems)
    ]


__all__ = (
    "Registry",
    "Resolution",
    "ResolvedDeployment",
    "ResolvedTemplate",
    "constructor_parameters",
    "resolve",
)
