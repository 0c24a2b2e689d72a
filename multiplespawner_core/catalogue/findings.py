"""What is wrong with a configuration file, where, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning"]

KeyPath = tuple[str | int, ...]
"""From the top of a document to a value: keys of mappings and indices of lists."""

_PLAIN_KEY = re.compile(r"[\w-]+\Z")
_SECRET = re.compile(
    r"(?i)passw|passphrase|([_-]|\b)pass\b|[_-]pwd\b|secret|token|credential"
    r"|(api|auth|private)[_-]?key"
)
_IN_URL = re.compile(r"(?<=://)([^\s/?#@:]*):[^\s/?#]*@")
_ASSIGNED = re.compile(r"([\w.-]+)=(\S+)")
_LONGEST = 60
_MOST_CHOICES = 12


@dataclass(frozen=True)
class Finding:
    """One thing that an administrator should know of a configuration file.

    Args:
        file: which file, or the folder where one was looked for.
        line: from 1; None where the finding is about the file as a whole.
        column: from 1.
        path: the key path, such as ``[0].spawner.class``; empty for the whole file.
        message: what is wrong.
        hint: what would be right.
        severity: an error takes something out of use, a warning does not.
    """

    file: str
    line: int | None
    column: int | None
    path: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        parts = [place, "warning" if self.severity == "warning" else "", self.path, self.message]
        text = ": ".join(part for part in parts if part)
        return f"{text} ({self.hint})" if self.hint else text


def path_text(path: Sequence[str | int]) -> str:
    """The path as administrators read it: ``[0].spawner.kwargs["odd key"]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, without regard to case; None if none is close."""
    spelling = {candidate.lower(): candidate for candidate in candidates if candidate}
    close = difflib.get_close_matches(word.strip().lower(), spelling, n=1)
    return spelling[close[0]] if close else None


def suggestion(word: str, candidates: Iterable[str]) -> str:
    """A hint: the nearest candidate, else all of them if they are few, else nothing."""
    candidates = tuple(candidates)
    close = nearest(word, candidates)
    if close is not None:
        return f"did you mean {close!r}?"
    if 0 < len(candidates) <= _MOST_CHOICES:
        return f"allowed: {', '.join(candidates)}"
    return ""


def looks_secret(key: Any) -> bool:
    """Whether the value of such a key should not be seen."""
    return bool(_SECRET.search(str(key)))


def shown(value: Any, path: Sequence[str | int] = ()) -> str:
    """The value as JSON, shortened, without anything whose key looks like that of a secret."""
    if any(isinstance(step, str) and looks_secret(step) for step in path):
        return "a secret that is not shown"
    text = json.dumps(without_secrets(value), ensure_ascii=False, default=repr)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def without_secrets(value: Any) -> Any:
    """The value with dots for everything whose key looks like that of a secret.

    Passwords in URLs are such, and so is what follows ``--password`` or ``TOKEN=`` in a command.
    """
    if isinstance(value, str):
        return _ASSIGNED.sub(_masked, _IN_URL.sub(r"\1:...@", value))
    if isinstance(value, Mapping):
        return {
            key: "..." if looks_secret(key) else without_secrets(item)
            for key, item in value.items()
        }
    if not isinstance(value, (list, tuple, set)):
        return value
    items = list(value)
    return [
        "..." if _is_flag(before) and isinstance(item, str) else without_secrets(item)
        for before, item in zip(["", *items], items)  # noqa: B905 - the last one precedes nothing
    ]


def _masked(match: re.Match[str]) -> str:
    return f"{match[1]}=..." if looks_secret(match[1]) else match[0]


def _is_flag(word: Any) -> bool:
    return isinstance(word, str) and word.startswith("-") and "=" not in word and looks_secret(word)


__all__ = (
    "Finding",
    "KeyPath",
    "Severity",
    "looks_secret",
    "nearest",
    "path_text",
    "shown",
    "suggestion",
    "without_secrets",
)
