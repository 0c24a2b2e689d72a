"""The schema of what may be chosen, against `select`: each accepts what the other one does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from multiplespawner_core.catalogue.limits import QUANTITIES, Limits, combine
from multiplespawner_core.selection.request import Choice, InvalidOptions, select
from multiplespawner_core.selection.schema import schema

WORDS = ["a", "b", "c"]
# As people write them; what floating point makes of sums is not the schema's to say.
AMOUNTS = st.integers(-2, 4000).map(lambda n: n / 100) | st.integers(-1, 2000)
FRACTIONS = [
    None,
    {},
    {"max": 4},
    {"min": 0.5, "max": 8, "default": 2},
    {"max": 2, "step": 0.1},
    {"min": 0.3, "max": 9, "step": 0.3, "default": 0.9},
    {"step": 0.25},
    {"min": 1, "max": 16, "step": 3},
    {"max": 0.7, "step": 0.07},
    {"min": 2, "max": 2},
]
WHOLE = [
    None,
    {},
    {"max": 4},
    {"min": 2, "max": 900, "step": 2, "default": 60},
    {"min": 1, "max": 1},
]
RANGES = {
    **dict.fromkeys(["cpu", "memory"], st.sampled_from(FRACTIONS)),
    **dict.fromkeys(["gpu", "lifetime"], st.sampled_from(WHOLE)),
}
LIMITS = st.fixed_dictionaries(RANGES)


def limits(given):
    return combine(Limits.model_validate(given), Limits())


CHOICES = st.lists(
    st.builds(
        Choice,
        st.sampled_from(WORDS),
        st.sampled_from(["virtual_machine", "container"]),
        st.sampled_from(WORDS),
        st.just("t"),
        LIMITS.map(limits),
    ),
    max_size=5,
    unique_by=lambda choice: choice.where,
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=3)
    | st.floats(allow_nan=False, allow_infinity=False, width=16),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
PLACES = {
    "provider": st.sampled_from([*WORDS, None]),
    "resource_type": st.sampled_from(["virtual_machine", "container", None]),
    "deployment": st.sampled_from([*WORDS, None]),
}
VALUES = {**PLACES, **dict.fromkeys(QUANTITIES, st.none() | AMOUNTS)}
BODIES = st.one_of(
    st.fixed_dictionaries({}, optional=VALUES),
    st.fixed_dictionaries({}, optional={key: one | JUNK for key, one in VALUES.items()}),
    st.dictionaries(st.sampled_from([*VALUES, "cpus", ""]), JUNK | AMOUNTS, max_size=3),
    JUNK,
)


def accepts(body, choices):
    try:
        select(body, choices)
    except InvalidOptions:
        return False
    return True


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(choices=CHOICES, body=BODIES)
def test_the_schema_accepts_what_select_accepts(choices, body):
    made = json.loads(json.dumps(schema(choices)))
    body = json.loads(json.dumps(body))
    assert Draft202012Validator(made).is_valid(body) == accepts(body, choices)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), choices=CHOICES.filter(bool))
def test_what_is_chosen_is_valid_as_it_is_stored(data, choices):
    chosen = data.draw(st.sampled_from(choices))
    amounts = {
        name: data.draw(st.sampled_from([None, one.given, one.nearest(one.minimum)]))
        for name, one in chosen.limits.items()
        if one.settable
    }
    where = dict(zip(("provider", "resource_type", "deployment"), chosen.where, strict=True))
    request, _ = select({**where, **amounts}, choices)
    made = schema(choices)
    Draft202012Validator.check_schema(made)
    assert Draft202012Validator(made).is_valid(json.loads(request.model_dump_json()))


@pytest.mark.parametrize("body", [{}, {"cpu": 1}, [], None])
def test_where_nothing_is_offered_nothing_is_valid(body):
    assert not Draft202012Validator(schema([])).is_valid(body)


def test_the_schema_of_two_choices():
    small = Choice("p", "container", "a", "Small", limits({"cpu": {"max": 2}, "gpu": None}))
    large = Choice("p", "container", "b", "Large", limits({"cpu": {"max": 8, "step": 0.5}}))
    again = Choice("p", "container", "c", "Large", large.limits)
    made = schema([small, large, again])
    assert [one["$ref"] for one in made["anyOf"]] == [
        "#/$defs/limits-1",
        "#/$defs/limits-2",
        "#/$defs/limits-2",
    ]
    assert made["anyOf"][1]["title"] == "Large"
    assert made["anyOf"][1]["properties"] == {
        "provider": {"enum": ["p", None]},
        "resource_type": {"enum": ["container", None]},
        "deployment": {"enum": ["b", None]},
    }
    assert made["$defs"]["limits-1"]["properties"]["gpu"] == {"enum": [None, 0]}
    assert made["$defs"]["limits-2"]["properties"]["cpu"] == {
        "type": ["number", "null"],
        "minimum": 0.5,
        "maximum": 8,
        "multipleOf": 0.5,
        "default": 8,
    }


def test_steps_that_floating_point_does_not_hit_are_listed():
    choice = Choice("p", "container", "a", "t", limits({"cpu": {"max": 0.7, "step": 0.1}}))
    made = schema([choice])
    listed = made["$defs"]["limits-1"]["properties"]["cpu"]["enum"]
    assert listed == [None, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
