"""Each rule of the design is removed in turn, and what must break is seen to break.

Only the schedules that are known to find a mutant are run; ``make mutations`` searches afresh.
Where none of them finds it any more, because the code takes other steps by now, others are tried.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from mutations.mutants import MUTANTS
from mutations.search import FOUND, PAGE, PROJECT, TABLE, by_schedules, by_test, table

OTHERS = range(120)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

BY_SCHEDULES = [mutant.name for mutant in MUTANTS.values() if mutant.by_schedules]
BY_TEST = [mutant.name for mutant in MUTANTS.values() if not mutant.by_schedules]


@pytest.fixture(scope="module")
def known():
    return json.loads(FOUND.read_text())


@pytest.fixture(scope="module")
def finds(known):
    """Mutant -> seed -> invariant, one seed each; in two processes."""
    seeds = {name: (known[name]["seeds"], 1) for name in BY_SCHEDULES}
    halves = [{name: seeds[name] for name in BY_SCHEDULES[start::2]} for start in range(2)]
    with ThreadPoolExecutor(2) as processes:
        first, second = processes.map(by_schedules, halves)
    return first | second


@pytest.mark.parametrize("name", BY_SCHEDULES)
def test_schedules_find_it(name, finds):
    found = finds[name] or by_schedules({name: (list(OTHERS), 1)})[name]
    assert found, f"no schedule finds it any more: make mutations\n{MUTANTS[name]}"


@pytest.mark.parametrize("name", BY_TEST)
def test_a_test_finds_it(name):
    assert by_test(MUTANTS[name]) is not None, MUTANTS[name]


def test_every_rule_has_a_mutant():
    text = (PROJECT / "docs" / "design.md").read_text()
    (section,) = re.findall(r"^## What must always hold\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    rules = {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert len(rules) == 11
    assert {mutant.rule for mutant in MUTANTS.values()} == rules


def test_the_documented_table_is_what_was_found(known):
    assert re.findall(TABLE, PAGE.read_text()) == [table(known)]
