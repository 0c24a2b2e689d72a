"""A hub that is killed and started again while very many servers run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from benchmarks.crowds import CROWDS, STUB, Crowd, crowds
from benchmarks.figures import Quantity, Target
from benchmarks.hubs import OURS
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

SERVERS = 1000

_BOTH = (
    ("until JupyterHub has looked at every server", "s", "ready", Target(OURS, 10, "median")),
    ("the same: hub's CPU time", "s", "cpu", None),
)
_OURS = (
    ("meanwhile: lists of the one scope", "calls", "lists", Target(OURS, 1, "median")),
    ("meanwhile: questions about single machines", "calls", "looks", Target(OURS, 0, "median")),
    ("a sweep", "s", "sweep", Target(OURS, 5, "median")),
    ("a sweep: hub's CPU time", "s", "sweep cpu", None),
)


def measure(
    rounds: int, subjects: Sequence[str] = CROWDS, servers: int = SERVERS
) -> list[Quantity]:
    with crowds(subjects, servers) as running:
        for crowd in running.values():
            crowd.multiply()
        found = turns(subjects, rounds, lambda subject: _one(subject, running[subject]))

    def samples(key: str, subjects: Sequence[str]) -> Mapping[str, Sequence[float]]:
        return {subject: [one[key] for one in found[subject]] for subject in subjects}

    both = [Quantity(n, unit, samples(key, subjects), STUB, t) for n, unit, key, t in _BOTH]
    ours = [Quantity(n, unit, samples(key, [OURS]), None, t) for n, unit, key, t in _OURS]
    return [*both, *ours]


def _one(subject: str, crowd: Crowd) -> Mapping[str, float]:
    crowd.hub.process.kill()
    began = time.perf_counter()
    crowd.start_again()
    ready = time.perf_counter() - began
    seen = crowd.hub.end()
    calls = seen["calls"]
    found = {"ready": ready, "cpu": seen["cpu"]}
    if subject != OURS:
        return found
    looks = calls.get("describe", 0) + calls.get("find", 0)
    return {**found, "lists": calls.get("list_owned", 0), "looks": looks, **_sweep(crowd)}


def _sweep(crowd: Crowd) -> Mapping[str, float]:
    crowd.hub.begin()
    began = time.perf_counter()
    report = crowd.hub.ask("POST", "/multiplespawner/resources/reconcile").json()
    seconds = time.perf_counter() - began
    (scope,) = report["scopes"]
    assert scope["count"] == len(crowd.users), scope
    return {"sweep": seconds, "sweep cpu": crowd.hub.end()["cpu"]}


BENCHMARK = Benchmark("restart", f"a restart while {SERVERS} servers run", 5, measure)

__all__ = ("BENCHMARK", "measure")
