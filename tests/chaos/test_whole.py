"""The same with a whole JupyterHub, whose servers run on machines, driven by its users.

``HUB_SCHEDULES`` says how many schedules are run, ``CHAOS_SEED`` from which seed on.
"""

from __future__ import annotations

import os

import pytest
from chaos import chunks

from multiplespawner_core.testing.cloud.faults import FaultKind

SOME = 25
SCHEDULES = int(os.environ.get("HUB_SCHEDULES", SOME))
FIRST = int(os.environ.get("CHAOS_SEED", "0"))
AT_ONCE = 3
"""They wait for half of their time."""

pytestmark = [pytest.mark.hub, pytest.mark.timeout(21600)]


@pytest.fixture(scope="module")
def outcomes():
    # One hub and one cloud each: what they hold grows from schedule to schedule.
    chunk = min(25, -(-SCHEDULES // AT_ONCE))
    return chunks.outcomes("chaos.whole", FIRST, SCHEDULES, chunk=chunk, at_once=AT_ONCE)


def test_whatever_happens_everything_that_costs_serves_somebody(outcomes):
    chunks.require_no_failures(outcomes, SCHEDULES)


def test_everything_was_tried(outcomes):
    """Of many schedules; how far a few get depends on what else the machine does."""
    totals = chunks.totals(outcomes, "hubs")
    killed, fired, numbers = (totals[name] for name in ("killed", "fired", "numbers"))
    assert killed.total() >= SCHEDULES
    assert numbers["started"] > 0
    assert numbers["kept to the end"] > 0
    assert fired["lost"] > 0
    if SCHEDULES > SOME:
        assert {one.value for one in FaultKind} <= set(fired)
        assert numbers["started"] > 0.3 * numbers["asked"]
        assert numbers["resumed"] > 0
        assert numbers["expired"] > 0
        assert numbers["give up: 204"] > 0
