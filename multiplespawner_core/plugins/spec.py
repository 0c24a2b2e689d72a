"""The hooks by which plugins declare what they offer: synchronous, declarative, nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from multiplespawner_core.contracts.component import Component

PROJECT = "multiplespawner"
"""Marks hook specifications and implementations, and names the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Plugins:
    """What a plugin may declare, one hook for each kind of component.

    Inherit from this class, override what the plugin has and mark it with `hookimpl`; a type
    checker then sees a misspelt or misshapen hook. Register an instance as entry point::

        class Example(Plugins):
            @hookimpl
            def multiplespawner_providers(self) -> Iterable[Component]:
                return [
                    Component(
                        name="example",
                        target="multiplespawner_example.provider:ExampleProvider",
                        resource_types=("virtual_machine",),
                    )
                ]

        plugin = Example()

    .. code-block:: toml

        [project.entry-points.multiplespawner]
        example = "multiplespawner_example:plugin"

    The module of the entry point is imported in every hub that enables the plugin, so it must
    not import the provider's SDK: a component's target is imported when a template names it.
    """

    @hookspec
    def multiplespawner_providers(self) -> Iterable[Component]:
        """The providers; each names its resource types."""
        return ()

    @hookspec
    def multiplespawner_configurers(self) -> Iterable[Component]:
        """The configurers."""
        return ()

    @hookspec
    def multiplespawner_authenticators(self) -> Iterable[Component]:
        """The authenticators."""
        return ()

    @hookspec
    def multiplespawner_spawners(self) -> Iterable[Component]:
        """Child spawners, and aliases for those that JupyterHub's own group announces."""
        return ()


__all__ = ("PROJECT", "Plugins", "hookimpl", "hookspec")
