from __future__ import annotations

from typing import ClassVar

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Bool, Dict, Int, List, Unicode

from multiplespawner_core.catalogue import deployment_split, resolve
from multiplespawner_core.contracts import (
    Authenticator,
    Component,
    ConfigurationError,
    Configurer,
    Kind,
    Provider,
)
from multiplespawner_core.plugins.discovery import Declared
from multiplespawner_core.plugins.registry import Registry


class LocalProvider(Provider):
    deployment_schema: ClassVar = {
        "zone": {"type": "string", "enum": ["a", "b"]},
        "size": {"type": "integer", "minimum": 1},
        "volumes": {"type": "array", "items": {"type": "string"}},
        "password": {"type": "string", "minLength": 8},
    }


class OtherProvider(Provider):
    deployment_schema: ClassVar = {"broken": {"type": "no such type"}}


class SSHSpawner(SimpleLocalProcessSpawner):
    remote_hosts = List(Unicode(), config=True)
    remote_port = Unicode("22", config=True)
    tunnels = Int(config=True)


class Ansible(Configurer):
    options = Dict(config=True)
    become = Bool(config=True)

    def __init__(self, inventory="", *, depth=1, **kwargs):
        super().__init__(**kwargs)

    @classmethod
    def problems(cls, arguments, configuration_dir):
        path = arguments.get("options", {}).get("playbook_path")
        return [f"there is no {configuration_dir / path}"] if path else []


class Keys(Authenticator):
    create_certificate = Bool(config=True)


CLASSES = {
    (Kind.PROVIDER, "local", "bare_metal"): LocalProvider,
    (Kind.PROVIDER, "other", "bare_metal"): OtherProvider,
    (Kind.SPAWNER, "ssh", ""): SSHSpawner,
    (Kind.CONFIGURER, "ansible", ""): Ansible,
    (Kind.AUTHENTICATOR, "keys", ""): Keys,
    (Kind.AUTHENTICATOR, "broken", ""): None,
}


class FakeRegistry:
    def resolve(self, kind, name, resource_type=""):
        of_type = resource_type if kind is Kind.PROVIDER else ""
        if (kind, name.lower(), of_type) not in CLASSES:
            raise ConfigurationError(f"no {kind.value} {name}")
        types = (of_type,) if of_type else ()
        return Component(name=name.lower(), target="x:y", resource_types=types)

    def load(self, kind, component):
        found = CLASSES[kind, component.name, next(iter(component.resource_types), "")]
        if found is None:
            raise ConfigurationError(f"{component.name} cannot be imported")
        return found


def template(**changes):
    good = {
        "name": "T",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {"class": "ssh"},
    }
    return {**good, **changes}


def deployment(**attributes):
    return {"bare_metal": [{"name": "d", **attributes}]}


@pytest.fixture
def resolved(written):
    def run(templates, deployments):
        catalogue = written(templates, deployments)
        assert catalogue.findings == ()
        return resolve(catalogue, FakeRegistry())

    return run


def messages(resolution):
    return [str(finding) for finding in resolution.findings]


def test_names_become_classes_and_values_what_traits_take(resolved):
    block = {"class": "ssh", "kwargs": {"tunnels": "3", "remote_hosts": ["{endpoint}"]}}
    block |= {"remote_port": "22", "args": ["--debug"], "mem_limit": "1G"}
    configurer = {"class": "ansible", "options": {"a": "1"}, "become": "yes", "depth": 2}
    authenticator = {"class": "keys", "kwargs": {"create_certificate": "True"}}
    resolution = resolved(
        [template(spawner=block, configurer=configurer, authenticator=authenticator)],
        deployment(),
    )
    [one] = resolution.templates
    assert messages(resolution) == []
    assert one.available
    assert (one.spawner, one.configurer, one.authenticator) == (SSHSpawner, Ansible, Keys)
    assert one.providers == {"local": LocalProvider}
    assert one.spawner_kwargs == {
        "tunnels": 3,
        "remote_hosts": ["{endpoint}"],
        "remote_port": "22",
        "mem_limit": 2**30,
        "args": ["--debug"],
    }
    assert one.configurer_kwargs == {"options": {"a": "1"}, "become": True, "depth": 2}
    assert one.authenticator_kwargs == {"create_certificate": True}


