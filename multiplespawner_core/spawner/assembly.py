"""From the hub's configuration to what can be named in it; nothing is opened, locked or started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from traitlets.config import Config

from multiplespawner_core.catalogue.check import Resolution, resolve
from multiplespawner_core.catalogue.findings import Finding
from multiplespawner_core.catalogue.limits import Limits
from multiplespawner_core.catalogue.load import Catalogue, Paths, locate
from multiplespawner_core.contracts import ConfigurationError, Kind
from multiplespawner_core.plugins.discovery import Found, Plugin, discover, installed
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.spawner import settings as settings_module
from multiplespawner_core.spawner.settings import Settings


@dataclass(frozen=True)
class Assembly:
    """What a hub with some configuration is put together from.

    Args:
        config: the hub's.
        settings: what ``c.MultipleSpawner`` says.
        limits: of the whole site.
        registry: every component that templates can name.
        found: what the installed distributions announce.
        problems: why a hub cannot start with this configuration; what they are about is left out
            of the rest.
    """

    config: Config
    settings: Settings
    limits: Limits
    registry: Registry
    found: Found
    problems: tuple[Finding, ...] = ()

    def required(self) -> Assembly:
        """The same, if a hub can start with it.

        Raises:
            ConfigurationError: it cannot; the message says why.
        """
        if self.problems:
            raise ConfigurationError("; ".join(map(str, self.problems)))
        return self

    def locate(self, templates: str | None = None, deployments: str | None = None) -> Paths:
        """Where the two files are.

        Args:
            templates: a path that wins over the configured one.
            deployments: likewise.
        """
        return locate(
            os.environ,
            templates or self.settings.template_file,
            deployments or self.settings.deployment_file,
        )

    def resolve(self, catalogue: Catalogue) -> Resolution:
        """The catalogue, checked against the installed plugins; imports what it names."""
        return resolve(catalogue, self.registry, self.limits)


def assemble(config: Config) -> Assembly:
    """Read the settings, discover the plugins and make the registry; never raises."""
    settings, problems = settings_module.read(config)
    classes, of_classes = settings_module.class_paths(settings)
    limits, of_limits = settings_module.site_limits(settings)
    problems += of_classes + of_limits
    found = installed()
    plugins = _discover(found, settings, problems)
    registry = _registry(plugins, found, classes, problems)
    return Assembly(config, settings, limits, registry, found, tuple(problems))


def _discover(found: Found, settings: Settings, problems: list[Finding]) -> Sequence[Plugin]:
    try:
        return discover(found, settings.enabled_plugins, settings.disabled_plugins)
    except ConfigurationError as error:
        problems.append(_as_finding(error))
        return discover(found)


def _registry(
    plugins: Sequence[Plugin],
    found: Found,
    classes: dict[Kind, list[str]],
    problems: list[Finding],
) -> Registry:
    try:
        return Registry(plugins, found.spawners, classes)
    except ConfigurationError as error:
        problems.append(_as_finding(error))
        return Registry(plugins, found.spawners)


def _as_finding(error: ConfigurationError) -> Finding:
    return Finding("", None, None, "", str(error))


__all__ = ("Assembly", "assemble")
