"""Machines that are containers of a real engine: systemd, sshd, sudo and cloud-init in each."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import replace

import asyncssh
import pytest
from testing.parts import CALM, intent

from multiplespawner_core import Keys, ResourceState
from multiplespawner_core.testing.cloud import containers
from multiplespawner_core.testing.cloud.containers import EngineError, docker
from multiplespawner_core.testing.cloud.process import CloudProcess

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

BOOT = "cut -d' ' -f22 /proc/1/stat"
"""When the machine booted."""

QUICK = replace(
    CALM, provisioning=(0, 0.1), address_delay=(0, 0), terminating=(0, 0.1), dependents_delay=(0, 0)
)


@pytest.fixture(scope="module", autouse=True)
def engine():
    try:
        containers.require_engine()
    except EngineError as error:
        pytest.skip(f"no engine: {error}")


@pytest.fixture
def cloud(tmp_path):
    with CloudProcess(tmp_path, QUICK, machines="container") as cloud:
        yield cloud
    assert ours(cloud) == []


def ours(cloud):
    """Everything on the engine that is this cloud's."""
    cloud_id = (cloud.state / "machines" / "cloud-id").read_text()
    return docker("ps", "-aq", "--filter", f"label=multiplespawner.cloud={cloud_id}").split()


@pytest.fixture
def keys(tmp_path):
    client, host = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for name, key in (("client", client), ("host", host)):
        (tmp_path / name).write_bytes(key.export_private_key())
        (tmp_path / name).chmod(0o600)
    return Keys(
        public_key=client.export_public_key().decode().strip(),
        private_key_file=str(tmp_path / "client"),
        host_key_file=str(tmp_path / "host"),
        host_public_key=host.export_public_key().decode().strip(),
        user_data={"runcmd": [["sh", "-c", "echo told >/root/told"]]},
    )


async def until(provider, handle, state):
    deadline = time.monotonic() + 60
    while (seen := await provider.describe(handle)).state is not state:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.1)
    return seen


async def run(endpoint, keys, command, username="root"):
    """On the machine, which has the host key that it was given."""
    host_key = asyncssh.import_public_key(keys.host_public_key)
    deadline = time.monotonic() + 60
    while True:
        try:
            async with asyncssh.connect(
                endpoint.address,
                endpoint.port,
                username=username,
                client_keys=[keys.private_key_file],
                known_hosts=([host_key], [], []),
                config=None,
            ) as connection:
                done = await connection.run(command, check=True)
                return done.stdout.strip()
        except (OSError, asyncssh.PermissionDenied, asyncssh.ConnectionLost):
            assert time.monotonic() < deadline  # it boots
            await asyncio.sleep(0.1)


async def test_the_life_of_a_machine(cloud, client_of, keys):
    provider = client_of(cloud)
    handle = await provider.create(intent("a", provider="small"), keys)
    seen = await until(provider, handle, ResourceState.READY)
    assert seen.endpoint.host_key.split()[:2] == keys.host_public_key.split()[:2]
    assert await run(seen.endpoint, keys, "cloud-init status --wait | tail -1") == "status: done"
    assert await run(seen.endpoint, keys, "cat /root/told") == "told"
    assert await run(seen.endpoint, keys, "sudo id -u", username="debian") == "0"
    assert await run(seen.endpoint, keys, "systemctl is-system-running") == "running"
    await run(seen.endpoint, keys, "echo mine >/home/debian/file")

    await provider.stop(handle)
    await until(provider, handle, ResourceState.STOPPED)
    await provider.start(handle)
    seen = await until(provider, handle, ResourceState.READY)
    assert await run(seen.endpoint, keys, "cat /home/debian/file") == "mine"

    await provider.delete(handle)
    await until(provider, handle, ResourceState.GONE)
    await asyncio.to_thread(nothing_is_left, cloud)


def nothing_is_left(cloud):
    deadline = time.monotonic() + 30
    while ours(cloud):
        assert time.monotonic() < deadline
        time.sleep(0.1)


async def test_a_server_that_was_killed_finds_its_machines_and_touches_no_others(
    cloud, client_of, keys
):
    foreign = f"foreign-{uuid.uuid4().hex[:8]}"
    docker("create", "--name", foreign, "--label", "multiplespawner.cloud=other", containers.IMAGE)
    try:
        provider = client_of(cloud)
        handles = [await provider.create(intent(n, provider="small"), keys) for n in ("a", "b")]
        first, second = [await until(provider, one, ResourceState.READY) for one in handles]
        boot = await run(first.endpoint, keys, BOOT)
        cloud.kill()
        before = sorted(ours(cloud))
        assert len(before) == 2
        cloud.start()
        assert sorted(ours(cloud)) == before
        again = await until(provider, handles[0], ResourceState.READY)
        assert again.endpoint == first.endpoint
        now = await run(again.endpoint, keys, BOOT)
        assert now == boot
        with contextlib.suppress(asyncssh.Error):  # its connection ends with it
            await run(second.endpoint, keys, "systemctl poweroff")
        await until(provider, handles[1], ResourceState.FAILED)
        cloud.stop()
        assert (
            docker("ps", "-q", "--filter", f"label=multiplespawner.cloud={cloud_id(cloud)}") == ""
        )
        cloud.start()
        await until(provider, handles[0], ResourceState.READY)
        assert docker("inspect", "--format", "{{.State.Status}}", foreign).strip() == "created"
    finally:
        docker("rm", "-f", foreign)


def cloud_id(cloud):
    return (cloud.state / "machines" / "cloud-id").read_text()


def test_without_an_engine_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match=r"docker version: .*annot connect"):
        containers.require_engine()
    with pytest.raises(RuntimeError, match="did not start"):
        CloudProcess(tmp_path, QUICK, machines="container").start()
    assert "there can be no machines: docker version" in (tmp_path / "server.log").read_text()
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(containers, "IMAGE", "no-such-image")
    with pytest.raises(EngineError, match=r"run python -m multiplespawner_core\.testing\.machine_"):
        containers.require_engine()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="there is no docker"):
        containers.require_engine()
