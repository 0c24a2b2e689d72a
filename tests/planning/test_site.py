"""The site: a defective provider takes away its own choices and nothing else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import ClassVar

import pytest
from fakes import FakeProvider
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Float, Unicode, default
from traitlets.config import Config

from multiplespawner_core.catalogue import load, locate, resolve
from multiplespawner_core.contracts import (
    Authenticator,
    Availability,
    Capacity,
    Component,
    Configurer,
    Kind,
    Offer,
    Owner,
    Quota,
    Scope,
    Storage,
)
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.planning.site import Site
from multiplespawner_core.selection.request import InvalidOptions, User

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
    def make(templates=({},), deployments=({"name": "image"},), config=None, **providers):
        written = [
            {
                "name": "T",
                "resource_type": "virtual_machine",
                "providers": list(providers),
                "spawner": {"class": "simple", "kwargs": {"start_timeout": 7}},
                **template,
            }
            for template in templates
        ]
        (tmp_path / "t.json").write_text(json.dumps(written))
        (tmp_path / "d.json").write_text(json.dumps({"virtual_machine": list(deployments)}))
        catalogue = load(locate({}, str(tmp_path / "t.json"), str(tmp_path / "d.json")))
        registry = Registry(**providers)
        pool = Pool(registry, Config(config or {}), tmp_path, "i" * 32)
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
        await made.plan([made.select(OPTIONS, USER)], ADA)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(lambda self: 7, 7), (lambda self: len(self.user.name), 60)],
    ids=["decided by a method", "by one that needs an instance"],
)
def test_a_childs_own_default_is_its_budget(site, timeout, seconds):
    child = type(
        "Child", (SimpleLocalProcessSpawner,), {"_timeout": default("start_timeout")(timeout)}
    )
    fake = broken(child_class=lambda self, base: child)
    made = site(templates=[{"spawner": {"class": "simple"}}], fake=fake)
    _, choice = made.select(OPTIONS, USER)
    assert made.budget(choice).launch == seconds


async def test_the_first_offer_that_can_be_had_is_taken(site):
    offers = [
        Offer(SCOPE, "full", availability=Availability.NO_CAPACITY),
        Offer(SCOPE, "unknown", availability=Availability.UNKNOWN),
        Offer(SCOPE, "free"),
    ]
    made = site(fake=offering(offers))
    request, choice = made.select(OPTIONS, USER)
    plan = await made.plan([(request, choice)], ADA)
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
        await made.plan([(request, choice)], ADA)
    hangs.clear()
    assert (await made.plan([(request, choice)], ADA)).template == "T"


STUDENTS = {"name": "Small", "limits": {"cpu": {"max": 1}}}
RESEARCH = {"name": "Large", "limits": {"cpu": {"max": 8}}, "allowed_groups": ["research"]}


@pytest.mark.parametrize(
    ("user", "template"),
    [
        (User("ada"), "Small"),
        (User("ada", frozenset({"research"})), "Large"),
        (User("ada", frozenset({"teaching", "research"})), "Large"),
        (User("research"), "Small"),
    ],
)
async def test_the_first_template_that_the_user_may_use_starts_it(site, user, template):
    made = site(templates=[RESEARCH, STUDENTS], fake=Healthy)
    request, choice = made.select(OPTIONS, user)
    assert choice.template == template
    plan = await made.plan([(request, choice)], ADA)
    assert plan.template == template
    assert request.cpu == {"Small": 1, "Large": 8}[template]


@pytest.mark.parametrize("where", ["template", "deployment"])
@pytest.mark.parametrize(
    ("restriction", "may"),
    [
        ({}, True),
        ({"allowed_users": ["ada"]}, True),
        ({"allowed_users": ["Ada"]}, False),
        ({"allowed_users": []}, False),
        ({"allowed_groups": ["research"]}, True),
        ({"allowed_groups": ["teaching"]}, False),
        ({"allowed_users": ["bob"], "allowed_groups": ["research"]}, True),
        ({"allowed_users": ["bob"], "allowed_groups": ["ada"]}, False),
    ],
)
def test_what_one_may_not_use_does_not_exist(site, where, restriction, may):
    secret = {"name": "secret", **(restriction if where == "deployment" else {})}
    templates = [{"name": "T", **(restriction if where == "template" else {})}]
    made = site(templates=templates, deployments=[secret], fake=Healthy)
    user = User("ada", frozenset({"research"}))
    assert bool(made.choices(user)) is may
    if not may:
        with pytest.raises(InvalidOptions) as refused:
            made.select({**OPTIONS, "deployment": "secret"}, user)
        with pytest.raises(InvalidOptions) as unknown:
            made.select({**OPTIONS, "deployment": "nowhere"}, user)
        assert str(refused.value) == str(unknown.value)


async def test_what_cannot_be_had_now_is_said(site):
    class Full(Healthy):
        async def offers(self, specification):
            if specification.attributes.get("size") == "large":
                return [Offer(SCOPE, "s", availability=Availability.NO_CAPACITY, reason="full")]
            return [Offer(SCOPE, "s")]

        deployment_schema: ClassVar = {"size": {"type": "string"}}

    made = site(deployments=[{"name": "small"}, {"name": "big", "size": "large"}], fake=Full)
    choices = made.choices(USER)
    unavailable = await made.unavailable(choices, 5)
    assert unavailable == {("fake", "virtual_machine", "big"): "full"}


async def test_what_can_be_had_in_a_smaller_size_is_there(site):
    """A size that the template has no default for is the provider's to choose."""
    asked = []

    async def offers(self, specification):
        asked.append((specification.cpu, specification.memory))
        there = Availability.AVAILABLE if specification.cpu < 2 else Availability.NO_CAPACITY
        return [Offer(SCOPE, "s", availability=there, reason="1 CPU is free")]

    fits = {"name": "T", "limits": {"cpu": {"min": 1, "max": 8, "default": 4}}}
    made = site(templates=[fits], fake=broken(offers=offers))
    assert await made.unavailable(made.choices(USER), 5) == {}
    assert asked == [(1, None)]
    never = {"name": "T", "limits": {"cpu": {"min": 2, "max": 8, "default": 4}}}
    made = site(templates=[never], fake=broken(offers=offers))
    assert list((await made.unavailable(made.choices(USER), 5)).values()) == ["1 CPU is free"]


