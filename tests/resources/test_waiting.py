"""How often a provider is asked whether a resource is ready."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes import FakeChild, FakeProvider, plan_for
from testing.virtual import run

from multiplespawner_core.contracts import Owner, ResourceState
from multiplespawner_core.resources import pipeline
from multiplespawner_core.resources.gate import Gates
from multiplespawner_core.resources.resource import Resource


class Ledger:
    """In memory: in virtual time nothing may come from a thread."""

    installation_id = "i" * 32

    async def insert(self, record):
        return replace(record, generation=1)

    async def update(self, record, **changes):
        """Nothing."""


class Slow(FakeProvider):
    """Its machines come up after so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    async def create(self, intent, keys):
        handle = await super().create(intent, keys)
        kept = self.cloud[handle.id]
        self.cloud[handle.id] = (*kept[:2], ResourceState.PENDING)
        loop = asyncio.get_running_loop()
        loop.call_later(self.seconds, self.cloud.__setitem__, handle.id, kept)
        return handle


@pytest.mark.parametrize(
    ("seconds", "questions", "late"), [(0.5, 2, 1), (8, 9, 1), (120, 60, 5), (600, 150, 5)]
)
def test_the_longer_a_machine_takes_the_less_often_it_is_asked_for(seconds, questions, late):
    provider = Slow(seconds)

    async def main(loop):
        began = loop.time()
        resource = Resource(Owner("ada"), child=FakeChild())
        await pipeline.run(
            resource, plan_for(provider, budget=3600.0), Ledger(), Gates(), pytest.fail
        )
        return loop.time() - began

    took = run(main)
    assert seconds <= took <= seconds + late + 0.1
    assert provider.calls.count("describe") <= questions
