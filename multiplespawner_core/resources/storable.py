"""What of a value the ledger may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def storable(value: Any, left_out: Callable[[str], bool]) -> Any:
    """`value` without what JSON cannot hold, and without some keys of its mappings.

    Args:
        value: what to store; None if nothing of it can be.
        left_out: says which keys do not belong into the ledger, such as those of secrets.
    """
    kept = _kept(value, left_out)
    return None if kept is _NOTHING else kept


def _kept(value: Any, left_out: Callable[[str], bool]) -> Any:
    if isinstance(value, Mapping):
        items = {
            str(key): _kept(item, left_out) for key, item in value.items() if not left_out(key)
        }
        return {key: item for key, item in items.items() if item is not _NOTHING}
    if isinstance(value, (list, tuple)):
        return [kept for item in value if (kept := _kept(item, left_out)) is not _NOTHING]
    return value if value is None or isinstance(value, (str, int, float, bool)) else _NOTHING


_NOTHING: Any = object()


__all__ = ("storable",)
