"""A manager without a hub around it, as the tests of this directory want it."""

from __future__ import annotations

import asyncio

from fakes import FakeChild, FakeProvider, FakeProviders, plan_for

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager

ADA = Owner("ada")


class Hub:
    """A manager over a ledger on disk and a cloud that outlives both."""

    def __init__(self, directory):
        self.directory = directory
        self.cloud = {}
        self.cleaned = []
        self.revived = None
        self.providers = FakeProviders(None)
        self.open()

    def open(self, serving=(), sweep_interval=600):
        self.provider = self.providers.provider = FakeProvider(self.cloud)
        self.ledger = Ledger.open("", self.directory)
        self.manager = Manager(self.ledger, self.providers, self._cleanup, lambda _: self.revived)
        self.serving = set(serving)
        self.manager.recover(lambda: self.serving, sweep_interval)

    async def _cleanup(self, record):
        self.cleaned.append(record.id)

    def begin(self, child=None, owner=ADA, **plan):
        self.child = child or FakeChild()
        self.child._owner = owner
        return self.manager.begin(owner, plan_for(self.provider, **plan), self.child, EventLog())

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
