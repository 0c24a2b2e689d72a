from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from multiplespawner_core.catalogue import Paths, load, locate
from multiplespawner_core.catalogue.model import Template

GOOD = {
    "name": "Local",
    "resource_type": "bare_metal",
    "providers": ["local"],
    "spawner": {"class": "simple"},
}
DEPLOYMENTS = {"bare_metal": [{"name": "here", "provider": "local"}]}
REFERENCE = Path(__file__).parent / "reference"


def changed(**changes):
    """A template with keys replaced, or left out where the value is ellipsis."""
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}


def messages(catalogue):
    return [str(finding) for finding in catalogue.findings]


def test_the_examples_of_the_reference(reference):
    catalogue = load(
        Paths(reference / "templates_example.json", reference / "deployments_example.json")
    )
    [template] = catalogue.templates
    assert template.name == "VirtualMachine Spawner"
    assert template.resource_type == "virtual_machine"
    assert template.providers == ("oci",)
    assert template.spawner.class_name == "sshspawner.sshspawner.SSHSpawner"
    assert template.configurer.options["apply_kwargs"] == {"playbook_path": "setup_ssh_spawner.yml"}
    assert template.authenticator.kwargs == {"create_certificate": "True"}
    assert [(d.resource_type, d.name, d.provider, d.attributes) for d in catalogue.deployments] == [
        ("container", "python_notebook", None, {"image": "nielsbohr/python-notebook"}),
        ("virtual_machine", "oracle_linux_7_8", "oci", {"image": "Oracle Linux 7.8"}),
        ("bare_metal", "local_machine", "local", {}),
    ]
    file = reference / "deployments_example.json"
    assert messages(catalogue) == [
        (
            f"{file}:4:21: warning: container[0].name: no template uses this deployment"
            " (none is of type container)"
        ),
        (
            f"{file}:17:21: warning: bare_metal[0].name: no template uses this deployment"
            " (none is of type bare_metal)"
        ),
    ]


def test_the_structure_blocks_of_the_reference(reference, monkeypatch):
    monkeypatch.chdir(reference)
    catalogue = load(Paths(Path("templates_structure.json"), Path("deployments_structure.json")))
    assert catalogue.templates == catalogue.deployments == ()
    allowed = "allowed: virtual_machine, container, bare_metal"
    assert messages(catalogue) == [
        f"deployments_structure.json:2:5: [\"\"]: unknown resource type '' ({allowed})",
        "deployments_structure.json:4:9: [\"\"][0]: the key 'name' is missing",
        "templates_structure.json:3:17: [0].name: is empty",
        "templates_structure.json:4:26: [0].resource_type: is empty",
        "templates_structure.json:5:23: [0].providers[0]: is empty",
        "templates_structure.json:7:22: [0].spawner.class: is empty",
        "templates_structure.json:11:22: [0].configurer.class: is empty",
        "templates_structure.json:17:22: [0].authenticator.class: is empty",
    ]


@pytest.mark.parametrize("nothing", [..., {}, None])
def test_configurer_and_authenticator_may_be_absent(written, nothing):
    catalogue = written([changed(configurer=nothing, authenticator=nothing)], DEPLOYMENTS)
    assert messages(catalogue) == []
    assert catalogue.templates[0].configurer is None
    assert catalogue.templates[0].authenticator is None


def test_further_keys_go_to_the_class(written):
    block = {"class": "x", "args": [1], "kwargs": {"a": 1}, "options": {"o": 1}, "b": 2}
    [template] = written(
        [changed(spawner=block, configurer=block, authenticator=block)], DEPLOYMENTS
    ).templates
    assert template.spawner.args == (1,)
    assert template.spawner.extra == {"options": {"o": 1}, "b": 2}
    assert template.configurer.extra == {"b": 2}
    assert list(template.configurer.keywords()) == [
        (("kwargs", "a"), "a", 1),
        (("b",), "b", 2),
        (("options",), "options", {"o": 1}),
    ]


def test_the_older_spelling_of_the_prototype(written):
    old = changed(**{"spawner": ..., "class": "simple", "kwargs": {"a": "{enpoint}"}})
    catalogue = written([old], DEPLOYMENTS)
    assert messages(catalogue) == [
        (
            "t.json:1:110: [0].kwargs.a: unknown placeholder {enpoint} (did you mean {endpoint}?;"
            " for these braces as such write {{enpoint}})"
        )
    ]
    old["kwargs"] = {"a": 1}
    [template] = written([old], DEPLOYMENTS).templates
    assert template.spawner.kwargs == {"a": 1}
    assert template.path("spawner", "class") == (0, "class")
    old["class"] = ""
    assert messages(written([old], DEPLOYMENTS)) == ["t.json:1:84: [0].class: is empty"]