@pytest.mark.parametrize("defect", ["hangs", "raises"])
async def test_a_provider_that_does_not_answer_is_taken_to_be_able(site, defect):
    async def offers(self, specification):
        if defect == "raises":
            raise RuntimeError("token=SECRET")
        await asyncio.Event().wait()

    made = site(fake=broken(offers=offers))
    assert await made.unavailable(made.choices(USER), 0.05) == {}


async def test_many_deployments_ask_a_provider_once(site):
    asked = []

    async def offers(self, specification):
        asked.append(specification)
        return [Offer(SCOPE, "s")]

    names = [{"name": f"image {number}"} for number in range(100)]
    made = site(deployments=names, fake=broken(offers=offers))
    await made.unavailable(made.choices(USER), 5)
    assert len(asked) == 1


def test_a_storage_that_the_provider_has_not_is_an_error_with_its_place(site):
    made = site(templates=[{"storage": "keep"}], fake=Healthy)
    assert made.choices(USER) == []
    (problem,) = made.problems
    assert str(problem).endswith(
        "[0].providers[0]: provider 'fake': it has no storage of kind 'keep'; allowed: ephemeral"
    )


def test_a_gpu_that_the_provider_cannot_give_takes_the_choice_away(site):
    made = site(templates=[{"limits": {"gpu": {"min": 1}}}], fake=Healthy)
    assert made.choices(USER) == []
    assert "gives no GPUs to servers" in str(made.problems[0])


@pytest.mark.parametrize(
    ("name", "what"),
    [("start_timeout", "a start"), ("http_timeout", "the first answer of a server")],
)
def test_a_deadline_of_ours_that_is_shorter_than_the_childs_is_said(site, name, what):
    made = site(config={"MultipleSpawner": {name: 10}}, fake=Healthy)
    assert len(made.choices(USER)) == 1
    (problem,) = made.problems
    assert problem.severity == "warning"
    assert problem.path == f"[0].spawner.kwargs.{name}"
    assert problem.message.startswith(f"{what} with provider 'fake' may take ")
    assert f"c.MultipleSpawner.{name} ends it after 10 s" in problem.message


@pytest.mark.parametrize(
    ("name", "kwargs", "config"),
    [
        ("start_timeout", {"start_timeout": "{username}"}, {}),
        ("start_timeout", {}, {"LocalProcessSpawner": {"start_timeout": "a while"}}),
        ("http_timeout", {}, {"Spawner": {"http_timeout": None}}),
    ],
)
def test_a_timeout_that_is_no_number_takes_the_choice_away(site, name, kwargs, config):
    spawner = {"class": "simple", "kwargs": kwargs}
    made = site(templates=[{"spawner": spawner}], config=config, fake=Healthy)
    assert made.choices(USER) == []
    (problem,) = made.problems
    assert f"{name} of SimpleLocalProcessSpawner is no number of seconds: " in problem.message


async def test_the_authenticator_of_an_earlier_version_of_a_template_is_another_one(tmp_path):
    class Opens(Authenticator):
        def __init__(self, level=0, **kwargs):
            super().__init__(**kwargs)
            self.level = level

        async def prepare(self, intent): ...

        async def open(self, intent, endpoint, keys): ...

    pool = Pool(Registry(), Config(), tmp_path, "i" * 32)
    first = pool.authenticator("T", Opens, {"level": 1})
    second = pool.authenticator("T", Opens, {"level": 2})
    assert (first.level, second.level) == (1, 2)
    assert pool.authenticator("T", Opens, {"level": 1}) is first


class Keeping(Healthy):
    def capabilities(self):
        return replace(super().capabilities(), storage=(Storage.EPHEMERAL, Storage.KEEP))


