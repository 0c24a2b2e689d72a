"""A server of JupyterHub's own making, without a hub: its database is in memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from fakes import SCOPE, FakeProvider, FakeProviders, free_limits, plan_for
from jupyterhub import orm
from jupyterhub.objects import Hub
from jupyterhub.spawner import Spawner
from jupyterhub.user import User
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool
from traitlets import Any as AnyTrait
from traitlets import Dict
from traitlets.config import Config

from multiplespawner_core.contracts import (
    Access,
    Endpoint,
    Handle,
    Intent,
    MadeBy,
    Offer,
    Owner,
    Specification,
)
from multiplespawner_core.planning.plan import Budget
from multiplespawner_core.resources.child import Launch
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.selection.request import Choice, select
from multiplespawner_core.spawner.child import ChildSpawner
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.spawner.runtime import Runtime

CHOICE = Choice("fake", "virtual_machine", "image", "fake", free_limits("cpu", "memory"))
OPTIONS = {"provider": "fake", "resource_type": "virtual_machine", "deployment": "image"}


class Child(Spawner):
    """As DockerSpawner and KubeSpawner: its class has defaults of its own."""

    result = AnyTrait(("192.0.2.7", 8888))
    labels = Dict().tag(config=True)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kwargs = kwargs
        self.calls = []
        self.status = 0
        self.remembered = None

    async def start(self):
        self.calls.append("start")
        if isinstance(self.result, BaseException):
            raise self.result
        self.status = None
        return self.result

    async def poll(self):
        return self.status

    async def stop(self, now=False):
        self.calls.append("stop")
        self.status = 3

    async def delete_forever(self):
        self.calls.append("delete_forever")

    async def rename(self, old_name, new_name):
        self.calls.append(("rename", old_name, new_name))

    def get_state(self):
        return {**super().get_state(), "id": "vm-1"}

    def load_state(self, state):
        super().load_state(state)
        self.remembered = state.get("id")
        if self.remembered:
            self.status = None

    def clear_state(self):
        super().clear_state()
        self.remembered = None


class User5Or6:
    """A user and the spawners that JupyterHub's own `User._new_spawner` makes for it."""

    def __init__(self, config: Config, settings: dict[str, Any], name: str = "ada") -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        orm.Base.metadata.create_all(engine)
        self.db = Session(engine)
        row = orm.User(name=name)
        self.db.add(row)
        self.db.commit()
        self.user = User(row, {"config": config, "hub": Hub(), "base_url": "/", **settings})

    def server(self, name: str = "", state: Any = None, cls=MultipleSpawner, **kwargs):
        if name not in self.user.orm_user.orm_spawners:
            row = orm.Spawner(name=name)
            self.db.add(row)
            row.user = self.user.orm_user
            self.db.commit()
        if state is not None:
            self.user.orm_user.orm_spawners[name].state = state
            self.db.commit()
        return self.user._new_spawner(name, spawner_class=cls, **kwargs)

    def close(self) -> None:
        self.db.close()
        self.db.get_bind().dispose()


class TraitsProvider(FakeProvider):
    """Gives the child what the test says."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.given = {}

    def child_traits(self, intent, handle):
        return self.given


def launch(child_class=Child, provider=None, hub_connect_url=None, **kwargs: Any) -> Launch:
    """What the pipeline knows when it starts a child; `kwargs` are the template's."""
    provider = provider or TraitsProvider()
    offer = Offer(SCOPE, "small", cpu=1, memory=1)
    specification = Specification("virtual_machine", cpu=1, memory=1)
    plan = SimpleNamespace(
        template="fake",
        deployment="image",
        provider=provider,
        child_class=child_class,
        child_kwargs=kwargs,
        hub_connect_url=hub_connect_url,
    )
    endpoint = Endpoint("192.0.2.1")
    return Launch(
        intent=Intent("i" * 32, "t" * 32, 1, "h" * 32, Owner("ada"), offer, specification),
        plan=plan,
        handle=Handle("vm-1", SCOPE, endpoint),
        access=Access(endpoint),
        placeholders={"username": "ada", "endpoint": endpoint.address},
        events=EventLog(),
    )


async def started(outer, *args: Any, **kwargs: Any) -> Spawner:
    """The child that `outer` has after its start."""
    linked = ChildSpawner(outer)
    outer._child = linked
    await linked.start(launch(*args, **kwargs))
    return linked.spawner


class FakeSite:
    """One choice, and a budget of seconds."""

    def __init__(self, provider, child_class) -> None:
        self.provider = provider
        self.child_class = child_class
        self.child_kwargs: dict[str, Any] = {}
        self.requests = []

    def select(self, options, user):
        request, choice = select(options, [CHOICE])
        self.requests.append(request)
        return request, choice

    def choices(self, user):
        return [CHOICE]

    async def unavailable(self, choices, timeout):
        return {}

    def budget(self, choice):
        return Budget(1, 2, 3, 4, 5)

    def http_timeout(self, choice):
        return 44

    def fallbacks(self, options, user, choice):
        return []

    async def plan(self, wanted, owner):
        request, _ = wanted[0]
        plan = await plan_for(self.provider)()
        return replace(
            plan,
            child_class=self.child_class,
            child_kwargs=self.child_kwargs,
            specification=Specification("virtual_machine", request.cpu, request.memory),
        )


class FakeRuntime(Runtime):
    """The hub's runtime around a real ledger and manager, and a provider with faults on demand."""

    def __init__(self, directory, child_class=Child) -> None:
        self.ledger = Ledger.open("", directory)
        self.provider = TraitsProvider(made_by=MadeBy.PROVIDER)
        self.fake_site = FakeSite(self.provider, child_class)
        self.classes = {"spawner.parts.Child": Child}
        self.spawners: dict[Owner, Any] = {}
        self._revive = self.spawners.get
        self.pool = None
        self.manager = Manager(
            self.ledger, FakeProviders(self.provider), self._cleanup, self._child_of
        )
        self._lost = set()

    @property
    def site(self) -> Any:
        return self.fake_site

    async def fresh_site(self) -> Any:
        return self.fake_site

    def _child_class(self, record):
        return self.classes[record.child["class"]]

    async def end(self) -> None:
        if Runtime._current is self:
            Runtime._current = None
        await self.manager.shutdown()

    async def die(self) -> None:
        """What SIGKILL leaves: every task gone, nothing finished, the lock free."""
        self.manager._draining = True
        for task in list(self.manager._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.manager._timer.stop()
        self.ledger.close()
