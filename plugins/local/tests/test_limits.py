"""Real limits of control groups version 1; those of version 2 against a scratch hierarchy."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from multiplespawner_local import machine, processes
from multiplespawner_local.child import joining
from multiplespawner_local.limits import detect, hierarchy, tree
from multiplespawner_local.limits.base import LimiterUnavailable, is_group_of, remove_groups
from multiplespawner_local.limits.cgroup_v2 import CgroupV2
from multiplespawner_local.limits.watchdog import Watchdog, held_by

from multiplespawner_core import GB, ConfigurationError, Specification

pytestmark = pytest.mark.slow

PYTHON = "/usr/bin/python3"
MB = 2**20


@pytest.fixture
def group(limiter):
    """Start a program inside limits; groups and processes go after the test."""
    started = []

    def start(command, cpu=None, memory=None, then=None, **kwargs):
        limiter.prepare("key", cpu, memory)
        files = [tree.entrance(group) for group in limiter.groups("key")]
        process = subprocess.Popen(
            command,
            preexec_fn=joining(files, then),  # noqa: PLW1509 - as the child does
            **kwargs,
        )
        started.append(process)
        return process

    yield start
    tree.kill(limiter.groups("key"))
    assert remove_groups(limiter.groups("key"))
    for process in started:
        process.communicate()


def below(limiter, controller):
    return next(g for g in limiter.groups("key") if f"/{controller}/" in f"{g}/")


def wait_for(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_a_tree_past_its_memory_is_killed(limiter, group):
    eat = f"x = bytearray(200 * {MB}); print(len(x))"
    inner = f'{PYTHON} -c "{eat}"; echo "child $?"'
    process = group(["/bin/sh", "-c", inner], memory=100 * MB, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    assert out.split() == ["child", "137"]  # killed by signal 9, its parent lives on
    control = (below(limiter, "memory") / "memory.oom_control").read_text()
    assert "oom_kill 1" in control


def test_memory_is_counted_over_the_tree(limiter, group):
    eat = f"x = bytearray(60 * {MB}); import time; time.sleep(2)"
    both = f'{PYTHON} -c "{eat}" & {PYTHON} -c "{eat}" & wait'
    group(["/bin/sh", "-c", both], memory=100 * MB).wait(30)
    assert "oom_kill 1" in (below(limiter, "memory") / "memory.oom_control").read_text()


def test_within_its_memory_it_lives(group):
    eat = f"x = bytearray(50 * {MB})"
    assert group([PYTHON, "-c", eat], memory=100 * MB).wait(30) == 0


def test_the_cpu_quota_holds(limiter, group):
    spin = "while :; do :; done"
    process = group(["/bin/sh", "-c", f"sh -c '{spin}' & {spin}"], cpu=0.1)
    stat = below(limiter, "cpu") / "cpu.stat"
    wait_for(lambda: dict(map(str.split, stat.read_text().splitlines()))["nr_throttled"] > "0")
    assert process.poll() is None
    assert (below(limiter, "cpu") / "cpu.cfs_quota_us").read_text().strip() == "10000"


def test_kill_ends_what_has_left_session_and_environment(limiter, group):
    group(["/bin/sh", "-c", "sh -c 'env -i setsid sleep 60 & wait' & wait"])
    wait_for(lambda: len(tree.processes(limiter.groups("key"))) == 3)
    pids = tree.processes(limiter.groups("key"))
    assert tree.kill(limiter.groups("key"))
    assert not [pid for pid in pids if processes.is_running(pid)]


def test_kill_ends_what_forks_all_the_time(limiter, group):
    group(["/bin/sh", "-c", "while :; do (while :; do sleep 0.01; done) & sleep 0.05; done"])
    wait_for(lambda: len(tree.processes(limiter.groups("key"))) > 4)
    assert tree.kill(limiter.groups("key"))
    assert not tree.processes(limiter.groups("key"))


def test_remove_leaves_nothing(limiter, group):
    group(["/bin/true"], cpu=1, memory=GB).wait(5)
    assert limiter.keys() == ["key"]
    (below(limiter, "memory") / "made-inside").mkdir()
    assert remove_groups(limiter.groups("key"))
    assert not any(directory.parent.exists() for directory in limiter.groups("key"))
    assert limiter.keys() == []
    assert remove_groups(limiter.groups("key"))


def test_limits_can_be_written_again_and_lifted(limiter, group):
    for memory in (100 * MB, 300 * MB, 200 * MB):
        limiter.prepare("key", 1, memory)
        written = (below(limiter, "memory") / "memory.limit_in_bytes").read_text()
        assert int(written) == memory
    limiter.prepare("key", None, None)
    assert int((below(limiter, "memory") / "memory.limit_in_bytes").read_text()) > 2**60
    assert (below(limiter, "cpu") / "cpu.cfs_quota_us").read_text().strip() == "-1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_joins_before_privileges_are_dropped(limiter, group):
    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    eat = f"import os; print(os.getuid(), flush=True); x = bytearray(200 * {MB})"
    process = group(
        [PYTHON, "-c", eat], memory=100 * MB, then=drop, stdout=subprocess.PIPE, text=True, cwd="/"
    )
    out, _ = process.communicate(timeout=30)
    assert (out.strip(), process.returncode) == ("65534", -9)


def test_without_its_group_nothing_starts(limiter):
    files = [tree.entrance(group) for group in limiter.groups("missing")]
    with pytest.raises(subprocess.SubprocessError):
        subprocess.Popen(["/bin/true"], preexec_fn=joining(files, None))  # noqa: PLW1509 - what is tested


def test_a_process_is_in_every_group_once_it_runs(limiter, group):
    process = group(["/bin/sleep", "60"])
    assert {tree.entrance(one).name for one in limiter.groups("key")} == {"tasks"}
    for one in limiter.groups("key"):
        assert (one / "cgroup.procs").read_text().split() == [str(process.pid)]


def test_auto_takes_version_1_where_it_can_be_written(limiter, installation):
    assert detect.choose("auto", Path("/sys/fs/cgroup"), installation).name == "cgroup-v1"
    assert limiter.keys() == []


# --- version 2, written into ordinary files -------------------------------------------------


@pytest.fixture
def version_2(tmp_path, monkeypatch):
    """A hierarchy as the kernel shows it to a hub in /hub; only the writes can be observed."""
    root = tmp_path / "cgroup"
    (root / "hub").mkdir(parents=True)
    for directory in (root, root / "hub"):
        (directory / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    proc = tmp_path / "self"
    proc.write_text("0::/hub\n")

    def rmdir(directory):
        """As the kernel does: a group's own files do not keep it."""
        if any(entry.is_dir() for entry in directory.iterdir()):
            raise OSError(errno.EBUSY, "busy")
        for entry in directory.iterdir():
            entry.unlink()
        directory.rmdir()

    monkeypatch.setattr(tree, "rmdir", rmdir)
    return root, proc


