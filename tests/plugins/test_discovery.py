"""What becomes of each installed plugin."""

from __future__ import annotations

import sys

import pytest
from importlib_metadata import Distribution

from multiplespawner_core import ConfigurationError, Kind, __version__
from multiplespawner_core.plugins import discovery
from multiplespawner_core.plugins.discovery import State, read_metadata

PROVIDER = "'{0}', 'fake_target:{0}', resource_types=('bare_metal',)"

BROKEN = {
    "import": ("import not_installed_anywhere", "ModuleNotFoundError", "not_installed_anywhere"),
    "exit": ("import sys; sys.exit('no licence')", "SystemExit", "no licence"),
    "missing": ("", "AttributeError", "has no attribute 'plugin'"),
    "no_hooks": ("plugin = object()", "TypeError", "implements no hook"),
    "unmarked": (
        """
        from multiplespawner_core import Component, Plugins
        class Unmarked(Plugins):
            def multiplespawner_providers(self):
                return [Component("x", "m:X")]
        plugin = Unmarked()
        """,
        "TypeError",
        "implements no hook",
    ),
    "typo": (
        """
        from multiplespawner_core import Component, Plugins, hookimpl
        class Typo(Plugins):
            @hookimpl
            def multiplespawner_provider(self):
                return [Component("x", "m:X")]
        plugin = Typo()
        """,
        "PluginValidationError",
        "unknown hook 'multiplespawner_provider'",
    ),
    "argument": (
        """
        from multiplespawner_core import Plugins, hookimpl
        class Argument(Plugins):
            @hookimpl
            def multiplespawner_providers(self, config):
                return []
        plugin = Argument()
        """,
        "PluginValidationError",
        "config",
    ),
    "strings": (
        """
        from multiplespawner_core import Plugins, hookimpl
        class Strings(Plugins):
            @hookimpl
            def multiplespawner_providers(self):
                return ["m:X"]
        plugin = Strings()
        """,
        "TypeError",
        "multiplespawner_providers gave 'm:X', not a Component",
    ),
    "number": (
        """
        from multiplespawner_core import Plugins, hookimpl
        class Number(Plugins):
            @hookimpl
            def multiplespawner_configurers(self):
                return 5
        plugin = Number()
        """,
        "TypeError",
        "'int' object is not iterable",
    ),
    "target": (
        """
        from multiplespawner_core import Component, Plugins, hookimpl
        class Target(Plugins):
            @hookimpl
            def multiplespawner_spawners(self):
                return [Component("x", "not a target")]
        plugin = Target()
        """,
        "ValueError",
        "target 'not a target' is not 'package.module:Class'",
    ),
    "midway": (
        """
        from multiplespawner_core import Component, Plugins, hookimpl
        class Midway(Plugins):
            @hookimpl
            def multiplespawner_providers(self):
                yield Component("x", "m:X")
                raise RuntimeError("half way")
        plugin = Midway()
        """,
        "RuntimeError",
        "half way",
    ),
    "hook_exit": (
        """
        from multiplespawner_core import Plugins, hookimpl
        class Exits(Plugins):
            @hookimpl
            def multiplespawner_providers(self):
                raise SystemExit(3)
        plugin = Exits()
        """,
        "SystemExit",
        "3",
    ),
}


def names(plugin):
    return [declared.component.name for declared in plugin.declared]


def test_ok(site, source):
    site.plugin(
        "one",
        source(
            providers=[PROVIDER.format("alpha")],
            configurers=["'beta', 'm:B'"],
            authenticators=["'gamma', 'm:C'"],
            spawners=["'delta', 'm:D'", "'epsilon', 'm:E'"],
        ),
        version="2.5",
    )
    plugin = site.discover()["dist-one"]
    assert (plugin.state, plugin.reason) == (State.OK, "")
    assert str(plugin) == "one (dist-one 2.5)"
    assert [(d.kind, d.component.name, d.source) for d in plugin.declared] == [
        (Kind.PROVIDER, "alpha", "dist-one 2.5"),
        (Kind.CONFIGURER, "beta", "dist-one 2.5"),
        (Kind.AUTHENTICATOR, "gamma", "dist-one 2.5"),
        (Kind.SPAWNER, "delta", "dist-one 2.5"),
        (Kind.SPAWNER, "epsilon", "dist-one 2.5"),
    ]


def test_a_generator_declares_as_well(site):
    site.plugin(
        "gen",
        """
        from multiplespawner_core import Component, Plugins, hookimpl
        class Gen(Plugins):
            @hookimpl
            def multiplespawner_providers(self):
                yield Component("a", "m:A")
                yield Component("b", "m:B")
        plugin = Gen()
        """,
    )
    assert names(site.discover()["dist-gen"]) == ["a", "b"]


def test_a_module_can_be_the_plugin(site):
    site.module(
        "fake_module",
        """
        from multiplespawner_core import Component, hookimpl
        @hookimpl
        def multiplespawner_providers():
            return [Component("a", "m:A")]
        """,
    )
    site.install("dist-module", plugins={"module": "fake_module"})
    assert names(site.discover()["dist-module"]) == ["a"]


