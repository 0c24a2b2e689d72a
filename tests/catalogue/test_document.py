from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from multiplespawner_core.catalogue.document import ParseError, parse

REFERENCE = sorted((Path(__file__).parent / "reference").glob("*.json"))

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def problems(source):
    with pytest.raises(ParseError) as caught:
        parse(source, "f")
    assert str(caught.value) == "\n".join(map(str, caught.value.findings))
    return [str(finding) for finding in caught.value.findings]


def every_path(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for step, item in items:
            yield from every_path(item, (*path, step))


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_the_reference_parses(path):
    assert parse(path.read_bytes(), path.name).value


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_the_reference_parses_when_indented_by_tabs(path):
    tabbed = path.read_text().replace("    ", "\t")
    assert parse(tabbed, "f").value == parse(path.read_text(), "f").value


def test_a_backslash_continues_a_string_on_the_next_line(reference):
    [template] = parse((reference / "templates_example.json").read_text(), "f").value
    assert template["spawner"]["kwargs"] == {
        "remote_hosts": ["{endpoint}"],
        "remote_port": "22",
        "ssh_keyfile": "~/.corc/ssh/id_rsa",
        "remote_port_command": "/usr/bin/python3 /usr/local/bin/get_port.py",
    }


def test_positions_of_values_and_keys():
    document = parse('[\n\t{"name":\t"x",\r\n "list": [1, {}]}\r]', "f")
    assert document.position(()) == (1, 1)
    assert document.position((0,)) == (2, 2)
    assert document.position((0, "name")) == (2, 11)
    assert document.key_position((0, "name")) == (2, 3)
    assert document.position((0, "list", 1)) == (3, 14)
    assert document.key_position((0, "list", 1)) == (3, 14)


def test_a_missing_path_has_the_position_of_what_is_around_it():
    document = parse('[{"a": {"b": 1}}]', "f")
    assert document.position((0, "a", "c", 3)) == (1, 8)
    assert document.key_position((0, "a", "c")) == (1, 8)
    assert document.position((7, "a")) == (1, 1)


def test_yaml_positions():
    document = parse("# top\n- name: x\n  list:\n    - 1\n    - b: c\n", "f")
    assert document.value == [{"name": "x", "list": [1, {"b": "c"}]}]
    assert document.position((0, "name")) == (2, 9)
    assert document.key_position((0, "list")) == (3, 3)
    assert document.position((0, "list", 1, "b")) == (5, 10)


def test_only_what_every_yaml_agrees_on_is_no_text():
    texts = ["no", "yes", "22:22", "2024-01-01", "1_000", "010", "0o17", "1e5", "0E0", "<<", "="]
    assert parse(f"[{', '.join(texts)}, 'true', \"1\"]", "f").value == [*texts, "true", "1"]
    others = "[~, null, true, False, 0, -7, 0x1F, 1.5, .5, 1.0e+3]"
    assert parse(others, "f").value == [None, None, True, False, 0, -7, 31, 1.5, 0.5, 1000.0]


def test_a_byte_order_mark_is_no_text():
    assert parse(b"\xef\xbb\xbf[1]", "f").position((0,)) == (1, 2)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ["f:1:1: the file is empty"]),
        (" \n\t\n", ["f:1:1: the file is empty"]),
        ("# only a comment\n", ["f:1:1: the file is empty"]),
        (b"\xef\xbb\xbf", ["f:1:1: the file is empty"]),
        (b'["a",\n "\xff"]', ["f:2:3: is not UTF-8: byte 0xff (save the file as UTF-8)"]),
        (b"\xff\xfe[\x00]\x00", ["f:1:1: is not UTF-8: byte 0xff (save the file as UTF-8)"]),
        ('{"a": 1\n "b": 2}', ["f:2:2: is not JSON: Expecting ',' delimiter"]),
        ('{"a": 1 "b": 2}', ["f:1:9: is not JSON: Expecting ',' delimiter"]),
        ("[1, # one\n 2\n}", ["f:3:1: is not YAML: expected ',' or ']', but got '}'"]),
        ('[{"a": 1}', ["f:1:10: is not JSON: Expecting ',' delimiter"]),
        (
            "- a: 1\n  b: [1\n- c: 2\n",
            ["f:3:4: is not YAML: expected ',' or ']', but got ':'"],
        ),
        ("a: b: c\n", ["f:1:5: is not YAML: mapping values are not allowed here"]),
        ("a:\n\tb: 1\n", ["f:2:1: is not YAML: found character '\\t' that cannot start any token"]),
        ("- a\x07\n", ["f:1:4: is not YAML: unusable character U+0007"]),
        (
            '{"a": 1,\n "b": {"a": 2, "a": 3},\n "a": 4}',
            [
                "f:2:16: the key 'a' stands twice (first at line 2, column 8)",
                "f:3:2: the key 'a' stands twice (first at line 1, column 2)",
            ],
        ),
        ("a: 1\na: 2\n", ["f:2:1: the key 'a' stands twice (first at line 1, column 1)"]),
        ("[1, NaN]", ["f:1:5: NaN is not a finite number"]),
        ("[-Infinity]", ["f:1:2: -Infinity is not a finite number"]),
        ("[1e999]", ["f:1:2: is not a finite number"]),
        (
            "- .inf\n- .nan\n",
            ["f:1:3: .inf is not a finite number", "f:2:3: .nan is not a finite number"],
        ),
        ("[" + "1" * 5000 + "]", ["f:1:2: a number of 5000 digits"]),
        ("- " + "1" * 5000, ["f:1:3: a number of 5000 digits"]),
        ("[" * 100_000, ["f:1:65: nested deeper than 64 levels"]),
        ("[" * 65 + "]" * 65, ["f:1:65: nested deeper than 64 levels"]),
        ("- " * 65 + "a", ["f:1:129: nested deeper than 64 levels"]),
        ('{"a": ' * 5000 + "1" + "}" * 5000, ["f:1:385: nested deeper than 64 levels"]),
        (
            "a: &x [1]\nb: *x\n",
            [
                "f:1:4: the anchor &x is not supported (write it out)",
                "f:2:4: the alias *x is not supported (write it out)",
            ],
        ),
        ("1: x\n", ["f:1:1: the key 1 is not text (put it in quotes)"]),
        ("true: x\n", ["f:1:1: the key true is not text (put it in quotes)"]),
        ("? [a, b]\n: x\n", ["f:1:3: a key must be text, not a list or mapping"]),
        (
            "- !!python/object/apply:os.system ['id']\n",
            [
                ("f:1:3: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported"
                " (leave it out)")
            ],
        ),
        ("a: 1\n---\nb: 2\n", ["f:2:1: a second document begins (keep one in each file)"]),
        ('["a\\u0000"]', ["f:1:2: holds the unusable character U+0000"]),
        ('{"\\ud800": 1}', ["f:1:2: holds the unusable character U+D800"]),
    ],
)  # fmt: skip
def test_what_is_no_document(source, expected):
    assert problems(source) == expected


