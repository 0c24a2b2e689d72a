"""List the plugins that are installed, what became of each, and what it offers.

Exit status 1 if one that is enabled cannot be used.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import Any

from multiplespawner_core.cli import hub_config
from multiplespawner_core.cli.output import aside
from multiplespawner_core.plugins.discovery import Declared, Plugin, State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    hub_config.add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(chosen: argparse.Namespace) -> int:
    """Print the list."""
    with aside():
        assembly = hub_config.load(chosen.config).assembly()
    plugins, automatic = assembly.registry.plugins, assembly.found.spawners
    if chosen.json:
        found = {
            "plugins": [_plugin(plugin) for plugin in plugins],
            "jupyterhub_spawners": [
                {**_component(declared), "source": declared.source} for declared in automatic
            ],
        }
        print(json.dumps(found, indent=2))
    else:
        print("\n".join([*_lines(plugins), *_automatic_lines(automatic)]))
    usable = (State.OK, State.DISABLED)
    return 0 if all(plugin.state in usable for plugin in plugins) else 1


def _plugin(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": plugin.state.value,
        "reason": plugin.reason,
        "components": [_component(declared) for declared in plugin.declared],
    }


def _component(declared: Declared) -> dict[str, Any]:
    component = declared.component
    return {
        "kind": declared.kind.value,
        "name": component.name,
        "path": component.path,
        "aliases": list(component.aliases),
        "resource_types": list(component.resource_types),
    }


def _lines(plugins: Iterable[Plugin]) -> Iterator[str]:
    plugins = list(plugins)
    if not plugins:
        yield "no plugin is installed"
    for plugin in plugins:
        yield f"{plugin}: {plugin.state.value}"
        if plugin.reason:
            yield f"    {plugin.reason}"
        for declared in plugin.declared:
            yield from _component_lines(declared)


def _component_lines(declared: Declared) -> Iterator[str]:
    component = declared.component
    types = f" for {', '.join(component.resource_types)}" if component.resource_types else ""
    yield f"    {declared.kind.value} {component.name}{types}: {component.path}"
    if component.aliases:
        yield f"        also {', '.join(component.aliases)}"


def _automatic_lines(spawners: Iterable[Declared]) -> Iterator[str]:
    spawners = list(spawners)
    if spawners:
        yield "JupyterHub's own group of spawners"
    for declared in spawners:
        component = declared.component
        yield f"    spawner {component.name}: {component.path} ({declared.source})"


__all__ = ("add_arguments", "run")
