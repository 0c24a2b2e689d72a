"""Limits: what a file says, what the site says, and what is left of both."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from multiplespawner_core.catalogue.limits import QUANTITIES, Limits, combine, conflicts


def limits(**given):
    return Limits.model_validate(given)


def allowed(name, template=None, site=None):
    """What holds for one quantity."""
    named = ({} if given is None else {name: given} for given in (template, site))
    return combine(*(limits(**given) for given in named))[name]


def test_without_limits_everything_goes():
    for name, one in combine(limits(), limits()).items():
        assert one.settable
        assert not one.fixed
        assert one.default is None
        assert one.refuse(1_000) is None, name


@pytest.mark.parametrize(
    ("template", "site", "expected"),
    [
        ({"min": 1, "max": 4}, None, "1 to 4"),
        ({"min": 1, "max": 4}, {"max": 2}, "1 to 2"),
        ({"max": 4}, {"min": 2, "max": 9}, "2 to 4"),
        ({"max": 4, "step": 0.5}, None, "0.5 to 4 in steps of 0.5"),
        ({"max": 4}, {"min": 0.7, "step": 0.5}, "1 to 4 in steps of 0.5"),
        ({"max": 3.9, "step": 0.5}, None, "0.5 to 3.5 in steps of 0.5"),
        ({"min": 2, "max": 2}, None, "only 2"),
        ({"min": 2}, None, "2 or more"),
        ({"step": 0.1, "max": "0.7"}, None, "0.1 to 0.7 in steps of 0.1"),
    ],
)
def test_the_narrower_bound_counts(template, site, expected):
    assert str(allowed("cpu", template, site)) == expected


@pytest.mark.parametrize(
    ("name", "template", "site", "default"),
    [
        ("cpu", {"default": 2}, {"default": 1}, 2),
        ("cpu", None, {"default": 1}, 1),
        ("cpu", {"default": 8}, {"max": 4}, 4),
        ("cpu", {"default": 1}, {"min": 2}, 2),
        ("cpu", {"default": 8}, {"max": 3.9, "step": 0.5}, 3.5),
        ("cpu", {"min": 1, "max": 4}, None, 1),
        ("cpu", {"max": 4}, None, 4),
        ("memory", {"max": 4}, {"min": 2}, 2),
        ("gpu", {"max": 4}, None, None),
        ("gpu", {"min": 1, "max": 4}, None, 1),
        ("lifetime", {"min": 10, "max": 90}, None, 90),
        ("lifetime", {"min": 10}, None, None),
        ("lifetime", None, {"max": 60}, 60),
    ],
)
def test_what_a_user_gets_who_does_not_say(name, template, site, default):
    assert allowed(name, template, site).default == default


def test_a_quantity_that_is_null_is_not_for_users_but_keeps_its_default():
    one = combine(limits(cpu=None), limits(cpu={"default": 2, "max": 4}))["cpu"]
    assert not one.settable
    assert one.fixed
    assert one.default == 2
    assert one.refuse(2) is None
    assert one.refuse(3) == "cpu: cannot be chosen here; leave it out"


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [
        ("cpu", 3, 3),
        ("cpu", 2.3, 2),
        ("cpu", 0.1, 0.5),
        ("cpu", 99, 4),
        ("memory", 99, 99),
        ("memory", 1.5, 1.5),
        ("gpu", 1, 2),
        ("gpu", 7, 6),
    ],
)
def test_what_was_asked_for_is_moved_to_the_nearest_that_is_allowed(name, value, nearest):
    template = limits(cpu={"max": 4, "step": 0.5}, gpu={"min": 2, "max": 6, "step": 2})
    one = combine(template, limits())[name]
    assert one.nearest(value) == nearest
    assert one.refuse(nearest) is None


@pytest.mark.parametrize(
    ("name", "template", "given"),
    [
        ("cpu", {}, None),
        ("cpu", {"default": 2}, 2),
        ("gpu", {}, 0),
        ("gpu", {"max": 4, "default": 1}, 1),
        ("lifetime", {}, None),
        ("lifetime", {"max": 60}, 60),
    ],
)
def test_what_is_given_to_everybody_is_all_that_a_closed_quantity_takes(name, template, given):
    one = replace(allowed(name, template), settable=False)
    assert one.given == given
    assert one.schema() == {"enum": [None] if given is None else [None, given]}
    assert {value for value in (0, 0.01, 1, 2, 60) if one.refuse(value) is None} == (
        set() if given is None else {given}
    )


@pytest.mark.parametrize("value", [0.5, 1.0, 1.5, 4])
def test_what_lies_within_is_allowed(value):
    assert allowed("cpu", {"max": 4, "step": 0.5}).refuse(value) is None


@pytest.mark.parametrize("value", [0, 0.3, 4.5, 5, -1])
def test_what_does_not_is_refused_with_what_is_allowed(value):
    said = allowed("cpu", {"max": 4, "step": 0.5}).refuse(value)
    assert said == f"cpu: allowed is 0.5 to 4 in steps of 0.5, not {value:g}"


@pytest.mark.parametrize("value", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
def test_steps_that_floating_point_does_not_hit_are_steps(value):
    assert allowed("memory", {"max": 0.7, "step": 0.1}).refuse(value) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpu": {"min": 2, "max": 1}}, "cpu.min 2 is above cpu.max 1"),
        ({"cpu": {"default": 2, "max": 1}}, "cpu.default 2 is not allowed: 0.01 to 1"),
        (
            {"cpu": {"default": 0.7, "step": 0.5}},
            "cpu.default 0.7 is not allowed: 0.5 or more in steps of 0.5",
        ),
        ({"cpu": {"step": 0}}, "cpu.step must be a number above 0 to 1000000"),
        (
            {"cpu": {"min": 0.6, "max": 0.9, "step": 0.5}},
            "no multiple of cpu.step lies between cpu.min and cpu.max",
        ),
        ({"gpu": {"max": 1.5}}, "gpu.max must be a whole number from 0 to 1024"),
        ({"lifetime": {"min": 0}}, "lifetime.min must be a whole number from 1 to 52704000"),
        ({"memory": {"max": True}}, "must be a number, but is true"),
        ({"memory": {"max": float("inf")}}, "Input should be a finite number"),
        ({"memory": {"max": -1}}, "Input should be greater than or equal to 0"),
        ({"cpu": {"most": 1}}, "Extra inputs are not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValidationError) as refused:
        Limits.model_validate(given)
    assert [detail["msg"] for detail in refused.value.errors()] == [message]


def test_what_the_site_leaves_no_room_for_is_said():
    template = limits(cpu={"min": 8}, memory={"default": 8}, gpu={"max": 1})
    site = limits(cpu={"max": 4}, memory={"max": 4}, gpu={"max": 2})
    assert list(conflicts(template, site)) == [
        ("cpu", "min", "no value is left within c.MultipleSpawner.limits"),
        ("memory", "default", "c.MultipleSpawner.limits allow 0.01 to 4"),
    ]


RANGES = st.fixed_dictionaries(
    {},
    optional={
        key: st.integers(1, 400).map(lambda n: n / 4) for key in ("min", "max", "default", "step")
    },
)


@given(name=st.sampled_from(QUANTITIES), template=RANGES, site=RANGES, value=st.integers(0, 500))
def test_limits_and_their_schema_agree(name, template, site, value):
    try:
        one = allowed(name, template, site)
    except ValidationError:
        return
    if not one.possible:
        return
    if one.default is not None:
        assert one.refuse(one.default) is None
    value = value if name in ("gpu", "lifetime") else value / 4
    schema = json.loads(json.dumps(one.schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(value) == (one.refuse(value) is None)
    assert one.refuse(one.minimum) is None
