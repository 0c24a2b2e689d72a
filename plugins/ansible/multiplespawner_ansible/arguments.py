"""What a template says of a configurer: in its `options`, or beside them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from multiplespawner_core import ConfigureFailed, Configurer


class WithOptions(Configurer):
    """A configurer whose trait `options` may hold what may as well stand beside it."""

    keys: ClassVar[tuple[str, ...]]
    """Names of the traits that may stand in `options`."""

    @classmethod
    def problems(
        cls, arguments: Mapping[str, Any], configuration_dir: Path | None
    ) -> Sequence[str]:
        settings, known = cls.merged(arguments), ", ".join(cls.keys)
        unknown = [name for name in settings if name not in cls.keys]
        told = [f"options: {name!r} is unknown; known are {known}" for name in unknown]
        return [*told, *cls.flaws(settings, configuration_dir)]

    @classmethod
    @abstractmethod
    def flaws(cls, settings: Mapping[str, Any], directory: Path | None) -> Iterator[str]:
        """What is wrong with settings that have been merged, besides unknown names."""

    @classmethod
    def merged(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Both under one roof; what stands beside the options counts."""
        beside = {name: arguments[name] for name in cls.keys if name in arguments}
        return {**(arguments.get("options") or {}), **beside}

    def settings(self) -> dict[str, Any]:
        """What is to be done.

        Raises:
            ConfigureFailed: it cannot be, now that placeholders are replaced.
        """
        given = {name: getattr(self, name) for name in ("options", *self.keys)}
        said = {name: value for name, value in given.items() if value}
        for problem in self.problems(said, self.configuration_dir):
            raise ConfigureFailed(f"{problem}. Tell your administrator.")
        return self.merged(said)


__all__ = ("WithOptions",)
