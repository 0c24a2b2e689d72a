"""What was checked and what was left out, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiplespawner_core.testing.conformance.rules import PROPERTY

if TYPE_CHECKING:
    import pytest

NAME = PROPERTY

_LEFT_OUT = "left out"


class Reporter:
    """Follows the reports of tests, wherever they were run.

    Args:
        file: where to write them as JSON; None for nowhere.
    """

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._suites: dict[str, list[dict[str, Any]]] = {}

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        told = _told(report)
        if report.when == "call" and report.passed and told and told["left_out"]:
            return _LEFT_OUT, "o", "LEFT OUT"
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = _told(report)
        if report.when != "call" or told is None:
            return
        suite, _, name = report.nodeid.rpartition("::")
        outcome = _LEFT_OUT if report.passed and told["left_out"] else report.outcome
        entry = {"check": name, "outcome": outcome, **told, "parts": [*told["parts"]]}
        self._suites.setdefault(suite, []).append(entry)

    def pytest_sessionfinish(self) -> None:
        if self._file is not None:
            Path(self._file).write_text(json.dumps(self._suites, indent=2) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for suite, entries in self._suites.items():
            terminalreporter.section(f"conformance of {suite}")
            outcomes = [entry["outcome"] for entry in entries]
            counts = (f"{outcomes.count(kind)} {kind}" for kind in dict.fromkeys(sorted(outcomes)))
            terminalreporter.line(", ".join(counts))
            for why, names in _reasons(entries).items():
                terminalreporter.line(f"left out: {why}")
                for name in names:
                    terminalreporter.line(f"    {name}")


def _told(report: Any) -> dict[str, Any] | None:
    return dict(getattr(report, "user_properties", ())).get(PROPERTY)


def _reasons(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Checks by the reason why they, or parts of them, were left out."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry["left_out"]:
            found.setdefault(entry["left_out"], []).append(entry["check"])
        for why in dict.fromkeys(entry["parts"]):
            found.setdefault(why, []).append(f"{entry['check']} (in part)")
    return found


__all__ = ("NAME", "Reporter")
