"""The schemas of both files say what the loader says, as far as one file shows it."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
from fakes.components import PLUGIN, declared, registry
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jupyterhub.spawner import LocalProcessSpawner
from traitlets import TraitType

from multiplespawner_core.catalogue import Paths, load, resolve
from multiplespawner_core.catalogue.limits import LEAST, MOST, QUANTITIES
from multiplespawner_core.catalogue.schema import file_schemas
from multiplespawner_core.contracts import RESOURCE_TYPES, Component, Kind, Provider
from multiplespawner_core.plugins.discovery import Declared, Plugin
from multiplespawner_core.plugins.registry import Registry

REGISTRY = registry()
SCHEMAS = file_schemas(REGISTRY)
TEMPLATES = Draft202012Validator(SCHEMAS.templates)
DEPLOYMENTS = Draft202012Validator(SCHEMAS.deployments)
EITHER = Draft202012Validator(SCHEMAS.either())
NOTHING_INSTALLED = file_schemas(Registry([]))


def complaints(validator, document):
    return sorted(error.json_path for error in validator.iter_errors(document))


def template(**changes):
    made = {
        "name": "T",
        "resource_type": "virtual_machine",
        "providers": ["oci"],
        "spawner": {"class": "ssh"},
        **changes,
    }
    return {key: value for key, value in made.items() if value is not ...}


def spawned(name, **keys):
    return template(spawner={"class": name, **keys})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """errors(templates, deployments): what the loader has against them."""
    folder = tmp_path_factory.mktemp("files")
    paths = Paths(folder / "t.json", folder / "d.json")

    def errors(templates, deployments=None):
        paths.templates.write_text(json.dumps(templates))
        paths.deployments.write_text(json.dumps(deployments or {}))
        catalogue = load(paths)
        found = [*catalogue.findings, *resolve(catalogue, REGISTRY).findings]
        return [str(one) for one in found if one.severity == "error"]

    return errors


@pytest.mark.parametrize("schemas", [SCHEMAS, NOTHING_INSTALLED])
def test_they_are_schemas(schemas):
    for schema in (schemas.templates, schemas.deployments, schemas.either()):
        Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_reference_leads_somewhere():
    for validator, document in ((TEMPLATES, [template()]), (DEPLOYMENTS, {})):
        text = json.dumps(validator.schema)
        assert "$ref" in text
        for part in text.split('"$ref": "#/')[1:]:
            target = validator.schema
            if part.startswith("$defs/tags"):
                continue  # within a provider's own schema
            for step in part.partition('"')[0].split("/"):
                target = target[step]
        assert validator.is_valid(document)


# -- the reference ------------------------------------------------------------------------------


def of_reference(reference, name):
    return load(Paths(reference / name, None)).template_document.value


def test_the_examples_of_the_reference_fit(reference, files):
    templates = of_reference(reference, "templates_example.json")
    deployments = json.loads((reference / "deployments_example.json").read_text())
    assert files(templates, deployments) == []
    for validator, document in ((TEMPLATES, templates), (DEPLOYMENTS, deployments)):
        assert complaints(validator, document) == []
        assert complaints(EITHER, document) == []


def test_without_plugins_only_their_names_do_not_fit(reference):
    templates = of_reference(reference, "templates_example.json")
    deployments = json.loads((reference / "deployments_example.json").read_text())
    bare = Draft202012Validator(NOTHING_INSTALLED.templates)
    errors = {error.json_path for error in bare.iter_errors(templates)}
    assert errors == {
        "$[0].providers[0]",
        "$[0].spawner.class",
        "$[0].configurer",
        "$[0].authenticator",
    }
    assert complaints(Draft202012Validator(NOTHING_INSTALLED.deployments), deployments) == []


def test_the_structures_of_the_reference_do_not_fit(reference):
    assert "$[0].name" in complaints(TEMPLATES, of_reference(reference, "templates_structure.json"))
    structure = of_reference(reference, "deployments_structure.json")
    assert complaints(DEPLOYMENTS, structure) == ["$"]


# -- templates ----------------------------------------------------------------------------------

WRONG_TEMPLATES = {
    "$": ["text", []],
    "$[0]": [
        [3],
        [template(name=...)],
        [template(spawner=...)],
        [template(provders=[])],
        [template(kwargs={})],
        [{**template(spawner=...), "class": "ssh", "port": 3}],
    ],
    "$[0].name": [[template(name=" ")], [template(name=3)]],
    "$[0].resource_type": [[template(resource_type="vm")]],
    "$[0].providers": [[template(providers=[])], [template(providers="oci")]],
    "$[0].providers[0]": [
        [template(providers=["oc"])],
        [template(resource_type="bare_metal")],
        [template(resource_type="container")],
    ],
    "$[0].spawner": [
        [template(spawner={})],
        [spawned("ssh", retrys=1)],
        [template(spawner=None)],
        [template(**{"class": "ssh"})],
    ],
    "$[0].spawner.class": [[template(spawner={"class": "sh"})], [template(spawner={"class": 1})]],
    "$[0].spawner.kwargs": [[spawned("ssh", kwargs={"retrys": 1})]],
    "$[0].spawner.kwargs.retries": [[spawned("ssh", kwargs={"retries": -1})]],
    "$[0].spawner.retries": [[spawned("SSH", retries="many")]],
    "$[0].spawner.args": [[spawned("ssh", args="--debug")]],
    "$[0].kwargs": [[{**template(spawner=...), "class": "ssh", "kwargs": {"retrys": 1}}]],
    "$[0].storage": [[template(storage="forever")]],
    "$[0].hub_connect_url": [
        [template(hub_connect_url="ftp://10.0.0.1")],
        [template(hub_connect_url="http://10.0.0.1:8081/hub/api")],
        [template(hub_connect_url="http://10.0.0.1/jupyter/hub/api/")],
    ],
    "$[0].allowed_users": [[template(allowed_users="ada")], [template(allowed_users=[" "])]],
    "$[0].limits": [[template(limits={"cpus": {}})], [template(limits=None)]],
    "$[0].limits.cpu": [[template(limits={"cpu": {"mx": 1}})], [template(limits={"cpu": 1})]],
    "$[0].limits.gpu.max": [[template(limits={"gpu": {"max": 1.5}})]],
    "$[0].limits.cpu.step": [[template(limits={"cpu": {"step": 0}})]],
    "$[0].authenticator": [[template(authenticator={"class": "ssh", "args": [1]})]],
    "$[0].configurer": [[template(configurer={"class": "ansible", "options": []})]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "document"), [(place, one) for place, some in WRONG_TEMPLATES.items() for one in some]
)
def test_templates_that_the_loader_refuses_do_not_fit(place, document, files):
    assert files(document)
    found = complaints(TEMPLATES, document)
    assert found
    assert any(one.startswith(place) or place.startswith(one) for one in found)
    assert complaints(EITHER, document)


@pytest.mark.parametrize(
    "document",
    [
        [template()],
        [{**spawned(" sshspawner.SSHSpawner.SSHSPAWNER "), "providers": [" OCI ", "rack"]}],
        [spawned("fakes.components.SSHSpawner", retries="5", port="{unix_user}")],
        [spawned("ssh", args=["--debug"])],
        [{**spawned("simple"), "resource_type": "bare_metal", "providers": ["rack"]}],
        [{**template(spawner=...), "class": "simple", "kwargs": {"cpu_limit": "2"}, "args": ["a"]}],
        [template(configurer={}, authenticator=None, storage=None, hub_connect_url=None)],
        [template(configurer={"class": "ansible", "options": {"a": 1}, "forks": "2"})],
        [template(authenticator={"class": "ssh", "comment": "of the site", "kwargs": {}})],
        [template(limits={"cpu": {"min": "0.5"}, "gpu": None, "lifetime": {"max": 60.0}})],
        [template(hub_connect_url="HTTPS://10.0.0.1:8081/a?b=/hub/api", allowed_groups=["a"])],
    ],
)  # fmt: skip
def test_templates_that_the_loader_takes_fit(document, files):
    assert files(document) == []
    assert complaints(TEMPLATES, document) == []


# -- deployments --------------------------------------------------------------------------------

EVERYWHERE = [
    template(providers=["oci", "rack"]),
    template(name="R", resource_type="bare_metal", providers=["rack"]),
]


def deployed(resource_type="virtual_machine", **deployment):
    return {resource_type: [{"name": "D", **deployment}]}


@pytest.mark.parametrize(
    "document",
    [
        {},
        deployed(),
        deployed(provider="oci", image="Oracle Linux", disk="50", tags=["a"]),
        deployed(provider=" OCI ", image="{username}", free=[1], defaults=...),
        deployed(provider=None, default_url="/lab"),
        deployed(provider="rack", rack="a", retries=3),
        deployed("bare_metal", rack="{username}"),
        deployed("bare_metal", provider="elsewhere", whatever=1),
        deployed("container", image="nielsbohr/python-notebook"),
        deployed(allowed_users=["ada"], allowed_groups=None),
    ],
)
def test_deployments_that_the_loader_takes_fit(document, files):
    for entries in document.values():
        entries[0].pop("defaults", None)
    assert files(EVERYWHERE, document) == []
    assert complaints(DEPLOYMENTS, document) == []
    assert complaints(EITHER, document) == []


@pytest.mark.parametrize(
    ("place", "document"),
    [
        ("$", {"vm": []}),
        ("$.container", {"container": {}}),
        ("$.bare_metal[0]", {"bare_metal": [{}]}),
        ("$.bare_metal[0].name", {"bare_metal": [{"name": ""}]}),
        ("$.virtual_machine[0]", deployed(provider="oci", imge="x")),
        ("$.virtual_machine[0].image", deployed(provider="oci", image="")),
        ("$.virtual_machine[0].disk", deployed(provider="OCI", disk=9)),
        ("$.virtual_machine[0].tags", deployed(provider="oci", tags=["a", "b", "c"])),
        ("$.virtual_machine[0].retries", deployed(provider="oci", retries="many")),
        ("$.virtual_machine[0]", deployed(provider="rack", image="x")),
        ("$.virtual_machine[0]", deployed(defalt_url="/lab")),
        ("$.bare_metal[0].rack", deployed("bare_metal", rack="c")),
        ("$.virtual_machine[0].provider", deployed(provider=3)),
        ("$.virtual_machine[0].allowed_users", deployed(allowed_users="ada")),
    ],
)
def test_deployments_that_the_loader_refuses_do_not_fit(place, document, files):
    assert files(EVERYWHERE, document)
    found = complaints(DEPLOYMENTS, document)
    assert found
    assert any(one.startswith(place) for one in found)


# -- generated ----------------------------------------------------------------------------------

VALUES = st.sampled_from(
    [None, 2, -3, 2.5, "text", "22", "yes", "{username}", [], ["a"], [3, "x"], {}, {"a": "b"}]
)
TRAITS = st.sampled_from(
    [
        *("remote_hosts", "remote_port", "verbose", "cipher", "labels", "names", "default_url"),
        *("environment", "debug", "port", "retrys", "notebook_dirs"),
    ]
)
BLOCKS = st.builds(
    lambda name, kwargs, further: {
        "class": name,
        "kwargs": kwargs,
        **{key: value for key, value in further.items() if key not in kwargs},
    },
    st.sampled_from(["ssh", "SSH", "simple", "jupyterhub.spawner.LocalProcessSpawner", "sh", ""]),
    st.dictionaries(TRAITS, VALUES, max_size=3),
    st.dictionaries(TRAITS, VALUES, max_size=1),
)
AMOUNTS = st.none() | st.sampled_from([0.001, 0.5, 1, 2, 10**9, "2"])


def ranges(quantity):
    """One bound at a time: what two say of each other is more than a schema can say."""
    bound = st.dictionaries(st.sampled_from(["min", "max", "step", "mn"]), AMOUNTS, max_size=1)
    return st.none() | bound | st.just(3)


LIMITS = st.fixed_dictionaries({}, optional={name: ranges(name) for name in QUANTITIES})
NAMES = st.sampled_from(["oci", "Rack ", "local", ""])
GENERATED = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["T", " ", 3]),
        "resource_type": st.sampled_from([*RESOURCE_TYPES, "vm"]),
        "providers": st.lists(NAMES, max_size=2) | st.just("oci"),
    },
    optional={
        "spawner": BLOCKS,
        "class": st.sampled_from(["ssh", "sh"]),
        "kwargs": st.dictionaries(TRAITS, VALUES, max_size=1),
        "limits": LIMITS,
        "storage": st.sampled_from(["keep", "ephemeral", "for ever", None]),
        "configurer": st.sampled_from([None, {}, {"class": "ansible"}, {"class": "a"}, "ansible"]),
        "authenticator": st.sampled_from([None, {}, {"class": "ssh", "comment": "x"}]),
        "allowed_users": st.sampled_from([None, ["ada"], [""], "ada"]),
        "hub_connect_url": st.sampled_from([None, "http://h:80/x", "h:80", ""]),
        "unknown": st.just(1),
    },
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(document=GENERATED)
def test_generated_templates(files, document):
    assert TEMPLATES.is_valid([document]) == (files([document]) == [])


ATTRIBUTES = st.sampled_from(
    [*("image", "disk", "tags", "free", "rack"), *("default_url", "port", "verbose", "imge")]
)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(
    resource_type=st.sampled_from(["virtual_machine", "bare_metal"]),
    provider=st.sampled_from(["oci", "rack", "OCI", "elsewhere"]),
    attributes=st.dictionaries(ATTRIBUTES, VALUES, max_size=2),
)
def test_generated_deployments(files, resource_type, provider, attributes):
    document = deployed(resource_type, provider=provider, **attributes)
    assert DEPLOYMENTS.is_valid(document) == (files(EVERYWHERE, document) == [])


# -- what editors show --------------------------------------------------------------------------


def test_names_are_offered_with_what_they_mean():
    offered = SCHEMAS.templates["$defs"]["spawner"]["anyOf"]
    assert {
        "const": "sshspawner.sshspawner.SSHSpawner",
        "description": "Starts servers by SSH. (fake 1.0)",
    } in offered
    assert [one["const"] for one in offered if "const" in one][:3] == [
        "ssh",
        "sshspawner.sshspawner.SSHSpawner",
        "fakes.components.SSHSpawner",
    ]


def test_fields_are_described_by_the_models_and_traits():
    fields = SCHEMAS.templates["$defs"]["template"]["properties"]
    assert {name for name, schema in fields.items() if not schema.get("description")} == set()
    assert fields["providers"]["description"] == "names of the providers that it may start on."
    kwargs = SCHEMAS.templates["$defs"]["spawner:fakes.components.SSHSpawner:kwargs"]
    assert kwargs["properties"]["remote_hosts"]["description"] == "Where to log in."
    deployment = SCHEMAS.deployments["$defs"]["deployment:virtual_machine"]
    image = deployment["allOf"][0]["then"]["properties"]["image"]
    assert image["description"] == "what it boots"


def test_limits_have_the_bounds_of_the_model():
    cpu = SCHEMAS.templates["$defs"]["limits"]["properties"]["cpu"]["anyOf"][0]["properties"]
    assert set(cpu) == {"min", "max", "default", "step"}
    number = cpu["max"]["anyOf"][0]
    assert (number["minimum"], number["maximum"]) == (LEAST["cpu"], MOST["cpu"])


# -- what is installed --------------------------------------------------------------------------


def test_what_cannot_be_imported_is_left_out_with_the_reason():
    broken = declared(Kind.PROVIDER, "gone", "Gone", resource_types=RESOURCE_TYPES)
    plugin = Plugin("other", "other", "1.0", declared=(broken,))
    schemas = file_schemas(registry(plugin))
    (reason,) = schemas.left_out
    assert reason.startswith("provider 'gone': fakes.components.Gone cannot be imported: ")
    document = [template(providers=["gone"])]
    assert complaints(Draft202012Validator(schemas.templates), document) == ["$[0].providers[0]"]


class Odd(TraitType):
    def default(self, obj=None):
        raise RuntimeError("no default")


def test_what_cannot_be_described_is_left_out_with_the_reason(monkeypatch):
    module = ModuleType("odd")
    module.Spawning = type("Spawning", (LocalProcessSpawner,), {"odd": Odd().tag(config=True)})
    module.Providing = type("Providing", (Provider,), {"deployment_schema": None})
    monkeypatch.setitem(sys.modules, "odd", module)
    odd = (
        Declared(Kind.SPAWNER, Component("odd", "odd:Spawning"), "fake 1.0"),
        Declared(Kind.PROVIDER, Component("odd", "odd:Providing"), "fake 1.0"),
    )
    schemas = file_schemas(registry(Plugin("odd", "odd", "1.0", declared=odd)))
    assert schemas.left_out == (
        "spawner 'odd': odd.Spawning cannot say what it takes: RuntimeError: no default",
        "provider 'odd': odd.Providing.deployment_schema is no mapping",
    )
    assert complaints(Draft202012Validator(schemas.templates), [template()]) == []


def test_names_that_are_in_conflict_are_left_out():
    rival = declared(Kind.PROVIDER, "oci", "RackProvider", resource_types=("virtual_machine",))
    schemas = file_schemas(registry(Plugin("other", "other", "1.0", declared=(rival,))))
    document = [template(providers=["oci"])]
    assert complaints(Draft202012Validator(schemas.templates), document) == ["$[0].providers[0]"]
    document = [template(providers=["fakes.components.VMProvider"])]
    assert complaints(Draft202012Validator(schemas.templates), document) == []


def test_a_class_with_a_name_that_is_no_ascii(monkeypatch):
    module = ModuleType("rø")
    module.Ærø = type("Ærø", (LocalProcessSpawner,), {"__doc__": None})
    module.Aø = module.Ærø
    monkeypatch.setitem(sys.modules, "rø", module)
    named = Declared(Kind.SPAWNER, Component("Ærø", "rø:Aø"), "fake 1.0")
    schemas = file_schemas(Registry([PLUGIN, Plugin("ø", "ø", "1", declared=(named,))]))
    validator = Draft202012Validator(schemas.templates)
    assert complaints(validator, [template(spawner={"class": "ÆRØ", "port": 3})]) == []
    assert complaints(validator, [template(spawner={"class": "ÆRØ", "prt": 3})])
