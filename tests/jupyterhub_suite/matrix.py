"""JupyterHub's tests with and without MultipleSpawner, on both JupyterHubs, with and without SSL.

matrix.py PYTHON...: one interpreter for each JupyterHub. Prints a table, which also goes to
build/jupyterhub-suite/matrix.md. Exit status 1 if a test failed around MultipleSpawner that does
not fail with the bare mock spawner.
"""

# ruff: noqa: T201 - a command that reports
from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
REPORTS = PROJECT / "build" / "jupyterhub-suite" / "reports"
TABLE = PROJECT / "build" / "jupyterhub-suite" / "matrix.md"

HEAD = """\
| JupyterHub | internal SSL | spawner | passed | failed | skipped |
|---|---|---|---|---|---|
"""


@dataclass
class Outcome:
    """The names of the tests in one report."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)


def read(report: Path) -> Outcome:
    outcome = Outcome()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed.add(name)
        elif case.find("skipped") is not None:
            outcome.skipped.add(name)
        else:
            outcome.passed.add(name)
    # One that passed and whose teardown failed stands in the report twice.
    outcome.passed -= outcome.failed
    return outcome


def cell(python: str, name: str, *options: str) -> Outcome:
    print(f"==> {name}", flush=True)
    command = [python, str(HERE / "run.py"), "--reports", str(REPORTS), *options, name]
    subprocess.run(command, check=False)
    report = REPORTS / f"{name}.xml"
    if not report.exists():
        sys.exit(f"{name}: the run was ended from outside")
    return read(report)


def main(pythons: Sequence[str]) -> int:
    table = HEAD
    notes = []
    status = 0
    for python in pythons:
        version = _version(python)
        for ssl in (False, True):
            where = f"{version}{'-ssl' if ssl else ''}"
            options = ["--ssl"] if ssl else []
            bare = cell(python, f"{where}-bare", "--bare", *options)
            ours = cell(python, f"{where}-multiplespawner", *options)
            for name, one in (("bare", bare), ("MultipleSpawner", ours)):
                counts = f"{len(one.passed)} | {len(one.failed)} | {len(one.skipped)}"
                table += f"| {version} | {'yes' if ssl else 'no'} | {name} | {counts} |\n"
            notes += [f"{where}: {test}: fails bare" for test in sorted(bare.failed)]
            beyond = sorted(ours.failed - bare.failed)
            notes += [f"{where}: {test}: FAILS AROUND MULTIPLESPAWNER ONLY" for test in beyond]
            if beyond or not ours.passed:
                status = 1
    text = "\n".join((table, *(f"- {note}" for note in notes), ""))
    TABLE.write_text(text)
    print(text)
    return status


def _version(python: str) -> str:
    code = "import jupyterhub; print(jupyterhub.__version__)"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
