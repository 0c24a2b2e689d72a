"""The model of the small cloud, its clock, and requests to it."""

from __future__ import annotations

import random
from dataclasses import replace

from multiplespawner_core import Intent, Keys, Offer, Owner, Scope, Specification
from multiplespawner_core.testing.cloud import Call, Cloud, Settings
from multiplespawner_core.testing.cloud.provider import ModelCloud

CALM = Settings(lag=0, lost_answers=0)


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


class Site:
    """A cloud, its clock, and somebody who asks it directly."""

    def __init__(self, tmp_path, settings=CALM, **changes):
        self.tmp_path = tmp_path
        self.clock = Clock()
        settings = replace(settings, **changes)
        self.cloud = Cloud(settings, clock=self.clock, rng=random.Random(7))

    def ask(self, method, scope="north", **arguments):
        return self.cloud.handle(Call(method, scope, arguments))

    def create(self, token="t", scope="north", **arguments):
        arguments = {"name": "n", "shape": "small", "tags": {}, **arguments}
        return self.ask("create", scope, token=token, **arguments)

    def id_of(self, token="t", **arguments):
        return self.create(token, **arguments).body["instance"]["id"]

    def state(self, instance_id):
        return self.ask("get", id=instance_id).body["instance"]["state"]

    def list(self, method="list", **arguments):
        """All pages."""
        name, mark, found = "dependents" if "dep" in method else "instances", {}, []
        while True:
            body = self.ask(method, **arguments, **mark).body
            found += body[name]
            if body["next"] is None:
                return found
            mark = {"page": body["next"]}

    def after(self, seconds):
        self.clock.now += seconds
        self.cloud.advance()

    def provider(self, **kwargs):
        return ModelCloud(self.cloud, state_dir=self.tmp_path, installation_id="i" * 32, **kwargs)


def intent(name="a", scope="north", shape="small", provider="model", **changes):
    """An intent as the core would send it."""
    given = {
        "id": name,
        "token": f"{name}-1",
        "attempt": 1,
        "installation_id": "i" * 32,
        "owner": Owner("ada"),
        "offer": Offer(Scope(provider, scope), shape),
        "specification": Specification("virtual_machine", cpu=1, memory=1),
    }
    return Intent(**{**given, **changes})


KEYS = Keys()
