"""What happens to a hub and its users: made by a seed, written down, so that it can be shrunk."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from multiplespawner_core.testing.cloud.faults import Fault, FaultKind

USERS = ("ada", "eve", "joe")

STEPS = {
    "start": 8,
    "restart": 4,
    "stop": 3,
    "cancel": 2,
    "fault": 6,
    "vanish": 1,
    "forsake": 0.5,
    "delete": 0.5,
    "rouse": 0.5,
    "wait": 3,
}
"""What happens, by the names of methods of `world.World`, and how often in comparison."""

LABELS = (
    *("insert: before", "insert: after", "update: before", "update: after"),
    *("create: sent", "create: answered", "list: sent", "list: answered"),
    *("list_dependents: sent", "list_dependents: answered", "get: sent", "get: answered"),
    *("terminate: sent", "terminate: answered", "shapes: sent", "shapes: answered"),
    *("stop: sent", "stop: answered", "start: sent", "start: answered"),
    *("prepare", "cleanup", "open", "child: start", "child: started", "child: stop"),
)
"""Where a hub can be killed by name; by number it can be between any two callbacks of its loop."""

OF_PROCESSES = ("transaction: open", "transaction: committed")
"""Where one can be killed that is a process: in the thread that writes its ledger."""
_TEMPLATES = {"ada": ("keeps",), "eve": ("deletes",), "joe": ("keeps", "keeps", "deletes")}
"""What each of them starts; one changes between both."""

ERRORS = ("capacity", "quota", "internal", "throttled", "unauthorized", "not_found")


@dataclass(frozen=True)
class Pace:
    """What happens, how long it takes, and where hubs are killed.

    Args:
        lives: how many a hub has, from and to; then comes the one in which all must be in order.
        steps: how many a life has, from and to.
        users: who does something; with a named server behind a slash.
        what: names of steps, and how often each is drawn.
        lifetimes: seconds that a server may live, one is drawn for each.
        pauses: seconds between two steps, at the most; one is drawn for each.
        lasting: seconds that a fault lasts which does not hit a few calls only.
        delays: seconds by which faults hold or delay.
        labels: where a hub can be killed by name; empty for nowhere.
        nth: at which time that it comes there.
        turns: at which turns of its event loop it can be killed, from and to; None for at none.
        moments: after how many seconds it can be killed from outside, from and to; None for never.
    """

    lives: tuple[int, int] = (1, 3)
    steps: tuple[int, int] = (3, 12)
    users: tuple[str, ...] = USERS
    what: Mapping[str, float] = field(default_factory=lambda: STEPS)
    lifetimes: tuple[float | None, ...] = (None, None, 20.0, 120.0, 900.0)
    pauses: tuple[float, ...] = (0, 0.1, 1, 1, 3, 10, 60, 400)
    lasting: tuple[float, ...] = (5.0, 60.0, 600.0)
    delays: tuple[float, ...] = (0.5, 10.0, 90.0)
    labels: tuple[str, ...] = LABELS
    nth: tuple[int, ...] = (1, 1, 1, 2, 3)
    turns: tuple[int, int] | None = (20, 2500)
    moments: tuple[float, float] | None = None


VIRTUAL = Pace()
PROCESSES = Pace(
    pauses=(0, 0.1, 1, 3, 10, 30, 60),
    lasting=(2.0, 10.0, 30.0),
    delays=(0.5, 3.0, 10.0),
    labels=LABELS + OF_PROCESSES,
    nth=(1, 1, 2, 3, 5),
    moments=(0.0, 90.0),
)
WHOLE = Pace(
    lives=(1, 2),
    steps=(6, 16),
    users=("ada", "eve", "eve/second"),
    what={
        "start": 8,
        "stop": 3,
        "cancel": 2,
        "fault": 6,
        "vanish": 1,
        "delete": 1,
        "wait": 6,
    },
    lifetimes=(None,),
    pauses=(0, 0.1, 0.5, 1, 2),
    lasting=(0.5, 2.0, 4.0),
    delays=(0.1, 0.5, 1.5),
    labels=(),
    turns=None,
    moments=(1.0, 10.0),
)
"""Of real seconds, with a whole JupyterHub: what else happens to it is its own."""


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
        moment: seconds after which it is killed from outside, wherever it is; 0 for never.
    """

    steps: tuple[Step, ...]
    label: str = ""
    nth: int = 1
    turn: int = 0
    moment: float = 0.0

    @property
    def orderly(self):
        """Whether it ends as a hub that is stopped."""
        return not (self.label or self.turn or self.moment)


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


def generate(seed, pace=VIRTUAL):
    rng = random.Random(seed)
    return Schedule(seed, tuple(_life(rng, pace) for _ in range(rng.randint(*pace.lives))))


def _life(rng, pace):
    steps = tuple(_step(rng, pace) for _ in range(rng.randint(*pace.steps)))
    end = rng.random()
    if pace.labels and end < 0.55:
        return Life(steps, label=rng.choice(pace.labels), nth=rng.choice(pace.nth))
    if end < 0.85 and pace.moments and (not pace.turns or rng.random() < 0.5):
        return Life(steps, moment=rng.uniform(*pace.moments))
    if end < 0.85:
        return Life(steps, turn=rng.randint(*pace.turns))
    return Life(steps)


def _step(rng, pace):
    after = rng.choice(pace.pauses) * rng.random()
    who = rng.choice(pace.users)
    what = rng.choices(tuple(pace.what), tuple(pace.what.values()))[0]
    value = None
    if what in ("start", "restart"):
        user = who.partition("/")[0]
        value = rng.choice(pace.lifetimes), rng.choice(_TEMPLATES[user])
    elif what == "fault":
        value = fault(rng, pace)
    return Step(after, what, who, value)


def fault(rng, pace):
    kind = rng.choice(list(FaultKind))
    method = rng.choice(
        ("*", "create", "create", "terminate", "stop", "start", "list", "get", "list_dependents")
    )
    if kind is FaultKind.TWICE:
        method = "create"
    if kind is FaultKind.FAIL_LATER:
        method = rng.choice(("create", "start"))
    if kind is FaultKind.STRAND:
        method = "terminate"
    if kind is FaultKind.IGNORE:
        method = rng.choice(("terminate", "terminate", "stop", "start"))
    lasting = rng.random() < 0.4
    return Fault(
        kind,
        method=method,
        scope=rng.choice(("*", "north", "south")),
        nth=rng.randint(1, 3),
        times=None if lasting else rng.randint(1, 3),
        seconds=rng.choice(pace.lasting) if lasting else None,
        error=rng.choice(ERRORS),
        delay=rng.choice(pace.delays),
    )
