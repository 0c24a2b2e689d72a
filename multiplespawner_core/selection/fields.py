"""What fields of the form and parameters of a query say: canonical user options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from multiplespawner_core.catalogue.limits import QUANTITIES, WHOLE
from multiplespawner_core.selection.request import WHERE, Choice, InvalidOptions

CHOICE = "choice"
"""The field that holds all that names a choice."""


def parse(form: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Canonical user options from the form's fields or a query string.

    Args:
        form: by field, its texts, or JupyterHub's descriptions of uploaded files. The last one
            counts, and an empty one as unset. The keys of user options are fields as well, and
            say more than the form's own ``choice``.

    Raises:
        InvalidOptions: a field does not hold what it must.
    """
    fields = {key: values[-1] for key, values in form.items() if values and key != "_xsrf"}
    for key, value in fields.items():
        if not isinstance(value, str):
            msg = f"{key!r:.60} is a file, and nothing here takes one"
            raise InvalidOptions(msg)
    filled = {key: value for key, value in fields.items() if value.strip()}
    options: dict[str, Any] = _decode(filled.pop(CHOICE)) if CHOICE in filled else {}
    for key, value in filled.items():
        options[key] = _number(key, value) if key in QUANTITIES else value
    return options


def encode(choice: Choice) -> str:
    """The value of the field `CHOICE`."""
    return json.dumps(choice.where)


def _decode(text: str) -> dict[str, Any]:
    try:
        where = dict(zip(WHERE, json.loads(text), strict=True))
    except (ValueError, TypeError, RecursionError):
        msg = f"{CHOICE}: {text!r:.60} is none of the choices of this form"
        raise InvalidOptions(msg) from None
    return where


def _number(key: str, text: str) -> float | int:
    whole = key in WHOLE
    try:
        return int(text) if whole else float(text)
    except ValueError:
        msg = f"{key}: {text!r:.60} is no {'whole ' if whole else ''}number"
        raise InvalidOptions(msg) from None


__all__ = ("CHOICE", "encode", "parse")
