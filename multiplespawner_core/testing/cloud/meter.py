"""What everything has cost, in seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from multiplespawner_core.testing.cloud.records import Instance, Presence, State

INTENT_TAG = "multiplespawner-intent"

_FREE = frozenset({State.TERMINATED.value, State.STOPPED.value})
_BILLED = frozenset(state.value for state in State) - _FREE
_DEPENDENT = frozenset({Presence.ATTACHED.value, Presence.LEFT.value})


@dataclass(frozen=True)
class Meter:
    """A reading.

    Args:
        now: when it was taken.
        total: seconds of everything.
        by_id: of each instance, boot volume and address.
        by_intent: of all that carries an intent's tag; what has none is under ``""``.
        running: ids of what costs at this moment.
    """

    now: float
    total: float
    by_id: Mapping[str, float]
    by_intent: Mapping[str, float]
    running: frozenset[str]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "running": sorted(self.running)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Meter:
        return cls(**{**values, "running": frozenset(values["running"])})


def read(instances: Iterable[Instance], now: float, *, bill_stopped: bool) -> Meter:
    """Add it up."""
    billed = _BILLED | {State.STOPPED.value} if bill_stopped else _BILLED
    by_id: dict[str, float] = {}
    by_intent: dict[str, float] = defaultdict(float)
    running = set()
    for instance in instances:
        parts = [(instance.id, instance.history, billed)]
        parts += [(one.id, one.history, _DEPENDENT) for one in instance.dependents]
        for name, history, states in parts:
            by_id[name] = history.seconds(states, now)
            by_intent[instance.tags.get(INTENT_TAG, "")] += by_id[name]
            if history.now in states:
                running.add(name)
    return Meter(now, sum(by_id.values()), by_id, dict(by_intent), frozenset(running))


__all__ = ("INTENT_TAG", "Meter", "read")
