"""What follows from samples."""

from __future__ import annotations

import pytest

from benchmarks import table
from benchmarks.figures import Quantity, Target, percentile
from benchmarks.turns import turns

BARE = [10.0, 12.0, 11.0, 13.0, 100.0]
OURS = [15.0, 17.0, 16.0, 18.0, 105.0]


def quantity(target=None, reference="bare"):
    return Quantity("start", "ms", {"bare": BARE, "ours": OURS}, reference, target)


def test_percentiles_are_interpolated():
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([0, 10], 25) == 2.5
    assert percentile([7], 99) == 7


def test_a_subject_is_compared_with_the_reference():
    figures = quantity().figures("ours")
    assert figures["median"] == 17
    assert figures["quartiles"] == [16, 18]
    assert figures["over"] == 5
    assert figures["ratio"] == pytest.approx(17 / 12)
    # Every round differs by 5, so every draw does: the outlier is in both.
    assert figures["over_interval"] == [5, 5]
    assert "over" not in quantity().figures("bare")
    assert "over" not in quantity(reference=None).figures("ours")


@pytest.mark.parametrize(
    ("target", "words", "verdict"),
    [
        (Target("ours", 5), "5 ms more than bare: 5.00", "met"),
        (Target("ours", 4.9), "4.9 ms more than bare: 5.00", "missed"),
        (Target("ours", 1.1, "ratio"), "1.1 times bare: 1.42", "missed"),
        (Target("ours", 20, "median"), "20 ms: 17.0", "met"),
    ],
)
def test_targets(target, words, verdict):
    assert quantity(target).met is (verdict == "met")
    assert f"  target: ours at most {words}, {verdict}\n" in table.render("", [quantity(target)])


def test_whole_numbers_are_figures_as_well():
    lists = Quantity("lists", "calls", {"ours": [1, 1, 1]}, target=Target("ours", 1, "median"))
    assert lists.met
    assert "  target: ours at most 1 calls: 1.00, met\n" in table.render("", [lists])


def test_the_table():
    assert table.render("=== starts", [quantity()]) == (
        "=== starts\n"
        "\n"
        "start, ms     median         quartiles               difference                 ratio\n"
        "  bare          12.0      11.0 .. 13.0\n"
        "  ours          17.0      16.0 .. 18.0        +5.0 [+5.0, +5.0]     1.42 [1.05, 1.50]\n"
    )


def test_subjects_take_turns():
    calls = []
    found = turns(["a", "b", "c"], 3, lambda name: calls.append(name) or len(calls), warm_up=1)
    # The warm-up counts as the round before the first.
    assert calls == ["c", "a", "b", "a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert found == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}
