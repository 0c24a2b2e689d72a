"""The hub's answer: read strictly, and given on as it was."""

from __future__ import annotations

import pytest
from multiplespawner_lab.lifetime import Lifetime

ANSWER = {
    "started_at": "2026-01-01T10:00:00Z",
    "ends_at": "2026-01-01T12:00:00.250Z",
    "latest_end": "2026-01-01T18:00:00Z",
    "on_end": "Everything is deleted.",
    "storage": "ephemeral",
}


def test_it_is_given_on_as_it_was():
    assert Lifetime.parse(ANSWER).dump() == ANSWER


def test_other_time_zones_mean_the_same():
    moved = Lifetime.parse({**ANSWER, "ends_at": "2026-01-01T13:00:00.250000+01:00"})
    assert moved.dump() == ANSWER


def test_what_is_missing_is_not_there():
    assert Lifetime.parse({}) == Lifetime(None, None, None, "", "")
    assert Lifetime.parse({**ANSWER, "ends_at": None}).ends_at is None


def test_keys_of_a_later_hub_are_left_out():
    assert Lifetime.parse({**ANSWER, "price": 3}).dump() == ANSWER


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "text",
        {"ends_at": "soon"},
        {"ends_at": "2026-01-01T12:00:00"},
        {"ends_at": 5},
        {"on_end": ["x"]},
    ],
)
def test_anything_else_is_an_error(wrong):
    with pytest.raises(ValueError):
        Lifetime.parse(wrong)


@pytest.mark.parametrize(
    ("ends_at", "latest_end", "can"),
    [
        ("12:00:00", "18:00:00", True),
        ("12:00:00", "12:01:00", True),
        ("12:00:00", "12:00:59", False),
        ("12:00:00", "11:00:00", False),
        ("12:00:00", None, True),
        (None, None, False),
        (None, "18:00:00", False),
    ],
)
def test_whether_it_can_be_extended(ends_at, latest_end, can):
    times = {"ends_at": ends_at, "latest_end": latest_end}
    moments = {key: time and f"2026-01-01T{time}Z" for key, time in times.items()}
    assert Lifetime.parse(moments).can_be_extended is can
