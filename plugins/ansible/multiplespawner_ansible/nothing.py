"""For machines that need nothing."""

from __future__ import annotations

from multiplespawner_core import Access, Configurer, Intent
from multiplespawner_core.contracts.configurer import Report


class NoConfigurer(Configurer):
    """Does nothing: the machine is ready as it is."""

    apply_timeout = 10

    async def apply(self, intent: Intent, access: Access, report: Report) -> None:
        """Nothing."""


__all__ = ("NoConfigurer",)
