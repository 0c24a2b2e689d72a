"""A plugin for hubs of tests: more than one provider and type, with room or without.

Its resources are the example plugin's directories, and its servers processes of this machine.
"""

from __future__ import annotations

from typing import ClassVar

from multiplespawner_example.provider import DirectoryProvider

import multiplespawner_core as ms


class Cloud(DirectoryProvider):
    """Deployments whose attribute `full` says so cannot be had, for the reason that it gives."""

    deployment_schema: ClassVar = {"full": {"type": "string"}}

    def capabilities(self):
        return ms.Capabilities(
            ("virtual_machine", "container"),
            ms.MadeBy.CHILD,
            ms.IdempotentCreate.NAME,
            sizes=frozenset({"cpu", "memory", "gpu"}),
            storage=(ms.Storage.EPHEMERAL, ms.Storage.KEEP),
        )

    async def offers(self, specification):
        reason = specification.attributes.get("full", "")
        there = ms.Availability.NO_CAPACITY if reason else ms.Availability.AVAILABLE
        return [
            ms.Offer(scope, "directory", availability=there, reason=reason)
            for scope in await self.scopes()
        ]


class Cluster(Cloud):
    """The same under another name."""


class Clouds(ms.Plugins):
    @ms.hookimpl
    def multiplespawner_providers(self):
        return [
            ms.Component("cloud", "clouds:Cloud", resource_types=("virtual_machine", "container")),
            ms.Component("cluster", "clouds:Cluster", resource_types=("container",)),
        ]


plugin = Clouds()
