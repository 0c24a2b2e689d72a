"""One server at a time: what a start and a stop cost beyond the bare child's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.figures import Quantity, Target
from benchmarks.hubs import BARE, OURS, SUBJECTS, Hub, hubs
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

_USER = "ada"

Milliseconds = Mapping[str, float]


def measure(rounds: int, subjects: Sequence[str] = SUBJECTS) -> list[Quantity]:
    with hubs(subjects) as running:
        for hub in running.values():
            hub.process.client.create_user(_USER)
        fine = turns(subjects, rounds, lambda subject: _one(running[subject], fine=True))
        coarse = turns(subjects, rounds, lambda subject: _one(running[subject], fine=False))

    def quantity(
        name: str, figure: str, of: Mapping[str, Sequence[Milliseconds]], *, target: bool = False
    ) -> Quantity:
        samples = {subject: [one[figure] for one in of[subject]] for subject in subjects}
        return Quantity(name, "ms", samples, BARE, Target(OURS, 10) if target else None)

    def beside_the_child(name: str, figure: str) -> Quantity:
        wrapping = [subject for subject in subjects if subject != BARE]
        samples = {subject: [one[figure] for one in fine[subject]] for subject in wrapping}
        return Quantity(name, "ms", samples)

    return [
        quantity("start to ready", "ready", fine, target=True),
        beside_the_child("of which start() beside the child's", "start"),
        quantity("stop", "stopped", fine, target=True),
        beside_the_child("of which stop() beside the child's", "stop"),
        quantity("start to ready, JupyterHub's own waits", "ready", coarse),
        quantity("stop, JupyterHub's own waits", "stopped", coarse),
    ]


def _one(hub: Hub, *, fine: bool) -> Milliseconds:
    hub.begin(fine=fine)
    ready = _timed(hub.start)
    stopped = _timed(hub.stop)
    spent: dict[str, float] = {}
    for span in hub.end()["spans"]:
        spent[span["span"]] = spent.get(span["span"], 0) + span["seconds"] * 1000
    return {
        "ready": ready,
        "stopped": stopped,
        "start": spent["start"] - spent["child.start"],
        "stop": spent["stop"] - spent["child.stop"],
    }


def _timed(act: Callable[[str], None]) -> float:
    began = time.perf_counter()
    act(_USER)
    return (time.perf_counter() - began) * 1000


BENCHMARK = Benchmark("starts", "one server at a time", 40, measure)

__all__ = ("BENCHMARK", "measure")
