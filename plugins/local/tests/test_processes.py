"""What a look at the machine's processes finds, by /proc and by psutil alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import replace

import psutil
import pytest
from multiplespawner_local import processes
from multiplespawner_local.processes import INSTALLATION, INTENT, members, scan, strays


@pytest.fixture(params=[True, False], ids=["proc", "psutil"], autouse=True)
def platform(request, monkeypatch):
    assert sys.platform != "linux" or processes._LINUX
    monkeypatch.setattr(processes, "_LINUX", request.param and processes._LINUX)


@pytest.fixture
def intent():
    return uuid.uuid4().hex


@pytest.fixture
def start(intent):
    """Start a marked program; it and what is below it end with the test."""
    started = []

    def run(*command):
        environment = {**os.environ, INTENT: intent, INSTALLATION: "here"}
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        started.append(process)
        # A program begins to run a moment before the kernel can say with which environment.
        with contextlib.suppress(psutil.ZombieProcess):
            while not psutil.Process(process.pid).environ():
                time.sleep(0.01)
        return process

    yield run
    for process in started:
        os.killpg(process.pid, 9)
        process.wait()


def pids(found):
    return {process.pid for process in found}


def wait_for_child(process):
    while not (children := psutil.Process(process.pid).children()):
        time.sleep(0.02)
    return children[0]


def test_a_tree_is_found_by_the_mark_of_its_root(start, intent):
    process = start("/bin/sh", "-c", "env -i sleep 60 & wait")
    child = wait_for_child(process)
    while child.name() != "sleep":  # until then it still has the shell's environment
        time.sleep(0.02)
    snapshot = scan()
    assert pids(members(snapshot, intent, same_user=True)) == {process.pid, child.pid}
    assert (snapshot[process.pid].uid, snapshot[process.pid].installation) == (os.getuid(), "here")
    assert (snapshot[child.pid].parent, snapshot[child.pid].intent) == (process.pid, "")
    assert members(snapshot, "another", same_user=True) == []
    assert members(snapshot, intent, same_user=False) == []
    assert strays(snapshot, "here", same_user=True) == {intent}


def test_a_zombie_does_not_run(start, intent):
    process = start("/bin/true")
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    assert process.pid not in scan()


def test_a_name_may_look_like_the_fields_beside_it(start, intent, tmp_path):
    path = tmp_path / "x) Z 1 (y"
    shutil.copy(shutil.which("sleep"), path)
    process = start(str(path), "60")
    assert scan()[process.pid].parent == os.getpid()


def test_a_large_environment_is_read_to_its_end(start, intent, monkeypatch):
    monkeypatch.setenv("AAA", "x" * 100_000)
    process = start("/bin/sleep", "60")
    assert scan()[process.pid].intent == intent


def test_what_has_got_the_number_of_a_process_is_not_it(start, intent):
    process = start("/bin/sleep", "60")
    snapshot = dict(scan())
    assert pids(members(snapshot, intent, same_user=True)) == {process.pid}
    seen = snapshot[process.pid]
    snapshot[process.pid] = replace(seen, started=seen.started - 1)
    assert members(snapshot, intent, same_user=True) == []


def test_the_environment_of_a_process_that_may_not_be_read_has_no_mark(start, intent, monkeypatch):
    process = start("/bin/sleep", "60")

    def refuse(*_, **__):
        raise psutil.AccessDenied

    def refuse_file(path):
        if path.endswith("/environ"):
            raise PermissionError
        return read(path)

    read = processes._read
    monkeypatch.setattr(psutil.Process, "environ", refuse)
    monkeypatch.setattr(processes, "_read", refuse_file)
    seen = scan()[process.pid]
    assert (seen.parent, seen.uid, seen.intent) == (os.getpid(), -1, "")
