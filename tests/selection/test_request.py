"""From user options, whatever they are, to a request or to words that say what is allowed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiplespawner_core.catalogue.limits import Limits, combine
from multiplespawner_core.selection.request import Choice, InvalidOptions, Request, select

FIELDS = ["provider", "resource_type", "deployment", "cpu", "memory", "gpu", "lifetime"]
ALLOWED = "allowed are provider, resource_type, deployment, cpu, memory, gpu, lifetime"
LARGEST_LIFETIME = 52_704_000

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324, "nan", "1e999", "0x10", "\ud800"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.one_of(st.sampled_from([*FIELDS, "user_options", "display_name"]), st.text(max_size=20))
PLAUSIBLE = st.one_of(
    st.sampled_from(["oci", "local", "virtual_machine", "bare_metal", "container", "datascience"]),
    st.integers(-2, 2000),
    st.floats(-2, 2000),
    VALUES,
)
BODIES = st.one_of(VALUES, st.dictionaries(KEYS, PLAUSIBLE, max_size=7))


@settings(max_examples=500)
@given(body=BODIES)
def test_any_body_is_selected_or_refused_in_words(choices, body):
    try:
        request, choice = select(body, choices)
    except InvalidOptions as error:
        words = str(error)
    else:
        assert choice in choices
        assert (request.provider, request.resource_type, request.deployment) == choice.where
        assert Request.model_validate_json(request.model_dump_json()) == request
        return
    assert 0 < len(words.encode()) < 1000


@settings(max_examples=200)
@given(body=BODIES)
def test_nothing_can_be_selected_where_nothing_is_offered(body):
    with pytest.raises(InvalidOptions):
        select(body, [])


@settings(max_examples=300)
@given(data=st.data())
def test_what_was_selected_selects_itself_again(choices, data):
    """Options as JupyterHub stores them mean the same at the next start."""
    chosen = data.draw(st.sampled_from(choices))
    size = st.none() | st.floats(0.01, 1e6)
    options = {
        **dict(zip(FIELDS, chosen.where, strict=False)),
        "cpu": data.draw(size) if chosen.limits["cpu"].settable else None,
        "memory": data.draw(size) if chosen.limits["memory"].settable else None,
        "gpu": data.draw(st.integers(0, 1024)) if chosen.limits["gpu"].settable else 0,
        "lifetime": data.draw(st.none() | st.integers(1, LARGEST_LIFETIME)),
    }
    request, choice = select(options, choices)
    assert choice == chosen
    assert request.model_dump() == options
    stored = json.loads(json.dumps(request.model_dump()))
    assert select(stored, choices) == (request, choice)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({}, ("oci", "virtual_machine", "datascience")),
        ({"provider": "local"}, ("local", "bare_metal", "local_machine")),
        ({"deployment": "scratch"}, ("local", "bare_metal", "scratch")),
        ({"resource_type": "container"}, ("oci", "container", "datascience")),
        ({"provider": None, "deployment": "scratch"}, ("local", "bare_metal", "scratch")),
    ],
)
def test_what_is_missing_comes_from_the_first_choice_that_fits(choices, options, where):
    assert select(options, choices)[1].where == where


def several():
    """The same place twice, small and large, and one where nothing is to be set."""
    closed = dict.fromkeys(["cpu", "memory", "gpu"])
    ranges = {
        "container": {"cpu": None, "memory": None, "gpu": None},
        "small": {**closed, "cpu": {"max": 2, "default": 1}},
        "large": {"cpu": {"min": 2, "max": 8}, "gpu": {"max": 4}},
    }
    return [
        Choice("p", "container", name, name, combine(Limits.model_validate(given), Limits()))
        for name, given in ranges.items()
    ]


@pytest.mark.parametrize(
    ("options", "deployment", "cpu"),
    [
        ({}, "container", None),
        ({"cpu": 1}, "small", 1),
        ({"cpu": 2}, "small", 2),
        ({"cpu": 4}, "large", 4),
        ({"gpu": 0}, "container", None),
        ({"gpu": 1}, "large", 2),
        ({"gpu": 1, "cpu": 3}, "large", 3),
        ({"deployment": "large", "cpu": 2}, "large", 2),
    ],
)
def test_the_amounts_have_a_say_in_what_is_missing(options, deployment, cpu):
    request, choice = select(options, several())
    assert (choice.deployment, request.deployment, request.cpu) == (deployment, deployment, cpu)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 9}, "cpu: allowed is 0.01 to 2, not 9"),
        ({"deployment": "large", "cpu": 1}, "cpu: allowed is 2 to 8, not 1"),
        ({"cpu": 1, "gpu": 1}, "cpu: allowed is 2 to 8, not 1"),
        ({"deployment": "container", "cpu": 0.01}, "cpu: cannot be chosen here; leave it out"),
    ],
)
def test_what_no_choice_allows_is_refused_with_what_one_allows(options, message):
    with pytest.raises(InvalidOptions) as refused:
        select(options, several())
    assert str(refused.value) == message


@pytest.mark.parametrize("value", [2, 2.0])
def test_a_whole_number_is_one_however_it_is_written(choices, value):
    request, _ = select({"gpu": value, "lifetime": value}, choices)
    assert (request.gpu, request.lifetime) == (2, 2)
    assert isinstance(request.gpu, int)
    assert isinstance(request.lifetime, int)


def test_the_defaults(choices):
    request, _ = select({}, choices)
    assert (request.cpu, request.memory, request.gpu, request.lifetime) == (None, None, 0, None)


@pytest.mark.parametrize(
    "body",
    [
        {"user_options": {"deployment": "scratch"}},
        {"user_options": {"deployment": "scratch"}, "display_name": "my server"},
        {"deployment": "scratch"},
    ],
)
def test_the_bodies_of_jupyterhub_5_and_6_mean_the_same(choices, body):
    assert select(body, choices)[1].deployment == "scratch"


@pytest.mark.parametrize(
    "body", [{"user_options": None}, {"user_options": {}}, {"display_name": "my server"}]
)
def test_a_body_of_jupyterhub_6_without_options_says_nothing(choices, body):
    assert select(body, choices) == select({}, choices)


def test_a_nested_body_is_unwrapped_once_only(choices):
    with pytest.raises(InvalidOptions) as refused:
        select({"user_options": {"user_options": {}}}, choices)
    assert str(refused.value) == f"'user_options' is no option: {ALLOWED}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpus": 1}, f"'cpus' is no option: did you mean 'cpu'? {ALLOWED}"),
        ({"zzz": 1}, f"'zzz' is no option: {ALLOWED}"),
        ({"user_options": {"ram": 1}}, f"'ram' is no option: {ALLOWED}"),
        ({"user_options": {}, "cpu": 1}, f"'user_options' is no option: {ALLOWED}"),
        ({"user_options": [1]}, f"'user_options' is no option: {ALLOWED}"),
        ({"x" * 100_000: 1}, f"'{'x' * 60}' is no option: {ALLOWED}"),
        ({"\ud800": 1}, f"'\\ud800' is no option: {ALLOWED}"),
        ({"provider": "moon"}, "provider: 'moon' is not offered; allowed: oci, local"),
        (
            {"provider": "LOCAL"},
            "provider: 'LOCAL' is not offered; did you mean 'local'? allowed: oci, local",
        ),
        ({"provider": ["oci"]}, "provider: ['oci'] is not offered; allowed: oci, local"),
        ({"provider": "m" * 99}, f"provider: '{'m' * 59} is not offered; allowed: oci, local"),
        (
            {"resource_type": "vm"},
            "resource_type: 'vm' is not offered; allowed: virtual_machine, bare_metal, container",
        ),
        (
            {"deployment": ""},
            "deployment: '' is not offered; allowed: datascience, local_machine, scratch",
        ),
        (
            {"provider": "local", "resource_type": "container"},
            (
                "'local container' is no combination that is offered; allowed:"
                " oci virtual_machine datascience; local bare_metal local_machine;"
                " oci container datascience; local bare_metal scratch"
            ),
        ),
        ({"cpu": "many"}, "cpu: input should be a valid number, not 'many'"),
        ({"cpu": "1"}, "cpu: input should be a valid number, not '1'"),
        ({"cpu": "nan"}, "cpu: input should be a valid number, not 'nan'"),
        ({"cpu": "1e999"}, "cpu: input should be a valid number, not '1e999'"),
        ({"cpu": True}, "cpu: input should be a valid number, not True"),
        ({"cpu": [1]}, "cpu: input should be a valid number, not [1]"),
        ({"cpu": float("nan")}, "cpu: input should be a finite number, not nan"),
        ({"cpu": 1e999}, "cpu: input should be a finite number, not inf"),
        ({"cpu": -1e999}, "cpu: input should be a finite number, not -inf"),
        ({"cpu": 0}, "cpu: allowed is 0.01 or more, not 0"),
        ({"memory": -0.5}, "memory: allowed is 0.01 or more, not -0.5"),
        ({"memory": False}, "memory: input should be a valid number, not False"),
        ({"gpu": -1}, "gpu: allowed is 0 or more, not -1"),
        ({"gpu": 1025}, "gpu: input should be less than or equal to 1024, not 1025"),
        ({"gpu": 0.5}, "gpu: input should be a valid integer, not 0.5"),
        ({"gpu": True}, "gpu: input should be a valid integer, not True"),
        ({"lifetime": 0}, "lifetime: allowed is 1 or more, not 0"),
        ({"lifetime": True}, "lifetime: input should be a valid integer, not True"),
        ({"lifetime": 90.5}, "lifetime: input should be a valid integer, not 90.5"),
        (
            {"lifetime": LARGEST_LIFETIME + 1},
            "lifetime: input should be less than or equal to 52704000, not 52704001",
        ),
        (
            {"cpu": [], "memory": "all"},
            (
                "cpu: input should be a valid number, not [];"
                " memory: input should be a valid number, not 'all'"
            ),
        ),
        (
            {"cpu": -1, "memory": 0},
            "cpu: allowed is 0.01 or more, not -1; memory: allowed is 0.01 or more, not 0",
        ),
        (
            {"resource_type": "container", "cpu": 1},
            "cpu: cannot be chosen here; leave it out",
        ),
        (
            {"provider": "local", "gpu": 1},
            "gpu: cannot be chosen here; leave it out",
        ),
        ([1], "options are names with values, not [1]"),
        ("cpu=1", "options are names with values, not 'cpu=1'"),
        (None, "options are names with values, not None"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(choices, options, message):
    with pytest.raises(InvalidOptions) as refused:
        select(options, choices)
    assert str(refused.value) == message


def test_no_more_than_twenty_combinations_are_listed():
    where = [("oci", "container", f"d{number}") for number in range(50)]
    where.append(("local", "bare_metal", "last"))
    many = [Choice(*one, "t") for one in where]
    with pytest.raises(InvalidOptions) as refused:
        select({"provider": "oci", "deployment": "last"}, many)
    assert str(refused.value).count(";") == 21
    assert "oci container d19" in str(refused.value)
    assert "oci container d20" not in str(refused.value)
    assert str(refused.value).endswith("; and 31 more")


def test_of_what_nobody_may_have_the_limit_of_the_choice_is_told():
    limits = combine(Limits.model_validate({"cpu": {"max": 2, "step": 0.5}}), Limits())
    with pytest.raises(InvalidOptions) as refused:
        select({"cpu": 1e9}, [Choice("oci", "container", "d", "t", limits)])
    assert str(refused.value) == "cpu: allowed is 0.5 to 2 in steps of 0.5, not 1000000000.0"


def test_a_hub_that_offers_nothing_says_so():
    with pytest.raises(InvalidOptions) as refused:
        select({}, [])
    assert str(refused.value) == "nothing can be started here at present; ask your administrator"
