"""The site: a defective provider takes away its own choices and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from fakes import FakeProvider
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets.config import Config

from multiplespawner_core.catalogue import load, locate, resolve
from multiplespawner_core.contracts import (
    Availability,
    Capacity,
    Component,
    Kind,
    Offer,
    Owner,
    Quota,
    Scope,
)
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.planning.site import Site
from multiplespawner_core.selection.request import User

ADA = Owner("ada")
USER = User("ada")
OPTIONS = {"provider": "fake", "resource_type": "virtual_machine", "deployment": "image"}


class Healthy(FakeProvider):
    def __init__(self, *, component, state_dir, installation_id, config):
        super().__init__()
        self.component = component


class Registry:
    def __init__(self, **providers):
        self.providers = providers

    def resolve(self, kind, name, resource_type=""):
        return Component(name=name, target=f"fake:{name}")

    def load(self, kind, component):
        if kind is Kind.SPAWNER:
            return SimpleLocalProcessSpawner
        return self.providers[component.name]


@pytest.fixture
def site(tmp_path):
    def make(**providers):
        templates = [
            {
                "name": "T",
                "resource_type": "virtual_machine",
                "providers": list(providers),
                "spawner": {"class": "simple", "kwargs": {"start_timeout": 7}},
            }
        ]
        (tmp_path / "t.json").write_text(json.dumps(templates))
        (tmp_path / "d.json").write_text(json.dumps({"virtual_machine": [{"name": "image"}]}))
        catalogue = load(locate({}, str(tmp_path / "t.json"), str(tmp_path / "d.json")))
        registry = Registry(**providers)
        pool = Pool(registry, Config(), tmp_path, "i" * 32)
        return Site(resolve(catalogue, registry), pool)

    return make


def broken(**methods):
    return type("Broken", (Healthy,), methods)


@pytest.mark.parametrize(
    ("provider", "why"),
    [
        (
            broken(capabilities=lambda self: {"resource_types": []}),
            "TypeError: Broken.capabilities returned {'resource_types': []}, not Capabilities",
        ),
        (broken(capabilities=lambda self: 1 / 0), "ZeroDivisionError: division by zero"),
        (broken(child_class=lambda self, base: 1 / 0), "ZeroDivisionError: division by zero"),
        (
            broken(child_class=lambda self, base: None),
            f"TypeError: child_class returned None, no subclass of {SimpleLocalProcessSpawner}",
        ),
    ],
)
def test_a_defective_provider_takes_only_its_own_choices_away(site, provider, why):
    made = site(bad=provider, fake=Healthy)
    assert [choice.provider for choice in made.choices(USER)] == ["fake"]
    (problem,) = made.problems
    assert problem.path == "[0].providers[0]"
    assert problem.message == f"provider 'bad': is defective: {why}"


def offering(answer):
    async def offers(self, specification):
        return answer

    return type("Offering", (Healthy,), {"offers": offers})


SCOPE = Scope("fake", "here")


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ("free", TypeError, "Offering.offers returned 'free', not a list of Offer"),
        (None, TypeError, "Offering.offers returned None, not a list of Offer"),
        ([1], TypeError, "Offering.offers returned 1, not Offer"),
        ([], Capacity, "there is no room for it now"),
        (
            [Offer(SCOPE, "s", availability=Availability.NO_CAPACITY, reason="full")],
            Capacity,
            "full",
        ),
        (
            [Offer(SCOPE, "s", availability=Availability.NO_QUOTA, reason="used up")],
            Quota,
            "used up",
        ),
    ],
)
async def test_what_no_offer_means(site, answer, error, message):
    made = site(fake=offering(answer))
    with pytest.raises(error, match=message):
        await made.plan(*made.select(OPTIONS, USER), ADA)


async def test_the_first_offer_that_can_be_had_is_taken(site):
    offers = [
        Offer(SCOPE, "full", availability=Availability.NO_CAPACITY),
        Offer(SCOPE, "unknown", availability=Availability.UNKNOWN),
        Offer(SCOPE, "free"),
    ]
    made = site(fake=offering(offers))
    request, choice = made.select(OPTIONS, USER)
    plan = await made.plan(request, choice, ADA)
    assert plan.offer.shape == "unknown"
    assert made.budget(choice).launch == 7
    assert plan.lifetime is None


async def test_a_startup_that_hangs_is_given_up_and_tried_again(site, monkeypatch):
    monkeypatch.setattr("multiplespawner_core.planning.pool.STARTUP_TIMEOUT", 0.05)
    hangs = [True]

    async def startup(self):
        if hangs:
            await asyncio.Event().wait()

    made = site(fake=broken(startup=startup))
    request, choice = made.select(OPTIONS, USER)
    with pytest.raises(asyncio.TimeoutError):
        await made.plan(request, choice, ADA)
    hangs.clear()
    assert (await made.plan(request, choice, ADA)).template == "T"
