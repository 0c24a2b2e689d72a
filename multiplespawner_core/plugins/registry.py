"""The registry: from the name that a template writes to the component that a plugin declared."""

from __future__ import annotations

import difflib
import importlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from multiplespawner_core.contracts.authenticator import Authenticator
from multiplespawner_core.contracts.component import Component, Kind
from multiplespawner_core.contracts.configurer import Configurer
from multiplespawner_core.contracts.errors import ConfigurationError
from multiplespawner_core.contracts.provider import Provider
from multiplespawner_core.contracts.values import RESOURCE_TYPES
from multiplespawner_core.plugins.discovery import Declared, Plugin, State

_OWN_SPAWNER = "multiplespawner_core:MultipleSpawner"
_OWN_MODULE = "multiplespawner_core.spawner.multiple"

_BASES: Mapping[Kind, type] = {
    Kind.PROVIDER: Provider,
    Kind.CONFIGURER: Configurer,
    Kind.AUTHENTICATOR: Authenticator,
}

KNOWN_DISTRIBUTIONS: Mapping[tuple[Kind, str], str] = {
    (Kind.PROVIDER, "local"): "multiplespawner-local",
    (Kind.PROVIDER, "oci"): "multiplespawner-oci",
    (Kind.PROVIDER, "docker"): "multiplespawner-docker",
    (Kind.PROVIDER, "swarm"): "multiplespawner-docker",
    (Kind.PROVIDER, "ssh"): "multiplespawner-ssh",
    (Kind.SPAWNER, "sshspawner.sshspawner.sshspawner"): "multiplespawner-ssh",
    (Kind.SPAWNER, "dockerspawner.dockerspawner"): "multiplespawner-docker",
    (Kind.AUTHENTICATOR, "corc.authenticator.sshauthenticator"): "multiplespawner-ssh",
    (Kind.CONFIGURER, "corc.configurer.ansibleconfigurer"): "multiplespawner-ansible",
    (Kind.CONFIGURER, "ansible"): "multiplespawner-ansible",
    (Kind.CONFIGURER, "script"): "multiplespawner-ansible",
}
"""Which distribution brings a component, for the hint when it is missing."""


class UnknownComponent(ConfigurationError, LookupError):
    """No plugin in use declares the name, or several claim it."""


class BrokenComponent(ConfigurationError):
    """The component's class cannot be imported, or is not what it was declared to be."""


