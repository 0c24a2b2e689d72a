"""From the name that a template writes to a class."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiplespawner_core import (
    Component,
    ConfigurationError,
    Configurer,
    Kind,
    Provider,
)
from multiplespawner_core.contracts import RESOURCE_TYPES
from multiplespawner_core.plugins.discovery import Declared, Plugin, State
from multiplespawner_core.plugins.registry import (
    BrokenComponent,
    Registry,
    UnknownComponent,
)


def plugin(name, *components, kind=Kind.SPAWNER, dist=None, state=State.OK, reason=""):
    dist = dist or f"dist-{name}"
    declared = tuple(Declared(kind, component, f"{dist} 1.0") for component in components)
    return Plugin(name, dist, "1.0", state, reason, declared)


def automatic(name, target):
    return Declared(Kind.SPAWNER, Component(name, target), "other 3.0", automatic=True)


def unknown(registry, kind, name, resource_type=""):
    with pytest.raises(UnknownComponent) as caught:
        registry.resolve(kind, name, resource_type)
    return str(caught.value)


# -- resolving ------------------------------------------------------------------------------


SSH = Component("ssh", "my_ssh.spawner:SSHSpawner", aliases=("sshspawner.sshspawner.SSHSpawner",))


@pytest.mark.parametrize(
    "name",
    [
        "ssh",
        "SSH",
        " ssh ",
        "sshspawner.sshspawner.SSHSpawner",
        "SSHSPAWNER.sshspawner.sshspawner",
        "my_ssh.spawner.SSHSpawner",
    ],
)
def test_names_aliases_and_paths_in_any_case(name):
    assert Registry([plugin("ssh", SSH)]).resolve(Kind.SPAWNER, name) is SSH


def test_kinds_have_names_of_their_own():
    spawner, configurer = Component("same", "m:S"), Component("same", "m:C")
    registry = Registry([plugin("a", spawner), plugin("b", configurer, kind=Kind.CONFIGURER)])
    assert registry.resolve(Kind.SPAWNER, "same") is spawner
    assert registry.resolve(Kind.CONFIGURER, "same") is configurer
    assert {p.state for p in registry.plugins} == {State.OK}


def test_a_provider_is_resolved_by_name_and_type():
    local = Component("local", "one:Local", resource_types=("bare_metal",))
    docker = Component("local", "two:Docker", resource_types=("container",))
    registry = Registry(
        [plugin("l", local, kind=Kind.PROVIDER), plugin("d", docker, kind=Kind.PROVIDER)]
    )
    assert registry.resolve(Kind.PROVIDER, "local", "bare_metal") is local
    assert registry.resolve(Kind.PROVIDER, "Local", "container") is docker
    assert {p.state for p in registry.plugins} == {State.OK}
    assert unknown(registry, Kind.PROVIDER, "local", "virtual_machine").startswith(
        "no enabled plugin offers the provider 'local' for virtual_machine;"
        " it offers bare_metal and container"
    )


def test_an_equal_pair_of_name_and_type_conflicts():
    one = Component("local", "one:Local", resource_types=("bare_metal", "container"))
    two = Component("local", "two:Docker", resource_types=("container",))
    registry = Registry(
        [plugin("l", one, kind=Kind.PROVIDER), plugin("d", two, kind=Kind.PROVIDER)]
    )
    assert registry.resolve(Kind.PROVIDER, "local", "bare_metal") is one
    assert "dist-l 1.0" in unknown(registry, Kind.PROVIDER, "local", "container")
    assert registry.names(Kind.PROVIDER, "container") == ()
    assert registry.names(Kind.PROVIDER, "bare_metal") == ("local",)


def test_a_provider_that_names_no_type_offers_all():
    every = Component("every", "m:Every")
    registry = Registry([plugin("e", every, kind=Kind.PROVIDER)])
    for resource_type in RESOURCE_TYPES:
        assert registry.resolve(Kind.PROVIDER, "every", resource_type) is every


def test_one_target_is_one_component():
    registry = Registry(
        [
            plugin("a", Component("x", "m:X")),
            plugin("b", Component("x", "m:X", aliases=("y",))),
        ]
    )
    assert registry.resolve(Kind.SPAWNER, "x").target == "m:X"
    assert registry.resolve(Kind.SPAWNER, "y").target == "m:X"
    assert {p.state for p in registry.plugins} == {State.OK}


# -- conflicts --------------------------------------------------------------------------------


def test_one_name_for_two_targets(site, source):
    site.plugin("one", source(spawners=["'fancy', 'one:Fancy'", "'only', 'one:Only'"]))
    site.plugin("two", source(spawners=["'FANCY', 'two:Fancy'"]), version="2.1")
    site.plugin("three", source(spawners=["'third', 'three:Third'"]))
    registry = site.registry()
    message = (
        "the spawner name 'fancy' means one.Fancy of dist-one 1.0 and two.Fancy of dist-two 2.1;"
        " disable one of them with c.MultipleSpawner.disabled_plugins"
    )
    assert unknown(registry, Kind.SPAWNER, "fancy") == message
    states = {p.name: (p.state, p.reason) for p in registry.plugins}
    assert states == {
        "one": (State.CONFLICTING, message),
        "two": (State.CONFLICTING, message),
        "three": (State.OK, ""),
    }


def test_what_is_not_disputed_still_resolves(site, source):
    site.plugin("one", source(spawners=["'fancy', 'one:Fancy'", "'only', 'one:Only'"]))
    site.plugin("two", source(spawners=["'fancy', 'two:Fancy'"]))
    registry = site.registry()
    assert registry.resolve(Kind.SPAWNER, "only").target == "one:Only"
    assert registry.resolve(Kind.SPAWNER, "two.Fancy").target == "two:Fancy"
    assert registry.names(Kind.SPAWNER) == ("only",)


def test_disabling_one_settles_it(site, source):
    site.plugin("one", source(spawners=["'fancy', 'one:Fancy'"]))
    site.plugin("two", source(spawners=["'fancy', 'two:Fancy'"]))
    registry = site.registry(disabled=["one"])
    assert registry.resolve(Kind.SPAWNER, "fancy").target == "two:Fancy"


def test_an_alias_conflicts_like_a_name():
    registry = Registry(
        [plugin("a", Component("x", "m:X")), plugin("b", Component("y", "m:Y", aliases=("X",)))]
    )
    assert "m.X of dist-a 1.0 and m.Y of dist-b 1.0" in unknown(registry, Kind.SPAWNER, "x")
    assert registry.resolve(Kind.SPAWNER, "y").target == "m:Y"


# -- JupyterHub's own group ---------------------------------------------------------------------


def test_automatic_spawners_resolve_by_entry_point_and_path():
    registry = Registry([], [automatic("docker", "dockerspawner:DockerSpawner")])
    for name in ("docker", "Docker", "dockerspawner.DockerSpawner"):
        assert registry.resolve(Kind.SPAWNER, name).target == "dockerspawner:DockerSpawner"


def test_a_plugin_wins_over_jupyterhubs_group():
    registry = Registry(
        [plugin("a", Component("docker", "mine:Docker"))],
        [automatic("docker", "dockerspawner:DockerSpawner")],
    )
    assert registry.resolve(Kind.SPAWNER, "docker").target == "mine:Docker"
    path = "dockerspawner.DockerSpawner"
    assert registry.resolve(Kind.SPAWNER, path).target == "dockerspawner:DockerSpawner"
    assert {p.state for p in registry.plugins} == {State.OK}
    assert registry.names(Kind.SPAWNER) == ("docker",)


def test_two_automatic_ones_of_one_name_conflict():
    registry = Registry([], [automatic("x", "a:X"), automatic("x", "b:X")])
    assert "a.X of other 3.0 and b.X of other 3.0" in unknown(registry, Kind.SPAWNER, "x")


def test_multiplespawner_is_not_its_own_child():
    registry = Registry([], [automatic("us", "multiplespawner_core:MultipleSpawner")])
    for name in ("us", "multiplespawner", "multiplespawner_core.MultipleSpawner"):
        unknown(registry, Kind.SPAWNER, name)


@pytest.mark.parametrize(
    "path", ["multiplespawner_core.MultipleSpawner", "multiplespawner_core.hub.MultipleSpawner"]
)
def test_multiplespawner_cannot_be_made_its_own_child(path):
    registry = Registry([], class_paths={Kind.SPAWNER: [path]})
    with pytest.raises(BrokenComponent) as caught:
        registry.load(Kind.SPAWNER, registry.resolve(Kind.SPAWNER, path))
    assert str(caught.value) == f"spawner {path!r}: a MultipleSpawner cannot be its own child"


# -- unknown names ------------------------------------------------------------------------------


def test_unknown_with_a_close_match():
    registry = Registry(
        [
            plugin("l", Component("Local", "m:L", resource_types=("bare_metal",)),
                   Component("other", "m:O", resource_types=("bare_metal",)), kind=Kind.PROVIDER),
        ]
    )  # fmt: skip
    assert unknown(registry, Kind.PROVIDER, "lokal", "bare_metal") == (
        "no enabled plugin offers the provider 'lokal' for bare_metal; did you mean 'Local'?;"
        " available: Local, other"
    )


def test_unknown_with_the_distribution_that_has_it():
    assert unknown(Registry([]), Kind.CONFIGURER, "corc.configurer.AnsibleConfigurer") == (
        "no enabled plugin offers the configurer 'corc.configurer.AnsibleConfigurer';"
        " available: none; pip install multiplespawner-ansible"
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"disabled": ["local"]}, "disabled: named in disabled_plugins"),
        ({"enabled": []}, "disabled: not named in enabled_plugins"),
    ],
)
def test_unknown_since_its_plugin_is_disabled(site, source, settings, reason):
    site.plugin("local", source(providers=["'local', 'm:L'"]), dist="multiplespawner-local")
    assert unknown(site.registry(**settings), Kind.PROVIDER, "local", "bare_metal") == (
        "no enabled plugin offers the provider 'local' for bare_metal; available: none;"
        f" local (multiplespawner-local 1.0) is {reason}"
    )


def test_unknown_since_its_plugin_is_broken(site):
    site.plugin("local", "raise OSError('no such thing')", dist="multiplespawner-local")
    assert unknown(site.registry(), Kind.PROVIDER, "local", "bare_metal").endswith(
        "local (multiplespawner-local 1.0) is broken: OSError: no such thing"
    )


def test_what_nobody_registered_is_refused_though_importable():
    registry = Registry([plugin("ssh", SSH)])
    for path in ("jupyterhub.spawner.LocalProcessSpawner", "os.path.join", "subprocess.Popen"):
        assert f"no enabled plugin offers the spawner '{path}'" in unknown(
            registry, Kind.SPAWNER, path
        )


# -- component_classes --------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["fake_site.Thing", "fake_site:Thing"])
def test_component_classes_extend(site, written):
    site.module(
        "fake_site",
        """
        from jupyterhub.spawner import SimpleLocalProcessSpawner
        class Thing(SimpleLocalProcessSpawner): pass
        """,
    )
    registry = Registry([], class_paths={Kind.SPAWNER: [written]})
    component = registry.resolve(Kind.SPAWNER, "fake_site.Thing")
    assert component.target == "fake_site:Thing"
    assert "fake_site" not in sys.modules
    assert registry.load(Kind.SPAWNER, component).__name__ == "Thing"


@pytest.mark.parametrize("path", ["", "Thing", "no spaces.Thing", "a..B"])
def test_component_classes_that_are_none(path):
    with pytest.raises(ConfigurationError) as caught:
        Registry([], class_paths={Kind.SPAWNER: [path]})
    assert str(caught.value) == (
        f"c.MultipleSpawner.component_classes: {path!r} is not 'package.module.Class'"
    )


def test_component_classes_win_over_jupyterhubs_group_too():
    registry = Registry([], [automatic("m.X", "other:X")], {Kind.SPAWNER: ["m.X"]})
    assert registry.resolve(Kind.SPAWNER, "m.X").target == "m:X"


# -- loading ------------------------------------------------------------------------------------


def test_load_imports_once(site):
    site.module(
        "fake_once",
        "from multiplespawner_core import Configurer\nclass Once(Configurer): pass\n",
    )
    registry = Registry([plugin("o", Component("once", "fake_once:Once"), kind=Kind.CONFIGURER)])
    component = registry.resolve(Kind.CONFIGURER, "once")
    loaded = registry.load(Kind.CONFIGURER, component)
    assert issubclass(loaded, Configurer)
    del sys.modules["fake_once"]
    assert registry.load(Kind.CONFIGURER, component) is loaded


BROKEN = {
    "import": (
        "import not_there",
        "cannot be imported: ModuleNotFoundError: No module named 'not_there'",
    ),
    "exit": ("raise SystemExit('bye')", "cannot be imported: SystemExit: bye"),
    "missing": (
        "",
        "cannot be imported: AttributeError: module 'fake_broken' has no attribute 'Thing'",
    ),
    "syntax": ("def (", "cannot be imported: SyntaxError: invalid syntax"),
    "function": ("def Thing(): pass", "is not a Provider"),
    "instance": ("Thing = 5", "is not a Provider"),
    "kind": (
        "from multiplespawner_core import Configurer\nclass Thing(Configurer): pass\n",
        "is not a Provider",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_components(site, case):
    text, detail = BROKEN[case]
    site.module("fake_broken", text)
    component = Component("thing", "fake_broken:Thing")
    registry = Registry([plugin("t", component, kind=Kind.PROVIDER)])
    with pytest.raises(BrokenComponent) as caught:
        registry.load(Kind.PROVIDER, component)
    assert str(caught.value).startswith(f"provider 'thing': fake_broken.Thing {detail}")


def test_one_class_is_checked_for_each_kind(site):
    site.module(
        "fake_kinds", "from multiplespawner_core import Provider\nclass Thing(Provider): pass\n"
    )
    component = Component("thing", "fake_kinds:Thing")
    registry = Registry([])
    assert issubclass(registry.load(Kind.PROVIDER, component), Provider)
    for kind, base in ((Kind.CONFIGURER, "Configurer"), (Kind.SPAWNER, "Spawner")):
        with pytest.raises(BrokenComponent) as caught:
            registry.load(kind, component)
        assert str(caught.value) == f"{kind.value} 'thing': fake_kinds.Thing is not a {base}"


# -- any order ------------------------------------------------------------------------------------

NAMES = ("a", "b", "A")
kinds = st.sampled_from([Kind.PROVIDER, Kind.SPAWNER])
components = st.builds(
    Component,
    name=st.sampled_from(NAMES),
    target=st.sampled_from(["m:A", "m:B", "n:A"]),
    aliases=st.lists(st.sampled_from([*NAMES, "m.A"]), max_size=1).map(tuple),
    resource_types=st.lists(st.sampled_from(RESOURCE_TYPES), max_size=2).map(tuple),
)
declarations = st.lists(st.tuples(kinds, components), max_size=3)


def outcomes(registry):
    found = {}
    for kind in (Kind.PROVIDER, Kind.SPAWNER):
        for resource_type in RESOURCE_TYPES:
            for name in (*NAMES, "m.A", "m.B", "n.A"):
                try:
                    target = registry.resolve(kind, name, resource_type).target
                except UnknownComponent:
                    target = None
                found[kind, resource_type, name] = target
    return found


@given(data=st.data(), content=st.lists(declarations, min_size=2, max_size=4))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_the_order_of_plugins_does_not_matter(data, content):
    plugins = [
        Plugin(f"p{number}", f"dist-{number}", "1.0",
               declared=tuple(Declared(kind, component, f"dist-{number} 1.0")
                              for kind, component in declared))
        for number, declared in enumerate(content)
    ]  # fmt: skip
    group = [automatic("a", "auto:A"), automatic("c", "m:A")]
    shuffled = data.draw(st.permutations(plugins))
    assert outcomes(Registry(plugins, group)) == outcomes(Registry(shuffled, group[::-1]))


def test_components_with_every_name_that_means_them():
    other = Component("other", "other:Spawner", aliases=("ssh",))
    machine = Component("rack", "rack:Rack", resource_types=("bare_metal", "container"))
    registry = Registry(
        [plugin("a", SSH), plugin("b", other), plugin("c", machine, kind=Kind.PROVIDER)],
        [automatic("my_ssh", SSH.target), automatic("simple", "simple:Spawner")],
    )
    found = {
        declared.component.target: names for declared, names in registry.components(Kind.SPAWNER)
    }
    assert found == {
        # "ssh" means two things, so it means nothing; the other names still do.
        SSH.target: ("sshspawner.sshspawner.SSHSpawner", "my_ssh.spawner.SSHSpawner", "my_ssh"),
        "other:Spawner": ("other", "other.Spawner"),
        "simple:Spawner": ("simple", "simple.Spawner"),
    }
    for resource_type, names in (("container", ("rack", "rack.Rack")), ("virtual_machine", None)):
        offered = registry.components(Kind.PROVIDER, resource_type)
        assert [given for _, given in offered] == ([names] if names else [])
