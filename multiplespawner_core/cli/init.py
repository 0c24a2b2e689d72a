"""Write both files for what is installed, and print the lines for `jupyterhub_config.py`.

Nothing is ever overwritten. The lines go to the standard output, so that they can be appended:
multiplespawner init --directory /etc/jupyterhub >> /etc/jupyterhub/jupyterhub_config.py
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from traitlets.config import Config

from multiplespawner_core.catalogue.load import DEPLOYMENT_FILES, FOLDER, TEMPLATE_FILES
from multiplespawner_core.cli.output import aside, fitting
from multiplespawner_core.contracts import (
    RESOURCE_TYPES,
    ConfigurationError,
    Kind,
    Provider,
    Starter,
)
from multiplespawner_core.planning.boundary import expect
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.spawner.assembly import assemble

_LINES = """\
c = get_config()

# Users choose where their servers run, among what these two files allow. To check them, also
# while the hub runs: multiplespawner validate
c.JupyterHub.spawner_class = "multiplespawner.MultipleSpawner"
c.MultipleSpawner.template_file = {}
c.MultipleSpawner.deployment_file = {}

# Servers outlive a restart of the hub: it leaves them running when it ends, and the proxy is not
# its own, so that they can be reached meanwhile. Start the proxy by itself, before the hub:
#     configurable-http-proxy --port 8000 --api-ip 127.0.0.1 --api-port 8001 \\
#         --default-target http://127.0.0.1:8081 --error-target http://127.0.0.1:8081/hub/error
# Both need the same secret in the environment variable CONFIGPROXY_AUTH_TOKEN.
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:8001"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(f"~/{FOLDER}"),
        help="where to write the two files (default: %(default)s)",
    )
    parser.add_argument(
        "--format", choices=("json", "yaml"), default="json", help="default: %(default)s"
    )


def run(chosen: argparse.Namespace) -> int:
    """Write the files and print the lines.

    Raises:
        ConfigurationError: a file is there already or cannot be written, or nothing is installed
            to start from.
    """
    directory = chosen.directory.expanduser().absolute()
    _refuse_to_overwrite(directory)
    with aside():
        starters = list(_starters(assemble(Config()).registry))
    if not starters:
        msg = "no plugin that is installed says how to start: pip install multiplespawner-local"
        raise ConfigurationError(msg)
    templates = directory / _named(TEMPLATE_FILES, chosen.format)
    deployments = directory / _named(DEPLOYMENT_FILES, chosen.format)
    _write(templates, "How servers can be started.", [one.template for one in starters])
    _write(deployments, "What users may choose.", _deployments(starters))
    paths = (_literal(str(path)) for path in (templates, deployments))
    print(_LINES.format(*paths), end="")
    for starter in starters:
        print("".join(f"\n{line}" for line in starter.settings))
    wrote = f"wrote {templates} and {deployments}"
    print(f"{wrote}; the lines belong into jupyterhub_config.py", file=sys.stderr)
    return 0


def _literal(text: str) -> str:
    """The text in the notation of Python."""
    return fitting(
        lambda any_letter: json.dumps(text, ensure_ascii=False) if any_letter else ascii(text)
    )


def _refuse_to_overwrite(directory: Path) -> None:
    for name in (*TEMPLATE_FILES, *DEPLOYMENT_FILES):
        if (directory / name).exists():
            msg = (
                f"{directory / name} is there already, and nothing is overwritten:"
                " move it away, or choose another --directory"
            )
            raise ConfigurationError(msg)


def _starters(registry: Registry) -> Iterator[Starter]:
    """What each provider starts from; one that cannot say so is named, and holds up no other."""
    providers = {
        declared.component.target: declared.component
        for resource_type in RESOURCE_TYPES
        for declared, _ in registry.components(Kind.PROVIDER, resource_type)
    }
    for component in providers.values():
        try:
            provider: type[Provider] = registry.load(Kind.PROVIDER, component)
            starter = provider.starter()
            if starter is not None:
                expect(starter, Starter, provider, "starter")
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            print(f"multiplespawner: left out: {component.name}: {error}", file=sys.stderr)
        else:
            if starter is not None:
                yield starter


def _deployments(starters: Sequence[Starter]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for starter in starters:
        found[starter.template["resource_type"]] += starter.deployments
    return dict(found)


def _named(names: Sequence[str], ending: str) -> str:
    return next(name for name in names if name.endswith(f".{ending}"))


def _write(path: Path, title: str, value: Any) -> None:
    if path.suffix == ".json":
        text = json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    else:
        text = f"# {title}\n" + yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise ConfigurationError(msg) from error


__all__ = ("add_arguments", "run")
