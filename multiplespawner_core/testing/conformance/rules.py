"""What a check is: one rule of the contract, where it is written, and how its breach is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiplespawner_core.testing.conformance import running

if TYPE_CHECKING:
    import pytest


PROPERTY = "conformance"
"""The name of the property that a test's report carries."""

ATTRIBUTE = "conformance_rule"
"""Where a check's function has its `Rule`."""


class ContractBroken(AssertionError):
    """A component does not keep the contract; the message says which rule, how, and where it is."""


class LeftOut(Exception):
    """A check, or a part of one, does not apply; the message says why."""


@dataclass(frozen=True)
class Rule:
    """One rule of the contract.

    Args:
        name: of the check.
        where: the public name that documents the rule, such as ``Provider.create``.
        text: the rule.
        page: of the documentation, that lists the check.
    """

    name: str
    where: str
    text: str
    page: str = "conformance.md"

    def broken(self, how: str) -> ContractBroken:
        """The error that tells an author what to repair."""
        return ContractBroken(
            f"{self.where}: {how}\n"
            f"  The rule: {self.text}\n"
            f"  Documented at multiplespawner_core.{self.where}, in docs/contracts.md;"
            f" the check {self.name} in docs/{self.page}."
        )


@dataclass
class Outcome:
    """What came of a check.

    Args:
        left_out: why it was not run; empty if it was.
        parts: why parts of it were not.
        broken: what is wrong; None if nothing is.
    """

    left_out: str = ""
    parts: tuple[str, ...] = ()
    broken: ContractBroken | None = None


class Teller:
    """How checks tell what they found; what they work with is one.

    Args:
        rule: that is checked.
        parts: receives why parts of the check were left out.
    """

    def __init__(self, rule: Rule, parts: list[str]) -> None:
        self._rule = rule
        self._parts = parts

    def broken(self, how: str) -> ContractBroken:
        return self._rule.broken(how)

    def require(self, kept: object, how: str) -> None:
        if not kept:
            raise self.broken(how)

    def without(self, why: LeftOut) -> None:
        """A part of the check is left out."""
        self._parts.append(str(why))


Body = Callable[..., Coroutine[Any, Any, None]]


def check(where: str, text: str, page: str = Rule.page) -> Callable[[Body], Callable[..., None]]:
    """Make a test of a coroutine that takes a `Bench`.

    The test is an ordinary function with a loop of its own: it needs no plugin for asynchronous
    tests and is disturbed by none.
    """

    def decorate(body: Body) -> Callable[..., None]:
        rule = Rule(body.__name__, where, text, page)

        def test(self: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
            __tracebackhide__ = True
            outcome = run(self, test, tmp_path)
            told = {"rule": text, "where": where, "left_out": outcome.left_out}
            request.node.user_properties.append((PROPERTY, {**told, "parts": outcome.parts}))
            if outcome.broken is not None:
                raise outcome.broken.with_traceback(None)
            if outcome.left_out and not request.config.pluginmanager.has_plugin(PROPERTY):
                import pytest  # noqa: PLC0415 - only tests need it

                # Nothing else would show it.
                pytest.skip(outcome.left_out)

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(test, name, getattr(body, name))
        test.__doc__ = text
        setattr(test, ATTRIBUTE, rule)
        test.conformance_body = body  # type: ignore[attr-defined]
        return test

    return decorate


def run(case: Any, test: Callable[..., None], folder: Path) -> Outcome:
    """Run one check of a conformance class without pytest."""
    rule: Rule = getattr(test, ATTRIBUTE)
    parts: list[str] = []

    async def work() -> None:
        bench = case.make_bench(rule, folder, parts)
        try:
            await test.conformance_body(case, bench)  # type: ignore[attr-defined]
        finally:
            await bench.close()

    try:
        running.run(work())
    except LeftOut as reason:
        return Outcome(left_out=str(reason))
    except ContractBroken as broken:
        return Outcome(parts=tuple(dict.fromkeys(parts)), broken=broken)
    except Exception as error:  # noqa: BLE001 - whatever comes out of a provider
        told = rule.broken(f"{type(error).__name__} was raised: {error}")
        told.__cause__ = error
        return Outcome(parts=tuple(dict.fromkeys(parts)), broken=told)
    return Outcome(parts=tuple(dict.fromkeys(parts)))


__all__ = (
    "ATTRIBUTE",
    "PROPERTY",
    "ContractBroken",
    "LeftOut",
    "Outcome",
    "Rule",
    "Teller",
    "check",
    "run",
)
