"""Turns before a provider, and a provider that is left alone while it is in trouble."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeProvider
from hypothesis import given
from hypothesis import strategies as st

from multiplespawner_core.contracts import (
    Capacity,
    OutcomeUnknown,
    Throttled,
    Transient,
    Unauthorized,
)
from multiplespawner_core.resources.gate import Gate, Gates, Unavailable


class Clock:
    """The loop's time, which a test moves."""

    def __init__(self, loop, monkeypatch):
        self.now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self.now)

    def __iadd__(self, seconds):
        self.now += seconds
        return self


@pytest.fixture
async def clock(monkeypatch):
    return Clock(asyncio.get_running_loop(), monkeypatch)


@pytest.fixture
def gate():
    return Gate("cloud", 2)


async def visit(gate, leave, told=lambda _: None, timeout=5):
    async with gate.turn(timeout, told):
        await leave.wait()


async def spin():
    for _ in range(5):
        await asyncio.sleep(0)


async def pass_through(gate, timeout=5):
    async with gate.turn(timeout, lambda _: None):
        pass


async def test_so_many_at_a_time_in_the_order_in_which_they_came(gate):
    leave = [asyncio.Event() for _ in range(5)]
    told = [[] for _ in range(5)]
    visits = [asyncio.ensure_future(visit(gate, leave[n], told[n].append)) for n in range(5)]
    await spin()
    assert told == [[], [], [0], [1], [2]]
    leave[1].set()
    await spin()
    assert told == [[], [], [0], [1, 0], [2, 1]]
    visits[3].cancel()
    await spin()
    assert told[4] == [2, 1, 0]
    for event in leave:
        event.set()
    done = await asyncio.gather(*visits, return_exceptions=True)
    assert [type(one) for one in done] == [type(None)] * 3 + [
        asyncio.CancelledError,
        type(None),
    ]
    await pass_through(gate)


async def test_who_waits_too_long_is_told_so_and_holds_up_nobody(gate):
    leave = asyncio.Event()
    inside = [asyncio.ensure_future(visit(gate, leave)) for _ in range(2)]
    await spin()
    with pytest.raises(Unavailable, match="too many servers are being started"):
        await pass_through(gate, timeout=0.01)
    leave.set()
    await asyncio.gather(*inside)
    await pass_through(gate)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_turns_are_never_lost_nor_doubled(moves):
    """Whoever comes, leaves or gives up, in any order, at most two are inside, and all get in."""

    async def run():
        gate, inside, guests, came = Gate("cloud", 2), set(), {}, []

        async def stay(number, leave):
            async with gate.turn(60, lambda _: None):
                inside.add(number)
                try:
                    await leave.wait()
                finally:
                    inside.discard(number)

        for number, gives_up in moves:
            if number not in guests:
                leave = asyncio.Event()
                guests[number] = asyncio.ensure_future(stay(number, leave)), leave
                came.append(guests[number][0])
            else:
                task, leave = guests.pop(number)
                if gives_up:
                    task.cancel()
                leave.set()
            await spin()
            assert len(inside) <= 2
        for _, leave in guests.values():
            leave.set()
        await asyncio.gather(*came, return_exceptions=True)
        assert (gate._inside, len(gate._queue)) == (0, 0)

    asyncio.run(run())


async def test_refused_credentials_close_it_at_once_until_one_that_goes_to_see_succeeds(
    gate, clock
):
    gate.note(Unauthorized("the key was refused"))
    with pytest.raises(Unavailable, match=r"cloud is not asked .* credentials.* Try again in 15 s"):
        await pass_through(gate)
    clock += 16
    async with gate.turn(5, lambda _: None):
        with pytest.raises(Unavailable):
            await pass_through(gate)
        gate.note(Unauthorized("still"))
    clock += 16
    with pytest.raises(Unavailable, match="14 s"):
        await pass_through(gate)
    clock += 15
    async with gate.turn(5, lambda _: None):
        gate.note(None)
        await pass_through(gate)


async def test_trouble_closes_it_only_after_many_answers_in_a_row(gate, clock):
    for _ in range(4):
        gate.note(Transient("connection refused"))
    gate.note(Capacity("it is full, and answers"))
    for _ in range(4):
        gate.note(OutcomeUnknown("timeout"))
    await pass_through(gate)
    gate.note(Transient("connection refused"))
    with pytest.raises(Unavailable, match="does not answer as it should"):
        await pass_through(gate)


async def test_the_intervals_double_up_to_five_minutes(gate, clock):
    waits = []
    for _ in range(10):
        while len(waits) < 100:
            gate.note(Transient("connection refused"))
            if gate._closed_until > clock.now:
                break
        waits.append(round(gate._closed_until - clock.now))
        clock.now = gate._closed_until + 1
    assert waits == [15, 30, 60, 120, 240, 300, 300, 300, 300, 300]


async def test_throttling_is_waited_for_or_refused_at_once(gate, monkeypatch):
    gate.note(Throttled("slow down", retry_after=0.05))
    began = asyncio.get_running_loop().time()
    await pass_through(gate)
    assert asyncio.get_running_loop().time() - began >= 0.05
    gate.note(Throttled("slow down", retry_after=60))
    with pytest.raises(Unavailable, match="asks the hub to slow down"):
        await pass_through(gate)


async def test_one_gate_a_provider():
    gates, one, other = Gates(), FakeProvider(), FakeProvider()
    assert gates.of(one) is gates.of(one)
    assert gates.of(one) is not gates.of(other)
