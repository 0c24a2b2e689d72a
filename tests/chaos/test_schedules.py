"""Hubs that are killed anywhere over a cloud that lies: nothing is leaked, lost or made twice.

``CHAOS_SCHEDULES`` says how many schedules are run, ``CHAOS_SEED`` from which seed on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chaos.schedule import LABELS

from multiplespawner_core.testing.cloud.faults import FaultKind

SCHEDULES = int(os.environ.get("CHAOS_SCHEDULES", "1000"))
FIRST = int(os.environ.get("CHAOS_SEED", "0"))
CHUNK = 25
PROJECT = Path(__file__).parents[2]
FIGURES = PROJECT / "build" / "chaos.json"

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]


def run(first):
    count = min(CHUNK, FIRST + SCHEDULES - first)
    command = [sys.executable, "-m", "chaos", str(first), str(count)]
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def outcomes():
    with ThreadPoolExecutor(os.cpu_count()) as processes:
        return list(processes.map(run, range(FIRST, FIRST + SCHEDULES, CHUNK)))


@pytest.fixture(scope="module")
def totals(outcomes):
    return {
        name: sum((Counter(one[name]) for one in outcomes), Counter())
        for name in ("killed", "fired", "numbers")
    }


def test_whatever_happens_everything_that_costs_serves_somebody(outcomes):
    failures = [failure for one in outcomes for failure in one["failures"]]
    assert not failures, f"{len(failures)} of {SCHEDULES}:\n" + "\n\n".join(failures[:5])


def test_everything_was_tried(outcomes, totals):
    """Every place to be killed at, every fault, and starts that succeed."""
    figures = {
        **totals["numbers"],
        "slowest reclaim": round(max(one["slowest"] for one in outcomes)),
        "killed": dict(totals["killed"].most_common()),
        "fired": dict(totals["fired"].most_common()),
    }
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    assert set(LABELS) <= set(totals["killed"])
    assert {one.value for one in FaultKind} <= set(totals["fired"])
    assert totals["numbers"]["started"] > 0.4 * totals["numbers"]["asked"]
