"""The command line: ``python -m benchmarks [NAME ...] [--rounds N] [--output FOLDER]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.registry import BENCHMARKS
from benchmarks.runner import run

_OUTPUT = Path(__file__).parents[1] / "build" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a benchmark could not be run, else 0, also where targets were missed."""
    # Installed packages are compiled; without this every process would compile them anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Ended like by Ctrl-C, so that no hub stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="where the JSON files go")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(names))
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(names)}")
    chosen = [one for one in BENCHMARKS if not asked.names or one.name in asked.names]
    return 1 if run(chosen, asked.output, asked.rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
