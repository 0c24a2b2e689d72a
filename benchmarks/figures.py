"""Measured quantities: samples by subject, what follows from them, and what was aimed at."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Samples = Sequence[float]
Compare = Callable[[float, float], float]

_RESAMPLES = 1000


@dataclass(frozen=True)
class Target:
    """The most that a subject should reach; missing it is reported and fails nothing.

    Args:
        subject: whose figure.
        limit: the most.
        figure: which one: ``median``, ``over`` (the reference's median) or ``ratio`` (to it).
    """

    subject: str
    limit: float
    figure: str = "over"


@dataclass(frozen=True)
class Quantity:
    """One thing that was measured for several subjects, in turns.

    Args:
        name: what it is.
        unit: of the samples.
        samples: by subject. The n-th ones of all subjects were measured in the same round.
        reference: the subject that the others are compared with, where that makes sense.
        target: what was aimed at, if anything.
    """

    name: str
    unit: str
    samples: Mapping[str, Samples]
    reference: str | None = None
    target: Target | None = None

    def figures(self, subject: str) -> dict[str, float | list[float]]:
        """Median, quartiles and, for all but the reference, the comparison with it."""
        own = self.samples[subject]
        found: dict[str, float | list[float]] = {
            "n": len(own),
            "median": statistics.median(own),
            "quartiles": quartiles(own),
        }
        if self.reference is not None and subject != self.reference:
            reference = self.samples[self.reference]
            for name, compare in _COMPARISONS.items():
                found[name] = compare(statistics.median(own), statistics.median(reference))
                found[f"{name}_interval"] = _interval(own, reference, compare)
        return found

    def reached(self) -> float:
        """The figure that the target is about."""
        assert self.target is not None
        found = self.figures(self.target.subject)[self.target.figure]
        assert not isinstance(found, list)
        return found

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        return None if self.target is None else self.reached() <= self.target.limit


def quartiles(samples: Samples) -> list[float]:
    return [percentile(samples, 25), percentile(samples, 75)]


def percentile(samples: Samples, percent: float) -> float:
    """Interpolated between the two samples next to it."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _interval(own: Samples, reference: Samples, compare: Compare) -> list[float]:
    """Where the comparison lies in 95 of 100 draws of whole rounds (bootstrap)."""
    rounds = list(zip(own, reference, strict=True))
    # The same samples give the same interval. No secret hangs on it.
    draws = random.Random(0)  # noqa: S311 - see above
    found = []
    for _ in range(_RESAMPLES):
        drawn, beside = zip(*draws.choices(rounds, k=len(rounds)), strict=True)
        found.append(compare(statistics.median(drawn), statistics.median(beside)))
    return [percentile(found, 2.5), percentile(found, 97.5)]


def _over(own: float, reference: float) -> float:
    return own - reference


def _ratio(own: float, reference: float) -> float:
    return own / reference if reference else float("inf")


_COMPARISONS: Mapping[str, Compare] = {"over": _over, "ratio": _ratio}

__all__ = ("Quantity", "Samples", "Target", "percentile", "quartiles")
