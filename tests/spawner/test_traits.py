"""Every trait of JupyterHub's Spawner is classified; what changed is told from what was set."""

from __future__ import annotations

import functools
import threading
from collections import Counter

import pytest
from jupyterhub.spawner import Spawner
from traitlets import Dict, HasTraits, Int, List

from multiplespawner_core.spawner import traits

LISTS = ("IDENTITY", "RUNTIME", "ADMINISTERED", "OWN")


def test_every_trait_is_in_exactly_one_list():
    listed = Counter(name for which in LISTS for name in getattr(traits, which))
    assert {name for name, times in listed.items() if times > 1} == set()
    # `rename`d or removed ones would be passed on to nobody; the lists hold for 5.5 and 6.1.
    assert set(listed) == set(Spawner.class_traits())


def test_what_is_reported_is_administered():
    assert traits.REPORTED <= traits.ADMINISTERED


@pytest.mark.parametrize(
    ("layers", "result"),
    [
        ([], {}),
        ([{"a": 1}, {"a": 2}, {"b": 3}], {"a": 2, "b": 3}),
        ([{"e": {"x": 1, "y": 1}}, {"e": {"y": 2}}], {"e": {"x": 1, "y": 2}}),
        ([{"e": {"x": 1}}, {"e": {"x": None}}], {"e": {"x": None}}),
        ([{"a": [1]}, {"a": [2]}], {"a": [2]}),
        ([{"a": None}, {"a": {"x": 1}}], {"a": {"x": 1}}),
    ],
)
def test_later_layers_win_and_dictionaries_merge(layers, result):
    assert traits.merge(*layers) == result


def test_merging_changes_no_layer():
    layers = [{"e": {"x": 1}}, {"e": {"y": 2}}, {"e": {"z": 3}}]
    traits.merge(*layers)
    assert layers == [{"e": {"x": 1}}, {"e": {"y": 2}}, {"e": {"z": 3}}]


class Some(HasTraits):
    environment = Dict()
    args = List()
    port = Int(0)
    user_options = Dict()


def changes(**values):
    some = Some(**values)
    before = traits.administered(some)
    return some, lambda: traits.changed(before, some)


def test_nothing_changed():
    _, changed = changes(port=1, environment={"a": {"b": 1}}, args=["x"])
    assert changed() == {}


def test_a_value_that_is_set_is_a_change_only_where_it_is_another():
    some, changed = changes(port=1)
    some.port = 2
    some.args = []
    some.user_options = {"x": 1}
    assert changed() == {"port": 2}


def test_changes_in_place_are_seen():
    some, changed = changes(args=["x"], environment={"a": 1})
    some.args.append("y")
    some.environment["b"] = 2
    assert changed() == {"args": ["x", "y"], "environment": {"b": 2}}


def test_changes_in_place_of_a_default_are_seen():
    some, changed = changes()
    some.args.append("y")
    some.environment["b"] = 2
    assert changed() == {"args": ["y"], "environment": {"b": 2}}


def test_of_a_dictionary_only_what_changed_is_told():
    some, changed = changes(environment={"a": 1, "b": 1, "c": 1})
    some.environment = {"a": 1, "b": 2, "d": 3}
    assert changed() == {"environment": {"b": 2, "c": None, "d": 3}}


def test_values_that_cannot_be_copied_are_no_change_and_no_failure():
    value = functools.partial(print, threading.Lock())
    some, changed = changes(environment={"a": value})
    assert changed() == {}
    some.environment["b"] = value
    assert changed() == {"environment": {"b": value}}
