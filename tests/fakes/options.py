"""User options as people, programs and vandals send them, for Hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from multiplespawner_core.catalogue.limits import QUANTITIES
from multiplespawner_core.selection.request import WHERE

WRAPPER = {"user_options", "display_name"}
"""The keys around the options in a body of JupyterHub 6."""

AMOUNTS = {
    "cpu": st.integers(0, 170).map(lambda n: n / 10) | st.integers(-1, 99),
    "memory": st.integers(1, 6500).map(lambda n: n / 100),
    "gpu": st.integers(-1, 4),
    "lifetime": st.integers(-1, 26).map(lambda n: n * 30) | st.integers(0, 800),
}

_NUMBERS = st.sampled_from([float("nan"), float("inf"), -0.0, 1e308, 5e-324, 10**400, 2**63])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _NUMBERS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_KEYS = st.sampled_from([*WHERE, *QUANTITIES, *WRAPPER, "cpus"]) | st.text(max_size=8)

_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", " ", "nan", "inf", "-0", "1e999", "1e3", "0x10", "1_0", "٣", "1,5", "9" * 5000, "\0"]
)
_FILES = st.builds(lambda body: {"filename": "x", "body": body, "content_type": ""}, st.binary())
_FIELDS = _KEYS | st.sampled_from(["choice", "_xsrf", "x_file"])

Places = Mapping[str, Sequence[str]]


def good(places: Places) -> Any:
    """Options of the right kinds, and often within limits.

    Args:
        places: by provider, resource_type and deployment, the names to take.
    """
    named = {key: st.sampled_from(list(names)) for key, names in places.items()}
    return st.fixed_dictionaries({}, optional={**named, **AMOUNTS})


def bodies(places: Places) -> Any:
    """Anything that a program may send as JSON."""
    spoilt = st.builds(_both, good(places), st.dictionaries(_KEYS, JUNK, max_size=2))
    return st.one_of(good(places), spoilt, st.dictionaries(_KEYS, JUNK, max_size=4), JUNK)


def fields(places: Places, choices: Sequence[str], *, files: bool = True) -> Any:
    """Anything that a form or a query may send.

    Args:
        places: as for `good`.
        choices: values of the form's own list.
        files: whether some of it are files.
    """
    texts = st.lists(_TEXTS | _FILES if files else _TEXTS, max_size=2)
    chosen = st.builds(
        lambda choice, amounts: {"choice": [choice], **_written(amounts)},
        st.sampled_from(list(choices)),
        st.fixed_dictionaries({}, optional=AMOUNTS),
    )
    junk = st.dictionaries(_FIELDS, texts, max_size=2)
    spoilt = st.builds(_both, good(places).map(_written), junk)
    return st.one_of(
        good(places).map(_written), chosen, spoilt, st.dictionaries(_FIELDS, texts, max_size=4)
    )


def _written(options: Mapping[str, Any]) -> dict[str, list[str]]:
    return {key: [str(value)] for key, value in options.items()}


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, **other}
