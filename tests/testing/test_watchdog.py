"""What holds up a loop is measured, and told from what is only slow."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from multiplespawner_core.testing.conformance import watchdog


def nap():
    time.sleep(0.3)


async def test_a_nap_in_any_callback_is_seen():
    with watchdog.watched(0.1) as held:
        asyncio.get_running_loop().call_soon(nap)
        await asyncio.sleep(0.01)
    assert held.seconds > 0.29
    assert held.place.startswith(f"{__file__}:{nap.__code__.co_firstlineno + 1} in nap; ")


async def test_work_of_the_processor_counts_as_well():
    with watchdog.watched(0.1) as held:
        await asyncio.sleep(0)
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)
    assert 0.19 < held.seconds < 0.5


async def test_waiting_and_threads_do_not_count():
    with watchdog.watched(0.1) as held:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(nap)
    assert held.seconds < 0.1


async def test_a_busy_machine_is_not_the_provider_s_fault():
    work = "import os\nos.nice(19)\nwhile True: pass"
    hogs = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", work)
        for _ in range(2 * os.cpu_count())
    ]
    try:
        with watchdog.watched(0.1) as held:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                sum(range(20000))
                await asyncio.sleep(0)
    finally:
        for hog in hogs:
            hog.kill()
            await hog.wait()
    assert held.seconds < 0.1


async def test_nothing_is_left_in_place():
    before = asyncio.Handle._run
    assert await watchdog.noise() < 0.2
    assert asyncio.Handle._run is before


def test_the_limit_follows_the_machine_for_a_while():
    assert watchdog.limit(0.1, 0.001) == 0.1
    assert watchdog.limit(0.1, 0.05) == 0.25
    assert watchdog.limit(0.1, 3) == 0.4
