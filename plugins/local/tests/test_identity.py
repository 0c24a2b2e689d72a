"""A stored pid is acted on only while it is surely the server's."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from types import SimpleNamespace

import psutil
import pytest
from jupyterhub.spawner import LocalProcessSpawner
from multiplespawner_local import identity
from multiplespawner_local.identity import Identity
from multiplespawner_local.machine import boot_id
from multiplespawner_local.processes import INTENT


class AsHub(LocalProcessSpawner):
    """Without a hub, and without a change of user."""

    def make_preexec_fn(self, name):
        return lambda: None

    def get_env(self):
        return {"PATH": os.environ["PATH"], **self.environment}

    def get_args(self):
        return []


@pytest.fixture
def spawn():
    """Start a process of somebody, with these variables in its environment."""
    started = []

    def spawn(**environment):
        environment = {"PATH": os.environ["PATH"], **environment}
        process = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
        started.append(process)
        # A program begins to run a moment before the kernel can say with which environment.
        while not psutil.Process(process.pid).environ():
            time.sleep(0.01)
        return process

    yield spawn
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def stranger(spawn):
    return spawn()


@pytest.fixture
def restored(make_provider):
    """The child as a hub builds it that finds a server of an earlier one."""

    def restored(state, provider=None):
        provider = provider or make_provider(limits="none")
        spawner = provider.child_class(AsHub)(user=SimpleNamespace(name="nobody"))
        spawner.load_state(json.loads(json.dumps(state)))
        return spawner

    return restored


@pytest.fixture
async def start(make_intent, keys):
    """Start a server and return its spawner and the state that the hub would store."""
    spawners = []

    async def start(provider):
        intent = make_intent()
        given = provider.child_traits(intent, await provider.create(intent, keys))
        spawner = provider.child_class(AsHub)(
            user=SimpleNamespace(name="nobody"), cmd=["/bin/sleep", "60"], **given
        )
        spawners.append(spawner)
        await spawner.start()
        return spawner, spawner.get_state()

    yield start
    for spawner in spawners:
        spawner.proc.kill()
        spawner.proc.wait()


@pytest.fixture
def unreadable(monkeypatch):
    """Environments of other users' processes, for a hub that is not root."""

    def environ(process):
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "environ", environ)


def created(process, seconds=0.0):
    return psutil.Process(process.pid).create_time() - psutil.boot_time() + seconds


@pytest.mark.parametrize(
    "known",
    [
        lambda _: {},
        lambda found: {"pid_created": created(found, -60), "pid_boot": boot_id()},
        lambda found: {"pid_created": created(found), "pid_boot": "another"},
        lambda found: {"pid_created": created(found)},
        lambda _: {"pid_created": "x", "pid_boot": 1, "pid_intent": ["x"]},
        lambda _: {"pid_created": 10**400, "pid_boot": boot_id()},
        lambda _: {"pid_created": None, "pid_boot": boot_id(), "pid_intent": "x"},
    ],
    ids=[
        "nothing",
        "created before",
        "another boot",
        "no boot",
        "damaged",
        "huge",
        "another intent",
    ],
)
async def test_a_stranger_is_left_alone(restored, stranger, known):
    state = {"pid": stranger.pid, **known(stranger)}
    spawner = restored(state)
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, 0):
        assert await spawner._signal(sig) is False
    for now in (False, True):
        spawner.load_state(state)
        await spawner.stop(now=now)
    spawner.load_state(state)
    assert await spawner.poll() == 0
    assert spawner.pid == 0
    assert spawner.get_state() == {}
    with pytest.raises(subprocess.TimeoutExpired):
        stranger.wait(0.2)


@pytest.mark.parametrize("pid", [0, -1, 2**40])
async def test_no_process_at_all(restored, pid, monkeypatch):
    spawner = restored({"pid": pid})
    sent = []
    # Never the real one: to the kernel, 0 is this process group and -1 is everybody.
    monkeypatch.setattr(os, "kill", lambda *arguments: sent.append(arguments))
    assert await spawner._signal(signal.SIGKILL) is False
    assert await spawner.poll() == 0
    assert sent == []


@pytest.mark.parametrize("forgotten", [(), ("pid_intent",), ("pid_created",), ("pid_boot",)])
async def test_the_server_is_recognised_and_stopped(make_provider, start, restored, forgotten):
    provider = make_provider(limits="none")
    first, state = await start(provider)
    spawner = restored({k: v for k, v in state.items() if k not in forgotten}, provider)
    assert await spawner.poll() is None
    if not forgotten:
        assert spawner.get_state() == state
    await spawner.stop()
    assert await spawner.poll() == 0
    assert first.proc.wait(5) == -signal.SIGINT


async def test_an_unreadable_server_is_recognised_by_its_creation(
    make_provider, start, restored, unreadable
):
    provider = make_provider(limits="none")
    first, state = await start(provider)
    spawner = restored(state, provider)
    assert await spawner.poll() is None
    await spawner.stop()
    assert first.proc.wait(5) == -signal.SIGINT


async def test_an_unreadable_server_is_recognised_by_its_groups(
    make_provider, limiter, start, restored, unreadable
):
    provider = make_provider()
    _, state = await start(provider)
    del state["pid_created"]
    assert await restored(state, provider).poll() is None
    assert await restored({**state, "pid_intent": "0"}, provider).poll() == 0


async def test_a_clock_that_was_set_changes_nothing(make_provider, start, restored, monkeypatch):
    provider = make_provider(limits="none")
    _, state = await start(provider)
    del state["pid_intent"]
    boot, create = psutil.boot_time, psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create(self) + 3600)
    assert await restored(state, provider).poll() is None


async def test_without_an_answer_nothing_is_concluded(make_provider, start, restored, monkeypatch):
    provider = make_provider(limits="none")
    first, state = await start(provider)
    spawner = restored(state, provider)

    def boot_time():
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(identity.psutil, "boot_time", boot_time)
        assert await spawner.poll() is None
        assert await spawner._signal(signal.SIGKILL) is True
    with pytest.raises(subprocess.TimeoutExpired):
        first.proc.wait(0.2)


async def test_what_was_just_started_needs_no_identity(make_provider, start):
    spawner, _ = await start(make_provider(limits="none"))
    spawner._identity = Identity()
    await spawner.stop()
    assert spawner.proc.returncode == -signal.SIGINT
    assert await spawner._signal(signal.SIGKILL) is False


def test_a_mark_on_the_hub_s_own_user(spawn):
    process = spawn(**{INTENT: "x"})
    assert Identity("x").fits(process.pid, same_user=True)
    assert not Identity("x").fits(process.pid, same_user=False)


def test_the_hub_itself_never_counts_by_its_mark(monkeypatch):
    monkeypatch.setattr(psutil.Process, "environ", lambda _: {INTENT: "x"})
    assert not Identity("x").fits(os.getpid(), same_user=True)
    assert not Identity("x").fits(1, same_user=True)
