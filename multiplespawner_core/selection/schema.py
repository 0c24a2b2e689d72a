"""What one user may choose as JSON Schema: it accepts exactly what `select` accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multiplespawner_core.catalogue.limits import QUANTITIES, Allowed
from multiplespawner_core.selection.request import WHERE, Choice

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(choices: Sequence[Choice]) -> dict[str, Any]:
    """For canonical user options, one alternative for each choice.

    Null stands for what is not said, as in the options that JupyterHub stores. Choices with the
    same limits share them.
    """
    shared: dict[tuple[Allowed, ...], str] = {}
    for choice in choices:
        shared.setdefault(tuple(choice.limits.values()), f"limits-{len(shared) + 1}")
    return {
        "$schema": _DIALECT,
        "title": "What may be chosen",
        "type": "object",
        "properties": dict.fromkeys((*WHERE, *QUANTITIES), True),
        "additionalProperties": False,
        # An empty list of alternatives is no schema.
        "anyOf": [_alternative(choice, shared) for choice in choices] or [False],
        "$defs": {
            name: {"properties": {one.name: one.schema() for one in limits}}
            for limits, name in shared.items()
        },
    }


def _alternative(choice: Choice, shared: Mapping[tuple[Allowed, ...], str]) -> dict[str, Any]:
    where = {key: {"enum": [getattr(choice, key), None]} for key in WHERE}
    limits = shared[tuple(choice.limits.values())]
    return {"title": choice.template, "properties": where, "$ref": f"#/$defs/{limits}"}


__all__ = ("schema",)
