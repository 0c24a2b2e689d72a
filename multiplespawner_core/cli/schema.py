"""Print the JSON Schema of the two files, with the options of every installed plugin.

Without a name one schema is printed that fits both files.
"""

from __future__ import annotations

import argparse
import json
import sys

from multiplespawner_core.catalogue.schema import file_schemas
from multiplespawner_core.cli import hub_config
from multiplespawner_core.cli.output import aside, fitting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "file", nargs="?", choices=("templates", "deployments"), help="of which of the two files"
    )
    hub_config.add_argument(parser)


def run(chosen: argparse.Namespace) -> int:
    """Print the schema; say beside it which components it leaves out."""
    with aside():
        schemas = file_schemas(hub_config.load(chosen.config).assembly().registry)
    for reason in schemas.left_out:
        print(f"multiplespawner: left out: {reason}", file=sys.stderr)
    by_name = {"templates": schemas.templates, "deployments": schemas.deployments}
    schema = by_name[chosen.file] if chosen.file else schemas.either()
    print(fitting(lambda any_letter: json.dumps(schema, indent=2, ensure_ascii=not any_letter)))
    return 0


__all__ = ("add_arguments", "run")
