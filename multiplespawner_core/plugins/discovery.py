"""Finding plugins: metadata first, imports only of what is enabled and compatible, never a raise.

This is the one module that reads distribution metadata, and it reads it once per process:
JupyterHub constructs a Spawner for every server, and a scan costs some milliseconds.
"""

from __future__ import annotations

import difflib
import enum
import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pluggy
from importlib_metadata import Distribution, EntryPoint
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from multiplespawner_core import __version__
from multiplespawner_core.contracts.component import Component, Kind
from multiplespawner_core.contracts.errors import ConfigurationError
from multiplespawner_core.plugins.spec import PROJECT, Plugins

CORE = "multiplespawner-core"
SPAWNERS_GROUP = "jupyterhub.spawners"

_DISABLED = "named in disabled_plugins"

_HOOKS = {
    Kind.PROVIDER: "multiplespawner_providers",
    Kind.CONFIGURER: "multiplespawner_configurers",
    Kind.AUTHENTICATOR: "multiplespawner_authenticators",
    Kind.SPAWNER: "multiplespawner_spawners",
}


class State(str, enum.Enum):
    """What became of a plugin."""

    OK = "ok"
    DISABLED = "disabled"
    INCOMPATIBLE = "incompatible"
    BROKEN = "broken"
    CONFLICTING = "conflicting"