def test_a_configurer_says_what_is_wrong_with_its_arguments(resolved, tmp_path):
    configurer = {"class": "ansible", "options": {"playbook_path": "setup.yml"}}
    resolution = resolved([template(configurer=configurer)], deployment())
    (message,) = messages(resolution)
    assert message.endswith(f"[0].configurer: there is no {tmp_path}/setup.yml")
    assert not resolution.templates[0].available


def test_where_a_template_stands_is_not_for_it_to_say(resolved):
    configurer = {"class": "ansible", "configuration_dir": "/"}
    (message,) = messages(resolved([template(configurer=configurer)], deployment()))
    assert "Ansible has no trait 'configuration_dir'" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"providers": ["oci"]}, "1:61: [0].providers[0]: no provider oci"),
        ({"spawner": {"class": "shh"}}, "1:92: [0].spawner.class: no spawner shh"),
        (
            {"configurer": {"class": "chef"}},
            "1:124: [0].configurer.class: no configurer chef",
        ),
        (
            {"authenticator": {"class": "broken"}},
            "1:127: [0].authenticator.class: broken cannot be imported",
        ),
        (
            {"spawner": {"class": "ssh", "kwargs": {"remote_prt": 1}}},
            (
                "1:110: [0].spawner.kwargs.remote_prt: SSHSpawner has no trait 'remote_prt'"
                " (did you mean 'remote_port'?)"
            ),
        ),
        (
            {"spawner": {"class": "ssh", "kwargs": {"remote_port": 22}}},
            "1:125: [0].spawner.kwargs.remote_port: must be a unicode string, but is 22",
        ),
        (
            {"spawner": {"class": "ssh", "tunnels": "x"}},
            '1:110: [0].spawner.tunnels: must be an int, but is "x"',
        ),
        (
            {"spawner": {"class": "ssh", "user_options": {}}},
            (
                "1:99: [0].spawner.user_options: the trait 'user_options' of SSHSpawner is not for"
                " configuration files to set"
            ),
        ),
        (
            {"configurer": {"class": "ansible", "becom": True}},
            "1:135: [0].configurer.becom: Ansible has no trait 'becom' (did you mean 'become'?)",
        ),
        (
            {"configurer": {"class": "ansible", "state_dir": "/tmp"}},
            (
                "1:135: [0].configurer.state_dir: Ansible has no trait 'state_dir'"
                " (allowed: become, depth, inventory, options)"
            ),
        ),
        (
            {"configurer": {"class": "ansible", "args": [1]}},
            "1:143: [0].configurer.args: no positional arguments are taken (write kwargs)",
        ),
    ],
)
def test_what_makes_a_template_unavailable(resolved, change, expected):
    resolution = resolved([template(**change), template(name="U")], deployment())
    one, other = resolution.templates
    assert messages(resolution) == [f"t.json:{expected}"]
    assert one.reasons == (f"t.json:{expected}",)
    assert not one.available
    assert other.available
    assert [item[0].template.name for item in resolution.combinations()] == ["U"]


def test_the_providers_that_are_there_suffice(resolved):
    resolution = resolved([template(providers=["oci", "LOCAL"])], deployment(provider="local"))
    [one] = resolution.templates
    assert messages(resolution) == ["t.json:1:61: [0].providers[0]: no provider oci"]
    assert one.available
    assert one.providers == {"local": LocalProvider}
    assert [item[1] for item in resolution.combinations()] == ["local"]


