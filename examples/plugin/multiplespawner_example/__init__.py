"""What this plugin declares. Imported in every hub that enables it, so it imports little."""

from collections.abc import Iterable

from multiplespawner_core import Component, Plugins, hookimpl


class Example(Plugins):
    @hookimpl
    def multiplespawner_providers(self) -> Iterable[Component]:
        target = "multiplespawner_example.provider:DirectoryProvider"
        return [Component("directory", target, resource_types=("bare_metal",))]


plugin = Example()