@dataclass(frozen=True)
class Declared:
    """A component together with who declared it."""

    kind: Kind
    component: Component
    source: str
    automatic: bool = False


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group `multiplespawner`, and what became of it.

    Args:
        name: the entry point's name, by which it is enabled and disabled.
        distribution: name of the distribution that it came with.
        version: of that distribution.
        state: whether it is in use.
        reason: why not, where it is not.
        declared: what it offers, with state OK or CONFLICTING.
    """

    name: str
    distribution: str
    version: str
    state: State = State.OK
    reason: str = ""
    declared: tuple[Declared, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Found:
    """What the metadata of the installed distributions says.

    Args:
        plugins: each with its entry point, and with why it cannot run on this core, if so.
        spawners: what JupyterHub's own group announces.
        unreadable: distributions that mean to be plugins and whose entry points are malformed
            (importlib-metadata 10 finds out only when they are loaded).
    """

    plugins: tuple[tuple[Plugin, EntryPoint, str | None], ...] = ()
    spawners: tuple[Declared, ...] = ()
    unreadable: tuple[Plugin, ...] = ()


@dataclass
class _Manager:
    """pluggy, reduced to asking one plugin at a time, so that failures have an address."""

    pm: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(PROJECT))

    def __post_init__(self) -> None:
        self.pm.add_hookspecs(Plugins)

    def declarations(self, name: str, plugin: object) -> tuple[tuple[Kind, Component], ...]:
        self.pm.register(plugin, name)
        self.pm.check_pending()
        if not self.pm.get_hookcallers(plugin):
            msg = f"{plugin!r} implements no hook of multiplespawner_core.Plugins"
            raise TypeError(msg)
        others = [other for other in self.pm.get_plugins() if other is not plugin]
        found: list[tuple[Kind, Component]] = []
        for kind, hook in _HOOKS.items():
            for components in self.pm.subset_hook_caller(hook, others)():
                for component in components:
                    if not isinstance(component, Component):
                        msg = f"{hook} gave {component!r}, not a Component"
                        raise TypeError(msg)
                    found.append((kind, component))
        return tuple(found)

    def forget(self, plugin: object) -> None:
        if self.pm.is_registered(plugin):
            self.pm.unregister(plugin)


def read_metadata(dists: Iterable[Distribution]) -> Found:
    """What `dists` announce; of several copies of one distribution the first on the path counts."""
    plugins = []
    spawners: list[Declared] = []
    unreadable: list[Plugin] = []
    seen = set()
    for dist in dists:
        try:
            name, version = dist.metadata["Name"], dist.version
        except Exception:  # noqa: BLE001, S112 - a stale dist-info of something else is not ours to fail on
            continue
        if not name or canonicalize_name(name) in seen:
            continue
        seen.add(canonicalize_name(name))
        try:
            points = list(dist.entry_points)
        except Exception as error:  # noqa: BLE001 - as above, unless it means to be a plugin
            if f"[{PROJECT}]" in (dist.read_text("entry_points.txt") or ""):
                unreadable.append(_with(Plugin(name, name, version), State.BROKEN, f"{error}"))
            continue
        for point in points:
            if point.group == PROJECT:
                plugin = Plugin(point.name, name, version)
                plugins.append((plugin, point, _mismatch(dist)))
            elif point.group == SPAWNERS_GROUP and canonicalize_name(name) != CORE:
                spawners += _automatic(point, f"{name} {version}")
    plugins.sort(key=lambda item: (item[0].name, item[0].distribution))
    return Found(tuple(plugins), tuple(spawners), tuple(unreadable))


@functools.lru_cache(maxsize=1)
def installed() -> Found:
    """What the installed distributions announce, read once per process."""
    return read_metadata(Distribution.discover())


def discover(
    found: Found, enabled: Sequence[str] | None = None, disabled: Sequence[str] = ()
) -> tuple[Plugin, ...]:
    """Load the plugins that are enabled and compatible; say of each what became of it.

    Args:
        found: from `installed`.
        enabled: plugin or distribution names; None enables all.
        disabled: plugin or distribution names; wins over `enabled`.

    Raises:
        ConfigurationError: `enabled` or `disabled` names something that is not installed.
    """
    known = [*(plugin for plugin, _, _ in found.plugins), *found.unreadable]
    _require_known("enabled_plugins", enabled or (), known)
    _require_known("disabled_plugins", disabled, known)
    twice = defaultdict(list)
    for plugin in known:
        if not _named(plugin, disabled) and (enabled is None or _named(plugin, enabled)):
            twice[plugin.name.lower()].append(plugin)
    manager = _Manager()
    result = []
    for plugin, point, mismatch in found.plugins:
        if _named(plugin, disabled):
            result.append(_with(plugin, State.DISABLED, _DISABLED))
        elif enabled is not None and not _named(plugin, enabled):
            result.append(_with(plugin, State.DISABLED, "not named in enabled_plugins"))
        elif mismatch:
            result.append(_with(plugin, State.INCOMPATIBLE, mismatch))
        elif len(twice[plugin.name.lower()]) > 1:
            rivals = twice[plugin.name.lower()]
            names = " and ".join(f"{rival.distribution} {rival.version}" for rival in rivals)
            reason = (
                f"the plugin name {plugin.name!r} is claimed by {names}; uninstall one, or name"
                " its distribution in c.MultipleSpawner.disabled_plugins"
            )
            result.append(_with(plugin, State.CONFLICTING, reason))
        else:
            result.append(_load(manager, plugin, point))
    for plugin in found.unreadable:
        off = _named(plugin, disabled)
        result.append(_with(plugin, State.DISABLED, _DISABLED) if off else plugin)
    return tuple(result)


def _load(manager: _Manager, plugin: Plugin, point: EntryPoint) -> Plugin:
    instance: Any = None
    try:
        instance = point.load()
        declarations = manager.declarations(plugin.name, instance)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any failure is this plugin's alone
        manager.forget(instance)
        return _with(plugin, State.BROKEN, f"{type(error).__name__}: {error}")
    source = f"{plugin.distribution} {plugin.version}"
    declared = tuple(Declared(kind, component, source) for kind, component in declarations)
    return replace(plugin, declared=declared)


def _mismatch(dist: Distribution) -> str | None:
    """Why the distribution cannot run on this core, by its own Requires-Dist; None if it can."""
    for line in dist.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != CORE or not _applies(requirement):
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            name = dist.metadata["Name"]
            return (
                f"{name} {dist.version} needs {requirement}, but {CORE} {__version__} is installed;"
                f" pip install --upgrade {CORE} {name}"
            )
    return None


def _applies(requirement: Requirement) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _automatic(point: EntryPoint, source: str) -> Iterable[Declared]:
    try:
        component = Component(name=point.name, target=point.value.replace(" ", ""))
    except ValueError:
        return  # a function or a whole module: JupyterHub could not use it as a class either
    yield Declared(Kind.SPAWNER, component, source, automatic=True)


def _named(plugin: Plugin, names: Collection[str]) -> bool:
    wanted = {canonicalize_name(name) for name in names}
    return bool(wanted & {canonicalize_name(plugin.name), canonicalize_name(plugin.distribution)})


def _require_known(trait: str, names: Collection[str], known: Sequence[Plugin]) -> None:
    choices = sorted({p.name for p in known} | {p.distribution for p in known})
    unknown = [name for name in names if not any(_named(plugin, [name]) for plugin in known)]
    if not unknown:
        return
    parts = []
    for name in unknown:
        close = difflib.get_close_matches(name.lower(), choices, n=1)
        parts.append(f"{name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))
    installed_names = ", ".join(sorted({p.name for p in known})) or "none"
    msg = (
        f"c.MultipleSpawner.{trait} names no installed plugin: {', '.join(parts)}."
        f" Installed plugins: {installed_names}"
    )
    raise ConfigurationError(msg)


def _with(plugin: Plugin, state: State, reason: str) -> Plugin:
    return replace(plugin, state=state, reason=reason)


__all__ = ("Declared", "Found", "Plugin", "State", "discover", "installed", "read_metadata")
