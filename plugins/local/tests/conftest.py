"""Providers, intents and process trees that leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from multiplespawner_local.limits.base import LimiterUnavailable
from multiplespawner_local.limits.detect import _version_1
from multiplespawner_local.limits.hierarchy import SELF
from multiplespawner_local.machine import machine_id
from multiplespawner_local.processes import INSTALLATION, INTENT
from multiplespawner_local.provider import LocalProvider

from multiplespawner_core import Intent, Keys, Offer, Owner, Scope, Specification

ROOT = Path("/sys/fs/cgroup")


def groups_of(installation):
    """Every control group of this installation, whatever other hubs do meanwhile."""
    return [path for path, _, _ in os.walk(ROOT) if path.endswith(f"/{installation[:8]}")]


@pytest.fixture
def installation():
    return uuid.uuid4().hex


@pytest.fixture
def limiter(installation):
    """Real control groups of version 1."""
    try:
        found = _version_1(ROOT, installation, SELF)
    except LimiterUnavailable as error:
        pytest.skip(f"control groups of version 1 cannot be written here: {error}")
    return found


@pytest.fixture
def make_intent(installation):
    def make(cpu=None, memory=None, intent_id=None, user="alice"):
        specification = Specification("bare_metal", cpu, memory)
        offer = Offer(Scope("local", machine_id()), "here", cpu, memory)
        intent_id = intent_id or uuid.uuid4().hex
        return Intent(intent_id, intent_id, 1, installation, Owner(user), offer, specification)

    return make


@pytest.fixture
async def make_provider(tmp_path, installation):
    made = []

    def make(**traits):
        traits = {"cpu": 2.0, "memory": 4.0, "allow_same_user": True, **traits}
        provider = LocalProvider(
            component="local", state_dir=tmp_path, installation_id=installation, **traits
        )
        made.append(provider)
        return provider

    yield make
    for provider in made:
        with contextlib.suppress(RuntimeError):  # shut down by the test: a dead hub
            for owned in await provider.list_owned(installation, provider.scope):
                await provider.delete(owned.handle)
        await provider.shutdown()
    assert not groups_of(installation)


@pytest.fixture(params=["auto", "watchdog"])
def provider(request, make_provider):
    return make_provider(limits=request.param)


@pytest.fixture
def run():
    """Start a program as a child spawner would; everything is ended after the test."""
    started = []

    def start(provider, intent, *command, **kwargs):
        files = provider.join_files(intent.id)

        def preexec():
            for path in files:
                path.write_text("0")

        environment = {**os.environ, INTENT: intent.id, INSTALLATION: intent.installation_id}
        process = subprocess.Popen(
            command,
            env=environment,
            preexec_fn=preexec,  # noqa: PLW1509 - as JupyterHub's own spawners do
            start_new_session=True,
            **kwargs,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def user():
    return SimpleNamespace(name="nobody", url="/user/nobody/")


@pytest.fixture
def scratch():
    """A directory that every user can reach, unlike pytest's own."""
    path = Path("/tmp") / f"multiplespawner-{uuid.uuid4().hex}"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def keys():
    return Keys()
