"""Hubs that are killed anywhere over a cloud that lies: nothing is leaked, lost or made twice.

``CHAOS_SCHEDULES`` says how many schedules are run, ``CHAOS_SEED`` from which seed on.
"""

from __future__ import annotations

import os

import pytest
from chaos import chunks
from chaos.schedule import HANGS, LABELS

from multiplespawner_core.testing.cloud.faults import FaultKind

SCHEDULES = int(os.environ.get("CHAOS_SCHEDULES", "1000"))
FIRST = int(os.environ.get("CHAOS_SEED", "0"))

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def outcomes():
    return chunks.outcomes("chaos", FIRST, SCHEDULES, chunk=25, at_once=os.cpu_count())


def test_whatever_happens_everything_that_costs_serves_somebody(outcomes):
    chunks.require_no_failures(outcomes, SCHEDULES)


def test_everything_was_tried(outcomes):
    """Every place to be killed at, every fault, whatever never ends, and starts that succeed."""
    totals = chunks.totals(outcomes, "chaos")
    assert set(LABELS) <= set(totals["killed"])
    assert {one.value for one in FaultKind} <= set(totals["fired"])
    numbers = totals["numbers"]
    assert {f"hung: {place}" for place in HANGS} <= set(numbers)
    assert numbers["late"] > 0
    assert numbers["started"] > 0.35 * numbers["asked"]
    assert numbers["resumed"] > 0.03 * numbers["started"]
