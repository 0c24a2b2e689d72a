"""``multiplespawner plan``: what a start would do, and what a user would be told instead."""

from __future__ import annotations

import json

import pytest
import yaml
from fakes import SCOPE, FakeProvider

from multiplespawner_core.catalogue import unix_user
from multiplespawner_core.cli import main
from multiplespawner_core.contracts import (
    Authenticator,
    Availability,
    Capacity,
    Component,
    Configurer,
    Kind,
    Offer,
    Storage,
)
from multiplespawner_core.plugins.discovery import Declared, Found, Plugin
from multiplespawner_core.plugins.registry import Registry
from multiplespawner_core.spawner import assembly

from .conftest import TEMPLATES


class Result:
    """What one call printed."""

    def __init__(self, status, printed):
        self.status = status
        self.out, self.err = printed.out, printed.err
        self.plan = yaml.safe_load(self.out)


@pytest.fixture
def plan(capsys):
    def run(options=None, *arguments, user="ada"):
        given = [] if options is None else ["--options", json.dumps(options)]
        status = main(["plan", "--user", user, *given, *arguments])
        return Result(status, capsys.readouterr())

    return run


def test_a_start_of_the_default(folder, plan):
    before = folder.there()
    result = plan()
    assert (result.status, result.err) == (0, "")
    assert folder.there() == before
    (offer,) = result.plan.pop("offers")
    assert offer.pop("shape")
    assert offer.pop("scope")
    assert offer == {
        "cpu": None,
        "memory": 1.0,
        "gpu": 0,
        "price": None,
        "availability": "available",
        "reason": "",
        "chosen": True,
    }
    assert result.plan == {
        "user": "ada",
        "groups": [],
        "server": "",
        "request": {
            "provider": "local",
            "resource_type": "bare_metal",
            "deployment": "lab",
            "cpu": None,
            "memory": 1.0,
            "gpu": 0,
            "lifetime": 60,
        },
        "template": "This machine",
        "storage": "keep",
        "lifetime": "60 minutes",
        "provider": {
            "name": "local",
            "class": "multiplespawner_local.provider.LocalProvider",
            "attributes": {},
        },
        "child": {
            "class": "jupyterhub.spawner.SimpleLocalProcessSpawner",
            "kwargs": {
                "notebook_dir": "/home/ada",
                "environment": {"WHO": "ada at {endpoint}", "API_TOKEN": "..."},
                "default_url": "/lab",
            },
        },
        "phases": {
            "create": 10,
            "ready": 0,
            "open": 0,
            "configure": 0,
            "launch": 60.0,
            "before": 60.0,
            "queue": 120.0,
        },
        "start_timeout": 290,
        "http_timeout": 30.0,
    }


def test_as_json(folder, capsys):
    assert main(["plan", "--user", "ærø", "--server", "second", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["user"], found["server"]) == ("ærø", "second")
    assert found["child"]["kwargs"]["notebook_dir"] == f"/home/{unix_user('ærø')}"
    assert "ærø" in printed.out


def test_what_is_asked_for_arrives(folder, plan):
    for body in (
        {"memory": 2, "lifetime": 30},
        {"user_options": {"memory": 2, "lifetime": 30}},
    ):
        found = plan(body).plan
        assert (found["request"]["memory"], found["lifetime"]) == (2, "30 minutes")
        assert found["offers"][0]["memory"] == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"memery": 1}, "'memery' is no option: did you mean 'memory'? allowed are provider, "),
        ({"memory": 3}, "memory: allowed is 0.01 to 2, not 3.\n"),
        ({"cpu": 1}, "cpu: cannot be chosen here; leave it out.\n"),
        ({"deployment": "labb"}, "deployment: 'labb' is not offered; did you mean 'lab'? "),
        ([1], "options are names with values, not [1].\n"),
    ],
)
def test_options_that_are_refused(folder, plan, options, told, capsys):
    result = plan(options)
    assert result.status == 1
    assert result.err.startswith(f"refused: {told}")
    assert result.plan == {"user": "ada", "groups": [], "server": ""}
    assert main(["plan", "--user", "ada", "--options", json.dumps(options), "--json"]) == 1
    assert f"refused: {json.loads(capsys.readouterr().out)['refused']}\n" == result.err


