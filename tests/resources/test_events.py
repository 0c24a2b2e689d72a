"""The progress of one start."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiplespawner_core.resources import events as events_module
from multiplespawner_core.resources.events import EventLog


async def collect(log):
    return [event async for event in log.follow()]


def progress(log):
    return [event["progress"] for event in log.events]


def test_progress_never_falls():
    log = EventLog()
    for percent in (5, 40, 15, None, 60.9, -3):
        log.add("x", percent)
    assert progress(log) == [5, 40, 40, 40, 60, 60]


def test_only_jupyterhub_says_100():
    log = EventLog()
    log.add("x", 100)
    log.add("x", 400)
    assert progress(log) == [99, 99]


def test_extra_keys():
    log = EventLog()
    log.add("text", 5, html_message="<b>text</b>")
    assert log.events == ({"progress": 5, "message": "text", "html_message": "<b>text</b>"},)


async def test_every_follower_sees_everything():
    log = EventLog()
    log.add("one", 1)
    early = asyncio.create_task(collect(log))
    await asyncio.sleep(0)
    log.add("two", 2)
    middle = asyncio.create_task(collect(log))
    await asyncio.sleep(0)
    log.add("three", 3)
    log.add("four", 4)
    await asyncio.sleep(0)
    log.close()
    late = await collect(log)
    assert [event["message"] for event in late] == ["one", "two", "three", "four"]
    assert await early == await middle == late == list(log.events)


async def test_a_slow_follower_misses_nothing():
    log = EventLog()
    log.add("0")
    seen = []
    async for event in log.follow():
        seen.append(event["message"])
        if len(seen) < 5:
            log.add(str(len(seen)))
            await asyncio.sleep(0)
        else:
            log.close()
    assert seen == ["0", "1", "2", "3", "4"]


async def test_what_followers_get_is_their_own():
    log = EventLog()
    log.add("one")
    log.close()
    async for event in log.follow():
        event["message"] = "spoilt"
    assert log.events[0]["message"] == "one"


async def test_a_follower_that_goes_away_disturbs_nobody():
    log = EventLog()
    log.add("one")
    gone = asyncio.create_task(collect(log))
    stays = asyncio.create_task(collect(log))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    log.add("two")
    log.close()
    assert len(await stays) == 2


async def test_closed_is_closed():
    log = EventLog()
    log.close()
    log.add("too late")
    log.add_from_child({"message": "too late"}, 0, 9)
    log.fail("too late")
    log.close()
    assert await collect(log) == []


async def test_a_failure_is_the_last_event():
    log = EventLog()
    log.add("one", 30)
    follower = asyncio.create_task(collect(log))
    await asyncio.sleep(0)
    log.fail("No room.")
    log.add("two")
    assert (await follower)[-1] == {"progress": 30, "message": "No room.", "failed": True}
    assert len(log.events) == 2


def test_a_child_that_talks_too_much_is_cut_off(monkeypatch):
    monkeypatch.setattr(events_module, "_MOST", 10)
    log = EventLog()
    for number in range(50):
        log.add_from_child({"message": str(number), "progress": number}, 0, 90)
    assert len(log.events) == 10
    log.fail("No room.")
    assert log.events[-1] == {"progress": 8, "message": "No room.", "failed": True}


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (0, 70),
        (50, 80),
        (100, 90),
        (12.5, 72),
        (-20, 70),
        (250, 90),
        (10**400, 90),
        (float("inf"), 90),
        (float("-inf"), 70),
        (float("nan"), 70),
        ("50", 60),
        (None, 60),
        ([], 60),
    ],
)
def test_a_childs_percents_are_mapped(percent, expected):
    log = EventLog()
    log.add("before", 60)
    log.add_from_child({"message": "x", "progress": percent}, 70, 90)
    assert progress(log) == [60, expected]


def test_only_texts_are_passed_on():
    log = EventLog()
    log.add_from_child(
        {
            "message": 5,
            "html_message": "<i>x</i>",
            "failed": True,
            "ready": True,
            "raw_event": {"token": "secret"},
            "url": "/x",
        },
        0,
        10,
    )
    log.add_from_child({}, 0, 10)
    assert log.events == (
        {"progress": 0, "message": "5", "html_message": "<i>x</i>"},
        {"progress": 0, "message": ""},
    )


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.none() | st.text(max_size=2) | st.integers() | st.floats() | st.booleans(),
        )
    )
)
def test_progress_never_falls_whatever_comes(content):
    log = EventLog()
    for from_child, percent in content:
        if from_child:
            log.add_from_child({"progress": percent, "message": "x"}, 70, 95)
        else:
            usable = isinstance(percent, int) or percent == 5.0
            log.add("x", percent if usable else None)
    assert progress(log) == sorted(progress(log))
    assert all(0 <= percent < 100 for percent in progress(log))
