"""How long an import takes, each in a new process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from benchmarks.figures import Quantity, Target
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

PACKAGE = "import multiplespawner_core"
SPAWNER = "from multiplespawner_core import MultipleSpawner"
PROVIDER = "from multiplespawner_core import Provider"
HUB = "import jupyterhub"
APPLICATION = "import jupyterhub.app"
TRAITLETS = "import traitlets.config"

_TIMED = """\
import time
before = time.perf_counter()
{statement}
print(time.perf_counter() - before)
"""


def measure(rounds: int) -> list[Quantity]:
    statements = [HUB, PACKAGE, TRAITLETS, PROVIDER, APPLICATION, SPAWNER]
    samples = turns(statements, rounds, _milliseconds)

    def quantity(name: str, statements: Sequence[str], target: Target | None = None) -> Quantity:
        chosen = {statement: samples[statement] for statement in statements}
        return Quantity(name, "ms", chosen, statements[0], target)

    return [
        quantity("the package", [HUB, PACKAGE], Target(PACKAGE, 50, "median")),
        quantity("what a plugin needs", [TRAITLETS, PROVIDER]),
        quantity("what the hub needs", [APPLICATION, SPAWNER]),
    ]


def _milliseconds(statement: str) -> float:
    code = _TIMED.format(statement=statement)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own statement
    return float(done.stdout) * 1000


BENCHMARK = Benchmark("imports", "time to import, in a new process", 25, measure)

__all__ = ("BENCHMARK", "measure")
