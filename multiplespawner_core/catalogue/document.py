"""The text of a configuration file as a value of which every part knows its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from multiplespawner_core.catalogue.building import Builder, Lines, Malformed, Problem
from multiplespawner_core.catalogue.findings import Finding, KeyPath, Severity, path_text

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|[^\s\[\]{},:"]+')
_JSON_WORDS = {"true": True, "false": False, "null": None}
_JSON_OUTSIDE = {"NaN", "Infinity", "-Infinity"}

_FLOW = re.compile(r"(?:\s|#.*\n)*[\[{]")
_TAB = re.compile(r"""\t|#.*|"(?:[^"\\]|\\[\s\S])*"|'[^']*'""")

# Only what YAML 1.1 and 1.2 agree on is no text: `no` is a country, 22:22 a pair of ports, 010 and
# 1e5 are names. A trait that wants a number still gets it from such text.
_YAML_NULL = re.compile(r"~|null|Null|NULL|\Z")
_YAML_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_YAML_WORDS["FALSE"] = False
_YAML_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+|([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?"
)
_YAML_OUTSIDE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class ParseError(Exception):
    """A file that is no document.

    Args:
        findings: what is wrong with it; at least one.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


@dataclass(frozen=True)
class Document:
    """A parsed configuration file.

    Args:
        filename: as findings name it.
        value: what it says: mappings, lists, text, numbers, booleans and null.
    """

    filename: str
    value: Any
    _values: Mapping[KeyPath, tuple[int, int]] = field(repr=False)
    _keys: Mapping[KeyPath, tuple[int, int]] = field(repr=False)

    @property
    def directory(self) -> Path:
        """Of the file."""
        return Path(self.filename).absolute().parent

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column, from 1, of the value there or of the nearest one around it."""
        steps = tuple(path)
        while steps not in self._values:
            steps = steps[:-1]
        return self._values[steps]

    def key_position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the key with which the path ends, else of the value."""
        return self._keys.get(tuple(path)) or self.position(path)

    def finding(
        self,
        path: Sequence[str | int],
        message: str,
        hint: str = "",
        *,
        at_key: bool = False,
        severity: Severity = "error",
    ) -> Finding:
        """A finding about the value (or key) at the path."""
        line, column = self.key_position(path) if at_key else self.position(path)
        return Finding(self.filename, line, column, path_text(path), message, hint, severity)


def parse(source: str | bytes, filename: str) -> Document:
    """Read JSON or YAML.

    JSON is tried first, then YAML, which takes comments and strings that a backslash continues
    on the next line. Where neither fits, the one that came further says why.

    Raises:
        ParseError: and nothing else, whatever the source is.
    """
    text = _decode(source, filename) if isinstance(source, bytes) else source
    text = text.removeprefix("\ufeff")
    lines = Lines(text)
    try:
        builder = _parse(text, lines)
    except Malformed as error:
        raise ParseError(
            Finding(filename, *lines.at(problem.offset), "", problem.message, problem.hint)
            for problem in error.problems
        ) from None
    values = {path: lines.at(offset) for path, offset in builder.values.items()}
    keys = {path: lines.at(offset) for path, offset in builder.keys.items()}
    return Document(filename, builder.value, values, keys)


def _decode(source: bytes, filename: str) -> str:
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        before = source[: error.start].decode().removeprefix("\ufeff")
        line, column = Lines(before).at(len(before))
        message = f"is not UTF-8: byte 0x{source[error.start]:02x}"
        finding = Finding(filename, line, column, "", message, "save the file as UTF-8")
        raise ParseError([finding]) from None


def _parse(text: str, lines: Lines) -> Builder:
    if not text.strip():
        raise Malformed([Problem(0, "the file is empty")])
    try:
        builder = _read_json(text, lines)
    except Malformed as from_json:
        if not from_json.syntax:
            raise
        try:
            builder = _read_yaml(text, lines)
        except Malformed as from_yaml:
            raise _closer(text, lines, from_json, from_yaml) from None
    if builder.problems:
        raise Malformed(builder.problems)
    return builder


def _closer(text: str, lines: Lines, from_json: Malformed, from_yaml: Malformed) -> Malformed:
    if not from_yaml.syntax:
        return from_yaml
    json_line, _ = lines.at(from_json.problems[0].offset)
    yaml_line, _ = lines.at(from_yaml.problems[0].offset)
    # Within one line JSON's message is better: YAML joins words to a text and stumbles later.
    return from_json if _FLOW.match(text) and json_line >= yaml_line else from_yaml


def _read_json(text: str, lines: Lines) -> Builder:
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise Malformed([Problem(error.pos, f"is not JSON: {error.msg}")], syntax=True) from None
    except RecursionError:
        pass  # the builder says where
    builder = Builder(lines)
    for match in _JSON_TOKEN.finditer(text):
        piece, offset = match[0], match.start()
        if piece in "[{":
            builder.open([] if piece == "[" else {}, offset)
        elif piece in "]}":
            builder.close()
        elif piece.startswith('"'):
            builder.scalar(json.loads(piece), offset)
        elif piece in _JSON_WORDS:
            builder.scalar(_JSON_WORDS[piece], offset)
        elif piece in _JSON_OUTSIDE:
            builder.problem(offset, f"{piece} is not a finite number")
            builder.scalar(None, offset)
        else:
            builder.number(piece, offset)
    return builder


def _read_yaml(text: str, lines: Lines) -> Builder:
    builder = Builder(lines)
    offset = 0
    try:
        for event in yaml.parse(_without_tabs(text), Loader=yaml.SafeLoader):
            offset = event.start_mark.index if event.start_mark else offset
            _take(builder, event, offset)
    except yaml.reader.ReaderError as error:
        raise _no_yaml(error.position, f"unusable character U+{error.character:04X}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _no_yaml(mark.index if mark else offset, str(error.problem)) from None
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - PyYAML lets ValueError and others through
        raise _no_yaml(offset, str(error)) from None
    if not builder.values:
        raise Malformed([Problem(0, "the file is empty")])
    return builder


def _no_yaml(offset: int, message: str) -> Malformed:
    return Malformed([Problem(offset, f"is not YAML: {message}")], syntax=True)


def _without_tabs(text: str) -> str:
    """JSON may be indented by tabs; so may it with comments in it, though YAML may not."""
    if not _FLOW.match(text):
        return text
    return _TAB.sub(lambda match: " " if match[0] == "\t" else match[0], text)


def _take(builder: Builder, event: Any, offset: int) -> None:
    if isinstance(event, yaml.DocumentStartEvent) and builder.values:
        raise Malformed([Problem(offset, "a second document begins", "keep one in each file")])
    if isinstance(event, yaml.AliasEvent):
        builder.problem(offset, f"the alias *{event.anchor} is not supported", "write it out")
        builder.scalar(f"*{event.anchor}", offset)
    elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
        if event.anchor:
            builder.problem(offset, f"the anchor &{event.anchor} is not supported", "write it out")
        if event.tag:
            builder.problem(offset, f"the tag {event.tag} is not supported", "leave it out")
        if isinstance(event, yaml.ScalarEvent):
            _scalar(builder, event, offset)
        else:
            builder.open({} if isinstance(event, yaml.MappingStartEvent) else [], offset)
    elif isinstance(event, yaml.CollectionEndEvent):
        builder.close()


def _scalar(builder: Builder, event: yaml.ScalarEvent, offset: int) -> None:
    text: str = event.value
    if event.style is not None:
        builder.scalar(text, offset)
    elif _YAML_NULL.fullmatch(text):
        builder.scalar(None, offset)
    elif text in _YAML_WORDS:
        builder.scalar(_YAML_WORDS[text], offset)
    elif _YAML_OUTSIDE.fullmatch(text):
        builder.problem(offset, f"{text} is not a finite number")
        builder.scalar(None, offset)
    elif _YAML_NUMBER.fullmatch(text):
        builder.number(text, offset)
    else:
        builder.scalar(text, offset)


__all__ = ("Document", "ParseError", "parse")
