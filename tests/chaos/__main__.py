"""Runs some schedules and prints what came of them as JSON: ``python -m chaos FIRST COUNT``.

In a process of its own: what is killed within a process leaves traces in the interpreter.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from chaos.schedule import generate
from chaos.shrinking import shrunk
from chaos.world import World, template_ledger


def run(schedule, folder):
    shutil.rmtree(folder / "state", ignore_errors=True)
    world = World(schedule, folder / "state", folder / "template")
    world.run()
    return world


def main(first, count):
    killed, fired, numbers, failures = Counter(), Counter(), Counter(), []
    slowest = 0.0
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template_ledger(folder / "template")
        for seed in range(first, first + count):
            try:
                world = run(generate(seed), folder)
            except AssertionError as error:
                schedule, failure = shrunk(generate(seed), lambda one: run(one, folder))
                failures.append(f"seed {seed}: {error}\nsmallest: {schedule}: {failure}")
                continue
            killed += world.killed
            fired += world.cloud.faults.fired
            numbers.update({**world.numbers, "duplicates": world.duplicates, "schedules": 1})
            slowest = max(slowest, world.slowest_reclaim)
    figures = {"killed": killed, "fired": fired, "numbers": numbers, "slowest": slowest}
    sys.stdout.write(json.dumps({**figures, "failures": failures}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
