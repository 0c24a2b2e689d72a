"""What the small cloud holds: instances, each with a history and what depends on it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class State(str, enum.Enum):
    """Of an instance."""

    PROVISIONING = "PROVISIONING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    STARTING = "STARTING"
    FAILED = "FAILED"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"


class Presence(str, enum.Enum):
    """Of a boot volume or an address."""

    ATTACHED = "ATTACHED"
    LEFT = "LEFT"
    DELETED = "DELETED"


@dataclass
class History:
    """Which state a thing was in, from when: what makes old views and bills possible."""

    steps: list[tuple[float, str]] = field(default_factory=list)

    @property
    def now(self) -> str:
        return self.steps[-1][1]

    @property
    def since(self) -> float:
        """When the present state began."""
        return self.steps[-1][0]

    def add(self, when: float, state: str) -> None:
        self.steps.append((when, str(getattr(state, "value", state))))

    def at(self, when: float) -> str | None:
        """The state at that time; None before there was any."""
        return next((state for since, state in reversed(self.steps) if since <= when), None)

    def seconds(self, states: frozenset[str], until: float) -> float:
        """How long it was in any of `states`."""
        ends = [since for since, _ in self.steps[1:]] + [until]
        return sum(
            max(0.0, min(end, until) - since)
            for (since, state), end in zip(self.steps, ends, strict=True)
            if state in states
        )


@dataclass
class Dependent:
    """A boot volume or an address: it may outlive its instance, and costs by itself.

    Args:
        id: the cloud's own identifier.
        kind: ``volume`` or ``address``.
        history: its states.
        due: when it goes, once its instance has gone.
    """

    id: str
    kind: str
    history: History
    due: float | None = None


@dataclass
class Address:
    """Where an instance is reached from `since` on."""

    host: str
    port: int
    since: float
    host_key: str | None = None


@dataclass
class Instance:
    """One machine.

    Args:
        id: the cloud's own identifier.
        scope: where it is.
        name: as it was asked for; not unique.
        shape: its size.
        token: by which the request for it can be repeated.
        digest: of that request; the same token with another one is refused.
        tags: free text.
        user_data: what it is told at its first boot; never shown again.
        history: its states.
        dependents: its boot volume and its address.
        due: when the next state comes, and which.
        address: where it is reached, once it runs.
        address_due: when its address becomes known.
        doomed: why it fails instead of coming up, a name of `errors.ERRORS`; empty if it comes up.
        strands: its dependents stay when it is terminated.
        reason: why it failed.
        code: likewise, as a refused request would be answered.
    """

    id: str
    scope: str
    name: str
    shape: str
    token: str
    digest: str
    tags: dict[str, str]
    user_data: dict[str, Any] = field(repr=False)
    history: History
    dependents: list[Dependent]
    due: tuple[float, State] | None = None
    address: Address | None = None
    address_due: float | None = None
    doomed: str = ""
    strands: bool = False
    reason: str = ""
    code: str = ""

    @property
    def state(self) -> State:
        return State(self.history.now)

    @property
    def created(self) -> float:
        return self.history.steps[0][0]

    @property
    def gone(self) -> bool:
        """It and everything that depends on it."""
        return self.state is State.TERMINATED and all(
            dependent.history.now == Presence.DELETED for dependent in self.dependents
        )

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Instance:
        given = dict(values)
        given["history"] = _history(given["history"])
        given["dependents"] = [
            Dependent(**{**one, "history": _history(one["history"])}) for one in given["dependents"]
        ]
        if given["due"] is not None:
            given["due"] = (given["due"][0], State(given["due"][1]))
        if given["address"] is not None:
            given["address"] = Address(**given["address"])
        return cls(**given)


def _history(values: Mapping[str, Any]) -> History:
    return History([(when, state) for when, state in values["steps"]])


__all__ = ("Address", "Dependent", "History", "Instance", "Presence", "State")
