"""Machines that are OpenSSH servers: who gets in, what ends with them, and what does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from testing.parts import CALM, intent

from multiplespawner_core import Keys, ResourceState
from multiplespawner_core.testing.cloud import Fault, FaultKind, processes
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = pytest.mark.slow

QUICK = replace(
    CALM, provisioning=(0, 0), stopping=(0, 0), terminating=(0, 0), dependents_delay=(0, 0)
)
DETACH = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"


@pytest.fixture
def server(tmp_path):
    with CloudProcess(tmp_path, QUICK, machines="process") as server:
        yield server
    assert marked(tmp_path) == []


def marked(directory):
    """Whatever runs on machines below a directory."""
    mark = f"{processes.MARK}={directory}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes() and processes.started(int(path.name)):
                found.append((path / "cmdline").read_bytes())
        except OSError:
            continue
    return found


class Machine:
    """A machine and somebody who may log in."""

    def __init__(self, provider, handle, keys):
        self.provider, self.handle, self.keys = provider, handle, keys

    async def until(self, state):
        deadline = time.monotonic() + 30
        while (seen := await self.provider.describe(self.handle)).state is not state:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.02)
        return seen

    async def endpoint(self):
        return (await self.until(ResourceState.READY)).endpoint

    async def run(self, command, key=None, host_key=None):
        """The output; tried again until the machine answers."""
        endpoint = await self.endpoint()
        known = asyncssh.import_known_hosts(
            f"[127.0.0.1]:{endpoint.port} {host_key or endpoint.host_key}\n"
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                connection = await asyncssh.connect(
                    "127.0.0.1",
                    endpoint.port,
                    config=None,
                    known_hosts=known,
                    client_keys=[key or self.keys.private_key_file],
                )
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            else:
                break
        async with connection:
            return (await connection.run(command, check=True)).stdout.strip()


@pytest.fixture
def machine(server, client_of, tmp_path):
    """Makes machines."""

    async def make(name="a", **given):
        private = tmp_path / f"key-{name}"
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(private)
        private.chmod(0o600)
        public = key.export_public_key().decode().strip()
        keys = Keys(public_key=public, private_key_file=str(private), **given)
        provider = client_of(server)
        handle = await provider.create(intent(name, provider="small"), keys)
        return Machine(provider, handle, keys)

    return make


def alive(pid):
    return processes.started(int(pid)) is not None


async def test_it_lets_in_who_was_named_and_nobody_else(machine):
    one, two = await machine("one"), await machine("two")
    assert await one.run("echo here") == "here"
    with pytest.raises(asyncssh.PermissionDenied):
        await two.run("true", key=one.keys.private_key_file)
    assert (await one.endpoint()).port != (await two.endpoint()).port


async def test_it_is_known_by_the_host_key_that_it_was_given(machine, tmp_path):
    host = asyncssh.generate_private_key("ssh-ed25519")
    host.write_private_key(tmp_path / "host")
    one = await machine("one", host_key_file=str(tmp_path / "host"))
    expected = " ".join(host.export_public_key().decode().split()[:2])
    assert (await one.endpoint()).host_key == expected
    assert await one.run("echo here", host_key=expected) == "here"
    two = await machine("two")
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await two.run("true", host_key=expected)


async def test_everything_on_it_ends_with_it(machine, server):
    one, two = await machine("one"), await machine("two")
    (detached, other) = await one.run(DETACH), await two.run(DETACH)
    assert alive(detached)
    home = Path(await one.run("echo $HOME"))
    await one.provider.delete(one.handle)
    await one.until(ResourceState.GONE)
    assert not alive(detached)
    assert not home.parent.exists()
    assert alive(other)


async def test_stopped_and_started_it_has_its_files_and_not_its_processes(machine):
    one = await machine()
    detached = await one.run(f"echo kept > $HOME/file; {DETACH}")
    key = (await one.endpoint()).host_key
    await one.provider.stop(one.handle)
    await one.until(ResourceState.STOPPED)
    assert not alive(detached)
    await one.provider.start(one.handle)
    assert await one.run("cat $HOME/file", host_key=key) == "kept"


async def test_the_server_is_killed_and_machines_go_on(machine, server):
    one = await machine()
    detached = await one.run(DETACH)
    endpoint = await one.endpoint()
    server.kill()
    assert alive(detached)
    server.start()
    assert await one.endpoint() == endpoint
    assert await one.run("echo still") == "still"
    await one.provider.delete(one.handle)
    await one.until(ResourceState.GONE)
    assert not alive(detached)


async def test_what_was_terminated_while_the_server_was_away_is_ended(machine, server):
    one = await machine()
    detached = await one.run(DETACH)
    server.change(terminating=(0.3, 0.3))
    server.add_fault(Fault(FaultKind.DELAY, "terminate", delay=30))
    deleting = asyncio.create_task(one.provider.delete(one.handle))
    while server.records()[0].state == "RUNNING":
        await asyncio.sleep(0.01)
    server.kill()
    await asyncio.gather(deleting, return_exceptions=True)
    await asyncio.sleep(0.5)
    server.start()
    await one.until(ResourceState.GONE)
    assert not alive(detached)


async def test_the_server_is_told_to_end_and_its_machines_boot_again_with_it(machine, server):
    one = await machine()
    detached = await one.run(DETACH)
    key = (await one.endpoint()).host_key
    server.stop()
    assert not alive(detached)
    server.start()
    assert await one.run("echo again", host_key=key) == "again"


async def test_one_that_ends_by_itself_has_failed(machine, server):
    one = await machine()
    detached = await one.run(DETACH)
    process = (server.state / "machines" / one.handle.id / "process.json").read_text()
    os.kill(int(process.split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
    seen = await one.until(ResourceState.FAILED)
    assert seen.reason == "The machine ended by itself."
    assert not alive(detached)


async def test_one_that_was_killed_while_the_server_was_away_boots_again(machine, server):
    one = await machine()
    first = await one.endpoint()
    server.kill()
    mark = str(server.state / "machines" / one.handle.id)
    processes.end(mark)
    server.start()
    assert await one.run("echo again", host_key=first.host_key) == "again"
    assert (await one.endpoint()).port != first.port


async def test_one_that_was_not_written_down_is_ended_before_there_is_another(machine, server):
    """The server was killed just after it had started it."""
    one = await machine()
    first = await one.endpoint()
    detached = await one.run(DETACH)
    server.kill()
    (server.state / "machines" / one.handle.id / "process.json").unlink()
    server.start()
    assert (await one.endpoint()).port != first.port
    assert not alive(detached)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first.port)


STARTER = """
import sys
from pathlib import Path
from multiplespawner_core.testing.cloud.process import CloudProcess
cloud = CloudProcess(Path(sys.argv[1]), machines="process")
cloud.start()
print(cloud.url, cloud.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_who_started_it(tmp_path):
    """Even one that is killed leaves nothing behind."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], **pipes) as starter:
        _, pid = starter.stdout.readline().split()
        assert alive(pid)
        starter.kill()
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert marked(tmp_path) == []


def test_a_tree_that_forks_while_it_is_ended(tmp_path):
    mark = str(tmp_path)
    forking = """if True:
        import os, signal, time
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            if os.fork() == 0:
                os.setsid()
                time.sleep(0.1)
                os._exit(0)
            time.sleep(0.005)
    """
    process = subprocess.Popen([sys.executable, "-c", forking], env={processes.MARK: mark})
    try:
        time.sleep(0.2)
        assert len(processes.tree(mark)) > 1
        processes.end(mark)
        assert marked(tmp_path) == []
    finally:
        process.kill()
        process.wait()


def test_only_the_whole_mark_counts(tmp_path):
    other = subprocess.Popen(["sleep", "1000"], env={processes.MARK: f"{tmp_path}/10"})
    try:
        assert processes.tree(f"{tmp_path}/1") == []
        assert processes.tree(f"{tmp_path}/10") == [other.pid]
    finally:
        other.kill()
        other.wait()
