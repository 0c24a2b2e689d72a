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

SELDOM = ("start: sent", "start: answered", "cleanup")
"""Where one comes so seldom that fewer schedules would not kill there."""

_TEMPLATES = {"ada": ("keeps",), "eve": ("deletes",), "joe": ("keeps", "keeps", "deletes")}
"""What each of them starts; one changes between both."""

HANGS = ("prepare", "open", "child: start", "child: stop")
"""What may never come to an end."""

SCOPES = ("north", "south")

LONG = 1200
"""Seconds in which whatever may take long has ended."""

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
        stories: whether a life may begin with one, and with fewer scopes than there are: only in
            virtual time can hubs be led so precisely.
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
    stories: bool = False
    moments: tuple[float, float] | None = None


VIRTUAL = Pace(stories=True)
PROCESSES = Pace(
    pauses=(0, 0.1, 1, 3, 10, 30, 60),
    lasting=(2.0, 10.0, 30.0),
    delays=(0.5, 3.0, 10.0),
    labels=LABELS + OF_PROCESSES + 3 * SELDOM,
    nth=(1, 1, 1, 1, 2),
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
        "give_up": 0.5,
        "wait": 6,
    },
    lifetimes=(None, None, 2, 6),
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
        scopes: those that are configured meanwhile.
    """

    steps: tuple[Step, ...]
    label: str = ""
    nth: int = 1
    turn: int = 0
    moment: float = 0.0
    scopes: tuple[str, ...] = SCOPES

    @property
    def orderly(self):
        """Whether it ends as a hub that is stopped."""
        return not (self.label or self.turn or self.moment)


@dataclass(frozen=True)
class Schedule:
    """What happens, and then nothing more.

    Args:
        seed: of every chance.
        lives: of the hub, one after the other.
        scopes: that are configured for the hub which has to put everything in order.
    """

    seed: int
    lives: tuple[Life, ...]
    scopes: tuple[str, ...] = SCOPES

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
    lives = tuple(_life(rng, pace) for _ in range(rng.randint(*pace.lives)))
    return Schedule(seed, lives, _scopes(rng, pace))


def _life(rng, pace):
    steps = tuple(_step(rng, pace) for _ in range(rng.randint(*pace.steps)))
    scopes = _scopes(rng, pace)
    story = rng.choices(tuple(_STORIES), tuple(_STORIES.values()))[0] if pace.stories else None
    if story is not None:
        steps = (*story(rng, pace), *steps)
    if story is _hung:
        return Life(steps, scopes=scopes)
    end = rng.random()
    if pace.labels and end < 0.55:
        label, nth = rng.choice(pace.labels), rng.choice(pace.nth)
        return Life(steps, label=label, nth=nth, scopes=scopes)
    if end < 0.85 and pace.moments and (not pace.turns or rng.random() < 0.5):
        return Life(steps, moment=rng.uniform(*pace.moments), scopes=scopes)
    if end < 0.85:
        return Life(steps, turn=rng.randint(*pace.turns), scopes=scopes)
    return Life(steps, scopes=scopes)


def _scopes(rng, pace):
    """An administrator takes one out of the configuration, and puts it in again."""
    if not pace.stories or rng.random() < 0.7:
        return SCOPES
    return (rng.choice(SCOPES),)


def _race(rng, pace):
    """A start whose request gets into trouble, and what cuts in while it is there."""
    who = rng.choice(pace.users)
    steps = [Step(0.1, "fault", who, fault) for fault in rng.choice(_TROUBLES)(rng)]
    if rng.random() < 0.3:
        steps.append(Step(0, "hold_up", who, rng.choice(HANGS)))
    steps.append(Step(0.1, "start", who, _what(rng, pace, who)))
    cut = rng.choice(("cancel", "kill", "stop", "wait"))
    steps.append(Step(rng.choice((1, 5, 30)) * rng.random(), cut, who))
    return steps


def _started_anew(rng, pace):
    """A server that JupyterHub lost, and that its user may start once more."""
    who = rng.choice(pace.users)
    steps = [
        Step(0.1, "start", who, _what(rng, pace, who)),
        Step(60 * rng.random(), "forsake", who),
    ]
    if rng.random() < 0.6:
        steps.append(Step(5 * rng.random(), "start", who, _what(rng, pace, who)))
    return steps


def _swept(rng, pace):
    """A start while a sweep waits for its lists."""
    who = rng.choice(pace.users)
    slow = Fault(FaultKind.DELAY, method="list", times=2, delay=20 * rng.random())
    return [
        Step(1, "fault", who, slow),
        Step(0, "sweep", who),
        Step(0.1, "start", who, _what(rng, pace, who)),
    ]


def _hung(rng, pace):
    """A start of which a step never ends."""
    who = rng.choice(pace.users)
    place = rng.choice(HANGS[:3])
    waits = [Step(0.1, "hold_up", who, place), Step(0.1, "start", who, _what(rng, pace, who))]
    return [*waits, Step(LONG, "wait", who)]


def _held(rng):
    return [Fault(FaultKind.HOLD, method="create", delay=rng.choice((2.0, 10.0, 90.0)))]


def _doubled(rng):
    return [Fault(FaultKind.TWICE, method="create")]


def _lost_then_refused(rng):
    """What became of the first request is not said by the answer to the second."""
    lost = Fault(FaultKind.DROP, method="create")
    return [lost, Fault(FaultKind.REFUSE, method="create", nth=2, error="capacity")]


def _ignored(rng):
    return [Fault(FaultKind.IGNORE, method="terminate", times=rng.randint(1, 3))]


def _unreadable(rng):
    seconds = rng.choice((60.0, 600.0))
    return [Fault(FaultKind.REFUSE, method="list", times=None, seconds=seconds)]


_TROUBLES = (_held, _held, _doubled, _lost_then_refused, _ignored, _unreadable)
_STORIES = {None: 5, _race: 4, _started_anew: 1.5, _swept: 1, _hung: 1}
"""What a life may begin with, and how often in comparison."""


def _step(rng, pace):
    after = rng.choice(pace.pauses) * rng.random()
    who = rng.choice(pace.users)
    what = rng.choices(tuple(pace.what), tuple(pace.what.values()))[0]
    value = None
    if what in ("start", "restart"):
        value = _what(rng, pace, who)
    elif what == "fault":
        value = fault(rng, pace)
    return Step(after, what, who, value)


def _what(rng, pace, who):
    """How long it may live, and from which template it is started."""
    user = who.partition("/")[0]
    return rng.choice(pace.lifetimes), rng.choice(_TEMPLATES[user])


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
