"""The spawn form: rendered from the choices, read back into canonical user options."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import jinja2

from multiplespawner_core.catalogue.limits import QUANTITIES, SIZES, WHOLE
from multiplespawner_core.selection.request import Choice, InvalidOptions, select, unwrapped

_LARGEST = 10**9

_TITLES = {
    "virtual_machine": "Virtual machine",
    "container": "Container",
    "bare_metal": "Bare metal",
}


@functools.lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("multiplespawner_core.selection"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("form.html")


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
    unavailable: Mapping[tuple[str, str, str], str],
) -> str:
    """The form's fields, to stand inside JupyterHub's own form element.

    Args:
        choices: what this user may choose.
        last: the options of the last start, preselected where they still fit.
        unavailable: why some of them cannot be had now, by their ``where``.
    """
    last = unwrapped(last)
    # Compared, not encoded: what an earlier spawner stored may be of any type.
    selected = (last.get("provider"), last.get("resource_type"), last.get("deployment"))
    groups = [
        (
            _title(key),
            [
                (_encode(c), c.deployment, c.where == selected, unavailable.get(c.where))
                for c in group
            ],
        )
        for key, group in groupby(_sorted(choices), key=lambda c: (c.provider, c.resource_type))
    ]
    sizes = [size for size in SIZES if any(choice.limits[size].settable for choice in choices)]
    shown = {key: _shown(last.get(key)) for key in QUANTITIES}
    return _template().render(groups=groups, sizes=sizes, last=shown, any=bool(choices))


def parse(form: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Canonical user options from the form's fields or a query string.

    Args:
        form: by field, its texts, or JupyterHub's descriptions of uploaded files. The last one
            counts, and an empty one as unset.

    Raises:
        InvalidOptions: a field does not hold what it must.
    """
    fields = {key: values[-1] for key, values in form.items() if values and key != "_xsrf"}
    for key, value in fields.items():
        if not isinstance(value, str):
            msg = f"{key!r:.60} is a file, and nothing here takes one"
            raise InvalidOptions(msg)
    filled = {key: value for key, value in fields.items() if value.strip()}
    options: dict[str, Any] = _decode(filled.pop("choice")) if "choice" in filled else {}
    for key, value in filled.items():
        options[key] = _number(key, value) if key in QUANTITIES else value
    return options


def _number(key: str, text: str) -> float | int:
    whole = key in WHOLE
    try:
        return int(text) if whole else float(text)
    except ValueError:
        msg = f"{key}: {text!r:.60} is no {'whole ' if whole else ''}number"
        raise InvalidOptions(msg) from None


def _shown(value: Any) -> str:
    """What a field is filled with: nothing, where the value could not have come from it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < _LARGEST:
        return ""
    return str(int(value) if value == int(value) else value)


def _sorted(choices: Sequence[Choice]) -> list[Choice]:
    """Grouped by provider and type, each group where its first member stood."""
    order: dict[tuple[str, str], int] = {}
    for choice in choices:
        order.setdefault((choice.provider, choice.resource_type), len(order))
    return sorted(choices, key=lambda c: order[c.provider, c.resource_type])


def _title(key: tuple[str, str]) -> str:
    provider, resource_type = key
    return f"{_TITLES.get(resource_type, resource_type)} at {provider}"


def _encode(choice: Choice) -> str:
    return json.dumps(choice.where)


def _decode(text: str) -> dict[str, Any]:
    try:
        provider, resource_type, deployment = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        msg = f"choice: {text!r:.60} is none of the choices of this form"
        raise InvalidOptions(msg) from None
    return {"provider": provider, "resource_type": resource_type, "deployment": deployment}


__all__ = ("needed", "parse", "render")