def test_a_provider_that_refuses(folder, plan):
    """The message is the one of a start that fails, with everything that is known before."""
    folder.write("c.LocalProvider.memory = 0.5")
    result = plan()
    assert result.status == 1
    assert result.err == (
        "refused: Obtaining the resource failed: 1 GB cannot be had: this machine has 8 CPUs and"
        " 0.5 GB.\n"
    )
    assert result.plan["template"] == "This machine"
    assert "offers" not in result.plan


def test_groups_are_those_of_the_command(folder, plan):
    large = {**TEMPLATES[0], "name": "Large", "allowed_groups": ["research"]}
    folder.write(templates=[{**large, "limits": {"memory": {"max": 4, "default": 3}}}, *TEMPLATES])
    assert plan().plan["template"] == "This machine"
    found = plan(None, "--group", "students", "--group", "research").plan
    assert (found["template"], found["request"]["memory"]) == ("Large", 3)
    assert found["groups"] == ["students", "research"]
    folder.write(templates=[large])
    assert plan().err == (
        "refused: nothing can be started here at present; ask your administrator.\n"
    )


def test_timeouts_that_the_administrator_sets(folder, plan):
    folder.write("c.MultipleSpawner.start_timeout = 300\nc.MultipleSpawner.http_timeout = 7")
    found = plan().plan
    assert (found["start_timeout"], found["http_timeout"]) == (300, 7)


def test_what_is_not_in_use_is_hinted_at(folder, plan):
    folder.write(templates=[*TEMPLATES, {**TEMPLATES[0], "name": "VM", "providers": ["oci"]}])
    result = plan()
    assert result.status == 0
    assert result.err == "some of the configuration is not in use: multiplespawner validate\n"


