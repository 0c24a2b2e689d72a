"""Runs mutants through schedules, in a process of its own: ``python -m mutations.schedules``.

Reads from its input, as JSON, for each mutant the seeds, and how many of them are enough; writes
for each which seed broke which invariant.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
from pathlib import Path

from chaos.__main__ import run
from chaos.invariants import Violation
from chaos.schedule import generate
from chaos.world import template_ledger
from mutations.mutants import MUTANTS

LONGEST = 20
"""Seconds for one schedule: what was removed may be what ends a loop."""


class _TooLong(BaseException):
    """Not one of those that the code under test deals with."""


def _give_up(number, frame):
    raise _TooLong


def broken(mutant, seed, folder):
    """The invariant that breaks, if one does."""
    signal.alarm(LONGEST)
    try:
        with mutant.applied():
            run(generate(seed), folder)
    except Violation as violation:
        return violation.invariant
    except (Exception, _TooLong):  # noqa: BLE001 - it broke, but nobody can say what
        return None
    finally:
        signal.alarm(0)
    return None


def found(mutant, seeds, enough, folder):
    """Seed -> name of the invariant that it broke, of those that this mutant must break."""
    finds = {}
    for seed in seeds:
        invariant = broken(mutant, seed, folder)
        if invariant in mutant.breaks:
            finds[seed] = invariant.name
        if len(finds) == enough:
            break
    return finds


def main():
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _give_up)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template_ledger(folder / "template")
        finds = {
            mutant: found(MUTANTS[mutant], seeds, enough, folder)
            for mutant, (seeds, enough) in json.load(sys.stdin).items()
        }
    sys.stdout.write(json.dumps(finds))


if __name__ == "__main__":
    main()
