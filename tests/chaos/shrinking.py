"""Looking for the smallest schedule that fails."""

from __future__ import annotations

import time

SHRINK_FOR = 30.0
"""Seconds in which a smaller schedule that fails as well is looked for."""


def shrunk(schedule, run):
    """The smallest schedule with which `run` fails, as far as that is found in time, and how."""
    failure, give_up = None, time.monotonic() + SHRINK_FOR
    candidates = schedule.smaller()
    while time.monotonic() < give_up:
        smaller = next(candidates, None)
        if smaller is None:
            break
        try:
            run(smaller)
        except AssertionError as error:
            schedule, failure = smaller, error
            candidates = schedule.smaller()
    return schedule, failure
