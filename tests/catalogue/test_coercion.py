from __future__ import annotations

import contextlib

import pytest
import traitlets as t
from hypothesis import given
from hypothesis import strategies as st
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.traitlets import ByteSpecification, Callable, Command
from traitlets import TraitError

from multiplespawner_core.catalogue.coercion import coerce, settable_traits


@pytest.mark.parametrize(
    ("trait", "value", "expected"),
    [
        (t.Bool(), "True", True),
        (t.Bool(), "no", False),
        (t.CBool(), "False", False),
        (t.Int(), "22", 22),
        (t.Int(), "-1", -1),
        (t.Float(), "1.5", 1.5),
        (t.Float(), 2, 2.0),
        (t.Unicode(), "22", "22"),
        (t.Unicode(), "True", "True"),
        (t.Unicode(allow_none=True), None, None),
        (t.Int(allow_none=True), "None", None),
        (t.Any(), "22", "22"),
        (t.Enum([1, 2]), "2", 2),
        (t.Enum(["a", "b"]), "a", "a"),
        (t.Union([Callable(), t.Float()]), "1.5", 1.5),
        (t.Union([t.Int(), t.Unicode()]), "22", "22"),
        (t.Union([t.Bool(), t.List()]), "true", True),
        (ByteSpecification(), "1G", 2**30),
        (ByteSpecification(), "22", 22),
        (Command(), "jupyterhub-singleuser", ["jupyterhub-singleuser"]),
        (Command(), "['a', 'b']", ["['a', 'b']"]),
        (t.List(t.Int()), ["1", 2], [1, 2]),
        (t.Dict(value_trait=t.Bool()), {"a": "yes"}, {"a": True}),
        (t.Unicode(), "{username}", "{username}"),
        (t.Int(), "{username}", "{username}"),
        (t.List(t.Int()), ["{username}"], ["{username}"]),
        (Command(), "run {username}", "run {username}"),
        (t.Dict(), {"a": "{username}"}, {"a": "{username}"}),
        (t.Union([t.Int(), t.Dict()]), {"a": "{username}"}, {"a": "{username}"}),
    ],
)
def test_what_fits(trait, value, expected):
    result = coerce(trait, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        (t.Bool(), "maybe", 'must be a boolean, but is "maybe"'),
        (t.Int(), "2.5", 'must be an int, but is "2.5"'),
        (t.Int(), "", 'must be an int, but is ""'),
        (t.Unicode(), 22, "must be a unicode string, but is 22"),
        (t.Unicode(), None, "must be a unicode string, but is null"),
        (t.List(), "[1, 2]", 'must be a list, but is "[1, 2]"'),
        (t.Dict(), "{}", 'must be a dict, but is "{}"'),
        (t.Enum(["a", "b"]), "c", "must be any of ['a', 'b'], but is \"c\""),
        (t.Union([t.Int(), t.Bool()]), "x", 'must be an int or a boolean, but is "x"'),
        (t.List(), "{username}", 'must be a list, but is "{username}"'),
        (t.Dict(), "{username}", 'must be a dict, but is "{username}"'),
        (t.List(), {"a": "{username}"}, 'must be a list, but is {"a": "{username}"}'),
        (t.Callable(), "{username}", 'must be a callable, but is "{username}"'),
        (t.Unicode(), ["{username}"], 'must be a unicode string, but is ["{username}"]'),
    ],
)
def test_what_does_not_fit(trait, value, message):
    with pytest.raises(TraitError) as caught:
        coerce(trait, value)
    assert str(caught.value) == message


def test_what_jupyterhub_sets_itself_is_not_settable():
    traits = settable_traits(LocalProcessSpawner)
    assert {"notebook_dir", "environment", "args", "cmd", "mem_limit", "popen_kwargs"} <= set(
        traits
    )
    assert not {"user", "user_options", "api_token", "db", "hub", "pid", "parent", "log"} & set(
        traits
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
spawner_traits = sorted(settable_traits(LocalProcessSpawner).items())


@given(st.sampled_from(spawner_traits), json_values)
def test_only_a_trait_error_comes_out(named, value):
    with contextlib.suppress(TraitError):
        coerce(named[1], value)


@given(st.text())
def test_text_never_becomes_a_list_or_mapping(text):
    for trait in (t.List(), t.Dict(), t.Set(), t.Tuple(), t.Union([t.List(), t.Unicode()])):
        with contextlib.suppress(TraitError):
            assert coerce(trait, text) == text
