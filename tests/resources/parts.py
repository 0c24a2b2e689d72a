"""A manager without a hub around it, as the tests of this directory want it."""

from __future__ import annotations

import asyncio

import pytest
from fakes import SCOPE, FakeChild, FakeProvider, FakeProviders, plan_for

from multiplespawner_core.contracts import ConfigurationError, Offer, Owner, Specification
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.resources.record import Record

ADA = Owner("ada")


def record(number=1, owner=ADA, **changes):
    fields = {
        "id": f"{number:032x}",
        "installation_id": "i" * 32,
        "owner": owner,
        "generation": 0,
        "template": "small",
        "deployment": "image",
        "provider": "fake",
        "offer": Offer(SCOPE, "S1", cpu=0.5, memory=1.5),
        "specification": Specification("bare_metal", cpu=0.5, attributes={"image": "x"}),
        "created_at": 1000.25,
    }
    return Record(**{**fields, **changes})


def refused(url, state_dir):
    with pytest.raises(ConfigurationError) as caught:
        Ledger.open(url, state_dir)
    return str(caught.value)


class Hub:
    """A manager over a ledger on disk and a cloud that outlives both."""

    def __init__(self, directory, url=""):
        self.directory = directory
        self.url = url
        self.cloud = {}
        self.cleaned = []
        self.revived = None
        self.providers = FakeProviders(None)
        self.open()

    def open(self, serving=(), sweep_interval=600):
        self.provider = self.providers.provider = FakeProvider(self.cloud)
        self.ledger = Ledger.open(self.url, self.directory)
        self.manager = Manager(self.ledger, self.providers, self._cleanup, lambda _: self.revived)
        self.serving = set(serving)
        self.manager.recover(lambda: self.serving, sweep_interval)

    async def _cleanup(self, record):
        self.cleaned.append(record.id)

    def begin(self, child=None, owner=ADA, resumer=None, **plan):
        self.child = child or FakeChild()
        self.child._owner = owner
        self.planner = plan_for(self.provider, **plan)
        return self.manager.begin(owner, self.planner, self.child, EventLog(), resumer)

    async def running(self, **options):
        resource = self.begin(**options)
        await asyncio.wait_for(asyncio.shield(resource.url), 5)
        return resource

    async def die(self):
        """What SIGKILL leaves: every task gone, nothing finished, the lock free."""
        self.manager._draining = True
        for task in list(self.manager._tasks):
            task.cancel()
        await asyncio.sleep(0)
        self.manager._timer.stop()
        self.ledger.close()

    async def rows(self, owner=ADA):
        return await self.ledger.history(owner)


async def closed(resource):
    await asyncio.wait_for(resource.closed.wait(), 5)
