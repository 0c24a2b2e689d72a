"""What opens a machine, and the child that starts a server on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import time
import types
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from testing.parts import CALM, intent

from multiplespawner_core import (
    ConfigurationError,
    Endpoint,
    OpenFailed,
    ResourceState,
)
from multiplespawner_core.contracts import Kind
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.testing import COMPONENT_CLASSES
from multiplespawner_core.testing.cloud import processes
from multiplespawner_core.testing.cloud.process import CloudProcess
from multiplespawner_core.testing.machines import MachineAuthenticator, MachineSpawner

pytestmark = pytest.mark.slow

QUICK = replace(
    CALM, provisioning=(0, 0), stopping=(0, 0), terminating=(0, 0), dependents_delay=(0, 0)
)
CANARY = "canary-of-the-token"
INTENT = intent("a", provider="small")


@pytest.fixture
def server(tmp_path):
    with CloudProcess(tmp_path, QUICK, machines="process") as server:
        yield server


@pytest.fixture
def authenticator(tmp_path):
    return MachineAuthenticator(component="T", state_dir=tmp_path / "keys", installation_id="i")


@pytest.fixture
async def opened(server, client_of, authenticator):
    """A machine that was opened: provider, handle, access."""
    provider = client_of(server)
    keys = await authenticator.prepare(INTENT)
    handle = await provider.create(INTENT, keys)
    access = await authenticator.open(INTENT, await ready(provider, handle), keys)
    yield types.SimpleNamespace(provider=provider, handle=handle, keys=keys, access=access)
    await authenticator.cleanup(INTENT)


async def ready(provider, handle):
    deadline = time.monotonic() + 30
    while (seen := await provider.describe(handle)).state is not ResourceState.READY:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return seen.endpoint


class Child(MachineSpawner):
    def get_env(self):
        return {
            **self.environment,
            "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
            "JUPYTERHUB_API_TOKEN": CANARY,
        }


def child(opened):
    traits = opened.provider.child_traits(INTENT, opened.handle)
    return Child(**traits)


async def get(address, path):
    url = f"http://{address[0]}:{address[1]}{path}"

    def fetch():
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.headers, json.load(response)

    return await asyncio.to_thread(fetch)


async def test_keys_are_made_once_and_for_their_owner_alone(authenticator):
    keys = await authenticator.prepare(INTENT)
    assert await authenticator.prepare(INTENT) == keys
    assert keys.public_key.startswith("ssh-ed25519 ")
    assert keys.public_key != keys.host_public_key
    for path in (keys.private_key_file, keys.host_key_file):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - in a loop, Path counts as blocking
    assert stat.S_IMODE(os.stat(authenticator._place(INTENT)).st_mode) == 0o700  # noqa: PTH116 - the same
    await authenticator.cleanup(INTENT)
    await authenticator.cleanup(INTENT)
    assert not await asyncio.to_thread(Path(keys.private_key_file).exists)


async def test_the_machine_is_verified_by_the_key_that_it_was_given(
    opened, server, authenticator, client_of
):
    """Another machine's address is not taken for it."""
    other = intent("b", provider="small")
    keys = await authenticator.prepare(other)
    with pytest.raises(OpenFailed, match="another host key"):
        await authenticator.open(other, opened.access.endpoint, keys)


async def test_a_machine_that_does_not_let_us_in(opened, authenticator):
    other = intent("b", provider="small")
    keys = replace(await authenticator.prepare(other), host_public_key=opened.keys.host_public_key)
    with pytest.raises(OpenFailed, match="let the hub in"):
        await authenticator.open(other, opened.access.endpoint, keys)


async def test_opening_waits_until_the_machine_answers(authenticator):
    keys = await authenticator.prepare(INTENT)
    opening = asyncio.create_task(
        authenticator.open(INTENT, Endpoint("127.0.0.1", 1), keys)  # nobody listens there
    )
    await asyncio.sleep(0.5)
    assert not opening.done()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_a_server_is_started_on_the_machine_and_stopped(opened):
    spawner = child(opened)
    assert await spawner.poll() == 0
    address = await spawner.start()
    headers, said = await get(address, "/user/ada/machine")
    assert headers["X-JupyterHub-Version"]
    assert said["machine"].endswith(f"/machines/{opened.handle.id}")
    assert said["intent"] == INTENT.id
    assert (await get(address, "/user/ada/api"))[1] == {"version": "0"}
    with pytest.raises(urllib.error.HTTPError):
        await get(address, "/user/bob/api")
    assert await spawner.poll() is None
    await spawner.stop()
    assert processes.started(said["pid"]) is None
    assert await spawner.poll() == 0


async def test_its_secrets_are_in_no_command_line(opened, server):
    """They are in its own environment's memory, and nowhere on the machine's disk either."""
    spawner = child(opened)
    await spawner.start()
    tree = processes.tree(str(server.state / "machines" / opened.handle.id))
    assert len(tree) >= 2
    for pid in tree:
        assert CANARY.encode() not in read(f"/proc/{pid}/cmdline")
    for path in server.state.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in read(path)
    assert CANARY not in json.dumps(spawner.get_state())
    await spawner.stop()


def read(path):
    """Nothing of a process that has ended meanwhile: the session that started the server."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


async def test_another_process_of_the_hub_takes_it_up(opened):
    first = child(opened)
    await first.start()
    again = child(opened)
    again.load_state(json.loads(json.dumps(first.get_state())))
    assert await again.poll() is None
    await again.stop()
    assert await first.poll() == 1


async def test_a_server_that_ended_by_itself(opened):
    spawner = child(opened)
    address = await spawner.start()
    pid = (await get(address, "/user/ada/machine"))[1]["pid"]
    os.kill(pid, signal.SIGKILL)
    while processes.started(pid) is not None:
        await asyncio.sleep(0.01)
    assert await spawner.poll() == 1


async def test_it_ends_with_the_machine(opened):
    spawner = child(opened)
    address = await spawner.start()
    await opened.provider.delete(opened.handle)
    deadline = time.monotonic() + 30
    while (await opened.provider.describe(opened.handle)).state is not ResourceState.GONE:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    with pytest.raises(OSError):
        await get(address, "/user/ada/api")
    assert await spawner.poll() == 1
    await spawner.stop()


async def test_without_a_machine_that_was_opened():
    with pytest.raises(ConfigurationError, match="MachineAuthenticator"):
        await Child().start()


async def test_not_with_internal_ssl(opened):
    with pytest.raises(ConfigurationError, match="internal SSL"):
        await Child(internal_ssl=True).start()


def test_the_classes_that_a_hub_is_configured_with():
    paths = {Kind(kind): found for kind, found in COMPONENT_CLASSES.items()}
    registry = Registry((), (), paths)
    for kind, (path,) in paths.items():
        component = registry.resolve(kind, path, "virtual_machine")
        loaded = registry.load(kind, component)
        assert path == f"{loaded.__module__}.{loaded.__qualname__}"


def test_it_is_no_plugin():
    """Installed, it offers nothing to hubs."""
    from multiplespawner_core.plugins.discovery import discover, installed

    targets = [one.component.target for p in discover(installed()) for one in p.declared]
    assert not [target for target in targets if ".testing." in target]