def test_version_2_writes_its_limits(version_2, installation):
    root, proc = version_2
    limiter = detect.choose("cgroup-v2", root, installation, proc)
    assert not (root / "hub" / "multiplespawner").exists()  # the probe has gone
    limiter.prepare("key", 1.5, GB)
    [group] = limiter.groups("key")
    assert group == root / "hub" / "multiplespawner" / installation[:8] / "key"
    assert (group / "memory.max").read_text() == str(GB)
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert tree.entrance(group) == group / "cgroup.procs"
    for above in (root / "hub", group.parent.parent, group.parent):
        assert (above / "cgroup.subtree_control").read_text() == "+memory +cpu"
    assert not (group / "cgroup.subtree_control").exists()
    limiter.prepare("key", None, None)
    assert (group / "memory.max").read_text() == "max"
    assert (group / "cpu.max").read_text() == "max 100000"
    assert limiter.keys() == ["key"]
    assert remove_groups([group])
    assert not group.parent.parent.exists()


def test_version_2_limits_swap_as_well(version_2, installation):
    limiter = CgroupV2({"": version_2[0]}, installation)
    [group] = limiter.groups("key")
    group.mkdir(parents=True)
    (group / "memory.swap.max").write_text("max")
    limiter.prepare("key", 0.001, GB)
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "cpu.max").read_text() == "1000 100000"


def test_version_2_kills_by_the_kernel(version_2, installation, monkeypatch):
    limiter = CgroupV2({"": version_2[0]}, installation)
    limiter.prepare("key", None, None)
    [group] = limiter.groups("key")
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        (group / "cgroup.procs").write_text(f"{process.pid}\n")
        (group / "cgroup.kill").write_text("")
        assert not tree.kill([group], timeout=0.1)
        assert (group / "cgroup.kill").read_text() == "1"
        assert process.poll() is None
        (group / "cgroup.kill").unlink()  # before Linux 5.14
        (group / "cgroup.freeze").write_text("0")
        assert tree.kill([group])
        assert process.wait(5) == -9
        assert (group / "cgroup.freeze").read_text() == "0"


def test_version_2_falls_back_where_processes_are_in_the_way(
    version_2, installation, monkeypatch, caplog
):
    root, proc = version_2
    write_text = Path.write_text

    def refuse(path, text):
        if path.name == "cgroup.subtree_control":
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    with caplog.at_level(logging.INFO):
        assert detect.choose("auto", root, installation, proc).name == "watchdog"
    assert "no limits by cgroup-v2" in caplog.text
    assert "Delegate=yes and DelegateSubgroup=hub" in caplog.text
    with pytest.raises(ConfigurationError, match="limits = 'cgroup-v2' does not work"):
        detect.choose("cgroup-v2", root, installation, proc)


