"""What the author of an authenticator says about it; the checks do the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from multiplespawner_core.contracts import Authenticator
from multiplespawner_core.testing.conformance.rules import Rule

if TYPE_CHECKING:
    from multiplespawner_core.testing.conformance.authenticating.bench import Bench


class Subject:
    """The author's part. `authenticator` is needed; what else is missing is reported with the
    checks that are left out for it.
    """

    authenticator: ClassVar[type[Authenticator]]
    """The class under test."""

    component: ClassVar[str] = "conformance"
    """The name under which it is to be known."""

    plugin: ClassVar[str] = ""
    """The module that the distribution's entry point names."""

    sdk: ClassVar[Sequence[str]] = ()
    """Modules that it must not import: what the authenticator itself is made with."""

    secrets: ClassVar[Sequence[str]] = ()
    """Secret values among the settings, which must show nowhere."""

    patience: ClassVar[float] = 30
    """Seconds that a call may take on a machine that answers."""

    longest_block: ClassVar[float] = 0.25
    """Seconds for which a callback may hold up the event loop."""

    def traits(self, folder: Path) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Its settings, as templates give them; `folder` is for files that they name.

        A machine that refuses the login is to be given up within `patience`.
        """
        return {}

    def make_bench(self: Any, rule: Rule, folder: Path, parts: list[str]) -> Bench:
        """What a check works with; the kit's own."""
        from multiplespawner_core.testing.conformance.authenticating.bench import (  # noqa: PLC0415 - a cycle
            Bench,
        )

        return Bench(self, rule, folder, parts)


__all__ = ("Subject",)
