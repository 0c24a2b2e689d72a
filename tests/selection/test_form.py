"""The form: readable by everybody, safe against every name, and read back without loss."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from fakes import free_limits
from hypothesis import given, settings
from hypothesis import strategies as st

from multiplespawner_core.selection import form
from multiplespawner_core.selection.request import Choice, InvalidOptions, select

VOID = {"input", "br", "hr", "img"}
TAGS = {"div", "label", "select", "optgroup", "option", "input", "p"}
ATTRIBUTES = {
    "class", "for", "id", "name", "required", "label", "value", "selected", "type", "min", "step",
    "aria-describedby", "role",
}  # fmt: skip
NASTY = [
    "<script>alert(1)</script>",
    '"onmouseover="alert(1)',
    "'onfocus='alert(1)",
    "</select></form><img src=x onerror=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "&lt;b&gt;",
    'a]b, "c"',
    "日本語 🚀 \u202e",
]  # fmt: skip
NAMES = st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=30))
LIMITS = st.frozensets(st.sampled_from(["cpu", "memory", "gpu"])).map(
    lambda sizes: free_limits(*sizes)
)
CHOICES = st.lists(st.builds(Choice, NAMES, NAMES, NAMES, NAMES, LIMITS), max_size=6)
WEIRD = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        NAMES,
        st.binary(max_size=5),
        st.sampled_from([10**400, -(10**400), float("nan"), float("inf")]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
LAST = st.dictionaries(
    st.sampled_from(
        ["provider", "resource_type", "deployment", "cpu", "memory", "gpu", "lifetime", "other"]
    ),
    WEIRD,
)


class Page(HTMLParser):
    """A form's elements: [(tag, attributes, text)], checked for balance."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.open = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][2] += data

    def all(self, *tags):
        return [(attrs, text.strip()) for tag, attrs, text in self.elements if tag in tags]

    def value(self, name):
        return next(attrs["value"] for attrs, _ in self.all("input") if attrs["name"] == name)

    def selected(self):
        return [json.loads(a["value"]) for a, _ in self.all("option") if "selected" in a]


def named(*names, sizes=("cpu", "memory", "gpu")):
    return [Choice("local", "bare_metal", name, "t", free_limits(*sizes)) for name in names]


# -- rendering --------------------------------------------------------------------------------


@settings(max_examples=200)
@given(choices=CHOICES, last=LAST)
def test_whatever_it_is_given_it_renders_only_its_own_markup(choices, last):
    page = Page(form.render(choices, last, {}))
    assert {tag for tag, _, _ in page.elements} <= TAGS
    for _, attributes, _ in page.elements:
        assert set(attributes) <= ATTRIBUTES
    offered = sorted(json.loads(attributes["value"]) for attributes, _ in page.all("option"))
    assert offered == sorted(list(choice.where) for choice in choices)


@settings(max_examples=200)
@given(choices=CHOICES, last=LAST)
def test_every_field_has_a_label_and_every_reference_its_target(choices, last):
    page = Page(form.render(choices, last, {}))
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = {attributes["for"]: text for attributes, text in page.all("label")}
    assert all(labels.values())
    fields = page.all("input", "select")
    assert {attributes["id"] for attributes, _ in fields} == set(labels)
    for attributes, _ in fields:
        assert attributes.get("aria-describedby", attributes["id"]) in ids
    assert all(attributes["label"] for attributes, _ in page.all("optgroup"))


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text_and_never_markup(name):
    source = form.render([Choice(name, name, name, name)], {"provider": name}, {})
    page = Page(source)
    assert [text for _, text in page.all("option")] == [name.strip()]
    assert [attributes["label"] for attributes, _ in page.all("optgroup")] == [f"{name} at {name}"]
    for dangerous in ("<script", '"onmouseover', "<img", "</form"):
        assert dangerous not in source


def test_choices_stand_in_groups_in_the_administrators_order(choices):
    page = Page(form.render(choices, {}, {}))
    assert [attributes["label"] for attributes, _ in page.all("optgroup")] == [
        "Virtual machine at oci",
        "Bare metal at local",
        "Container at oci",
    ]
    assert [text for _, text in page.all("option")] == [
        "datascience",
        "local_machine",
        "scratch",
        "datascience",
    ]


