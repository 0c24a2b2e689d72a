"""The command ``multiplespawner``. Exit status: 0 good, 1 findings or failure, 2 usage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from multiplespawner_core import __version__
from multiplespawner_core.cli import output

COMMANDS: Final = {
    "demo": "run a throw-away JupyterHub on this machine",
    "init": "write a configuration to start from",
    "validate": "say what is wrong with a configuration",
    "plan": "say what a start of a server would do",
    "plugins": "list the plugins and what they offer",
    "schema": "print the JSON Schema of the two files",
    "resources": "list what the hub has of its providers, and give it back",
}
"""Each is a module of this package, imported when it is called: ``--help`` answers at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="multiplespawner", description="Choose where JupyterHub's servers run."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = next((word for word in arguments if not word.startswith("-")), "")
    for name, summary in COMMANDS.items():
        of_command = commands.add_parser(name, help=summary)
        if name == called:
            module = import_module(f"{__name__}.{name}")
            of_command.description = module.__doc__
            module.add_arguments(of_command)
    chosen = parser.parse_args(arguments)
    output.prepare()
    from multiplespawner_core.contracts import ConfigurationError  # noqa: PLC0415 - as above

    try:
        status: int = import_module(f"{__name__}.{chosen.command}").run(chosen)
        sys.stdout.flush()
    except ConfigurationError as error:
        print(f"multiplespawner: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        output.give_up()
        # Whoever read it, such as `head`, may have seen enough; a full disk is to be told.
        if not isinstance(error, BrokenPipeError):
            print(f"multiplespawner: {error}", file=sys.stderr)
        return 1
    return status


__all__ = ("COMMANDS", "main")
