"""The contract of a configurer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiplespawner_core.contracts.base import Plugin

if TYPE_CHECKING:
    from multiplespawner_core.contracts.values import Access, Intent

Report = Callable[[str], None]
"""Takes one line for the user's progress page; it must name no secret."""


class Configurer(Plugin):
    """Makes an opened resource ready to run the server.

    Its options arrive with all placeholders replaced: one instance serves one start.

    Args:
        configuration_dir: where relative paths in a template start: the directory of the file
            that the template stands in. None where no file has it.
        kwargs: as for every `Plugin`.
    """

    apply_timeout: Any = 900
    """Seconds that `apply` may take; as a trait, it can be set by templates and administrators."""

    def __init__(self, *, configuration_dir: Path | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.configuration_dir = configuration_dir

    @classmethod
    def problems(
        cls,
        arguments: Mapping[str, Any],  # noqa: ARG003 - for subclasses
        configuration_dir: Path | None,  # noqa: ARG003 - for subclasses
    ) -> Sequence[str]:
        """What is wrong with a template's arguments; told when the configuration is loaded.

        Placeholders are not replaced yet: what holds one is to be taken for right. None by default.
        """
        return ()

    @abstractmethod
    async def apply(self, intent: Intent, access: Access, report: Report) -> None:
        """Configure the resource; doing it again changes nothing.

        Cancelled, it ends every process that it started.

        Raises:
            ConfigureFailed: with a message for the user.
        """


__all__ = ("Configurer", "Report")