def test_version_2_uses_the_unit_that_systemd_delegated(version_2, installation, monkeypatch):
    root, proc = version_2
    unit = root / "hub"
    (unit / "leaf").mkdir()
    (unit / "leaf" / "cgroup.controllers").write_text("")
    proc.write_text("0::/hub/leaf\n")
    with pytest.raises(LimiterUnavailable):
        detect._version_2(root, installation, proc)
    monkeypatch.setattr(os, "getxattr", lambda path, name: b"1")
    limiter = detect._version_2(root, installation, proc)
    assert limiter.groups("key")[0].is_relative_to(unit / "multiplespawner")


def test_version_2_needs_its_controllers(version_2, installation):
    root, proc = version_2
    (root / "hub" / "cgroup.controllers").write_text("cpu\n")
    with pytest.raises(LimiterUnavailable, match="has no controller memory"):
        detect._version_2(root, installation, proc)


def test_without_psutil_s_eyes_nothing_is_limited(tmp_path, installation, monkeypatch, caplog):
    monkeypatch.setattr(
        "psutil.Process.environ", lambda self: (_ for _ in ()).throw(PermissionError("no"))
    )
    with caplog.at_level(logging.INFO):
        assert detect.choose("auto", tmp_path, installation).name == "none"
    assert "cgroup v2 is not mounted" in caplog.text


# --- what the machine has ---------------------------------------------------------------------


def test_a_container_s_own_limits_count(version_2, monkeypatch):
    root, proc = version_2
    monkeypatch.setattr(
        machine, "own_group", lambda root, name: hierarchy.own_group(root, name, proc)
    )
    (root / "memory.max").write_text(str(3 * GB))
    (root / "hub" / "memory.max").write_text("max")
    (root / "hub" / "cpu.max").write_text("50000 100000")
    assert machine.usable_memory(root) == 3
    assert machine.usable_cpu(root) == 0.5
    for name, values in {
        "memory": {"memory.limit_in_bytes": 2 * GB},
        "cpu": {"cpu.cfs_quota_us": 25000, "cpu.cfs_period_us": 100000},
    }.items():
        (root / name).mkdir()
        for file, value in values.items():
            (root / name / file).write_text(str(value))
    proc.write_text("0::/hub\n4:memory:/docker/unseen\n1:cpu,cpuacct:/\n")
    assert machine.usable_memory(root) == 2
    assert machine.usable_cpu(root) == 0.25


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/sys/fs/cgroup/memory/multiplespawner/0a1b/key", True),
        ("/sys/fs/cgroup/memory/hub.service/multiplespawner/0a1b/key", True),
        ("/sys/fs/cgroup/memory/multiplespawner/0a1b/other", False),
        ("/sys/fs/cgroup/memory/../multiplespawner/0a1b/key", False),
        ("multiplespawner/0a1b/key", False),
        ("/key", False),
        ("/home/alice/key", False),
    ],
)
def test_only_groups_of_the_server_are_touched(directory, expected):
    assert is_group_of(Path(directory), "key") is expected


# --- watchdog ---------------------------------------------------------------------------------


async def test_the_watchdog_ends_only_what_holds_too_much():
    ended = []

    async def limits():
        return {"small": 100, "big": 100}

    async def usage(key, limit):
        return 50 if key == "small" else 200

    async def end(key):
        ended.append(key)

    await Watchdog(limits, usage, end).look()
    assert ended == ["big"]


async def test_who_only_asks_for_offers_ends_no_tree(make_provider, make_intent, keys, run):
    """``multiplespawner plan`` starts a provider beside the hub, with the hub's reservations."""
    provider = make_provider(limits="watchdog")
    intent = make_intent(memory=0.00001)
    await provider.create(intent, keys)
    big = run(provider, intent, "/bin/sleep", "60")
    onlooker = make_provider(limits="watchdog")
    await onlooker.startup()
    await onlooker.offers(Specification("bare_metal", memory=0.1))
    await asyncio.sleep(0.3)
    await onlooker.shutdown()
    assert big.poll() is None


async def test_the_watchdog_ends_a_tree(make_provider, make_intent, keys, run, caplog):
    provider = make_provider(limits="watchdog")
    await provider.startup()
    big, small = make_intent(memory=0.1), make_intent(memory=0.1)
    for intent in (big, small):
        await provider.create(intent, keys)
    eat = f"x = bytearray(200 * {MB}); import time; time.sleep(60)"
    eater = run(provider, big, "/bin/sh", "-c", f'{PYTHON} -c "{eat}" & wait')
    sleeper = run(provider, small, "/bin/sleep", "60")
    for _ in range(200):
        if eater.poll() is not None:
            break
        await asyncio.sleep(0.05)
    assert eater.poll() == -9
    assert sleeper.poll() is None
    assert f"{big.id} holds" in caplog.text
    assert "best effort" in caplog.text


def test_shared_memory_counts_once_where_it_decides():
    own = psutil.Process()
    resident = own.memory_info().rss
    assert held_by([own], 2 * resident) > 0
    assert held_by([own], 0) < 2 * resident