@pytest.mark.parametrize("name", ["probe", "Probe", "dist-probe", "dist_Probe"])
def test_disabled_is_not_imported(site, source, name):
    site.plugin("probe", source(providers=[PROVIDER.format("a")]))
    plugin = site.discover(disabled=[name])["dist-probe"]
    assert (plugin.state, plugin.reason) == (State.DISABLED, "named in disabled_plugins")
    assert plugin.declared == ()
    assert "fake_probe" not in sys.modules


@pytest.mark.parametrize("name", ["one", "dist-one"])
def test_only_what_is_enabled_is_imported(site, source, name):
    site.plugin("one", source(providers=[PROVIDER.format("a")]))
    site.plugin("two", source(providers=[PROVIDER.format("b")]))
    plugins = site.discover(enabled=[name])
    assert plugins["dist-one"].state is State.OK
    two = plugins["dist-two"]
    assert (two.state, two.reason) == (State.DISABLED, "not named in enabled_plugins")
    assert "fake_one" in sys.modules
    assert "fake_two" not in sys.modules


def test_an_empty_list_enables_nothing(site, source):
    site.plugin("one", source())
    assert site.discover(enabled=[])["dist-one"].state is State.DISABLED


def test_disabled_wins_over_enabled(site, source):
    site.plugin("one", source())
    plugin = site.discover(enabled=["one"], disabled=["dist-one"])["dist-one"]
    assert plugin.reason == "named in disabled_plugins"


@pytest.mark.parametrize("trait", ["enabled", "disabled"])
def test_unknown_name(site, source, trait):
    site.plugin("local", source())
    site.plugin("other", source())
    with pytest.raises(ConfigurationError) as caught:
        site.discover(**{trait: ["Locl", "other", "xyz"]})
    assert str(caught.value) == (
        f"c.MultipleSpawner.{trait}_plugins names no installed plugin:"
        " 'Locl' (did you mean 'local'?), 'xyz'. Installed plugins: local, other"
    )
    assert "fake_local" not in sys.modules


def test_unknown_name_where_nothing_is_installed(site):
    with pytest.raises(ConfigurationError) as caught:
        site.discover(enabled=["local"])
    assert str(caught.value) == (
        "c.MultipleSpawner.enabled_plugins names no installed plugin: 'local'."
        " Installed plugins: none"
    )


def test_incompatible_is_not_imported(site, source):
    site.plugin(
        "old", source(), version="0.9", requires=["requests", "multiplespawner_core <0.0.1"]
    )
    plugin = site.discover()["dist-old"]
    assert plugin.state is State.INCOMPATIBLE
    assert plugin.reason == (
        f"dist-old 0.9 needs multiplespawner_core<0.0.1, but multiplespawner-core {__version__}"
        " is installed; pip install --upgrade multiplespawner-core dist-old"
    )
    assert "fake_old" not in sys.modules


@pytest.mark.parametrize(
    "requirement",
    [
        "multiplespawner-core",
        f"multiplespawner-core=={__version__}",
        "multiplespawner-core<0.0.1; python_version < '3'",
        "multiplespawner-core<0.0.1; extra == 'old'",
        "multiplespawner-core-extras<0.0.1",
        "not a requirement !",
        "multiplespawner-core<0.0.1; python_version ~= 'abc'",
    ],
)
def test_what_does_not_hold_up_a_plugin(site, source, requirement):
    site.plugin("fine", source(providers=[PROVIDER.format("a")]), requires=[requirement])
    assert site.discover()["dist-fine"].state is State.OK


def test_disabled_wins_over_incompatible(site, source):
    site.plugin("old", source(), requires=["multiplespawner-core<0.0.1"])
    assert site.discover(disabled=["old"])["dist-old"].state is State.DISABLED


@pytest.mark.parametrize("case", BROKEN)
def test_broken_leaves_the_others_ok(site, source, case):
    text, error, detail = BROKEN[case]
    site.plugin("before", source(providers=[PROVIDER.format("a")]))
    site.plugin("broken", text)
    site.plugin("later", source(providers=[PROVIDER.format("b")]))
    plugins = site.discover()
    broken = plugins["dist-broken"]
    assert broken.state is State.BROKEN
    assert broken.reason.startswith(f"{error}: ")
    assert detail in broken.reason
    assert broken.declared == ()
    assert [plugins[f"dist-{name}"].state for name in ("before", "later")] == [State.OK] * 2
    assert (names(plugins["dist-before"]), names(plugins["dist-later"])) == (["a"], ["b"])


