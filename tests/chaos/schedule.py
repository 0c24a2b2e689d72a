"""What happens to a hub and its users: made by a seed, written down, so that it can be shrunk."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from multiplespawner_core.testing.cloud.faults import Fault, FaultKind

USERS = ("ada", "eve", "joe")

LABELS = (
    *("insert: before", "insert: after", "update: before", "update: after"),
    *("create: sent", "create: answered", "list: sent", "list: answered"),
    *("list_dependents: sent", "list_dependents: answered", "get: sent", "get: answered"),
    *("terminate: sent", "terminate: answered", "shapes: sent", "shapes: answered"),
    *("prepare", "cleanup", "open", "child: start", "child: started", "child: stop"),
)
"""Where a hub can be killed by name; by number it can be between any two callbacks of its loop."""

ERRORS = ("capacity", "quota", "internal", "throttled", "unauthorized", "not_found")


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    Args:
        after: seconds since the one before.
        what: name of a method of `world.World`.
        who: the user whom it is about.
        value: whatever else it needs.
    """

    after: float
    what: str
    who: str
    value: object = None


@dataclass(frozen=True)
class Life:
    """From a start of the hub to its end.

    Args:
        steps: what happens meanwhile.
        label: where it is killed; empty for nowhere.
        nth: at which time that it comes there.
        turn: at which turn of its event loop it is killed; 0 for none.
    """

    steps: tuple[Step, ...]
    label: str = ""
    nth: int = 1
    turn: int = 0

    @property
    def orderly(self):
        """Whether it ends as a hub that is stopped."""
        return not self.label and not self.turn


@dataclass(frozen=True)
class Schedule:
    seed: int
    lives: tuple[Life, ...]

    def smaller(self):
        """Every schedule with one thing less."""
        for number in range(len(self.lives)):
            yield replace(self, lives=self.lives[:number] + self.lives[number + 1 :])
        for number, life in enumerate(self.lives):
            for place in range(len(life.steps)):
                less = replace(life, steps=life.steps[:place] + life.steps[place + 1 :])
                yield replace(self, lives=(*self.lives[:number], less, *self.lives[number + 1 :]))


def generate(seed):
    rng = random.Random(seed)
    return Schedule(seed, tuple(_life(rng) for _ in range(rng.randint(1, 3))))


def _life(rng):
    steps = tuple(_step(rng) for _ in range(rng.randint(3, 12)))
    end = rng.random()
    if end < 0.55:
        return Life(steps, label=rng.choice(LABELS), nth=rng.choice((1, 1, 1, 2, 3)))
    if end < 0.85:
        return Life(steps, turn=rng.randint(20, 2500))
    return Life(steps)


def _step(rng):
    after = rng.choice((0, 0.1, 1, 1, 3, 10, 60, 400)) * rng.random()
    who = rng.choice(USERS)
    what = rng.choices(
        ("start", "stop", "cancel", "fault", "vanish", "forsake", "wait"), (8, 3, 2, 6, 1, 0.5, 3)
    )[0]
    value = {"start": _lifetime, "fault": _fault}.get(what, lambda _: None)(rng)
    return Step(after, what, who, value)


def _lifetime(rng):
    return rng.choice((None, None, 20.0, 120.0, 900.0))


def _fault(rng):
    kind = rng.choice(list(FaultKind))
    method = rng.choice(("*", "create", "create", "terminate", "list", "get", "list_dependents"))
    if kind in (FaultKind.TWICE, FaultKind.FAIL_LATER):
        method = "create"
    if kind in (FaultKind.IGNORE, FaultKind.STRAND):
        method = "terminate"
    lasting = rng.random() < 0.4
    return Fault(
        kind,
        method=method,
        scope=rng.choice(("*", "north", "south")),
        nth=rng.randint(1, 3),
        times=None if lasting else rng.randint(1, 3),
        seconds=rng.choice((5.0, 60.0, 600.0)) if lasting else None,
        error=rng.choice(ERRORS),
        delay=rng.choice((0.5, 10.0, 90.0)),
    )
