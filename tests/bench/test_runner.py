"""The runner: every benchmark's table and file, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.figures import Quantity, Target
from benchmarks.probe import TICK, LagMeter
from benchmarks.registry import BENCHMARKS
from benchmarks.runner import Benchmark, run

PROJECT = Path(__file__).parents[2]


def benchmark(name, measure):
    return Benchmark(name, "a test", 3, measure)


def slow(rounds):
    samples = {"bare": [1.0] * rounds, "ours": [30.0] * rounds}
    return [Quantity("start", "ms", samples, "bare", Target("ours", 10))]


def broken(rounds):
    raise RuntimeError("no hub")


def test_a_target_that_is_missed_is_written_down_and_fails_nothing(tmp_path, capsys):
    assert run([benchmark("slow", slow)], tmp_path / "bench") == 0
    assert "29.0, missed" in capsys.readouterr().out
    report = json.loads((tmp_path / "bench" / "slow.json").read_text())
    (found,) = report["quantities"]
    assert found["samples"] == {"bare": [1.0] * 3, "ours": [30.0] * 3}
    assert found["figures"]["ours"]["ratio"] == 30
    assert found["target"] == {
        "subject": "ours",
        "limit": 10,
        "figure": "over",
        "reached": 29,
        "met": False,
    }
    assert set(report["load_average"]) == {"before", "after"}
    assert report["machine"]["versions"]["multiplespawner-core"]


def test_one_that_cannot_be_run_keeps_no_other_from_running(tmp_path, capsys):
    both = [benchmark("broken", broken), benchmark("slow", slow)]
    assert run(both, tmp_path, rounds=1) == 1
    output = capsys.readouterr()
    assert "broken: could not be run" in output.out
    assert "RuntimeError: no hub" in output.err
    assert [path.name for path in tmp_path.iterdir()] == ["slow.json"]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.once
@pytest.mark.slow  # it imports JupyterHub four times
def test_the_command_measures_imports(tmp_path):
    done = command("imports", "--rounds", "1", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "target: import multiplespawner_core at most 50 ms" in done.stdout
    report = json.loads((tmp_path / "imports.json").read_text())
    package, *_ = report["quantities"]
    assert 0 < package["figures"]["import multiplespawner_core"]["median"] < 5000


@pytest.mark.slow
def test_an_unknown_benchmark():
    done = command("starst")
    assert done.returncode == 2
    known = ", ".join(one.name for one in BENCHMARKS)
    assert f"no benchmark is called 'starst'; there are {known}" in done.stderr


async def test_a_blocked_event_loop_is_late_at_every_moment_that_passes():
    meter = LagMeter()
    meter.begin()
    await asyncio.sleep(0)
    time.sleep(20 * TICK)  # noqa: ASYNC251 - it is what is measured
    await asyncio.sleep(2 * TICK)
    lags = meter.end()
    assert max(lags) >= 19 * TICK
    assert sum(lag > 5 * TICK for lag in lags) >= 10
    assert max(meter.own) < 10 * TICK
    await asyncio.sleep(2 * TICK)
    assert meter.end() == lags


async def test_a_busy_event_loop_is_late_by_its_own_doing():
    meter = LagMeter()
    meter.begin()
    await asyncio.sleep(0)
    end = time.process_time() + 20 * TICK
    while time.process_time() < end:
        pass
    await asyncio.sleep(2 * TICK)
    meter.end()
    assert max(meter.own) >= 19 * TICK
    assert sum(lag > 5 * TICK for lag in meter.own) >= 10