@pytest.mark.parametrize("sizes", [(), ("cpu",), ("cpu", "memory"), ("cpu", "memory", "gpu")])
def test_only_sizes_that_somebody_enforces_are_asked_for(sizes):
    page = Page(form.render(named("one", sizes=sizes), {}, {}))
    assert [attributes["name"] for attributes, _ in page.all("input")] == [*sizes, "lifetime"]


def test_where_nothing_is_offered_there_are_no_fields():
    page = Page(form.render([], {"cpu": 1}, {}))
    assert page.all("p") == [
        (
            {"role": "alert"},
            "Nothing can be started here at present. Ask your administrator.",
        )
    ]
    assert not page.all("input", "select")


def test_the_last_choice_is_selected_again(choices):
    last = {"provider": "local", "resource_type": "bare_metal", "deployment": "scratch"}
    page = Page(form.render(choices, {**last, "cpu": 0.5, "memory": 2.0, "lifetime": 90}, {}))
    assert page.selected() == [["local", "bare_metal", "scratch"]]
    assert page.value("cpu") == "0.5"
    assert page.value("memory") == "2"
    assert page.value("gpu") == ""
    assert page.value("lifetime") == "90"


@pytest.mark.parametrize(
    "last",
    [
        {},
        {"provider": "local", "resource_type": "bare_metal", "deployment": "gone"},
        {"provider": ["local"], "resource_type": {"bare_metal": 1}, "deployment": None},
        {"provider": "local", "resource_type": "bare_metal", "deployment": b"scratch"},
        {"x_file": [{"filename": "key", "body": b"\x00\xff", "content_type": "text/plain"}]},
    ],
)
def test_a_last_choice_that_does_not_fit_selects_nothing(choices, last):
    assert Page(form.render(choices, last, {})).selected() == []


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1, "8", "<b>", [1], {"a": 1}, b"1", float("nan"), 1e999, 10**400],
)
def test_a_last_size_that_no_field_could_have_sent_is_left_out(value):
    page = Page(form.render(named("one"), dict.fromkeys(["cpu", "gpu", "lifetime"], value), {}))
    assert {page.value(name) for name in ("cpu", "memory", "gpu", "lifetime")} == {""}


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (1.0, "1"), (0.25, "0.25"), (123456789, "123456789")]
)
def test_numbers_read_as_they_were_typed(value, text):
    assert Page(form.render(named("one"), {"cpu": value}, {})).value("cpu") == text


# -- reading ----------------------------------------------------------------------------------


def fields(page):
    """What a browser submits when nothing is changed."""
    chosen = page.selected() or [json.loads(page.all("option")[0][0]["value"])]
    values = {attributes["name"]: [attributes["value"]] for attributes, _ in page.all("input")}
    return {"_xsrf": ["2|token"], "choice": [json.dumps(chosen[0])], **values}


@settings(max_examples=200)
@given(data=st.data())
def test_a_request_survives_its_way_through_the_form(choices, data):
    chosen = data.draw(st.sampled_from(choices))
    size = st.floats(0.01, 1e6)
    options = {
        "provider": chosen.provider,
        "resource_type": chosen.resource_type,
        "deployment": chosen.deployment,
        **{name: data.draw(size) for name in ("cpu", "memory") if chosen.limits[name].settable},
        "lifetime": data.draw(st.integers(1, 52_704_000)),
    }
    if chosen.limits["gpu"].settable:
        options["gpu"] = data.draw(st.integers(1, 1024))
    request, _ = select(options, choices)
    page = Page(form.render(choices, request.model_dump(), {}))
    parsed = form.parse(fields(page))
    assert parsed == options
    assert select(parsed, choices) == (request, chosen)


