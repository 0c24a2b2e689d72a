"""The conformance kit passes what keeps the contract, and each breach is told by its own check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner
from testing.mutants import MUTANTS
from testing.rack import Place, Rack, RackConformance

import multiplespawner_core
from multiplespawner_core.testing.conformance import checks
from multiplespawner_core.testing.conformance.rules import Rule, run

pytestmark = [pytest.mark.slow, pytest.mark.once]

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2]


def case_of(cls, **attributes):
    given = {"provider": cls, "child": SimpleLocalProcessSpawner, **attributes}
    return type(f"{cls.__name__}Conformance", (RackConformance,), given)


def outcomes(case, folder):
    """What came of every check, each with a world of its own."""
    found = {}
    for name, (_, test) in checks(case).items():
        place = folder / name
        place.mkdir()
        found[name] = run(case(), test, place)
    return found


@pytest.mark.filterwarnings("ignore:something may be left behind")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.provider.__name__)
def test_a_breach_is_told_by_its_own_check(mutant, tmp_path):
    found = outcomes(case_of(mutant.provider), tmp_path)
    broken = {name: str(one.broken) for name, one in found.items() if one.broken}
    assert set(broken) == mutant.fails, broken
    assert any(mutant.says in message for message in broken.values()), broken


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("cls", "left_out"),
    [
        (
            Rack,
            {
                "test_import_is_lazy",
                "test_the_child_s_start_can_be_cancelled",
                "test_what_the_child_made_is_seen",
            },
        ),
        (
            Place,
            {
                "test_import_is_lazy",
                "test_a_late_failure_says_why",
                "test_create_does_not_wait",
                "test_describe_until_ready",
            },
        ),
    ],
)
def test_what_keeps_the_contract_passes(cls, left_out, tmp_path):
    found = outcomes(case_of(cls), tmp_path)
    assert {name: one.broken for name, one in found.items() if one.broken} == {}
    assert {name for name, one in found.items() if one.left_out} == left_out
    assert not any(one.parts for one in found.values())


@pytest.mark.parametrize("name", checks(RackConformance))
def test_every_rule_is_written_somewhere(name):
    rule, test = checks(RackConformance)[name]
    thing = multiplespawner_core
    for part in rule.where.split("."):
        thing = getattr(thing, part)
    assert thing.__doc__
    assert rule.name == test.__name__ == name
    assert test.__doc__ == rule.text


def test_every_check_is_in_the_documentation():
    page = (PROJECT / "docs" / "conformance.md").read_text()
    shown = re.findall(r"^\| `(test_\w+)` \| `([\w.]+)` \| (.+) \|$", page, re.MULTILINE)
    rules = {rule for rule, _ in checks(RackConformance).values()}
    assert {Rule(*row) for row in shown} == rules
    assert len(shown) == len(rules)


def test_nothing_is_imported_before_it_is_used():
    names = ("pytest", "jupyterhub", "multiplespawner_core.testing.conformance")
    code = (
        f"import sys, multiplespawner_core.testing; print([n for n in {names} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_check_has_a_provider_that_it_tells():
    told = {name for mutant in MUTANTS for name in mutant.fails}
    assert told == {*checks(RackConformance)} - {"test_import_is_lazy"}  # see below


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import fake_client", "importing eager imports fake_client"),
        ("import jupyterhub", "importing eager imports jupyterhub"),
        ("import testing.rack", "importing eager imports testing.rack"),
        ("import sys; sys.exit(3)", "cannot be imported"),
        ("", ""),
    ],
)
def test_an_eager_plugin_is_told(source, says, tmp_path, monkeypatch):
    (tmp_path / "fake_client.py").touch()
    (tmp_path / "eager.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    case = case_of(Rack, plugin="eager", sdk=("fake_client",))
    outcome = run(case(), case.test_import_is_lazy, tmp_path)
    assert (outcome.left_out, outcome.parts) == ("", ())
    assert says in str(outcome.broken or "")
    assert bool(outcome.broken) == bool(says)


SUITE = """
from testing.rack import RackConformance, Place

{plugin}

class TestPlace(RackConformance):
    provider = Place
    specification = RackConformance.specification

    def unreachable(self, provider):
        return super(RackConformance, self).unreachable(provider)

    async def inventory(self, provider):
        return await super(RackConformance, self).inventory(provider)
"""
PLUGIN = 'pytest_plugins = ["multiplespawner_core.testing"]'


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run a suite as an author does, in a process of its own and without this project's options."""
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    monkeypatch.setenv("PYTHONPATH", path)

    def start(text, *arguments):
        pytester.makepyfile(test_suite=text)
        return pytester.runpytest_subprocess("-p", "no:asyncio", "-W", "error", *arguments)

    return start


def test_what_is_left_out_is_told(suite, pytester):
    report = ("-p", "multiplespawner_core.testing", "--conformance-report", "report.json")
    done = suite(SUITE.format(plugin=PLUGIN), *report)
    done.assert_outcomes(passed=35)
    lines = done.stdout.str()
    assert "conformance of test_suite.py::TestPlace" in lines
    assert "7 left out, 35 passed" in lines
    done.stdout.fnmatch_lines(
        [
            "left out: what an API that cannot be reached does: no unreachable() is given",
            "    test_no_secret_is_shown (in part)",
            "    test_unreachable_proves_nothing",
            "left out: made_by is child: nothing is ready before the child's start",
            "    test_create_does_not_wait",
        ]
    )
    (entries,) = json.loads((pytester.path / "report.json").read_text()).values()
    by_name = {entry["check"]: entry for entry in entries}
    assert set(by_name) == {*checks(RackConformance)}
    assert by_name["test_create_does_not_wait"] == {
        "check": "test_create_does_not_wait",
        "outcome": "left out",
        "where": "Provider.create",
        "rule": "It returns as soon as there is an id and never waits for readiness.",
        "left_out": "made_by is child: nothing is ready before the child's start",
        "parts": [],
    }
    assert by_name["test_delete_ends_everything"]["outcome"] == "passed"
    (part,) = by_name["test_delete_ends_everything"]["parts"]
    assert part == "leaks that the provider itself does not see: no inventory() is given"


def test_without_the_plugin_what_is_left_out_is_skipped(suite):
    done = suite(SUITE.format(plugin=""), "-rs")
    done.assert_outcomes(passed=35, skipped=7)
    assert "no unreachable() is given" in done.stdout.str()


def test_a_breach_names_rule_and_place(suite):
    text = SUITE.format(plugin=PLUGIN).replace("= Place", "= NamesNoAddress")
    done = suite(f"from testing.mutants import NamesNoAddress\n{text}")
    done.assert_outcomes(passed=34, failed=1)
    lines = done.stdout.str()
    assert "ContractBroken: Handle: it has no endpoint" in lines
    assert "The rule: It carries the scope of its intent and survives being stored" in lines
    assert "Documented at multiplespawner_core.Handle, in docs/contracts.md" in lines
    assert "rules.py" not in lines.partition("short test summary")[0]


def test_the_plugin_is_not_loaded_by_itself(pytester):
    done = pytester.runpytest_subprocess("--help")
    assert "--conformance-report" not in done.stdout.str()
