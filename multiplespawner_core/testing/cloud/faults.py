"""What goes wrong with the small cloud, chosen by call."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


class FaultKind(str, enum.Enum):
    """What happens to the call that a fault hits.

    REFUSE: answered with `Fault.error`, not done. HOLD: it reaches the cloud late. DELAY: done at
    once, answered late. DROP: done, never answered. TWICE: an instance is made, and another one.
    FAIL_LATER: the instance that is made or started fails, for want of room where `Fault.error`
    says so. IGNORE: answered as if it were done. STRAND: what depends on the instance stays when
    it is terminated. DOWN: nobody listens.
    """

    REFUSE = "refuse"
    HOLD = "hold"
    DELAY = "delay"
    DROP = "drop"
    TWICE = "twice"
    FAIL_LATER = "fail_later"
    IGNORE = "ignore"
    STRAND = "strand"
    DOWN = "down"


_ONLY: Mapping[FaultKind, frozenset[str]] = {
    FaultKind.TWICE: frozenset({"create"}),
    FaultKind.FAIL_LATER: frozenset({"create", "start"}),
    FaultKind.IGNORE: frozenset({"terminate", "stop", "start", "tag", "delete_dependent"}),
    FaultKind.STRAND: frozenset({"terminate"}),
}
"""The only methods that faults of these kinds hit, whichever they name."""


@dataclass
class Fault:
    """One fault, and which calls it hits.

    Args:
        kind: what happens.
        method: of the calls that it hits; ``*`` for every one.
        scope: likewise.
        nth: the first of those calls that it hits, counted from 1.
        times: how many calls it hits; None for every one from then on.
        seconds: for how long it hits any; None for ever.
        error: with REFUSE and FAIL_LATER, a name of
            `multiplespawner_core.testing.cloud.errors.ERRORS`.
        delay: with HOLD and DELAY, seconds.
        when: which calls, by their arguments; in process only.
    """

    kind: FaultKind
    method: str = "*"
    scope: str = "*"
    nth: int = 1
    times: int | None = 1
    seconds: float | None = None
    error: str = "internal"
    delay: float = 1.0
    when: Callable[[Mapping[str, Any]], bool] | None = field(default=None, repr=False)

    @classmethod
    def outage(cls, seconds: float | None = None, scope: str = "*") -> Fault:
        """Nobody listens, for a while."""
        return cls(FaultKind.DOWN, scope=scope, times=None, seconds=seconds)

    @classmethod
    def everything(cls, error: str, seconds: float | None = None, scope: str = "*") -> Fault:
        """Every call is answered with `error`, for a while."""
        return cls(FaultKind.REFUSE, scope=scope, times=None, seconds=seconds, error=error)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it; `when` cannot travel."""
        return {name: value for name, value in asdict(self).items() if name != "when"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fault:
        """Raises TypeError or ValueError for what is no fault."""
        known = {one.name for one in fields(cls)} - {"when"}
        if unknown := set(values) - known:
            msg = f"a fault has no {', '.join(sorted(unknown))}"
            raise TypeError(msg)
        return cls(**{**values, "kind": FaultKind(values["kind"])})


@dataclass
class _Armed:
    fault: Fault
    until: float
    seen: int = 0
    hits: int = 0


class Faults:
    """Those that are armed, and how often each kind has hit."""

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        self._armed: list[_Armed] = []

    def add(self, fault: Fault, now: float) -> None:
        """Arm it: calls are counted from now."""
        until = float("inf") if fault.seconds is None else now + fault.seconds
        self._armed.append(_Armed(fault, until))

    def clear(self) -> None:
        """Disarm all of them; what has hit stays counted."""
        self._armed.clear()

    def take(
        self,
        kinds: frozenset[FaultKind],
        method: str,
        scope: str,
        arguments: Mapping[str, Any],
        now: float,
    ) -> list[Fault]:
        """Those of `kinds` that hit this call."""
        hitting = []
        for armed in self._live(now):
            fault = armed.fault
            if fault.kind not in kinds or not _selects(fault, method, scope, arguments):
                continue
            armed.seen += 1
            if armed.seen >= fault.nth and (fault.times is None or armed.hits < fault.times):
                armed.hits += 1
                self.fired[fault.kind.value] += 1
                hitting.append(fault)
        return hitting

    def down_until(self, now: float) -> float | None:
        """Until when an outage of everything lasts, if there is one."""
        ends = [
            armed.until
            for armed in self._live(now)
            if armed.fault.kind is FaultKind.DOWN and armed.fault.scope == "*"
        ]
        return max(ends, default=None)

    def _live(self, now: float) -> list[_Armed]:
        self._armed = [
            armed
            for armed in self._armed
            if now < armed.until and (armed.fault.times is None or armed.hits < armed.fault.times)
        ]
        return self._armed


def _selects(fault: Fault, method: str, scope: str, arguments: Mapping[str, Any]) -> bool:
    return (
        fault.method in ("*", method)
        and method in _ONLY.get(fault.kind, (method,))
        and fault.scope in ("*", scope)
        and (fault.when is None or fault.when(arguments))
    )


__all__ = ("Fault", "FaultKind", "Faults")
