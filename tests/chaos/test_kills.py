"""The same with hubs that are processes, ended by SIGKILL, and a cloud behind HTTP.

``KILL_SCHEDULES`` says how many schedules are run, ``CHAOS_SEED`` from which seed on.
"""

from __future__ import annotations

import os

import pytest
from chaos import chunks
from chaos.schedule import PROCESSES

from multiplespawner_core.testing.cloud.faults import FaultKind

SOME = 40
SCHEDULES = int(os.environ.get("KILL_SCHEDULES", SOME))
FIRST = int(os.environ.get("CHAOS_SEED", "0"))

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def outcomes():
    # They wait for most of their time.
    return chunks.outcomes("chaos.kills", FIRST, SCHEDULES, chunk=5, at_once=8)


def test_whatever_happens_everything_that_costs_serves_somebody(outcomes):
    chunks.require_no_failures(outcomes, SCHEDULES)


def test_everything_was_tried(outcomes):
    """Of many schedules; how far a few get depends on what else the machine does."""
    totals = chunks.totals(outcomes, "kills")
    killed, fired, numbers = (totals[name] for name in ("killed", "fired", "numbers"))
    assert killed.total() > 0.5 * SCHEDULES
    assert numbers["started"] > 0
    assert fired["lost"] > 0
    if SCHEDULES > SOME:
        assert set(PROCESSES.labels) <= set(killed)
        assert {one.value for one in FaultKind} <= set(fired)
        assert numbers["started"] > 0.3 * numbers["asked"]
