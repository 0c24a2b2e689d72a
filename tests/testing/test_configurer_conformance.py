"""The kit for configurers passes what keeps the contract, and tells of every breach."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from testing.keyed import FAULTS, Keyed, KeyedConformance, LeavesAProcess

import multiplespawner_core
from multiplespawner_core.cli.descendants import Descendants
from multiplespawner_core.testing.conformance import checks
from multiplespawner_core.testing.conformance.configuring import bench
from multiplespawner_core.testing.conformance.configuring.checks import PAGE
from multiplespawner_core.testing.conformance.rules import Rule, run

pytestmark = [pytest.mark.slow, pytest.mark.once]

PROJECT = Path(__file__).parents[2]
FOUND = checks(KeyedConformance)


def outcome(cls, name, folder):
    case = type(f"{cls.__name__}Conformance", (KeyedConformance,), {"configurer": cls})
    return run(case(), FOUND[name][1], folder)


@pytest.mark.parametrize("name", FOUND)
def test_what_keeps_the_contract_passes(name, tmp_path):
    found = outcome(Keyed, name, tmp_path)
    assert found.broken is None
    assert bool(found.left_out) == (name == "test_import_is_lazy")
    assert not found.parts


@pytest.mark.parametrize(
    ("name", "cls", "says"),
    [(name, *fault) for name, faults in FAULTS.items() for fault in faults],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_breach_is_told(name, cls, says, tmp_path, monkeypatch):
    # What goes on is looked at until then.
    monkeypatch.setattr(bench, "GRACE", 1.0)
    assert says in str(outcome(cls, name, tmp_path).broken)


def test_one_look_that_sees_nothing_does_not_do(tmp_path, monkeypatch):
    """Whatever forks while it is looked for may not be seen."""
    monkeypatch.setattr(bench, "GRACE", 1.0)
    running = Descendants.running
    misses = iter([True])
    monkeypatch.setattr(
        Descendants, "running", lambda self: [] if next(misses, False) else running(self)
    )
    said = outcome(LeavesAProcess, "test_apply_configures", tmp_path).broken
    assert "these processes go on" in str(said)


def test_every_check_has_a_configurer_that_it_tells():
    assert {*FAULTS} == {*FOUND} - {"test_import_is_lazy"}  # tested with providers


@pytest.mark.parametrize("name", FOUND)
def test_every_rule_is_written_somewhere(name):
    rule, test = FOUND[name]
    thing = multiplespawner_core
    for part in rule.where.split("."):
        thing = getattr(thing, part)
    assert thing.__doc__
    assert rule.name == test.__name__ == name
    assert test.__doc__ == rule.text


def test_every_check_is_in_the_documentation():
    page = (PROJECT / "docs" / PAGE).read_text()
    shown = re.findall(r"^\| `(test_\w+)` \| `([\w.]+)` \| (.+) \|$", page, re.MULTILINE)
    assert [Rule(*row, PAGE) for row in shown] == [FOUND[name][0] for name, _, _ in shown]
    assert {name for name, _, _ in shown} == {*FOUND}
