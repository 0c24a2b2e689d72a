"""Building a value while remembering where each part of it stands, for JSON and YAML alike."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from multiplespawner_core.catalogue.findings import KeyPath, shown

MAX_DEPTH = 64
_MAX_DIGITS = 300
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_WHOLE = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+")
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """What a parser found wrong at an offset of the text."""

    offset: int
    message: str
    hint: str = ""


class Malformed(Exception):
    """The text is no document.

    Args:
        problems: at least one.
        syntax: whether the parser lost its way, so that the other parser is worth asking.
    """

    def __init__(self, problems: Iterable[Problem], *, syntax: bool = False) -> None:
        super().__init__()
        self.problems = tuple(problems)
        self.syntax = syntax


class Lines:
    """Offsets of a text as lines and columns, as editors count them."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text))]

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass
class _Frame:
    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None
    wants_key: bool = False

    def next_path(self) -> KeyPath:
        if isinstance(self.container, list):
            return (*self.path, len(self.container))
        return self.path if self.key is None else (*self.path, self.key)

    def put(self, value: Any) -> None:
        if isinstance(self.container, list):
            self.container.append(value)
            return
        if self.key is not None:
            self.container[self.key] = value
        self.key, self.wants_key = None, True


class Builder:
    """Takes the events of a parser in order; refuses what no configuration needs."""

    def __init__(self, lines: Lines) -> None:
        self.value: Any = None
        self.values: dict[KeyPath, int] = {}
        self.keys: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._lines = lines
        self._stack: list[_Frame] = []

    def problem(self, offset: int, message: str, hint: str = "") -> None:
        self.problems.append(Problem(offset, message, hint))

    def open(self, container: dict[str, Any] | list[Any], offset: int) -> None:
        """A mapping or a list begins."""
        if len(self._stack) == MAX_DEPTH:
            raise Malformed([Problem(offset, f"nested deeper than {MAX_DEPTH} levels")])
        if self._stack and self._stack[-1].wants_key:
            self.problem(offset, "a key must be text, not a list or mapping")
        path = self._place(offset)
        mapping = isinstance(container, dict)
        self._stack.append(_Frame(container, path, wants_key=mapping))

    def close(self) -> None:
        """The innermost mapping or list ends."""
        self._finish(self._stack.pop().container)

    def scalar(self, value: Any, offset: int) -> None:
        """A key, if the innermost mapping wants one, else a value."""
        if isinstance(value, str) and (match := _UNUSABLE.search(value)):
            self.problem(offset, f"holds the unusable character U+{ord(match[0]):04X}")
            value = _UNUSABLE.sub("\ufffd", value)
        if self._stack and self._stack[-1].wants_key:
            self._key(value, offset)
            return
        if isinstance(value, float) and not math.isfinite(value):
            self.problem(offset, "is not a finite number")
        self._place(offset)
        self._finish(value)

    def number(self, text: str, offset: int) -> None:
        """A scalar that the parser recognised as a number."""
        if len(text) > _MAX_DIGITS:
            self.problem(offset, f"a number of {len(text)} digits")
            self.scalar(0, offset)
        elif _WHOLE.fullmatch(text):
            self.scalar(int(text, 16 if text.startswith("0x") else 10), offset)
        else:
            self.scalar(float(text), offset)

    def _key(self, key: Any, offset: int) -> None:
        frame = self._stack[-1]
        frame.wants_key = False
        if not isinstance(key, str):
            self.problem(offset, f"the key {shown(key)} is not text", "put it in quotes")
            return
        frame.key = key
        path = (*frame.path, key)
        if path in self.keys:
            line, column = self._lines.at(self.keys[path])
            message = f"the key {key!r} stands twice"
            self.problem(offset, message, f"first at line {line}, column {column}")
        else:
            self.keys[path] = offset

    def _place(self, offset: int) -> KeyPath:
        path = self._stack[-1].next_path() if self._stack else ()
        self.values.setdefault(path, offset)
        return path

    def _finish(self, value: Any) -> None:
        if not self._stack:
            self.value = value
            return
        frame = self._stack[-1]
        if frame.wants_key:  # a list or mapping in a key's place, reported already
            frame.wants_key = False
        else:
            frame.put(value)


__all__ = ("MAX_DEPTH", "Builder", "Lines", "Malformed", "Problem")
