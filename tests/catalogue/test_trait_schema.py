"""The schema of a trait takes what `coerce` takes for it."""

from __future__ import annotations

import pytest
from fakes.components import SSHSpawner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner
from traitlets import CInt, Enum, HasTraits, List, TraitError, Unicode, default

from multiplespawner_core.catalogue.coercion import coerce, settable_traits
from multiplespawner_core.catalogue.placeholders import has_placeholder, unknown_placeholders
from multiplespawner_core.catalogue.trait_schema import (
    NOTHING,
    SHARED,
    any_case,
    one_of,
    properties,
    trait_schema,
)

TEXTS = st.sampled_from(
    [
        *("", "text", "22", " 22 ", "-1", "1_000", "2.5", ".5", "1e3", "inf", "1G"),
        *("True", "yes", "OFF", "0", "aes", "3", "None", "{username}", "a{endpoint}b", "{a}"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-20, 20) | st.sampled_from([2.5, 22.0]) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2)
)
EXACT = ["remote_port", "retries", "patience", "verbose", "cipher", "amount", "hook", "anything"]
NUMBERS = {"retries", "patience", "amount"}
SCHEMAS = {cls: properties(cls) for cls in (SSHSpawner, SimpleLocalProcessSpawner)}
TRAITS = [(cls, name) for cls, schemas in SCHEMAS.items() for name in schemas]


def fits(schema, value):
    return Draft202012Validator({"$defs": dict(SHARED), **schema}).is_valid(value)


def taken(trait, value):
    try:
        coerce(trait, value)
    except TraitError:
        return False
    return True


def unsaid(value):
    """Traitlets takes true for 1, what a placeholder stands in is looked at when it is known, and
    loading refuses unknown ones whatever their trait takes: more than a schema should say."""
    if isinstance(value, (list, dict)):
        items = value.values() if isinstance(value, dict) else value
        return has_placeholder(value) or any(map(unsaid, items))
    return isinstance(value, bool) or bool(unknown_placeholders(value))


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(trait=st.sampled_from(TRAITS), value=VALUES)
def test_what_a_trait_takes_fits(trait, value):
    cls, name = trait
    if taken(settable_traits(cls)[name], value) and not unsaid(value):
        assert fits(SCHEMAS[cls][name], value)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(name=st.sampled_from(EXACT), value=VALUES)
@example(name="retries", value="10")
def test_what_fits_a_trait_takes(name, value):
    # A bound on a number that is written as text is more than a schema can say.
    text = isinstance(value, str) and name in NUMBERS
    if fits(SCHEMAS[SSHSpawner][name], value) and not text:
        assert taken(settable_traits(SSHSpawner)[name], value)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("retries", [0, 9, "5", "{username}"], [-1, 10, 1.5, "text", [], True]),
        ("verbose", [True, 0, "yes", " Off ", "{username}"], [2, "maybe", None, []]),
        ("cipher", ["aes", 3, "3", "{username}"], ["des", 4, None]),
        ("ports", [[1, "2"], ["{endpoint}"]], [[], ["text"], "text", 3]),
        ("names", [[], ["a", "{username}"]], [[1], "text"]),
        ("labels", [{}, {"a": "b"}], [{"a": 1}, [], "text"]),
        ("cpu_limit", [None, "None", 2, "0.5", "inf"], ["text", []]),
        ("amount", [None, 1, "text"], [[], {}]),
        ("hook", [None], ["text", 1, "{username}"]),
        ("mem_limit", [1, "1G", None], [[], {}]),
        ("cmd", ["server", ["server", "--flag"]], [1, {}]),
        ("environment", [{}, {"A": "b"}], [[], "text"]),
        ("ssl_alt_names", [["a"]], ["a", [1]]),
    ],
)
def test_kinds_of_traits(name, right, wrong):
    schema = properties(SSHSpawner)[name]
    assert [value for value in right if not fits(schema, value)] == []
    assert [value for value in wrong if fits(schema, value)] == []


def test_help_and_default_are_shown():
    found = properties(SSHSpawner)
    assert found["retries"]["description"] == "How often.\n\nThen it gives up."
    assert found["retries"]["default"] == 3
    assert found["cmd"]["default"] == ["jupyterhub-singleuser"]
    assert "default" not in found["hook"]
    assert "description" not in found["verbose"]


def test_a_default_that_is_computed_is_not_shown():
    class Computed(HasTraits):
        by_decorator = Unicode("no").tag(config=True)
        by_name = Unicode("no").tag(config=True)
        fixed = Unicode("yes").tag(config=True)

        @default("by_decorator")
        def _(self):
            return "yes"

        def _by_name_default(self):
            return "yes"

    found = properties(Computed)
    assert [name for name, schema in found.items() if "default" in schema] == ["fixed"]


def test_only_what_a_file_may_set_is_there():
    assert set(properties(LocalProcessSpawner)) == set(settable_traits(LocalProcessSpawner))
    assert "user" not in properties(LocalProcessSpawner)


def test_what_casts_takes_anything():
    assert trait_schema(CInt()) == {}


def test_an_enumeration_with_nothing_in_it_and_a_list_with_a_greatest_length():
    for trait, wrong in ((Enum([None, "a"]), "b"), (List(maxlen=2), [1, 2, 3])):
        for value in (None, "a", "None", [1, 2], wrong):
            assert fits(trait_schema(trait), value) is taken(trait, value)
        assert not fits(trait_schema(trait), wrong)


def test_alternatives():
    text, null = {"type": "string"}, {"type": "null"}
    assert one_of(text) == text
    assert one_of(text, null, text) == {"anyOf": [text, null]}
    assert one_of(one_of(text, null), {"type": "array"})["anyOf"] == [text, null, {"type": "array"}]
    assert one_of(text, {}) == {}
    assert one_of(NOTHING, text) == text
    assert one_of(NOTHING) == NOTHING


def test_names_in_any_case():
    pattern = f"^{any_case('a.Bß1')}$"
    for text, right in (("A.bß1", True), ("a.BSS1", False), ("axBß1", False)):
        assert fits({"pattern": pattern}, text) is right
