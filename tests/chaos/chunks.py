"""Many schedules, some to a process: what is killed within one leaves traces in the interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FIGURES = PROJECT / "build"


def outcomes(module, first, schedules, *, chunk, at_once):
    """What `python -m module FIRST COUNT` prints, for all of them."""
    end = first + schedules
    path = os.pathsep.join(map(str, (PROJECT, PROJECT / "tests", PROJECT / "tests" / "hub")))

    def run(begin):
        command = [sys.executable, "-m", module, str(begin), str(min(chunk, end - begin))]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    with ThreadPoolExecutor(at_once) as processes:
        return list(processes.map(run, range(first, end, chunk)))


def require_no_failures(outcomes, schedules):
    failures = [failure for one in outcomes for failure in one["failures"]]
    assert not failures, f"{len(failures)} of {schedules}:\n" + "\n\n".join(failures[:5])


def totals(outcomes, name):
    """What came of all of them together; also written into ``build/NAME.json``."""
    added = {
        what: sum((Counter(one[what]) for one in outcomes), Counter())
        for what in ("killed", "fired", "numbers")
    }
    figures = {
        **added["numbers"],
        "slowest reclaim": round(max(one["slowest"] for one in outcomes)),
        "killed": dict(added["killed"].most_common()),
        "fired": dict(added["fired"].most_common()),
    }
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    return added
