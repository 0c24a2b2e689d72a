"""The spawn form with few and with very many deployments."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from benchmarks.figures import Quantity, Target
from benchmarks.hubs import BARE, OURS, SUBJECTS, Hub, UserSession, hubs
from benchmarks.runner import Benchmark
from benchmarks.turns import turns

FEW, MANY = 10, 1000


def measure(
    rounds: int, subjects: Sequence[str] = SUBJECTS, sizes: Sequence[int] = (FEW, MANY)
) -> list[Quantity]:
    return [quantity for size in sizes for quantity in _of_size(size, rounds, subjects)]


def _of_size(size: int, rounds: int, subjects: Sequence[str]) -> list[Quantity]:
    with hubs(subjects, size) as running:
        sessions = {subject: hub.process.session("ada") for subject, hub in running.items()}

        def one(subject: str) -> Mapping[str, float]:
            return _one(running[subject], sessions[subject], size)

        found = turns(subjects, rounds, one)
    # The others' texts are fixed, or rendered once for a user.
    form = {OURS: [one["form"] for one in found[OURS]]}
    page = {subject: [one["page"] for one in found[subject]] for subject in subjects}
    target = Target(OURS, 100, "median") if size == MANY else None
    return [
        Quantity(f"{size} deployments: the form", "ms", form, None, target),
        Quantity(f"{size} deployments: the whole page", "ms", page, BARE, target),
    ]


def _one(hub: Hub, session: UserSession, size: int) -> Mapping[str, float]:
    hub.begin()
    began = time.perf_counter()
    answer = session.spawn_form()
    page = time.perf_counter() - began
    found = answer.text.count("<option")
    assert found == size, f"{found} of {size} deployments are on the page"
    (form,) = (span for span in hub.end()["spans"] if span["span"] == "get_options_form")
    return {"page": page * 1000, "form": form["seconds"] * 1000}


BENCHMARK = Benchmark("form", "the spawn form, with few and many deployments", 25, measure)

__all__ = ("BENCHMARK", "measure")