class Registry:
    """Every component that templates can name.

    Args:
        plugins: from `discover`.
        automatic: the spawners that JupyterHub's own entry-point group announces.
        class_paths: what the administrator lists explicitly, by kind.
    """

    def __init__(
        self,
        plugins: Iterable[Plugin],
        automatic: Iterable[Declared] = (),
        class_paths: Mapping[Kind, Sequence[str]] | None = None,
    ) -> None:
        self._claims: dict[tuple[Kind, str, str], list[Declared]] = defaultdict(list)
        self._classes: dict[tuple[Kind, str], type] = {}
        plugins = tuple(plugins)
        for plugin in plugins:
            for declared in plugin.declared:
                self._claim(declared)
        for kind, paths in (class_paths or {}).items():
            for path in paths:
                self._claim(Declared(kind, _explicit(path), "component_classes"))
        for declared in automatic:
            if declared.component.target != _OWN_SPAWNER:
                self._claim(declared)
        self.plugins = tuple(self._mark_conflicts(plugin) for plugin in plugins)

    def resolve(self, kind: Kind, name: str, resource_type: str = "") -> Component:
        """The component that `name` means, by name or alias, without importing it.

        Args:
            kind: what it is for.
            name: as the template writes it; case does not matter.
            resource_type: of a provider; two plugins may offer different types under one name.

        Raises:
            UnknownComponent: no such name, or several different ones; the message says what to do.
        """
        of_type = resource_type if kind is Kind.PROVIDER else ""
        claims = self._claims.get((kind, of_type, _key(name)))
        if not claims:
            raise UnknownComponent(self._explain(kind, name, resource_type))
        if len({claim.component.target for claim in claims}) > 1:
            raise UnknownComponent(_conflict(kind, name, claims))
        return claims[0].component

    def load(self, kind: Kind, component: Component) -> type[Any]:
        """Import the component's class, once.

        Raises:
            BrokenComponent: it cannot be imported or is of another kind.
        """
        key = kind, component.target
        if key not in self._classes:
            self._classes[key] = _import(kind, component)
        return self._classes[key]

    def names(self, kind: Kind, resource_type: str = "") -> tuple[str, ...]:
        """The component names of a kind that can be resolved, sorted."""
        wanted = resource_type if kind is Kind.PROVIDER else ""
        found = {
            claims[0].component.name
            for (of_kind, of_type, name), claims in self._claims.items()
            if of_kind is kind
            and (not wanted or of_type == wanted)
            and len(claims) == 1
            and name == _key(claims[0].component.name)
        }
        return tuple(sorted(found))

    def components(
        self, kind: Kind, resource_type: str = ""
    ) -> list[tuple[Declared, tuple[str, ...]]]:
        """Every component of a kind that can be resolved, with all names that mean it."""
        wanted = resource_type if kind is Kind.PROVIDER else ""
        found: dict[str, tuple[Declared, list[str]]] = {}
        for (of_kind, of_type, key), claims in self._claims.items():
            if of_kind is kind and len(claims) == 1 and (not wanted or of_type == wanted):
                component = claims[0].component
                spelled = next((name for name in component.names if _key(name) == key), key)
                names = found.setdefault(component.target, (claims[0], []))[1]
                if spelled not in names:
                    names.append(spelled)
        return [(declared, tuple(names)) for declared, names in found.values()]

    def packages(self) -> set[str]:
        """The top-level packages of what the plugins declare."""
        return {
            declared.component.target.partition(":")[0].partition(".")[0]
            for plugin in self.plugins
            for declared in plugin.declared
        }

    def _claim(self, declared: Declared) -> None:
        component = declared.component
        types: tuple[str, ...] = ("",)
        if declared.kind is Kind.PROVIDER:
            types = tuple(component.resource_types) or RESOURCE_TYPES
        for resource_type in types:
            for name in component.names:
                claims = self._claims[declared.kind, resource_type, _key(name)]
                same = any(claim.component.target == component.target for claim in claims)
                # A plugin's declaration comes first and wins over JupyterHub's own group.
                if not same and not (declared.automatic and claims and not claims[0].automatic):
                    claims.append(declared)

    def _mark_conflicts(self, plugin: Plugin) -> Plugin:
        for (kind, _, name), claims in self._claims.items():
            if len(claims) > 1 and any(claim in plugin.declared for claim in claims):
                return replace(
                    plugin, state=State.CONFLICTING, reason=_conflict(kind, name, claims)
                )
        return plugin

    def _explain(self, kind: Kind, name: str, resource_type: str) -> str:
        what = f"{kind.value} {name!r}"
        parts = [f"no enabled plugin offers the {what}"]
        if kind is Kind.PROVIDER:
            parts[0] += f" for {resource_type}"
            elsewhere = [
                of_type
                for (of_kind, of_type, key) in self._claims
                if of_kind is kind and key == _key(name)
            ]
            if elsewhere:
                parts.append(f"it offers {' and '.join(sorted(set(elsewhere)))}")
        available = self.names(kind, resource_type)
        every = [key for (of_kind, _, key) in self._claims if of_kind is kind]
        close = difflib.get_close_matches(_key(name), every, n=1)
        if close and close[0] != _key(name):
            parts.append(f"did you mean {self._spelling(kind, close[0])!r}?")
        parts.append(f"available: {', '.join(available) or 'none'}")
        distribution = KNOWN_DISTRIBUTIONS.get((kind, _key(name)))
        if distribution and not self._disabled(distribution):
            parts.append(f"pip install {distribution}")
        parts += [
            f"{plugin} is {plugin.state.value}: {plugin.reason}"
            for plugin in self.plugins
            if plugin.state is not State.OK and distribution == plugin.distribution
        ]
        return "; ".join(parts)

    def _disabled(self, distribution: str) -> bool:
        return any(plugin.distribution == distribution for plugin in self.plugins)

    def _spelling(self, kind: Kind, key: str) -> str:
        for (of_kind, _, name), claims in self._claims.items():
            if of_kind is kind and name == key:
                return next((n for n in claims[0].component.names if _key(n) == key), key)
        return key


def _explicit(path: str) -> Component:
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        return Component(name=path, target=f"{module}:{name}")
    except ValueError:
        msg = f"c.MultipleSpawner.component_classes: {path!r} is not 'package.module.Class'"
        raise ConfigurationError(msg) from None


def _import(kind: Kind, component: Component) -> type[Any]:
    module, _, name = component.target.partition(":")
    try:
        loaded = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        msg = f"{kind.value} {component.name!r}: {component.path} cannot be imported: {why}"
        raise BrokenComponent(msg) from error
    base = _BASES.get(kind) or _spawner_base()
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        msg = f"{kind.value} {component.name!r}: {component.path} is not a {base.__name__}"
        raise BrokenComponent(msg)
    if base is Provider and not isinstance(getattr(loaded, "deployment_schema", None), Mapping):
        msg = f"{kind.value} {component.name!r}: {component.path}.deployment_schema is no mapping"
        raise BrokenComponent(msg)
    if any(parent.__module__ == _OWN_MODULE for parent in loaded.__mro__):
        msg = f"{kind.value} {component.name!r}: a MultipleSpawner cannot be its own child"
        raise BrokenComponent(msg)
    return loaded


def _spawner_base() -> type[Any]:
    base: type[Any] = importlib.import_module("jupyterhub.spawner").Spawner
    return base


def _conflict(kind: Kind, name: str, claims: Sequence[Declared]) -> str:
    who = " and ".join(f"{claim.component.path} of {claim.source}" for claim in claims)
    return (
        f"the {kind.value} name {name!r} means {who};"
        " disable one of them with c.MultipleSpawner.disabled_plugins"
    )


def _key(name: str) -> str:
    return name.strip().lower()


__all__ = ("BrokenComponent", "Registry", "UnknownComponent")
