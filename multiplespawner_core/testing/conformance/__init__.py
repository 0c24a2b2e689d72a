"""The contract of a provider, as checks that run against any: see docs/conformance.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multiplespawner_core.testing.conformance.checks.basics import Basics
from multiplespawner_core.testing.conformance.checks.cancelling import Cancelling
from multiplespawner_core.testing.conformance.checks.children import Children
from multiplespawner_core.testing.conformance.checks.creating import Creating
from multiplespawner_core.testing.conformance.checks.deleting import Deleting
from multiplespawner_core.testing.conformance.checks.looking import Looking
from multiplespawner_core.testing.conformance.checks.running import Running
from multiplespawner_core.testing.conformance.checks.stopping import Stopping
from multiplespawner_core.testing.conformance.rules import ATTRIBUTE, ContractBroken, LeftOut, Rule
from multiplespawner_core.testing.conformance.subject import Child, Subject


class ProviderConformance(
    Basics, Creating, Looking, Deleting, Stopping, Children, Cancelling, Running, Subject
):
    """Subclass it as ``TestMine`` and say what is under test; pytest runs the rest.

    Every attribute and method before the ``test_`` ones is the author's to override; each check
    says in its own docstring which rule of the contract it holds.
    """


def checks(case: type[Any]) -> dict[str, tuple[Rule, Callable[..., None]]]:
    """By name, every check of a class and the rule that it holds."""
    found = {}
    for name in dir(case):
        test = getattr(case, name)
        if hasattr(test, ATTRIBUTE):
            found[name] = (getattr(test, ATTRIBUTE), test)
    return found


__all__ = ("Child", "ContractBroken", "LeftOut", "ProviderConformance", "checks")
