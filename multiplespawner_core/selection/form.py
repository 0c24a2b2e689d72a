"""The spawn form: the choices of one user, with the fields that they have something to set in."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import jinja2

from multiplespawner_core.catalogue.limits import LEAST, MOST, QUANTITIES
from multiplespawner_core.selection import kinds as words
from multiplespawner_core.selection.fields import encode, parse
from multiplespawner_core.selection.kinds import LABELS, Kind
from multiplespawner_core.selection.request import (
    WHERE,
    Choice,
    InvalidOptions,
    select,
    unwrapped,
)

STATIC: Final = Path(__file__).parent / "static"
"""What the form's page needs besides the form: its script."""

STATIC_PATH: Final = "multiplespawner/static"
"""Below the hub's prefix, where it is found."""

_LONGEST = 30
"""Characters of a number that a field is filled with."""

Reasons = Mapping[tuple[str, str, str], str]


@functools.lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("multiplespawner_core.selection"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("form.html")


@functools.lru_cache(maxsize=1)
def _script() -> str:
    # A browser keeps what has a version for long.
    version = hashlib.sha256((STATIC / "form.js").read_bytes()).hexdigest()
    return f"{STATIC_PATH}/form.js?v={version[:12]}"


def script_url(base_url: str) -> str:
    """Where the form's page finds its script.

    Args:
        base_url: the hub's prefix, with a slash at its end.
    """
    return f"{base_url}{_script()}"


def needed(choices: Sequence[Choice], last: Mapping[str, Any]) -> bool:
    """Whether there is anything to choose.

    Args:
        choices: what this user may choose.
        last: the options of the last start. JupyterHub takes them for the next one where there
            is no form; outdated ones would keep the server from ever starting.
    """
    if len(choices) != 1 or not all(allowed.fixed for allowed in choices[0].limits.values()):
        return True
    try:
        select(last, choices)
    except InvalidOptions:
        return True
    return False


def render(
    choices: Sequence[Choice],
    last: Mapping[str, Any],
    unavailable: Reasons,
    *,
    entered: Mapping[str, Sequence[Any]] | None = None,
    script: str | None = None,
) -> str:
    """The form's fields, to stand inside JupyterHub's own form element.

    Args:
        choices: what this user may choose.
        last: the options of the last start, preselected where they still fit.
        unavailable: why some of them cannot be had now, by their ``where``.
        entered: the fields of a request that was just refused; they stand there again as they
            were sent.
        script: where the page finds ``form.js``; None for a page without it.
    """
    filling = (
        _last(choices, last, unavailable)
        if entered is None
        else _again(choices, entered, unavailable)
    )
    kinds = {_kind(choice): Kind(choice) for choice in choices}
    positions = {key: position for position, key in enumerate(kinds)}
    groups = [
        (Kind(group[0]).place, [_entry(c, positions, unavailable, filling) for c in group])
        for group in _groups(choices)
    ]
    told = list(kinds.values())
    fields = {
        name: words.field(name, told)
        for name in QUANTITIES
        if any(name in kind.settable for kind in told)
    }
    return _template().render(
        groups=groups,
        notice=filling.notice,
        nothing=all(choice.where in unavailable for choice in choices),
        fields=fields,
        labels=LABELS,
        values=_values(fields, told, filling),
        kinds=told,
        models=[kind.model() for kind in told],
        script=script,
    )


@dataclass(frozen=True)
class _Filling:
    """What the form is filled with.

    Args:
        choice: what is selected; None for what the browser takes, the first that can be had.
        values: by field.
        notice: what the user should know of it.
    """

    choice: Choice | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""


@dataclass(frozen=True)
class _Entry:
    """One line of the list."""

    value: str
    label: str
    kind: int
    selected: bool
    reason: str


def _last(choices: Sequence[Choice], last: Mapping[str, Any], unavailable: Reasons) -> _Filling:
    """The last choice, and its amounts as far as they are allowed now."""
    last = unwrapped(last)
    choice = _named(choices, last)
    named = _names(last)
    if choice is None:
        return _Filling(notice="Your last choice is not offered." if named else "")
    if choice.where in unavailable:
        reason = unavailable[choice.where]
        return _Filling(notice=f"Your last choice cannot be had now: {reason}" if named else "")
    values = {
        name: str(allowed.nearest(value))
        for name, allowed in choice.limits.items()
        if not allowed.fixed and (value := _amount(name, last.get(name))) is not None
    }
    return _Filling(choice if named else None, values)


def _again(
    choices: Sequence[Choice], entered: Mapping[str, Sequence[Any]], unavailable: Reasons
) -> _Filling:
    """What was entered, as it was: the message says what was wrong with it."""
    texts = {key: values[-1] for key, values in entered.items() if values}
    try:
        where = parse({key: [text] for key, text in texts.items() if key not in QUANTITIES})
    except InvalidOptions:
        where = {}
    shown = {
        name: text
        for name in QUANTITIES
        if isinstance(text := texts.get(name), str) and len(text) <= _LONGEST
    }
    choice = _named(choices, where) if _names(where) else None
    return _Filling(None if choice and choice.where in unavailable else choice, shown)


def _values(
    fields: Mapping[str, Any], kinds: Sequence[Kind], filling: _Filling
) -> Mapping[str, str]:
    """What stands in the fields; the only choice's defaults where nothing else does."""
    if len(kinds) > 1:
        return filling.values
    defaults = {name: one["default"] for name, one in fields.items()}
    told = {name: str(value) for name, value in defaults.items() if value is not None}
    return {**told, **filling.values}


def _names(options: Mapping[str, Any]) -> bool:
    """Whether the options say anything of where."""
    return any(options.get(key) is not None for key in WHERE)


def _named(choices: Sequence[Choice], options: Mapping[str, Any]) -> Choice | None:
    """The first choice that fits what the options say of it."""
    # Compared and no more: what an earlier spawner stored may be of any type.
    wanted = [(key, options[key]) for key in WHERE if options.get(key) is not None]
    fitting = (c for c in choices if all(getattr(c, key) == value for key, value in wanted))
    return next(fitting, None)


def _amount(name: str, value: Any) -> float | None:
    """The value, if a field could have sent it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and LEAST[name] <= value <= MOST[name] else None


def _entry(
    choice: Choice, positions: Mapping[Any, int], unavailable: Reasons, filling: _Filling
) -> _Entry:
    name = choice.deployment
    return _Entry(
        value=encode(choice),
        label=name if name == choice.template else f"{name} ({choice.template})",
        kind=positions[_kind(choice)],
        selected=choice is filling.choice,
        reason=unavailable.get(choice.where, ""),
    )


def _kind(choice: Choice) -> Any:
    limits = tuple(choice.limits.values())
    return (choice.provider, choice.resource_type, choice.template, choice.storage, limits)


def _groups(choices: Sequence[Choice]) -> list[list[Choice]]:
    """Grouped by provider and type, each group where its first member stood."""
    order: dict[tuple[str, str], int] = {}
    for choice in choices:
        order.setdefault((choice.provider, choice.resource_type), len(order))
    ordered = sorted(choices, key=lambda c: order[c.provider, c.resource_type])
    return [list(group) for _, group in groupby(ordered, key=lambda c: c.where[:2])]


__all__ = ("STATIC", "STATIC_PATH", "needed", "parse", "render", "script_url")
