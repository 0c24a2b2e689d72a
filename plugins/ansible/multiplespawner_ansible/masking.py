"""What must not be seen, taken out of what is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SECRET = re.compile(
    r"pass(word|wd|phrase)?(_|$)|secret|token|credential|api_?key|private_key$", re.IGNORECASE
)
_LONGEST = 600
_DOTS = "..."


class Mask:
    """Replaces secrets by dots, however they are written.

    Args:
        values: by name; those with a name that looks secret are, whatever lies below it.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        spellings = {way for text in _secrets(values) for way in _spellings(text)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        return self._found.sub(_DOTS, text)

    def line(self, text: str) -> str:
        """The same on one line, and no longer than somebody reads."""
        flat = " ".join(self(text).split())
        return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - len(_DOTS)]}{_DOTS}"


def _secrets(value: Any, *, secret: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _secrets(item, secret=secret or bool(_SECRET.search(str(name))))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(item, secret=secret)
    elif secret and value is not None and not isinstance(value, bool) and str(value).strip():
        yield str(value)


def _spellings(text: str) -> Iterator[str]:
    """As it is, within JSON, within Python's quotes, and each of several lines by itself."""
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    lines = [line.strip() for line in text.splitlines()]
    yield from (line for line in lines if len(lines) > 1 and line)


__all__ = ("Mask",)
