from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiplespawner_core.catalogue.placeholders import (
    PLACEHOLDERS,
    has_placeholder,
    placeholders,
    render,
    unknown_placeholders,
)
from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.contracts.accounts import SYSTEM_NAMES, unix_user

HOSTILE = ["{0.__class__}", "{endpoint}", "{{endpoint}}", "$(id)", "a@b.c", "ærø", "x" * 200, "\\1"]
braced = st.text("{}ab_endpoint .0\"':", max_size=30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{endpoint}", "10.0.0.1"),
        ("ssh://{endpoint}:{endpoint}", "ssh://10.0.0.1:10.0.0.1"),
        ("{{endpoint}}", "{endpoint}"),
        ("{{{endpoint}}}", "{10.0.0.1}"),
        ("{{{{endpoint}}}}", "{{endpoint}}"),
        ('{"a": {endpoint}}', '{"a": 10.0.0.1}'),
        ('{"a": {"b": 1}}', '{"a": {"b": 1}}'),
        ("{{ jinja }} {% x %} {{.Go}}", "{{ jinja }} {% x %} {{.Go}}"),
        ("{} {0} {0.__class__} {endpoint.x} {endpoint[0]} {endpoint!r}",) * 2,
        ("{ endpoint } {æ} ${endpoint", "{ endpoint } {æ} ${endpoint"),
    ],
)
def test_only_plain_names_are_replaced(text, expected):
    assert render(text, {"endpoint": "10.0.0.1"}) == expected


def test_values_are_rendered_and_keys_are_not():
    value = {"{endpoint}": ["{endpoint}", ("{endpoint}", 1, None)], "n": 2.5}
    assert render(value, {"endpoint": "h"}) == {"{endpoint}": ["h", ("h", 1, None)], "n": 2.5}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_was_put_in_is_not_read_again(name):
    mapping = {"username": name, "endpoint": "SECRET"}
    assert render("{username}", mapping) == name
    assert render(["-{username}-"], mapping) == [f"-{name}-"]


@given(st.text(), st.text())
def test_any_name_is_data(name, other):
    mapping = {"username": name, "endpoint": other}
    assert render("<{username}|{endpoint}>", mapping) == f"<{name}|{other}>"


@given(braced)
def test_text_without_names_in_braces_stays_as_it_is(text):
    if not re.search(r"\{[A-Za-z_]\w*\}", text):
        assert render(text, {}) == text
        assert not has_placeholder(text)


@given(braced)
def test_exactly_the_placeholders_are_asked_for(text):
    names = {name for _, name in placeholders(text)}
    rendered = render(text, dict.fromkeys(names, "x"))
    assert has_placeholder(text) == bool(names)
    for name in names:
        with pytest.raises(ConfigurationError):
            render(text, dict.fromkeys(names - {name}, "x"))
    assert len(rendered) <= len(text)


@given(st.text(string.ascii_letters + "_", min_size=1))
def test_as_str_format_around_names(name):
    for pattern in ("{%s}", "{{%s}}", "{{{%s}}}", "a{%s}b{{%s}}"):
        text = pattern.replace("%s", name)
        assert render(text, {name: "v"}) == text.format(**{name: "v"})


def test_a_placeholder_without_a_value():
    with pytest.raises(ConfigurationError) as caught:
        render({"a": ["{endpoint}"]}, {})
    assert str(caught.value) == "the placeholder {endpoint} has no value here"


def test_unknown_placeholders_are_listed_with_their_path():
    value = {"a": ["{endpoint} {enpoint}", {"b": "{x}{{y}}{0}"}], "{z}": 1}
    assert unknown_placeholders(value) == [(("a", 0), "enpoint"), (("a", 1, "b"), "x")]
    assert unknown_placeholders([f"{{{name}}}" for name in PLACEHOLDERS]) == []


@pytest.mark.parametrize("name", ["alice", "a", "a-b_c9", "x" * 32, "ubuntu9"])
def test_a_legal_name_is_its_own_account(name):
    assert unix_user(name) == name


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("root", "root-jajustitpylddo5dahk2"),
        ("Alice", "alice-"),
        ("ærø", "r-"),
        ("42", "user-"),
        ("", "user-"),
        ("alice\n", "alice-"),
        ("{0.__class__}", "class-"),
        ("a@b.c", "a_b_c-"),
        ("x" * 33, "xxxxxxxxxxx-"),
        ("-rf", "rf-"),
        ("admin", "admin-"),
        ("docker", "docker-"),
        ("systemd-network", "systemd_net-"),
        ("\ud800", "user-"),
    ],
)
def test_other_names_get_an_account_of_their_own(name, account):
    assert unix_user(name).startswith(account)
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,10}-[a-z2-7]{20}", unix_user(name))


def test_no_system_name_is_given_to_a_user():
    assert not {unix_user(name) for name in SYSTEM_NAMES} & SYSTEM_NAMES


user_names = (
    st.text()
    | st.text(string.ascii_lowercase + "-_09", max_size=40)
    | st.from_regex(r"[a-z][a-z0-9_]{0,10}-[a-z2-7]{20}", fullmatch=True)
    | st.sampled_from(sorted(SYSTEM_NAMES))
)


@given(st.lists(user_names, unique=True, max_size=20))
@example(["root", unix_user("root"), unix_user(unix_user("root"))])
def test_no_two_users_share_an_account(names):
    accounts = {unix_user(name) for name in names}
    assert len(accounts) == len(names)
    assert all(re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", account) for account in accounts)
