"""Quantities as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.figures import Quantity, Target

_HEADER = ("median", "quartiles", "difference", "ratio")
_WIDTHS = (9, 18, 25, 22)
_WORDS = {
    "median": "{:g} {unit}",
    "over": "{:g} {unit} more than {reference}",
    "ratio": "{:g} times {reference}",
}


def render(title: str, quantities: Sequence[Quantity]) -> str:
    """All of one benchmark; in brackets where the comparison lies with 95 % confidence."""
    return "\n".join(_lines(title, quantities)) + "\n"


def _lines(title: str, quantities: Sequence[Quantity]) -> Iterator[str]:
    subjects = [f"  {subject}" for one in quantities for subject in one.samples]
    width = max(map(len, [*subjects, *map(_heading, quantities)])) + 2
    yield title
    for one in quantities:
        yield ""
        compared = one.reference is not None
        yield _row(_heading(one), _HEADER if compared else _HEADER[:2], width)
        for subject in one.samples:
            yield _row(f"  {subject}", _cells(one.figures(subject)), width)
        if one.target is not None:
            yield f"  {_verdict(one, one.target)}"


def _heading(quantity: Quantity) -> str:
    return f"{quantity.name}, {quantity.unit}"


def _row(first: str, cells: Sequence[str], width: int) -> str:
    # Not strict: what is compared with nothing has fewer cells.
    rest = (f"{cell:>{size}}" for cell, size in zip(cells, _WIDTHS, strict=False))
    return f"{first:<{width}}{''.join(rest)}"


def _cells(figures: dict[str, Any]) -> list[str]:
    low, high = figures["quartiles"]
    cells = [_number(figures["median"]), f"{_number(low)} .. {_number(high)}"]
    if "over" in figures:
        low, high = figures["over_interval"]
        cells.append(f"{figures['over']:+.1f} [{low:+.1f}, {high:+.1f}]")
        low, high = figures["ratio_interval"]
        cells.append(f"{figures['ratio']:.2f} [{low:.2f}, {high:.2f}]")
    return cells


def _verdict(quantity: Quantity, target: Target) -> str:
    words = _WORDS[target.figure]
    wanted = words.format(target.limit, unit=quantity.unit, reference=quantity.reference)
    verdict = "met" if quantity.met else "missed"
    reached = _number(quantity.reached())
    return f"target: {target.subject} at most {wanted}: {reached}, {verdict}"


def _number(value: float) -> str:
    """Three digits, as far as they say anything."""
    size = abs(value)
    return f"{value:.{2 if size < 10 else 1 if size < 100 else 0}f}"  # noqa: PLR2004 - digits


__all__ = ("render",)