def test_pluggy_forgets_a_broken_plugin(site, monkeypatch, source):
    managers = []
    init = discovery._Manager.__post_init__

    def remember(manager):
        init(manager)
        managers.append(manager)

    monkeypatch.setattr(discovery._Manager, "__post_init__", remember)
    for case in BROKEN:
        site.plugin(case, BROKEN[case][0])
    site.plugin("good", source(providers=[PROVIDER.format("a")]))
    site.discover()
    (manager,) = managers
    assert [name for name, _ in manager.pm.list_name_plugin()] == ["good"]
    manager.pm.check_pending()


def test_all_broken_at_once(site):
    for case in BROKEN:
        site.plugin(case, BROKEN[case][0])
    assert {plugin.state for plugin in site.discover().values()} == {State.BROKEN}


def test_an_entry_point_that_is_none(site):
    site.install("dist-odd", plugins={"odd": "not valid!:::"})
    assert site.discover()["dist-odd"].state is State.BROKEN


@pytest.mark.parametrize("names", [("twin", "twin"), ("twin", "Twin")])
def test_one_name_in_two_distributions(site, source, names):
    for number, name in enumerate(names):
        site.plugin(
            name, source(), module=f"fake_{number}", dist=f"dist-{number}", version=f"1.{number}"
        )
    plugins = site.discover()
    assert {plugin.state for plugin in plugins.values()} == {State.CONFLICTING}
    for plugin in plugins.values():
        assert "dist-0 1.0" in plugin.reason
        assert "dist-1 1.1" in plugin.reason
    assert not {"fake_0", "fake_1"} & set(sys.modules)


def test_the_reason_of_a_conflict(site, source):
    for dist in ("dist-a", "dist-b"):
        site.plugin("twin", source(), module=f"fake_{dist[-1]}", dist=dist)
    assert site.discover()["dist-a"].reason == (
        "the plugin name 'twin' is claimed by dist-a 1.0 and dist-b 1.0; uninstall one, or name"
        " its distribution in c.MultipleSpawner.disabled_plugins"
    )


@pytest.mark.parametrize("settings", [{"disabled": ["dist-a"]}, {"enabled": ["dist-b"]}])
def test_a_conflict_ends_where_one_is_disabled(site, source, settings):
    for dist in ("dist-a", "dist-b"):
        site.plugin("twin", source(providers=[PROVIDER.format(dist[-1])]),
                    module=f"fake_{dist[-1]}", dist=dist)  # fmt: skip
    plugins = site.discover(**settings)
    assert plugins["dist-a"].state is State.DISABLED
    assert plugins["dist-b"].state is State.OK
    assert "fake_a" not in sys.modules


def test_stale_metadata_is_ignored(site, source):
    empty = site.path / "stale-1.0.dist-info"
    empty.mkdir()
    nameless = site.path / "nameless-1.0.dist-info"
    nameless.mkdir()
    (nameless / "METADATA").write_text("Metadata-Version: 2.1\n")
    for directory in (empty, nameless):
        (directory / "entry_points.txt").write_text("[multiplespawner]\nstale = stale:plugin\n")
    (site.path / "file-1.0.dist-info").write_text("no directory")
    site.plugin("fine", source())
    assert [plugin.name for plugin in site.discover().values()] == ["fine"]


def test_the_first_copy_on_the_path_counts(site, source, tmp_path):
    other = tmp_path / "other"
    site.plugin("one", source(), dist="My.Dist", version="1.0")
    site.install("my-dist", "2.0", plugins={"one": "fake_other:plugin"}, path=other)
    site.paths.append(str(other))
    assert [str(plugin) for plugin in site.discover().values()] == ["one (My.Dist 1.0)"]
    site.paths.reverse()
    assert [str(plugin) for plugin, _, _ in site.found().plugins] == ["one (my-dist 2.0)"]


def test_plugins_come_in_a_fixed_order(site, source):
    for name in ("zeta", "alpha", "mid"):
        site.plugin(name, source())
    assert [plugin.name for plugin in site.discover().values()] == ["alpha", "mid", "zeta"]


def test_spawners_of_jupyterhub_are_found_without_import(site):
    site.module("fake_spawner", "raise RuntimeError('imported')")
    site.install("dist-spawner", spawners={"fancy": "fake_spawner:Fancy", "odd": "fake_spawner"})
    (declared,) = site.found().spawners
    assert declared.kind is Kind.SPAWNER
    assert declared.automatic
    assert declared.source == "dist-spawner 1.0"
    assert declared.component.names == ("fancy", "fake_spawner.Fancy")


def test_our_own_spawner_is_not_announced():
    spawners = read_metadata(Distribution.discover()).spawners
    targets = {declared.component.target for declared in spawners}
    assert "jupyterhub.spawner:LocalProcessSpawner" in targets
    assert not any(target.startswith("multiplespawner_core") for target in targets)


def test_metadata_is_read_once(monkeypatch):
    discovery.installed.cache_clear()
    reads = []
    monkeypatch.setattr(discovery, "read_metadata", lambda dists: reads.append(dists) or "found")
    assert discovery.installed() == discovery.installed() == "found"
    assert len(reads) == 1
    discovery.installed.cache_clear()
