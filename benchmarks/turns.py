"""Measuring in turns: whatever else the machine does then meets every subject alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def turns(
    subjects: Sequence[str], rounds: int, measure: Callable[[str], T], *, warm_up: int = 1
) -> dict[str, list[T]]:
    """What `measure` gives for each subject, once a round.

    The order changes from round to round, so that none profits from what stands before it.

    Args:
        subjects: what is measured.
        rounds: that count.
        measure: called with one subject.
        warm_up: rounds before them, which fill caches.
    """
    found: dict[str, list[T]] = {subject: [] for subject in subjects}
    for number in range(-warm_up, rounds):
        first = number % len(subjects)
        for subject in (*subjects[first:], *subjects[:first]):
            result = measure(subject)
            if number >= 0:
                found[subject].append(result)
    return found


__all__ = ("turns",)
