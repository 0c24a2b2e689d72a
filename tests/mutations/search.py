"""Which mutants are found, by which schedules and tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaos.invariants import Invariant
from mutations.mutants import MUTANTS
from mutations.plugin import VARIABLE

PROJECT = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found.json"
PAGE = PROJECT / "docs" / "mutations.md"
TABLE = r"\| rule \|.*\n(?:\|.*\n)+"
"""Of the page: from its head to its last row."""

ENOUGH = 2
"""Schedules that find a mutant, after which no more are tried."""

_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(one) for one in (PROJECT, PROJECT / "tests")),
}


def by_schedules(wanted):
    """Mutant -> seed -> invariant; `wanted` is what `schedules` reads."""
    done = subprocess.run(
        [sys.executable, "-m", "mutations.schedules"],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
        env=_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    finds = json.loads(done.stdout)
    return {name: {int(seed): one for seed, one in of.items()} for name, of in finds.items()}


def by_test(mutant):
    """What pytest says of the one test with this mutant; None if it does not fail."""
    plugins = ["-p", "mutations.plugin", "-p", "no:cacheprovider"]
    chosen = ["-k", "not postgresql", mutant.breaks]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *chosen],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**_ENVIRONMENT, VARIABLE: mutant.name},
    )
    failed = done.returncode == 1 and f"FAILED {mutant.breaks}" in done.stdout
    return done.stdout if failed else None


def search(count):
    """What finds each mutant, and which ones nothing finds.

    Args:
        count: schedules to try at the most.
    """
    with ThreadPoolExecutor(os.cpu_count()) as processes:
        finds = list(processes.map(lambda mutant: _find(mutant, count), MUTANTS.values()))
    found = {name: of for name, of in zip(MUTANTS, finds, strict=True) if of is not None}
    return found, [name for name in MUTANTS if name not in found]


def _find(mutant, count):
    if not mutant.by_schedules:
        return None if by_test(mutant) is None else {}
    seeds = by_schedules({mutant.name: (list(range(count)), ENOUGH)})[mutant.name]
    if not seeds:
        return None
    tried = max(seeds) + 1 if len(seeds) == ENOUGH else count
    return {"seeds": sorted(seeds), "tried": tried, "broken": sorted(set(seeds.values()))}


def table(found):
    """Rule, what was removed, what broke, and in how many schedules; as in the documentation."""
    lines = ["| rule | removed | what breaks | in schedules |", "|---|---|---|---|"]
    for mutant in MUTANTS.values():
        if mutant.by_schedules:
            finds = found[mutant.name]
            what = "; ".join(Invariant[name].value for name in finds["broken"])
            often = f"{len(finds['seeds'])} of {finds['tried']}"
        else:
            path, name = mutant.breaks.split("::")
            what, often = f"`{path}`: {name[5:].replace('_', ' ')}", ""
        lines.append(f"| {mutant.rule} | {mutant.removes} | {what} | {often} |")
    return "\n".join(lines) + "\n"


__all__ = ("FOUND", "PAGE", "PROJECT", "TABLE", "by_schedules", "by_test", "search", "table")
