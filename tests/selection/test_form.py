"""The form: readable by everybody, safe against every name, and read back without loss."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser

import pytest
from fakes import free_limits
from hypothesis import given, settings
from hypothesis import strategies as st

from multiplespawner_core.catalogue.limits import Limits, combine
from multiplespawner_core.contracts import RESOURCE_TYPES, Storage
from multiplespawner_core.selection import form
from multiplespawner_core.selection.request import Choice, InvalidOptions, select

VOID = {"input", "br", "hr", "img"}
TAGS = {
    "div", "label", "select", "optgroup", "option", "fieldset", "legend", "input", "p", "strong",
    "br", "script",
}  # fmt: skip
ATTRIBUTES = {
    "class", "for", "id", "name", "required", "label", "value", "selected", "disabled", "type",
    "min", "max", "step", "aria-describedby", "role", "autocomplete", "data-kinds", "data-kind",
    "data-reason", "src",
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
TYPES = st.sampled_from(RESOURCE_TYPES)
STORAGE = st.sampled_from(Storage)
CHOICES = st.lists(
    st.builds(Choice, NAMES, TYPES, NAMES, NAMES, LIMITS, STORAGE),
    max_size=6,
    unique_by=lambda choice: choice.where,
)
SCRIPT = "/hub/multiplespawner/static/form.js?v=1"
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

    def fields(self):
        return {attributes["name"]: attributes for attributes, _ in self.all("input")}

    def help(self):
        texts = {attributes.get("id"): text for attributes, text in self.all("div")}
        return {name: texts[field["aria-describedby"]] for name, field in self.fields().items()}

    def about(self):
        """The paragraphs of what is said of the choices."""
        tag = ["div", "multiplespawner-about"]
        at = next(n for n, (t, a, _) in enumerate(self.elements) if [t, a.get("id")] == tag)
        told = []
        for tag, _, text in self.elements[at + 1 :]:
            if tag == "p":
                told.append(text)
            elif tag == "strong":
                told[-1] = text + told[-1].lstrip()
        return [" ".join(text.split()) for text in told]

    def offered(self):
        return {tuple(json.loads(a["value"])) for a, _ in self.all("option") if a["value"]}

    def selected(self):
        return [json.loads(a["value"]) for a, _ in self.all("option") if "selected" in a]


def named(*names, sizes=("cpu", "memory", "gpu")):
    return [Choice("local", "bare_metal", name, "t", free_limits(*sizes)) for name in names]


def limited(name="one", provider="local", template="t", storage=Storage.KEEP, **limits):
    """A choice whose template says that."""
    allowed = combine(Limits.model_validate(limits), Limits())
    return Choice(provider, "bare_metal", name, template, allowed, storage)


# -- rendering --------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data(), choices=CHOICES, last=LAST, script=st.sampled_from([None, SCRIPT]))
def test_whatever_it_is_given_it_renders_only_its_own_markup(data, choices, last, script):
    full = data.draw(st.lists(st.sampled_from(choices)) if choices else st.just([]))
    reasons = {choice.where: data.draw(NAMES) for choice in full}
    page = Page(form.render(choices, last, reasons, script=script))
    assert {tag for tag, _, _ in page.elements} <= TAGS
    for _, attributes, _ in page.elements:
        assert set(attributes) <= ATTRIBUTES
    assert page.offered() == {choice.where for choice in choices}
    scripts = page.all("script")
    assert scripts == ([({"src": SCRIPT}, "")] if script and choices else [])


@settings(max_examples=200)
@given(entered=st.dictionaries(st.text(max_size=9), st.lists(NAMES | st.just(b"file"), max_size=2)))
def test_whatever_was_entered_stands_there_as_text(entered):
    choices = named("one", "two")
    page = Page(form.render(choices, {}, {}, entered=entered))
    assert {tag for tag, _, _ in page.elements} <= TAGS
    for _, attributes, _ in page.elements:
        assert set(attributes) <= ATTRIBUTES


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
    assert all(text for _, text in page.all("legend"))


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text_and_never_markup(name):
    choice = Choice(name, "container", name, name)
    reasons = {choice.where: name}
    for unavailable in ({}, reasons):
        source = form.render([choice], {"provider": name}, unavailable, entered={"cpu": [name]})
        page = Page(source)
        told = f"{name}: {name}" if unavailable else name
        assert [text for a, text in page.all("option") if a["value"]] == [told.strip()]
        assert [a["label"] for a, _ in page.all("optgroup")] == [f"Container at {name}"]
        assert {key for _, attributes, _ in page.elements for key in attributes} <= ATTRIBUTES
        for dangerous in ("<script", "<img", "</form", "'onfocus"):
            assert dangerous not in source


def test_choices_stand_in_groups_in_the_administrators_order(choices):
    page = Page(form.render(choices, {}, {}))
    assert [attributes["label"] for attributes, _ in page.all("optgroup")] == [
        "Virtual machine at oci",
        "Bare metal at local",
        "Container at oci",
    ]
    assert [text for _, text in page.all("option")] == [
        "datascience (a template)",
        "local_machine (a template)",
        "scratch (a template)",
        "datascience (a template)",
    ]


def test_a_template_that_is_called_as_its_deployment_is_named_once():
    page = Page(form.render([limited("lab", template="lab")], {}, {}))
    assert [text for _, text in page.all("option")] == ["lab"]


@pytest.mark.parametrize("sizes", [(), ("cpu",), ("cpu", "memory"), ("cpu", "memory", "gpu")])
def test_only_what_can_be_set_is_asked_for(sizes):
    page = Page(form.render(named("one", sizes=sizes), {}, {}))
    assert [attributes["name"] for attributes, _ in page.all("input")] == [*sizes, "lifetime"]
    page = Page(form.render([limited("a", cpu=None), limited("b", cpu={"max": 2})], {}, {}))
    assert "cpu" in page.fields()
    page = Page(
        form.render([limited("a", cpu=None), limited("b", cpu={"min": 2, "max": 2})], {}, {})
    )
    assert "cpu" not in page.fields()


def test_where_nothing_is_to_be_set_there_is_no_group_of_fields():
    fixed = dict.fromkeys(["cpu", "memory", "gpu", "lifetime"])
    page = Page(form.render([limited("a", **fixed), limited("b", **fixed)], {}, {}))
    assert not page.all("fieldset", "legend", "input")


def test_where_nothing_is_offered_there_are_no_fields():
    page = Page(form.render([], {"cpu": 1}, {}))
    assert page.all("p") == [
        (
            {"class": "alert alert-warning", "role": "alert"},
            "Nothing can be started here at present. Ask your administrator.",
        )
    ]
    assert not page.all("input", "select", "script")


def test_the_fields_of_one_template_have_its_limits_and_defaults():
    choice = limited(
        cpu={"min": 0.5, "max": 4, "step": 0.5, "default": 1},
        memory={"max": 8},
        gpu={"max": 2},
        lifetime={"min": 10},
    )
    page = Page(form.render([choice], {}, {}))
    shown = {
        name: [field.get(key) for key in ("min", "max", "step", "value")]
        for name, field in page.fields().items()
    }
    assert shown == {
        "cpu": ["0.5", "4", "0.5", "1"],
        "memory": ["0.01", "8", "any", "8"],
        "gpu": ["0", "2", "1", "0"],
        "lifetime": ["10", None, "1", ""],
    }
    assert page.help() == {
        "cpu": "0.5 to 4 in steps of 0.5. Default: 1.",
        "memory": "0.01 to 8. Default: 8.",
        "gpu": "0 to 2. Default: 0.",
        "lifetime": "10 or more. Default: until you stop it.",
    }


def test_without_limits_the_fields_say_what_an_empty_one_means():
    page = Page(form.render(named("one"), {}, {}))
    assert page.help() == {
        "cpu": "Fractions are allowed. Default: no limit.",
        "memory": "Fractions are allowed. Default: no limit.",
        "gpu": "Default: 0.",
        "lifetime": "Default: until you stop it.",
    }


def test_fields_are_as_wide_as_any_choice_and_each_choices_limits_are_said():
    small = limited("a", template="Small", cpu={"max": 1, "default": 1}, lifetime={"max": 90})
    large = limited(
        "b", template="Large", provider="cloud", cpu={"min": 2, "max": 8, "step": 2}, lifetime=None,
        storage=Storage.EPHEMERAL,
    )  # fmt: skip
    page = Page(form.render([small, large], {}, {}))
    cpu = page.fields()["cpu"]
    assert (cpu["min"], cpu["max"], cpu["step"], cpu["value"]) == ("0.01", "8", "any", "")
    assert page.help()["cpu"] == "0.01 to 8, as far as your choice allows."
    assert page.help()["lifetime"] == "1 to 90. Default: 90."
    head, first, second = page.about()
    assert head == "What each choice allows, and what is deleted at the end"
    assert first == (
        "Small, Bare metal at local CPUs: 0.01 to 1 (default 1); Memory (GB): any;"
        " GPUs: any (default 0); Lifetime (minutes): 1 to 90 (default 90)."
        " Unless you set another lifetime, the server ends 1 h 30 min after its start, or when you"
        " stop it. At the end the server is stopped. Your files stay; running programs and unsaved"
        " work are lost."
    )
    assert second == (
        "Large, Bare metal at cloud CPUs: 2 to 8 in steps of 2 (default 2); Memory (GB): any;"
        " GPUs: any (default 0). The server runs until you stop it. At the end the server is"
        " stopped and its files are deleted."
    )


def test_what_is_not_to_be_chosen_is_said():
    choice = limited(
        cpu={"min": 1, "max": 1}, memory={"min": 4, "max": 4}, gpu={"min": 2, "max": 2},
        lifetime={"min": 120, "max": 120},
    )  # fmt: skip
    page = Page(form.render([choice, limited("b", template="u")], {}, {}))
    assert page.about()[1].startswith(
        "t, Bare metal at local It has 1 CPU, 4 GB of memory and 2 GPUs. The server ends 2 h after"
        " its start, or when you stop it."
    )


def test_a_step_of_all_choices_is_the_fields():
    same = {"min": 1, "max": 4, "step": 0.5}
    page = Page(form.render([limited("a", cpu=same), limited("b", template="u", cpu=same)], {}, {}))
    assert page.fields()["cpu"]["step"] == "0.5"


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
    page = Page(form.render(choices, {**last, "cpu": 3}, {}))
    assert page.selected() == []
    notice = [text for attributes, text in page.all("p") if "role" in attributes]
    named = any(last.get(key) for key in ("provider", "resource_type", "deployment"))
    assert notice == (["Your last choice is not offered."] if named else [])
    # The amounts of a choice that is gone are not those of another one.
    assert page.value("cpu") == ("" if named else "3")


def test_a_last_choice_that_cannot_be_had_now_is_not_selected(choices):
    """The browser would show it and send nothing."""
    last = {"provider": "local", "resource_type": "bare_metal", "deployment": "scratch", "cpu": 3}
    where = ("local", "bare_metal", "scratch")
    page = Page(form.render(choices, last, {where: "no CPU is free"}))
    assert page.selected() == []
    assert page.value("cpu") == ""
    assert "Your last choice cannot be had now: no CPU is free" in [t for _, t in page.all("p")]
    (option,) = [(a, text) for a, text in page.all("option") if "disabled" in a]
    assert option[1] == "scratch (a template): no CPU is free"
    assert option[0]["data-reason"] == "no CPU is free"


def test_where_nothing_can_be_had_nothing_can_be_sent():
    choices = named("one", "two")
    page = Page(form.render(choices, {}, {choice.where: "full" for choice in choices}))
    (select,) = [attributes for attributes, _ in page.all("select")]
    assert "required" in select
    enabled = [(a["value"], text) for a, text in page.all("option") if "disabled" not in a]
    assert enabled == [("", "Nothing can be had at present")]


@pytest.mark.parametrize(
    ("last", "shown"),
    [(0.5, "1"), (1, "1"), (2.4, "2"), (3, "3"), (9, "4"), (0.001, "1"), (10**7, "1")],
)
def test_a_last_amount_is_moved_into_the_limits(last, shown):
    choice = limited(cpu={"min": 1, "max": 4, "step": 1})
    assert Page(form.render([choice], {"cpu": last}, {})).value("cpu") == shown


@pytest.mark.parametrize(
    "value",
    [None, True, False, -1, "8", "<b>", [1], {"a": 1}, b"1", float("nan"), 1e999, 10**400],
)
def test_a_last_size_that_no_field_could_have_sent_is_left_out(value):
    page = Page(form.render(named("one"), dict.fromkeys(["cpu", "gpu", "lifetime"], value), {}))
    shown = [page.value(name) for name in ("cpu", "memory", "gpu", "lifetime")]
    assert shown == ["", "", "0", ""]


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (1.0, "1"), (0.25, "0.25"), (123456, "123456")]
)
def test_numbers_read_as_they_were_typed(value, text):
    assert Page(form.render(named("one"), {"cpu": value}, {})).value("cpu") == text


@pytest.mark.parametrize(
    "entered",
    [
        {"choice": [json.dumps(["local", "bare_metal", "two"])], "cpu": ["4096"]},
        {"deployment": ["two"], "cpu": ["1", "4096"], "gpu": []},
    ],
)
def test_what_was_refused_stands_there_as_it_was_entered(entered):
    choices = [limited("one", cpu={"max": 2}), limited("two", cpu={"max": 2})]
    last = {"deployment": "one", "cpu": 1, "memory": 1}
    page = Page(form.render(choices, last, {}, entered=entered))
    assert page.selected() == [["local", "bare_metal", "two"]]
    assert page.value("cpu") == "4096"
    assert page.value("memory") == ""


@pytest.mark.parametrize(
    "entered",
    [{"choice": ["nonsense"]}, {"choice": [b"file"]}, {"provider": ["moon"]}, {}, {"x": ["y"]}],
)
def test_what_was_entered_and_names_no_choice_selects_none(entered):
    page = Page(form.render(named("one", "two"), {"deployment": "two"}, {}, entered=entered))
    assert page.selected() == []


def test_the_script_is_told_all_that_the_fields_need():
    choice = limited(cpu={"max": 4, "default": 1}, memory={"min": 2, "max": 2}, gpu=None)
    (select,) = [a for a, _ in Page(form.render([choice], {}, {})).all("select")]
    assert json.loads(select["data-kinds"]) == [
        {
            "type": "Bare metal",
            "name": "t",
            "gives": "2 GB of memory",
            "when": "Unless you set a lifetime, the server runs until you stop it.",
            "ending": (
                "At the end the server is stopped. Your files stay; running programs and unsaved"
                " work are lost."
            ),
            "fields": {
                "cpu": {
                    "min": 0.01,
                    "max": 4,
                    "step": "any",
                    "default": 1,
                    "help": "0.01 to 4. Default: 1.",
                },
                "lifetime": {
                    "min": 1,
                    "max": None,
                    "step": 1,
                    "default": None,
                    "help": "Default: until you stop it.",
                },
            },
        }
    ]


def test_choices_of_one_template_at_one_provider_share_what_is_said_of_them():
    choices = [limited(f"image {number}") for number in range(50)]
    choices.append(limited("other", template="u"))
    page = Page(form.render(choices, {}, {}))
    (select,) = [attributes for attributes, _ in page.all("select")]
    assert len(json.loads(select["data-kinds"])) == 2
    assert [a["data-kind"] for a, _ in page.all("option")] == ["0"] * 50 + ["1"]


@pytest.mark.parametrize("templates", [1, 1000])
def test_a_thousand_deployments_are_rendered_at_once(templates):
    """The target is 100 ms; a machine that is busy gets some more."""
    choices = [
        limited(f"image {n}", template=f"t{n % templates}", cpu={"max": 4 + n % templates})
        for n in range(1000)
    ]
    form.render(choices, {}, {})
    times = []
    for _ in range(5):
        began = time.perf_counter()
        form.render(choices, {"deployment": "image 500"}, {choices[0].where: "full"})
        times.append(time.perf_counter() - began)
    assert min(times) < 0.2


def test_the_scripts_address_changes_with_it():
    first = form.script_url("/prefix/hub/")
    assert re.fullmatch(r"/prefix/hub/multiplespawner/static/form\.js\?v=[0-9a-f]{12}", first)


# -- reading ----------------------------------------------------------------------------------


def fields(page):
    """What a browser submits when nothing is changed."""
    chosen = page.selected() or [json.loads(page.all("option")[0][0]["value"])]
    values = {name: [field["value"]] for name, field in page.fields().items()}
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


def test_a_deployment_alone_names_the_choice():
    last = {"deployment": "scratch"}
    page = Page(form.render(named("one", "scratch"), last, {}))
    assert page.selected() == [["local", "bare_metal", "scratch"]]


def test_the_last_choice_of_a_nested_body_is_preselected():
    """JupyterHub 5 stores the body of JupyterHub 6 as it came."""
    choice = Choice("local", "bare_metal", "b", "t", free_limits())
    other = Choice("local", "bare_metal", "a", "t", free_limits())
    last = {"provider": "local", "resource_type": "bare_metal", "deployment": "b"}
    page = form.render([other, choice], {"user_options": last}, {})
    assert "selected>b (t)</option>" in page
