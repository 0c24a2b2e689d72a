"""Very many starts in flight on one hub: what its event loop suffers, and what a server weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.crowds import CROWDS, STUB, Crowd, crowds
from benchmarks.figures import Quantity, Target, percentile
from benchmarks.hubs import OURS
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

SERVERS = 600
EVERY = 0.1
"""Seconds between two users who ask for a server, and later between two machines that come up."""

_QUANTITIES = (
    ("event loop's lag, p50", "ms", "lag p50", None),
    ("event loop's lag, p99", "ms", "lag p99", Target(OURS, 50, "median")),
    ("event loop's lag, max", "ms", "lag max", None),
    ("the same by its own doing, p50", "ms", "own lag p50", None),
    ("the same by its own doing, p99", "ms", "own lag p99", Target(OURS, 1.1, "ratio")),
    ("the same by its own doing, max", "ms", "own lag max", None),
    ("hub's CPU time for each start", "ms", "start cpu", None),
    ("hub's CPU time for each stop", "ms", "stop cpu", None),
    ("hub's memory for each server that runs", "KiB", "memory", None),
)


def measure(
    rounds: int,
    subjects: Sequence[str] = CROWDS,
    servers: int = SERVERS,
    *,
    every: float = EVERY,
) -> list[Quantity]:
    with crowds(subjects, servers) as running:
        for crowd in running.values():
            crowd.create_users()
        # No round to warm up: it would take minutes, and of so many starts few are the first.
        found = turns(subjects, rounds, lambda one: _one(running[one], every), warm_up=0)
    return [
        Quantity(name, unit, {s: [one[key] for one in found[s]] for s in subjects}, STUB, target)
        for name, unit, key, target in _QUANTITIES
    ]


def _one(crowd: Crowd, every: float) -> Mapping[str, float]:
    hub, servers = crowd.hub, len(crowd.users)
    empty = crowd.memory()
    crowd.hold()
    hub.begin(lag=True)
    crowd.ask_for_all(every)
    in_flight = crowd.count()["pending"]
    assert in_flight == servers, f"only {in_flight} of {servers} starts are in flight"
    crowd.let_up(every)
    crowd.wait_until_ready()
    starting = hub.end()
    full = crowd.memory()
    hub.begin()
    crowd.stop_all()
    stopping = hub.end()
    lags, own = ([s * 1000 for s in starting[key]] for key in ("lags", "own_lags"))
    return {
        "lag p50": percentile(lags, 50),
        "lag p99": percentile(lags, 99),
        "lag max": max(lags),
        "own lag p50": percentile(own, 50),
        "own lag p99": percentile(own, 99),
        "own lag max": max(own),
        "start cpu": starting["cpu"] * 1000 / servers,
        "stop cpu": stopping["cpu"] * 1000 / servers,
        "memory": (full - empty) / servers,
    }


BENCHMARK = Benchmark(
    "flight",
    f"{SERVERS} starts in flight, which come and go at {1 / EVERY:g} a second",
    3,
    measure,
)

__all__ = ("BENCHMARK", "measure")
