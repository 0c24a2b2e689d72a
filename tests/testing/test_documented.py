"""What docs/testing.md shows."""

import random
from dataclasses import replace

import pytest

import multiplespawner_core as ms
from multiplespawner_core.testing.cloud import Cloud, Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.client import SmallCloud
from multiplespawner_core.testing.cloud.process import CloudProcess
from multiplespawner_core.testing.cloud.provider import ModelCloud

CALM = Settings(lag=0, lost_answers=0)
NORTH = ms.Scope("cloud", "north")
INTENT = ms.Intent(
    id="an-id",
    token="an-id-1",
    attempt=1,
    installation_id="an-installation",
    owner=ms.Owner("ada"),
    offer=ms.Offer(NORTH, "small"),
    specification=ms.Specification("virtual_machine"),
)


# in process
async def test_an_answer_that_was_lost(tmp_path):
    now = [0.0]
    cloud = Cloud(CALM, clock=lambda: now[0], rng=random.Random(1))
    provider = ModelCloud(cloud, state_dir=tmp_path, installation_id="an-installation")
    cloud.add_fault(Fault(FaultKind.DROP, "create"))
    with pytest.raises(ms.OutcomeUnknown):
        await provider.create(INTENT, ms.Keys())
    handle = await provider.create(INTENT, ms.Keys())
    assert [record.id for record in cloud.records()] == [handle.id]
    now[0] += 60
    assert (await provider.describe(handle)).state is ms.ResourceState.READY
    await provider.delete(handle)
    now[0] += 60
    assert cloud.meter().running == frozenset()


# over HTTP
async def test_a_cloud_that_is_killed(tmp_path):
    settings = replace(CALM, capacity={"north": {"small": 1}})
    with CloudProcess(tmp_path, settings, machines="process") as cloud:
        provider = SmallCloud(
            component="cloud",
            state_dir=tmp_path,
            installation_id="an-installation",
            url=cloud.url,
            secret_file=str(cloud.secret_file),
        )
        handle = await provider.create(INTENT, ms.Keys())
        cloud.kill()
        with pytest.raises(ms.Transient):
            await provider.describe(handle)
        cloud.start()
        assert await provider.create(INTENT, ms.Keys()) == handle
        assert cloud.meter().by_intent["an-id"] > 0
        await provider.shutdown()


# end
