"""Many servers at once: what users wait for, and what the hub's event loop suffers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.figures import Quantity, Target, percentile
from benchmarks.hubs import BARE, OURS, SUBJECTS, Hub, hubs
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

SERVERS = 20

_LAG = Target(OURS, 1.1, "ratio")

_QUANTITIES = (
    ("start to ready, the middle one", "ms", "ready", Target(OURS, 10)),
    ("start to ready, the last one", "ms", "all ready", None),
    ("stop, the middle one", "ms", "stopped", Target(OURS, 10)),
    ("stop, the last one", "ms", "all stopped", None),
    ("start: event loop's lag, p50", "ms", "lag p50", _LAG),
    ("start: event loop's lag, p99", "ms", "lag p99", _LAG),
    ("start: event loop's lag, max", "ms", "lag max", _LAG),
    ("start: hub's CPU time for each", "ms", "start cpu", None),
    ("stop: event loop's lag, p99", "ms", "stop lag p99", None),
    ("stop: hub's CPU time for each", "ms", "stop cpu", None),
)


def measure(
    rounds: int, subjects: Sequence[str] = SUBJECTS, servers: int = SERVERS
) -> list[Quantity]:
    users = [f"user{number}" for number in range(servers)]
    with hubs(subjects) as running, ThreadPoolExecutor(servers) as threads:
        for hub in running.values():
            for user in users:
                hub.process.client.create_user(user)
        found = turns(subjects, rounds, lambda subject: _one(running[subject], users, threads))
    return [
        Quantity(name, unit, {s: [one[key] for one in found[s]] for s in subjects}, BARE, target)
        for name, unit, key, target in _QUANTITIES
    ]


def _one(hub: Hub, users: Sequence[str], threads: ThreadPoolExecutor) -> Mapping[str, float]:
    hub.begin(lag=True)
    ready = _all(hub.start, users, threads)
    starting = hub.end()
    hub.begin(lag=True)
    stopped = _all(hub.stop, users, threads)
    stopping = hub.end()
    lags = [seconds * 1000 for seconds in starting["lags"]]
    return {
        "ready": statistics.median(ready),
        "all ready": max(ready),
        "stopped": statistics.median(stopped),
        "all stopped": max(stopped),
        "lag p50": percentile(lags, 50),
        "lag p99": percentile(lags, 99),
        "lag max": max(lags),
        "start cpu": starting["cpu"] * 1000 / len(users),
        "stop lag p99": percentile([seconds * 1000 for seconds in stopping["lags"]], 99),
        "stop cpu": stopping["cpu"] * 1000 / len(users),
    }


def _all(
    act: Callable[[str], None], users: Sequence[str], threads: ThreadPoolExecutor
) -> list[float]:
    """Milliseconds from the moment of asking for all to the end of each."""
    began = time.perf_counter()

    def one(user: str) -> float:
        act(user)
        return (time.perf_counter() - began) * 1000

    return list(threads.map(one, users))


BENCHMARK = Benchmark("burst", f"{SERVERS} servers at once", 10, measure)

__all__ = ("BENCHMARK", "SERVERS", "measure")
