"""Very many servers that run: what looking after them costs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.crowds import CROWDS, STUB, Crowd, crowds
from benchmarks.figures import Quantity, Target
from benchmarks.hubs import OURS
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

SERVERS = 5000
INTERVAL = 10
"""Seconds in which JupyterHub polls each server once, and MultipleSpawner each child."""


def measure(
    rounds: int,
    subjects: Sequence[str] = CROWDS,
    servers: int = SERVERS,
    interval: float = INTERVAL,
) -> list[Quantity]:
    with crowds(subjects, servers, poll_interval=interval) as running:
        for crowd in running.values():
            crowd.multiply()
            crowd.memory()  # collects what starting left behind, which is not to be measured
        cpu = turns(subjects, rounds, lambda subject: _round(running[subject], interval))
    return [
        Quantity("a round of polls: CPU time", "s", cpu, STUB, Target(OURS, 0.5, "median")),
    ]


def _round(crowd: Crowd, interval: float) -> float:
    """All of the CPU time of a hub that does nothing else."""
    crowd.hub.begin()
    time.sleep(interval)
    cpu: float = crowd.hub.end()["cpu"]
    return cpu


BENCHMARK = Benchmark("live", f"{SERVERS} servers that run", 10, measure)

__all__ = ("BENCHMARK", "measure")
