"""Where plugins' answers enter: what is not as the contract says is named at once."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def expect(answer: Any, kind: type[T], plugin: object, method: str) -> T:
    """The answer of a plugin, if it is of the contract's type.

    Raises:
        TypeError: it is not; the message names class and method.
    """
    if not isinstance(answer, kind):
        cls = plugin if isinstance(plugin, type) else type(plugin)
        who = f"{cls.__name__}.{method}"
        msg = f"{who} returned {answer!r:.200}, not {kind.__name__}"
        raise TypeError(msg)
    return answer


__all__ = ("expect",)
