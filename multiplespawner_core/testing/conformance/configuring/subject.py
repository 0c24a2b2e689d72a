"""What the author of a configurer says about it; the checks do the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from multiplespawner_core.contracts import Configurer
from multiplespawner_core.testing.conformance.rules import LeftOut, Rule

if TYPE_CHECKING:
    from multiplespawner_core.testing.conformance.configuring.bench import Bench
    from multiplespawner_core.testing.lone_machine import LoneMachine


class Subject:
    """The author's part. `configurer`, `arguments` and `is_configured` are needed; what else is
    missing is reported with the checks that are left out for it.
    """

    configurer: ClassVar[type[Configurer]]
    """The class under test."""

    component: ClassVar[str] = "conformance"
    """The name under which it is to be known."""

    plugin: ClassVar[str] = ""
    """The module that the distribution's entry point names."""

    sdk: ClassVar[Sequence[str]] = ()
    """Modules that it must not import: what the configurer itself is made with."""

    secrets: ClassVar[Sequence[str]] = ()
    """Secret values among the arguments, which must show nowhere."""

    patience: ClassVar[float] = 60
    """Seconds that configuring may take."""

    longest_block: ClassVar[float] = 0.25
    """Seconds for which a callback may hold up the event loop."""

    def arguments(self, folder: Path, home: Path) -> Mapping[str, Any]:
        """What a template says, placeholders replaced, of something that works.

        It configures only what lies in `home`, the home directory on the machine. `folder` is
        the one that the template would stand in, for files that it names.
        """
        raise NotImplementedError

    def is_configured(self, machine: LoneMachine) -> bool:
        """Whether the machine is as these arguments make it."""
        raise NotImplementedError

    def slow_arguments(self, folder: Path, home: Path) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Of something that tells at least one line and then works on the machine for a minute."""
        raise LeftOut("a run that can be cancelled: no slow_arguments() is given")

    def failing_arguments(self, folder: Path, home: Path) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Of something that fails on the machine, and says one of the `secrets` in that."""
        raise LeftOut("a run that fails: no failing_arguments() is given")

    def wrong_arguments(self, folder: Path, home: Path) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Of something that can never work, as `Configurer.problems` sees at once."""
        raise LeftOut("arguments that can never work: no wrong_arguments() is given")

    def make_bench(self: Any, rule: Rule, folder: Path, parts: list[str]) -> Bench:
        """What a check works with; the kit's own."""
        from multiplespawner_core.testing.conformance.configuring.bench import (  # noqa: PLC0415 - a cycle
            Bench,
        )

        return Bench(self, rule, folder, parts)


__all__ = ("Subject",)
