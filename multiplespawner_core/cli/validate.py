"""Say everything that is wrong with a configuration, beside a running hub or without one.

Exit status 1 if there is an error; warnings alone are no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from traitlets import HasTraits, TraitError
from traitlets.config import Config, Configurable
from traitlets.config.loader import DeferredConfig, LazyConfigValue

from multiplespawner_core.catalogue.findings import Finding, shown
from multiplespawner_core.cli import hub_config, survey
from multiplespawner_core.cli.hub_config import HubConfig
from multiplespawner_core.cli.output import aside
from multiplespawner_core.cli.survey import Survey
from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.planning.current import findings as of_files
from multiplespawner_core.planning.site import configured
from multiplespawner_core.plugins.discovery import Plugin, State
from multiplespawner_core.resources.database import parse_url
from multiplespawner_core.spawner.assembly import Assembly, assemble
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.spawner.settings import Settings, section, unknown


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a configuration.

    Args:
        findings: the hub's file first, then plugins, then the two files.
        startable: how many combinations can be started.
    """

    findings: tuple[Finding, ...]
    startable: int

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many of them are none."""
        return len(self.findings) - self.errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    survey.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(chosen: argparse.Namespace) -> int:
    """Print the findings."""
    with aside():
        verdict = asyncio.run(judge(chosen))
    if chosen.json:
        print(json.dumps(_as_json(verdict), indent=2))
    else:
        for finding in verdict.findings:
            print(finding)
        print(_summary(verdict))
    return 1 if verdict.errors else 0


async def judge(chosen: argparse.Namespace) -> Verdict:
    """Everything that can be said; in an event loop, as in a hub, for the sake of providers."""
    hub = hub_config.load(chosen.config)
    if hub.broken and not (chosen.templates and chosen.deployments):
        return Verdict(hub.findings, 0)  # where the two files are nobody knows
    assembly = assemble(hub.config)
    with survey.surveyed(chosen, assembly, None) as seen:
        of_hub = [*assembly.problems, *_of_ledger(assembly), *_of_settings(hub, seen)]
        found = [
            *hub.findings,
            *(replace(finding, file=str(hub.file or "")) for finding in of_hub),
            *_of_plugins(assembly),
            *of_files(seen.catalogue, seen.site),
        ]
        return Verdict(tuple(dict.fromkeys(found)), len(seen.site))


def _of_ledger(assembly: Assembly) -> Iterator[Finding]:
    if assembly.settings.ledger_url:
        try:
            parse_url(assembly.settings.ledger_url)
        except ConfigurationError as error:
            yield Finding("", None, None, "", str(error))


def _of_settings(hub: HubConfig, seen: Survey) -> Iterator[Finding]:
    if hub.file is None or hub.broken:
        return
    spawner: type[Any] = hub.app.spawner_class
    if not issubclass(spawner, MultipleSpawner):
        yield Finding(
            "",
            None,
            None,
            "c.JupyterHub.spawner_class",
            f"is {spawner.__module__}.{spawner.__qualname__}, so nothing else here is in use",
            'write "multiplespawner.MultipleSpawner"',
        )
        return
    yield from _unknown(hub, seen, spawner)
    yield from _of_restarts(hub)


def _unknown(hub: HubConfig, seen: Survey, spawner: type[Any]) -> Iterator[Finding]:
    """Settings that no class has: traitlets tells so only once there is an instance."""
    used = {cls for resolved in seen.site.resolution.templates for cls in resolved.classes()}
    known: dict[str, set[str]] = defaultdict(set)
    for cls in (spawner, *used):
        for base in cls.__mro__:
            if issubclass(base, Configurable):
                known[base.__name__].update(cls.class_trait_names(config=True))
    for name in sorted(known):
        yield from unknown(hub.config, name, known[name])
    # Providers have been made, and have said what they do not take.
    providers = {cls for one in seen.site.resolution.templates for cls in one.providers.values()}
    for cls in sorted({spawner, *used} - providers, key=lambda cls: cls.__qualname__):
        yield from _of_wrong_kind(hub.config, cls)


def _of_wrong_kind(config: Config, cls: type[Any]) -> Iterator[Finding]:
    """Values that no instance of the class will take; those of ours `assemble` has read."""
    own = Settings.class_trait_names(config=True)
    try:
        blank: Any = HasTraits.__new__(cls)  # with what a trait's check may look at
    except Exception:  # noqa: BLE001 - whatever a plugin's class does
        return
    for base in cls.__mro__:
        for name, value in section(config, base.__name__).items():
            trait = cls.class_traits(config=True).get(name)
            given = isinstance(value, (LazyConfigValue, DeferredConfig))  # what is added to
            if trait is None or given or name in own or (value is None and trait.allow_none):
                continue
            try:
                getattr(trait, "validate", lambda _, value: value)(blank, value)
            except TraitError:
                setting = f"c.{base.__name__}.{name}"
                message = f"must be {trait.info()}, but is {shown(value, (name,))}"
                yield Finding("", None, None, setting, message)
            except Exception:  # noqa: BLE001, S112 - its check needs what only an instance has
                continue


def _of_restarts(hub: HubConfig) -> Iterator[Finding]:
    """With JupyterHub's defaults, no server outlives the hub."""
    if hub.app.cleanup_servers:
        yield Finding(
            "",
            None,
            None,
            "c.JupyterHub.cleanup_servers",
            "is not False: the hub stops every server when it ends",
            "write c.JupyterHub.cleanup_servers = False",
            "warning",
        )
    proxy: type[Any] = hub.app.proxy_class
    if configured(hub.config, proxy, "should_start"):
        setting = f"c.{proxy.__name__}.should_start"
        yield Finding(
            "",
            None,
            None,
            setting,
            "is not False: the proxy ends with the hub, and no server can be reached meanwhile",
            f"run the proxy by itself and write {setting} = False",
            "warning",
        )


def _of_plugins(assembly: Assembly) -> Iterator[Finding]:
    for plugin in assembly.registry.plugins:
        if plugin.state not in (State.OK, State.DISABLED):
            yield Finding(f"plugin {plugin}", None, None, "", _what(plugin), _remedy(plugin))


def _what(plugin: Plugin) -> str:
    return f"is {plugin.state.value}: {plugin.reason}"


def _remedy(plugin: Plugin) -> str:
    if plugin.state is not State.BROKEN:
        return ""  # the reason says it
    name = plugin.distribution
    return f"repair it, or name {name!r} in c.MultipleSpawner.disabled_plugins"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "findings": [asdict(finding) for finding in verdict.findings],
        "errors": verdict.errors,
        "warnings": verdict.warnings,
        "startable": verdict.startable,
    }


def _summary(verdict: Verdict) -> str:
    counts = ((verdict.errors, "error"), (verdict.warnings, "warning"))
    parts = [_number(count, noun) for count, noun in counts if count]
    can = _number(verdict.startable, "combination")
    what = "of template, provider and deployment can be started"
    return f"{' and '.join(parts) or 'no findings'}; {can} {what}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


__all__ = ("add_arguments", "judge", "run")