def test_a_hub_that_would_not_start(folder, capsys):
    folder.write("c.MultipleSpawner.enabled_plugins = ['locl']")
    assert main(["plan", "--user", "ada"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("multiplespawner: c.MultipleSpawner.enabled_plugins names no ")
    folder.write("boom()")
    assert main(["plan", "--user", "ada"]) == 1
    assert capsys.readouterr().err.startswith("multiplespawner: jupyterhub_config.py:12:1: NameErr")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --user"),
        (["--user", "ada", "--options", "{"], "argument --options: '{' is no JSON: "),
    ],
)
def test_wrong_usage(folder, arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


# -- a provider with more to say ----------------------------------------------------------------

TOOK_PLACE = []


class Cloud(FakeProvider):
    deployment_schema = {"image": {}, "password": {}}  # noqa: RUF012 - as plugins write it
    offered = ()

    def __init__(self, **kwargs):
        super().__init__()
        self.component = kwargs["component"]

    async def startup(self):
        TOOK_PLACE.append("startup")

    async def shutdown(self):
        TOOK_PLACE.append("shutdown")

    async def offers(self, specification):
        self.asked = specification
        offered = type(self).offered
        if isinstance(offered, BaseException):
            raise offered
        return offered


class Keeper(Authenticator):
    open_timeout = 20

    def __init__(self, *, comment="", **kwargs):
        TOOK_PLACE.append("an authenticator was made")

    async def prepare(self, intent):
        raise AssertionError

    open = prepare


class Setter(Configurer):
    apply_timeout = 40

    def __init__(self, *, options=None, **kwargs):
        TOOK_PLACE.append("a configurer was made")

    async def apply(self, intent, access, report):
        raise AssertionError


@pytest.fixture
def cloud(folder, monkeypatch):
    """A cloud as the only provider, with an authenticator and a configurer."""
    classes = {Kind.PROVIDER: Cloud, Kind.AUTHENTICATOR: Keeper, Kind.CONFIGURER: Setter}
    declared = tuple(
        Declared(
            kind,
            Component(
                cls.__name__,
                f"{cls.__module__}:{cls.__name__}",
                resource_types=("virtual_machine",) if kind is Kind.PROVIDER else (),
            ),
            "fake 1.0",
        )
        for kind, cls in classes.items()
    )
    plugin = Plugin("fake", "fake", "1.0", declared=declared)
    spawners = assembly.installed().spawners
    monkeypatch.setattr(assembly, "installed", lambda: Found(spawners=spawners))
    monkeypatch.setattr(assembly, "discover", lambda *_: (plugin,))
    monkeypatch.setattr(
        Registry,
        "load",
        lambda self, kind, component, load=Registry.load: (
            classes[kind] if kind in classes else load(self, kind, component)
        ),
    )
    monkeypatch.setattr(Cloud, "offered", ())
    TOOK_PLACE.clear()
    folder.write(
        templates=[
            {
                "name": "VM",
                "resource_type": "virtual_machine",
                "providers": ["Cloud"],
                "spawner": {"class": "simple", "kwargs": {"ip": "{endpoint}"}},
                "authenticator": {"class": "Keeper", "comment": "of {username}"},
                "configurer": {
                    "class": "Setter",
                    "options": {"host": "{server_public_ip}", "vault_password": "hidden"},
                },
                "hub_connect_url": "http://hub:hidden@10.0.0.1:8081",
            }
        ],
        deployments={
            "virtual_machine": [{"name": "linux", "image": "{unix_user}", "password": "hidden"}]
        },
    )
    return Cloud


def test_every_part_is_named_and_none_is_at_work(cloud, plan):
    cloud.offered = [
        Offer(SCOPE, "large", 4, 8, availability=Availability.NO_CAPACITY, reason="sold out"),
        Offer(SCOPE, "small", 2, 4, price=0.25),
        Offer(SCOPE, "another"),
    ]
    result = plan({"cpu": 2})
    assert (result.status, result.err) == (0, "")
    assert TOOK_PLACE == ["startup", "shutdown"]
    found = result.plan
    assert [(one["shape"], one["availability"], one["chosen"]) for one in found["offers"]] == [
        ("large", "no_capacity", False),
        ("small", "available", True),
        ("another", "available", False),
    ]
    assert found["offers"][0]["reason"] == "sold out"
    assert found["offers"][1]["price"] == 0.25
    assert found["provider"]["attributes"] == {"image": "ada", "password": "..."}
    assert found["child"]["kwargs"] == {"ip": "{endpoint}"}
    assert found["authenticator"] == {
        "class": f"{__name__}.Keeper",
        "kwargs": {"comment": "of ada"},
    }
    assert found["configurer"]["kwargs"] == {
        "options": {"host": "{server_public_ip}", "vault_password": "..."}
    }
    assert found["hub_connect_url"] == "http://hub:...@10.0.0.1:8081"
    assert (found["phases"]["open"], found["phases"]["configure"]) == (20, 40)
    assert found["storage"] == Storage.EPHEMERAL.value
    assert found["lifetime"] == "no end"
    assert "hidden" not in result.out


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (
            [Offer(SCOPE, "s", availability=Availability.NO_CAPACITY, reason="sold out")],
            "Obtaining the resource failed: sold out",
        ),
        (Capacity("come back later"), "Obtaining the resource failed: come back later"),
        (
            RuntimeError("token hidden"),
            "Obtaining the resource failed for a technical reason.",
        ),
    ],
)
def test_what_cannot_be_had(cloud, plan, offered, told):
    cloud.offered = offered
    result = plan()
    assert (result.status, result.err) == (1, f"refused: {told}\n")
    assert TOOK_PLACE == ["startup", "shutdown"]
    if isinstance(offered, list):
        assert result.plan["offers"][0]["chosen"] is False