def test_a_deployment_goes_to_provider_and_child(resolved):
    attributes = {"zone": "a", "size": "2", "tunnels": "7", "environment": {"U": "{username}"}}
    resolution = resolved([template()], deployment(**attributes))
    assert messages(resolution) == []
    [(one, provider, found)] = resolution.combinations()
    assert deployment_split(found, one.providers[provider], one.spawner) == (
        {"zone": "a", "size": 2},
        {"tunnels": 7, "environment": {"U": "{username}"}},
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (
            {"zone": "c"},
            '1:39: bare_metal[0].zone: must be one of ["a", "b"], but is "c"',
        ),
        ({"size": "x"}, '1:39: bare_metal[0].size: must be integer, but is "x"'),
        ({"size": 0}, "1:39: bare_metal[0].size: 0 is less than the minimum of 1"),
        (
            {"volumes": ["a", 1]},
            "1:48: bare_metal[0].volumes[1]: must be string, but is 1",
        ),
        (
            {"password": "short"},
            "1:43: bare_metal[0].password: must fit minLength 8, but is a secret that is not shown",
        ),
        ({"tunnels": "x"}, '1:42: bare_metal[0].tunnels: must be an int, but is "x"'),
        (
            {"imgae": "x"},
            (
                "1:31: bare_metal[0].imgae: neither provider 'local' nor SSHSpawner takes this"
                " attribute"
            ),
        ),
        (
            {"zonne": "x"},
            (
                "1:31: bare_metal[0].zonne: neither provider 'local' nor SSHSpawner takes this"
                " attribute (did you mean 'zone'?)"
            ),
        ),
    ],
)
def test_what_makes_a_deployment_unavailable(resolved, attributes, expected):
    resolution = resolved([template()], deployment(**attributes))
    assert messages(resolution) == [f"d.json:{expected}"]
    assert [one.reasons for one in resolution.deployments] == [(f"d.json:{expected}",)]
    assert list(resolution.combinations()) == []
    with pytest.raises(ConfigurationError) as caught:
        deployment_split(resolution.deployments[0].deployment, LocalProvider, SSHSpawner)
    assert str(caught.value).startswith("bare_metal[0].")


def test_an_attribute_must_suit_everyone_who_may_use_the_deployment(resolved):
    templates = [template(providers=["local", "other"]), template(name="U")]
    resolution = resolved(templates, deployment(zone="a"))
    assert messages(resolution) == [
        (
            "d.json:1:31: bare_metal[0].zone: neither provider 'other' nor SSHSpawner takes this"
            " attribute"
        )
    ]
    assert messages(resolved(templates, deployment(zone="a", provider="local"))) == []


def test_everything_is_said_at_once(written):
    templates = [
        template(colour="red", spawner={"class": "ssh", "tunnles": 1}),
        template(name="Twice", authenticator={"class": "kyes"}),
        template(name="Twice", spawner={"class": "ssh", "cmd": "{nobody}", "tunnels": "many"}),
    ]
    deployments = [
        {"name": 1},
        {"name": "a", "sise": 1},
        {"name": "b", "provider": 2, "zone": "c"},
    ]
    catalogue = written(templates, {"bare_metal": deployments})
    resolution = resolve(catalogue, FakeRegistry())
    found = [one.path for one in (*catalogue.findings, *resolution.findings)]
    assert sorted(found) == [
        "[0].colour",
        "[0].spawner.tunnles",
        "[1].authenticator.class",
        "[2].name",
        "[2].spawner.cmd",
        "[2].spawner.tunnels",
        "bare_metal[0].name",
        "bare_metal[1].sise",
        "bare_metal[2].provider",
        "bare_metal[2].zone",
    ]
    assert list(resolution.combinations()) == []


def test_a_template_that_is_wrong_takes_no_deployment_out_of_use(resolved):
    wrong = template(name="W", providers=["other"], spawner={"class": "ssh", "tunnles": 1})
    resolution = resolved([template(), wrong], deployment(zone="a"))
    assert [one.path for one in resolution.findings] == [
        "[1].spawner.tunnles",
        "bare_metal[0].zone",
    ]
    assert [one.available for one in resolution.deployments] == [True]
    assert len(list(resolution.combinations())) == 1


def test_a_provider_with_a_wrong_schema(resolved):
    resolution = resolved([template(providers=["other"])], deployment(broken=1))
    assert messages(resolution) == [
        (
            "d.json:1:41: bare_metal[0].broken: OtherProvider.deployment_schema is wrong here:"
            " 'no such type' is not valid under any of the given schemas"
            " (report this to the plugin's author)"
        )
    ]


def test_without_files_there_is_nothing(written):
    resolution = resolve(written("[", "{"), FakeRegistry())
    assert resolution.templates == resolution.deployments == resolution.findings == ()


def test_with_the_real_registry(written):
    catalogue = written([template()], deployment())
    path = "jupyterhub.spawner:SimpleLocalProcessSpawner"
    component = Declared(Kind.SPAWNER, Component(name="ssh", target=path), "test 1")
    resolution = resolve(catalogue, Registry([], [component]))
    assert resolution.templates[0].spawner is SimpleLocalProcessSpawner
    assert messages(resolution) == [
        (
            "t.json:1:61: [0].providers[0]: no enabled plugin offers the provider 'local' for"
            " bare_metal; available: none; pip install multiplespawner-local"
        )
    ]
