"""The command ``multiplespawner``. Exit status: 0 good, 1 findings or failure, 2 usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from multiplespawner_core import __version__
from multiplespawner_core.cli import demo
from multiplespawner_core.contracts import ConfigurationError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="multiplespawner", description="Choose where JupyterHub's servers run."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo.add_parser(commands)
    chosen = parser.parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
    except ConfigurationError as error:
        print(f"multiplespawner: {error}", file=sys.stderr)
        return 1
    return status


__all__ = ("main",)
