"""A plugin for hubs of tests: more than one provider and type, with room or without.

Its resources are the example plugin's directories, and its servers processes of this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from multiplespawner_example.provider import DirectoryProvider

import multiplespawner_core as ms

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "plugin"


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


class Clouds(ms.Plugins):
    @ms.hookimpl
    def multiplespawner_providers(self):
        return [
            ms.Component("cloud", "clouds:Cloud", resource_types=("virtual_machine", "container")),
            ms.Component("cluster", "clouds:Cloud", resource_types=("container",)),
        ]


plugin = Clouds()


def install(folder: Path) -> str:
    """Make it an installed plugin below `folder`; what PYTHONPATH must hold."""
    info = folder / "multiplespawner_clouds-0.1.dist-info"
    info.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: multiplespawner-clouds\nVersion: 0.1\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text("[multiplespawner]\nclouds = clouds:plugin\n")
    return ":".join(map(str, (folder, HERE, EXAMPLE)))
