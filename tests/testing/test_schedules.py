"""The core's way of creating and giving back, against a cloud as bad as it is by default."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import pytest
from testing.parts import KEYS, intent
from testing.virtual import run

from multiplespawner_core import ProviderError, ResourceState, Scope
from multiplespawner_core.resources import creation, policy
from multiplespawner_core.testing.cloud import Cloud, Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.provider import ModelCloud

NORTH = Scope("model", "north")
SEEDS = range(200)
LONGEST = 3600.0


async def tried(call):
    """The answer, whatever it takes."""
    failures = 0
    while True:
        try:
            return await call()
        except ProviderError as error:
            failures += 1
            await asyncio.sleep(min(5.0, policy.pause(failures, error)))


async def give_back(cloud, provider, wanted, handle):
    """As the core does it: what carries the intent, and what is recorded, until GONE."""
    empty = 0
    while empty < (1 if handle else 2):
        if handle is None:
            await asyncio.sleep(provider.capabilities().list_grace)
        found = await tried(lambda: provider.find(wanted, NORTH))
        handles = {one.id: one for one in [*found, *([handle] if handle else [])]}
        gone = 0
        for one in handles.values():
            await tried(lambda one=one: provider.delete(one))
            seen = await tried(lambda one=one: provider.describe(one))
            if seen.state is ResourceState.GONE:
                assert cloud.record(one.id).gone
                gone += 1
        empty = empty + 1 if gone == len(handles) else 0
        await asyncio.sleep(0.2)


def storm(rng):
    kinds = [kind for kind in FaultKind if kind is not FaultKind.HOLD]
    return [
        Fault(
            kind=rng.choice(kinds),
            method=rng.choice(["*", "create", "list", "get", "terminate", "list_dependents"]),
            nth=rng.randint(1, 3),
            times=rng.choice([1, 1, 3, None]),
            seconds=rng.uniform(1, 30),
            error=rng.choice(["internal", "not_found", "unauthorized", "throttled", "capacity"]),
            delay=rng.uniform(0, 3),
        )
        for _ in range(rng.randint(0, 4))
    ]


async def schedule(loop, seed):
    """One resource, from its creation until it is given back; gives the faults that have hit."""
    rng = random.Random(seed)
    cloud = Cloud(Settings(), clock=loop.time, rng=rng)
    provider = ModelCloud(cloud, state_dir="/nonexistent", installation_id="i" * 32)
    for fault in storm(rng):
        cloud.add_fault(fault)
    wanted, handle = intent(), None
    with contextlib.suppress(ProviderError):
        handle = await asyncio.wait_for(creation.create(provider, wanted, KEYS), LONGEST)
    doubled = cloud.faults.fired["twice"]
    made = [one.id for one in cloud.records()]
    assert len(made) <= 1 + doubled
    if handle is None:
        # The core says that there surely is nothing.
        assert not cloud.meter().running or doubled
    else:
        assert handle.id in made
    await asyncio.wait_for(give_back(cloud, provider, wanted, handle), LONGEST)
    assert cloud.meter().running == frozenset()
    return Counter(cloud.faults.fired, completed=handle is not None)


def test_whatever_goes_wrong_nothing_is_left_that_costs():
    fired = Counter()
    for seed in SEEDS:
        try:
            fired += run(lambda loop, seed=seed: schedule(loop, seed))
        except Exception as error:  # noqa: BLE001 - with the seed it can be repeated
            pytest.fail(f"seed {seed}: {error!r}")
    # Not because nothing happened.
    assert fired["completed"] > len(SEEDS) / 2
    missing = {kind.value for kind in FaultKind} - {"hold"} - set(fired)
    assert missing == set()
    assert fired["lost"] > 0
