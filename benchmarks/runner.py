"""Runs benchmarks one after the other, prints their tables and writes their samples down."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.figures import Quantity

_DISTRIBUTIONS = ("jupyterhub", "multiplespawner-core", "sqlalchemy", "tornado", "wrapspawner")


@dataclass(frozen=True)
class Benchmark:
    """What a module of this package offers.

    Args:
        name: on the command line, and of the file with its samples.
        title: what is measured, in one line.
        rounds: how often every subject is measured, unless the command line says.
        measure: takes the number of rounds. It measures the subjects in turns, so that whatever
            else the machine does meets all of them.
    """

    name: str
    title: str
    rounds: int
    measure: Callable[[int], Sequence[Quantity]]


def run(benchmarks: Sequence[Benchmark], output: Path, rounds: int | None = None) -> int:
    """Run them all and return how many could not be run; a target that is missed is no failure.

    Args:
        benchmarks: which.
        output: a folder; each benchmark writes ``<name>.json`` into it.
        rounds: instead of each benchmark's own number.
    """
    failures = 0
    output.mkdir(parents=True, exist_ok=True)
    for benchmark in benchmarks:
        try:
            _run_one(benchmark, output, rounds or benchmark.rounds)
        except Exception:  # noqa: BLE001 - the others are to be run as well
            failures += 1
            traceback.print_exc()
            print(f"{benchmark.name}: could not be run\n", flush=True)
    return failures


def _run_one(benchmark: Benchmark, output: Path, rounds: int) -> None:
    title = f"=== {benchmark.name}: {benchmark.title}, {rounds} rounds"
    print(f"{title} ...", file=sys.stderr, flush=True)
    before, started = os.getloadavg(), time.time()
    quantities = benchmark.measure(rounds)
    load = {"before": before, "after": os.getloadavg()}
    print(table.render(title, quantities))
    print(f"load average {before[0]:.1f} before, {load['after'][0]:.1f} after\n", flush=True)
    report = {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "rounds": rounds,
        "started": started,
        "seconds": time.time() - started,
        "load_average": load,
        "machine": _machine(),
        "quantities": [_plain(quantity) for quantity in quantities],
    }
    (output / f"{benchmark.name}.json").write_text(json.dumps(report, indent=1) + "\n")


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": dict(filter(None, map(_version, _DISTRIBUTIONS))),
    }


def _version(distribution: str) -> tuple[str, str] | None:
    try:
        return distribution, importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _plain(quantity: Quantity) -> dict[str, Any]:
    target = quantity.target
    return {
        "name": quantity.name,
        "unit": quantity.unit,
        "reference": quantity.reference,
        "figures": {subject: quantity.figures(subject) for subject in quantity.samples},
        "samples": {subject: list(samples) for subject, samples in quantity.samples.items()},
        "target": target and {**vars(target), "reached": quantity.reached(), "met": quantity.met},
    }


__all__ = ("Benchmark", "run")