@given(values)
def test_json_loads_as_itself(value):
    assert parse(json.dumps(value), "f").value == value
    assert parse(json.dumps(value, ensure_ascii=False, indent="\t").encode(), "f").value == value


@given(values)
@example(["0E0"])
def test_yaml_loads_as_itself(value):
    for flow in (False, True):
        dumped = yaml.safe_dump(value, default_flow_style=flow)
        if "&id" not in dumped and not is_json(dumped):
            assert parse(dumped, "f").value == value


def is_json(text):
    """JSON comes first: ``[0E0]`` holds a number there, and a text in YAML."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@given(values)
@example({"x" * 2000: {"a": 1}})
@example({"\x7f": ["\x85", "\u2028"]})
def test_positions_point_at_the_value(value):
    text = json.dumps(value, ensure_ascii=False, indent=2)
    document = parse(text, "f")
    lines = text.split("\n")
    for path in every_path(value):
        line, column = document.position(path)
        part = value
        for step in path:
            part = part[step]
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == part
        if path and isinstance(path[-1], str):
            line, column = document.key_position(path)
            assert lines[line - 1][column - 1 :].startswith(
                json.dumps(path[-1], ensure_ascii=False)
            )


@given(st.text() | st.text("[]{}:,\"'#&*!|>-? \n\t\\a1%~u@`") | st.binary())
def test_nothing_but_a_parse_error_comes_out(source):
    try:
        parse(source, "f")
    except ParseError as error:
        found = error.findings
    else:
        return
    assert found
    assert all(finding.line >= 1 and finding.column >= 1 for finding in found)
