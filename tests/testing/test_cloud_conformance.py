"""The small cloud keeps the contract, while its lists lag and answers are lost."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from testing.parts import Site

from multiplespawner_core import Capacity, Quota, Specification
from multiplespawner_core.testing import ProviderConformance
from multiplespawner_core.testing.cloud import Fault, FaultKind, Settings
from multiplespawner_core.testing.cloud.client import SmallCloud
from multiplespawner_core.testing.cloud.process import CloudProcess
from multiplespawner_core.testing.cloud.provider import ModelCloud
from multiplespawner_core.testing.cloud.translation import DEADLINE_TAG, INSTALLATION_TAG

pytest_plugins = ["multiplespawner_core.testing"]

HABITS = {"page": 2, "empty_first_page": True, "lost_answers": 0.02}
QUICK = Settings(
    provisioning=(0.3, 0.5),
    address_delay=(0, 0.05),
    stopping=(0.05, 0.1),
    terminating=(0.05, 0.1),
    dependents_delay=(0, 0.05),
    lag=0.1,
    **HABITS,
)


class CloudConformance(ProviderConformance):
    """The faults of the cloud; `cloud` is the model or its server."""

    specification = Specification("virtual_machine", cpu=1, memory=1)
    impossible = Specification("virtual_machine", cpu=1000)
    refusal = "unauthorized"
    cloud = None
    notices = 0.0

    @contextlib.asynccontextmanager
    async def _while(self, fault):
        self.cloud.add_fault(fault)
        # What the server does at the first look after that it does from then on.
        await asyncio.sleep(self.notices)
        try:
            yield
        finally:
            self._clear()

    def unreachable(self, provider):
        return self._while(Fault.outage())

    def unauthorized(self, provider):
        return self._while(Fault.everything(self.refusal))

    def lost_answer(self, provider):
        return self._while(Fault(FaultKind.DROP, "create"))

    def fails_later(self, provider, error):
        reason = {Capacity: "capacity", Quota: "quota"}[error]
        return self._while(Fault(FaultKind.FAIL_LATER, "create", times=None, error=reason))

    def broken_list(self, provider):
        return self._while(Fault(FaultKind.REFUSE, "list", nth=2, times=None))

    async def inventory(self, provider):
        found = set()
        for one in self.cloud.records():
            if not one.gone:
                found |= {one.id, *(d.id for d in one.dependents if d.history.now != "DELETED")}
        return found

    async def files(self, provider, handle):
        (record,) = [one for one in self.cloud.records() if one.id == handle.id]
        return [(one.id, one.history.now) for one in record.dependents if one.kind == "volume"]

    async def deadline(self, provider, handle):
        from datetime import datetime

        (record,) = [one for one in self.cloud.records() if one.id == handle.id]
        assert record.tags[INSTALLATION_TAG] == provider.installation_id
        return datetime.fromisoformat(record.tags[DEADLINE_TAG])


class TestModelCloud(CloudConformance):
    refusal = "not_found"

    @pytest.fixture(autouse=True)
    def _model(self, tmp_path):
        self.site = Site(tmp_path, Settings(**HABITS))
        self.cloud = self.site.cloud

    def _clear(self):
        self.cloud.faults.clear()

    def make_provider(self, installation_id, state_dir):
        return ModelCloud(self.cloud, state_dir=state_dir, installation_id=installation_id)

    async def sleep(self, seconds):
        self.site.after(seconds)
        await asyncio.sleep(0)


@pytest.mark.slow
class TestSmallCloud(CloudConformance):
    provider = SmallCloud
    notices = 0.3

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path):
        with CloudProcess(tmp_path, QUICK, seed=1) as self.cloud:
            yield

    def _clear(self):
        self.cloud.clear_faults()

    @property
    def traits(self):
        secret = str(self.cloud.secret_file)
        return {"url": self.cloud.url, "secret_file": secret, "list_grace": 0.2}

    @property
    def secrets(self):
        return (self.cloud.secret_file.read_text().strip(),)