def test_what_becomes_of_files_follows_the_template_and_without_it_the_provider(site):
    templates = [{"name": "kept", "storage": "keep"}, {"name": "usual"}]
    made = site(templates=templates, fake=Keeping)
    provider = made._pool.provider("fake", "virtual_machine")
    assert made.storage("kept", provider) is Storage.KEEP
    assert made.storage("usual", provider) is Storage.EPHEMERAL
    assert made.storage("gone", provider) is Storage.EPHEMERAL
    # The provider can no longer do what the template says.
    other = Healthy(component="x", state_dir=None, installation_id="i", config=None)
    assert made.storage("kept", other) is Storage.EPHEMERAL


def full(message, reason=Capacity):
    class Full(Healthy):
        async def offers(self, specification):
            if reason is None:
                return []
            raise reason(message)

    return Full


async def test_whoever_names_no_provider_gets_what_can_be_had_of_the_templates_others(site):
    made = site(first=full("it is full"), second=full("no more of it", Quota), third=Healthy)
    options = {"deployment": "image", "cpu": 1}
    request, choice = made.select(options, USER)
    fallbacks = made.fallbacks(options, USER, choice)
    assert [one.provider for _, one in fallbacks] == ["second", "third"]
    assert {one.cpu for one, _ in fallbacks} == {1}
    plan = await made.plan([(request, choice), *fallbacks], ADA)
    assert plan.provider.component == "third"
    assert plan.turned_down == ["first: it is full", "second: no more of it"]
    with pytest.raises(Capacity, match="first: it is full; second: no more of it; fake: gone"):
        await plan.otherwise(Capacity("gone"))


async def test_whoever_names_a_provider_gets_that_one_or_none(site):
    made = site(first=full("it is full"), second=Healthy)
    request, choice = made.select({**OPTIONS, "provider": "first"}, USER)
    assert made.fallbacks({**OPTIONS, "provider": "first"}, USER, choice) == []
    body = {"user_options": {**OPTIONS, "provider": "first"}}
    assert made.fallbacks(body, USER, choice) == []
    with pytest.raises(Capacity, match=r"^it is full$"):
        await made.plan([(request, choice)], ADA)


async def test_another_storage_takes_no_choices_place(site):
    class Keeping(Healthy):
        def capabilities(self):
            return replace(super().capabilities(), storage=(Storage.KEEP,))

    made = site(first=Healthy, second=Keeping)
    _, choice = made.select({}, USER)
    assert made.fallbacks({}, USER, choice) == []


async def test_a_size_that_another_provider_does_not_give_keeps_it_out(site):
    class Sizeless(Healthy):
        def capabilities(self):
            return replace(super().capabilities(), sizes=frozenset())

    made = site(first=Healthy, second=Sizeless)
    _, choice = made.select({"cpu": 1}, USER)
    assert made.fallbacks({"cpu": 1}, USER, choice) == []
    assert len(made.fallbacks({}, USER, choice)) == 1


async def test_all_of_one_kind_is_that_kind(site):
    made = site(first=full("a", Quota), second=full("b", Quota), third=full("", None))
    wanted = [made.select({**OPTIONS, "provider": name}, USER) for name in ("first", "second")]
    with pytest.raises(Quota, match="first: a; second: b"):
        await made.plan(wanted, ADA)
    third = made.select({**OPTIONS, "provider": "third"}, USER)
    with pytest.raises(Capacity, match="third: there is no room"):
        await made.plan([*wanted, third], ADA)


class Patient(Configurer):
    apply_timeout = Float(900).tag(config=True)
    playbook = Unicode()

    async def apply(self, intent, access, report):
        raise NotImplementedError


class Hasty(Configurer):
    apply_timeout = 5

    async def apply(self, intent, access, report):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("name", "keys", "config", "seconds"),
    [
        ("hasty", {}, {}, 5),
        ("patient", {}, {}, 900),
        ("patient", {}, {"Patient": {"apply_timeout": 60}}, 60),
        ("patient", {"apply_timeout": "30"}, {"Patient": {"apply_timeout": 60}}, 30),
    ],
)
def test_a_configurer_says_how_long_it_may_take(site, name, keys, config, seconds):
    templates = [{"providers": ["fake"], "configurer": {"class": name, **keys}}]
    made = site(templates, config=config, fake=Healthy, hasty=Hasty, patient=Patient)
    (choice,) = made.choices(USER)
    assert made.budget(choice).configure == seconds


async def test_a_configurer_knows_where_the_template_stands(site, tmp_path):
    block = {"class": "patient", "playbook": "{username}.yml"}
    made = site([{"providers": ["fake"], "configurer": block}], fake=Healthy, patient=Patient)
    plan = await made.plan([made.select(OPTIONS, USER)], ADA)
    configurer = plan.configurer({"username": "ada"})
    assert (configurer.configuration_dir, configurer.playbook) == (tmp_path, "ada.yml")