@settings(max_examples=200)
@given(names=st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_any_name_can_be_chosen(names):
    choices = named(*names)
    page = Page(form.render(choices, {}, {}))
    for attributes, _ in page.all("option"):
        parsed = form.parse({"choice": [attributes["value"]]})
        _, choice = select(parsed, choices)
        assert list(choice.where) == json.loads(attributes["value"])


TEXTS = st.one_of(
    st.text(max_size=30), st.sampled_from(["", " ", "nan", "inf", "1e999", "0", "-1", "[1, 2, 3]"])
)
FILES = st.builds(lambda body: {"filename": "x", "body": body, "content_type": ""}, st.binary())
FIELDS = st.one_of(
    st.sampled_from(["choice", "cpu", "memory", "gpu", "lifetime", "_xsrf", "provider", "x_file"]),
    st.text(max_size=10),
)


@settings(max_examples=500)
@given(body=st.dictionaries(FIELDS, st.lists(TEXTS | FILES, max_size=3)))
def test_any_fields_make_a_request_or_words(choices, body):
    try:
        options = form.parse(body)
        json.dumps(options)
        select(options, choices)
    except InvalidOptions as error:
        words = str(error)
    else:
        return
    assert words
    words.encode()


WHERE = {"provider": "local", "resource_type": "bare_metal", "deployment": "scratch"}
CHOICE = json.dumps(list(WHERE.values()))


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({}, {}),
        ({"_xsrf": ["token"]}, {}),
        ({"choice": [CHOICE]}, WHERE),
        ({"choice": []}, {}),
        ({"choice": [""]}, {}),
        ({"cpu": [""], "memory": ["  "], "gpu": [], "lifetime": ["\t"]}, {}),
        ({"cpu": ["1", "2"]}, {"cpu": 2.0}),
        ({"cpu": ["1", ""]}, {}),
        ({"cpu": [" 0.5 "], "gpu": ["2"]}, {"cpu": 0.5, "gpu": 2}),
        ({"lifetime": ["90"]}, {"lifetime": 90}),
        ({"provider": ["local"]}, {"provider": "local"}),
        ({"choice": [CHOICE], "deployment": ["other"]}, {**WHERE, "deployment": "other"}),
        ({"unknown": ["kept for the message"]}, {"unknown": "kept for the message"}),
    ],
)
def test_fields_that_are_empty_missing_or_there_twice(body, options):
    assert form.parse(body) == options


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"cpu": ["many"]}, "cpu: 'many' is no number"),
        ({"cpu": ["1,5"]}, "cpu: '1,5' is no number"),
        ({"gpu": ["0.5"]}, "gpu: '0.5' is no whole number"),
        ({"lifetime": ["90.5"]}, "lifetime: '90.5' is no whole number"),
        ({"lifetime": ["9" * 5000]}, f"lifetime: '{'9' * 59} is no whole number"),
        ({"choice": ["scratch"]}, "choice: 'scratch' is none of the choices of this form"),
        ({"choice": ["[1, 2]"]}, "choice: '[1, 2]' is none of the choices of this form"),
        ({"choice": ["12"]}, "choice: '12' is none of the choices of this form"),
        ({"choice": ["[" * 99_999]}, f"choice: '{'[' * 59} is none of the choices of this form"),
        (
            {"x_file": [{"filename": "x", "body": b"\xff", "content_type": "text/plain"}]},
            "'x_file' is a file, and nothing here takes one",
        ),
        ({"cpu": [b"1"]}, "'cpu' is a file, and nothing here takes one"),
    ],
)
def test_what_a_field_cannot_hold_is_named(body, message):
    with pytest.raises(InvalidOptions) as refused:
        form.parse(body)
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "1e999", "Infinity"])
@pytest.mark.parametrize("field", ["cpu", "memory"])
def test_numbers_that_are_none_are_refused(choices, field, text):
    with pytest.raises(InvalidOptions, match=f"^{field}: input should be a finite number, not"):
        select(form.parse({field: [text]}), choices)


@pytest.mark.parametrize("value", ['["moon", "bare_metal", "scratch"]', "[[], {}, 1]", '"abc"'])
def test_a_choice_that_was_made_up_is_refused(choices, value):
    with pytest.raises(InvalidOptions, match=r"^provider: .* is not offered; allowed: oci, local$"):
        select(form.parse({"choice": [value]}), choices)


def test_the_last_choice_of_a_nested_body_is_preselected():
    """JupyterHub 5 stores the body of JupyterHub 6 as it came."""
    choice = Choice("local", "bare_metal", "b", "t", free_limits())
    other = Choice("local", "bare_metal", "a", "t", free_limits())
    last = {"provider": "local", "resource_type": "bare_metal", "deployment": "b"}
    page = form.render([other, choice], {"user_options": last}, {})
    assert "selected>b</option>" in page