ALLOWED = (
    "allowed: name, resource_type, providers, spawner, configurer, authenticator, hub_connect_url,"
    " limits, storage, allowed_users, allowed_groups"
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": ...}, "1:2: [0]: the key 'name' is missing"),
        ({"spawner": ...}, "1:2: [0]: the key 'spawner' is missing"),
        ({"spawner": {}}, "1:86: [0].spawner: the key 'class' is missing"),
        ({"spawner": "simple"}, '1:86: [0].spawner: must be a mapping, but is "simple"'),
        ({"spawner": None}, "1:86: [0].spawner: must be a mapping, but is null"),
        ({"name": 5}, "1:11: [0].name: must be text, but is 5"),
        ({"name": " "}, "1:11: [0].name: is empty"),
        (
            {"resource_type": "vm"},
            ("1:37: [0].resource_type: unknown resource type 'vm'"
            " (allowed: virtual_machine, container, bare_metal)"),
        ),
        (
            {"resource_type": "Bare-Metal"},
            ("1:37: [0].resource_type: unknown resource type 'Bare-Metal'"
            " (did you mean 'bare_metal'?)"),
        ),
        ({"providers": "local"}, '1:64: [0].providers: must be a list, but is "local"'),
        ({"providers": []}, "1:64: [0].providers: is empty"),
        ({"providers": ["a", 1]}, "1:70: [0].providers[1]: must be text, but is 1"),
        (
            {"authentcator": {}},
            "1:107: [0].authentcator: unknown key (did you mean 'authenticator'?)",
        ),
        ({"xyz": {}}, f"1:107: [0].xyz: unknown key ({ALLOWED})"),
        (
            {"limits": {"cpus": {}}},
            "1:118: [0].limits.cpus: unknown key (did you mean 'cpu'?)",
        ),
        (
            {"limits": {"cpu": {"maximum": 1}}},
            "1:126: [0].limits.cpu.maximum: unknown key (did you mean 'max'?)",
        ),
        (
            {"limits": {"cpu": {"min": 2, "max": 1}}},
            "1:125: [0].limits.cpu: cpu.min 2 is above cpu.max 1",
        ),
        (
            {"limits": {"gpu": {"max": True}}},
            "1:133: [0].limits.gpu.max: must be a number, but is true",
        ),
        (
            {"storage": "kep"},
            '1:118: [0].storage: is no kind of storage: "kep" (did you mean \'keep\'?)',
        ),
        ({"allowed_users": "ada"}, '1:124: [0].allowed_users: must be a list, but is "ada"'),
        (
            {"spawner": {"class": "x", "kwargs": []}},
            "1:111: [0].spawner.kwargs: must be a mapping, but is []",
        ),
        (
            {"spawner": {"class": "x", "args": {"token": 1}}},
            '1:109: [0].spawner.args: must be a list, but is {"token": "..."}',
        ),
        (
            {"spawner": {"class": "x", "a": 1, "kwargs": {"a": 2}}},
            "1:101: [0].spawner.a: stands in 'kwargs' as well",
        ),
        (
            {"spawner": {"class": "x", "kwargs": {"a": ["{usernam}"]}}},
            ("1:118: [0].spawner.kwargs.a[0]: unknown placeholder {usernam} (did you mean"
            " {username}?; for these braces as such write {{usernam}})"),
        ),
        (
            {"spawner": {"class": "x", "name_template": "{prefix}"}},
            ("1:118: [0].spawner.name_template: unknown placeholder {prefix} (known:"
            " JUPYTERHUB_USER, username, unix_user, servername, endpoint, auth_key,"
            " server_public_ip, server_host_key; for these braces as such write {{prefix}})"),
        ),
        (
            {"hub_connect_url": "hub:8081"},
            ('1:126: [0].hub_connect_url: "hub:8081" is no web address'
            " (such as http://10.0.0.1:8081)"),
        ),
        (
            {"hub_connect_url": "http://10.0.0.1:8081/hub/api"},
            ('1:126: [0].hub_connect_url: "http://10.0.0.1:8081/hub/api" ends in /hub/api, which'
            " JupyterHub adds (leave that out)"),
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_template(written, change, expected):
    catalogue = written([changed(**change), changed(name="Other")], DEPLOYMENTS)
    assert messages(catalogue) == [f"t.json:{expected}"]
    assert [template.name for template in catalogue.templates] == ["Other"]


@pytest.mark.parametrize(
    ("templates", "expected"),
    [
        ({}, "t.json:1:1: must be a list of templates, but is {}"),
        ("text", 't.json:1:1: must be a list of templates, but is "text"'),
        ("- 5", "t.json:1:3: [0]: must be a mapping, but is 5"),
        ([], "t.json:1:1: no template is there, so no server can start"),
        ([GOOD, GOOD], "t.json:1:117: [1].name: the name 'Local' is taken (by line 1, column 11)"),
        ("[", "t.json:1:2: is not JSON: Expecting value"),
        (b"\xff", "t.json:1:1: is not UTF-8: byte 0xff (save the file as UTF-8)"),
    ],
)
def test_what_is_wrong_with_the_templates(written, templates, expected):
    assert messages(written(templates, DEPLOYMENTS)) == [expected]


@pytest.mark.parametrize(
    ("deployments", "expected"),
    [
        ([], ["1:1: must be a mapping from resource types to deployments, but is []"]),
        ({"bare_metal": {}}, ["1:16: bare_metal: must be a list of deployments, but is {}"]),
        (
            {"bare-metal": []},
            ["1:2: bare-metal: unknown resource type 'bare-metal' (did you mean 'bare_metal'?)"],
        ),
        ({"bare_metal": [{}]}, ["1:17: bare_metal[0]: the key 'name' is missing"]),
        ({"bare_metal": [[]]}, ["1:17: bare_metal[0]: must be a mapping, but is []"]),
        (
            {"bare_metal": [{"name": "", "provider": ""}]},
            ["1:26: bare_metal[0].name: is empty", "1:42: bare_metal[0].provider: is empty"],
        ),
        (
            {"bare_metal": [{"name": "a"}, {"name": "a"}]},
            ["1:41: bare_metal[1].name: the name 'a' is taken (by line 1, column 26)"],
        ),
        (
            {"bare_metal": [{"name": "a", "notebook_dir": "/home/{unix_usr}"}]},
            [
                (
                    "1:47: bare_metal[0].notebook_dir: unknown placeholder {unix_usr} (did you mean"
                    " {unix_user}?; for these braces as such write {{unix_usr}})"
                )
            ],
        ),
    ],
)
def test_what_is_wrong_with_the_deployments(written, deployments, expected):
    assert messages(written([GOOD], deployments)) == [f"d.json:{line}" for line in expected]


def test_one_name_may_be_used_in_two_resource_types(written):
    templates = [GOOD, changed(name="Box", resource_type="container")]
    deployments = {"bare_metal": [{"name": "a"}], "container": [{"name": "a"}]}
    assert messages(written(templates, deployments)) == []


def test_what_nobody_uses_is_a_warning(written):
    catalogue = written(
        [GOOD, changed(name="VM", resource_type="virtual_machine")],
        {"bare_metal": [{"name": "a"}, {"name": "b", "provider": "LOCAL"}],
         "virtual_machine": [{"name": "c", "provider": "oci"}]},
    )  # fmt: skip
    assert messages(catalogue) == [
        (
            "d.json:1:115: warning: virtual_machine[0].provider: no template uses this deployment"
            " (allowed: local)"
        ),
        "t.json:1:117: warning: [1].name: no deployment of type virtual_machine fits this template",
    ]
    assert len(catalogue.templates) == 2
    assert len(catalogue.deployments) == 3


def test_the_errors_of_both_files_at_once(written):
    assert messages(written("[{]", '{"bare_metal": [}')) == [
        "d.json:1:17: is not JSON: Expecting value",
        "t.json:1:3: is not JSON: Expecting property name enclosed in double quotes",
    ]


def test_a_file_that_cannot_be_read(tmp_path):
    catalogue = load(Paths(tmp_path / "missing", tmp_path))
    assert messages(catalogue) == [
        f"{tmp_path}: cannot be read: Is a directory",
        f"{tmp_path}/missing: cannot be read: No such file or directory",
    ]
    assert messages(load(Paths(Path("a\0b"), None))) == ["a\0b: cannot be read: embedded null byte"]


class TestLocate:
    def test_a_given_path_wins_over_the_environment(self, tmp_path):
        environ = {
            "HOME": str(tmp_path),
            "MULTIPLE_SPAWNER_TEMPLATE_FILE": "/env/t.json",
            "MULTIPLE_SPAWNER_DEPLOYMENT_FILE": "~/env/d.json",
        }
        assert locate(environ) == Paths(Path("/env/t.json"), tmp_path / "env" / "d.json")
        assert locate(environ, "~/t.yaml", "d.yaml") == Paths(tmp_path / "t.yaml", Path("d.yaml"))

    @pytest.mark.parametrize(
        "deployments",
        [
            f"spawner_deployment{plural}.{ending}"
            for plural in ("", "s")
            for ending in ("json", "yaml", "yml")
        ],
    )
    def test_the_home_folder_is_searched(self, tmp_path, deployments):
        folder = tmp_path / ".multiplespawner"
        folder.mkdir()
        (folder / deployments).touch()
        (folder / "spawner_templates.yml").touch()
        environ = {"HOME": str(tmp_path), "MULTIPLE_SPAWNER_TEMPLATE_FILE": ""}
        assert locate(environ) == Paths(folder / "spawner_templates.yml", folder / deployments)

    def test_two_files_at_once(self, tmp_path):
        folder = tmp_path / ".multiplespawner"
        folder.mkdir()
        for name in ("spawner_deployment.json", "spawner_deployments.json"):
            (folder / name).touch()
        paths = locate({"HOME": str(tmp_path)}, templates="t.json")
        assert paths.deployments is None
        assert [str(finding) for finding in paths.findings] == [
            (
                f"{folder}: spawner_deployment.json and spawner_deployments.json are both there"
                " (keep one, or name another file by the environment variable"
                " MULTIPLE_SPAWNER_DEPLOYMENT_FILE)"
            )
        ]

    def test_no_file_at_all(self, tmp_path):
        catalogue = load(locate({"HOME": str(tmp_path)}, deployments="/d.json"))
        assert messages(catalogue)[1:] == [
            (
                f"{tmp_path}/.multiplespawner: no spawner_templates.json is there, nor"
                " spawner_templates.yaml, spawner_templates.yml (write one, or name another file by"
                " the environment variable MULTIPLE_SPAWNER_TEMPLATE_FILE)"
            ),
        ]


def test_secrets_are_not_in_the_representation(written):
    [template] = written(
        [changed(spawner={"class": "x", "kwargs": {"a": "hunter2"}, "b": "hunter2"})], DEPLOYMENTS
    ).templates
    assert "hunter2" not in repr(template)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return Paths(folder / "t", folder / "d")


def mutate(text, seed):
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(
            ['"', "{", "}", "[", "]", ",", ":", "\n", "#", "\\", "&a", "*a", "0", ""]
        )
        text = text[:at] + piece + text[at + rng.randint(0, 3) :]
    return text


@given(st.integers(), st.integers())
def test_no_mutation_of_the_reference_makes_load_raise(files, one, two):
    sources = sorted(REFERENCE.glob("*.json"))
    files.templates.write_text(mutate(sources[2 + one % 2].read_text(), one))
    files.deployments.write_text(mutate(sources[two % 2].read_text(), two))
    load(files)


words = st.sampled_from(
    ["name", "provider", "providers", "resource_type", "spawner", "class", "kwargs", "args",
     "options", "configurer", "index", "extra", "_x", "model_config", "container", "{x}", "local"]
)  # fmt: skip
shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | words | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6),
)


@given(shapes, shapes)
def test_no_shape_makes_load_raise(files, templates, deployments):
    files.templates.write_text(json.dumps(templates))
    files.deployments.write_text(json.dumps(deployments))
    catalogue = load(files)
    assert all(isinstance(template, Template) for template in catalogue.templates)


@given(st.binary())
def test_no_bytes_make_load_raise(files, content):
    files.templates.write_bytes(content)
    files.deployments.write_bytes(content)
    load(files)


@given(st.lists(shapes | st.just(GOOD), max_size=3), st.dictionaries(words, shapes, max_size=3))
def test_json_and_yaml_say_the_same(files, templates, deployments):
    files.templates.write_text(json.dumps(templates))
    files.deployments.write_text(json.dumps(deployments))
    from_json = load(files)
    files.templates.write_text(yaml.safe_dump(json.loads(json.dumps(templates))))
    files.deployments.write_text(yaml.safe_dump(json.loads(json.dumps(deployments))))
    from_yaml = load(files)
    assert from_json.templates == from_yaml.templates
    assert from_json.deployments == from_yaml.deployments

    def plain(catalogue):
        return sorted((finding.path, finding.severity) for finding in catalogue.findings)

    assert plain(from_json) == plain(from_yaml)
