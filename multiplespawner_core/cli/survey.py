"""A hub's whole configuration, looked at from outside: nothing is opened, locked or started."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from multiplespawner_core.catalogue.load import Catalogue, load
from multiplespawner_core.cli import hub_config
from multiplespawner_core.planning.pool import Onlooker
from multiplespawner_core.planning.site import Site
from multiplespawner_core.spawner.assembly import Assembly


@dataclass(frozen=True)
class Survey:
    """What the two files come to with some configuration of the hub.

    Args:
        assembly: settings and components.
        catalogue: what the files say.
        site: what can be chosen.
        pool: makes the providers.
    """

    assembly: Assembly
    catalogue: Catalogue
    site: Site
    pool: Onlooker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the three files."""
    hub_config.add_argument(parser)
    for name in ("templates", "deployments"):
        parser.add_argument(
            f"--{name}",
            metavar="FILE",
            type=hub_config.existing,
            help=f"the {name} (default: where the hub looks for them)",
        )


@contextmanager
def surveyed(
    chosen: argparse.Namespace, assembly: Assembly, state_dir: Path | None
) -> Iterator[Survey]:
    """Read the two files and see what they come to.

    Args:
        chosen: the arguments of the command.
        assembly: what the hub is put together from.
        state_dir: of a hub, which may be running; None leaves it alone.
    """
    # Findings say all that is to be said; a defect's traceback is for the hub's log.
    logging.getLogger("multiplespawner_core").addHandler(logging.NullHandler())
    given = [None if path is None else str(path) for path in (chosen.templates, chosen.deployments)]
    catalogue = load(assembly.locate(*given))
    with TemporaryDirectory(prefix="multiplespawner-") as empty:
        place = Path(empty, "state") if state_dir is None else state_dir
        pool = Onlooker(assembly.registry, assembly.config, place, Path(empty))
        yield Survey(assembly, catalogue, Site(assembly.resolve(catalogue), pool), pool)


__all__ = ("Survey", "add_arguments", "surveyed")
