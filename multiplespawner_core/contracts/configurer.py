"""The contract of a configurer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from multiplespawner_core.contracts.base import Plugin

if TYPE_CHECKING:
    from multiplespawner_core.contracts.values import Access, Intent

Report = Callable[[str], None]
"""Takes one line for the user's progress page; it must name no secret."""


class Configurer(Plugin):
    """Makes an opened resource ready to run the server.

    Its options arrive with all placeholders replaced: one instance serves one start.
    """

    apply_timeout: float = 900
    """Seconds that `apply` may take."""

    @abstractmethod
    async def apply(self, intent: Intent, access: Access, report: Report) -> None:
        """Configure the resource; doing it again changes nothing.

        Cancelled, it ends every process that it started.

        Raises:
            ConfigureFailed: with a message for the user.
        """


__all__ = ("Configurer", "Report")
