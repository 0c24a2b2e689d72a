"""From what a file says to what a trait takes: ``"True"`` to True, ``"22"`` to 22."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from traitlets import (
    Bool,
    Container,
    Dict,
    Enum,
    Float,
    HasTraits,
    Int,
    TraitError,
    TraitType,
    Unicode,
    Union,
)

from multiplespawner_core.catalogue.findings import shown
from multiplespawner_core.catalogue.placeholders import has_placeholder

Trait = TraitType[Any, Any]

TRUTH = {"true": True, "yes": True, "on": True, "1": True}
TRUTH |= {"false": False, "no": False, "off": False, "0": False}
_INTERNAL = frozenset({"jupyterhub.spawner", "traitlets.config.configurable"})
_PROBE = HasTraits()
_SETTABLE: WeakKeyDictionary[type[Any], Mapping[str, Trait]] = WeakKeyDictionary()


def settable_traits(cls: type[HasTraits]) -> Mapping[str, Trait]:
    """The traits that a configuration file may set: not what JupyterHub itself sets."""
    if cls not in _SETTABLE:
        _SETTABLE[cls] = {
            name: trait
            for name, trait in cls.class_traits().items()
            if not name.startswith("_")
            and (trait.metadata.get("config") or trait.this_class.__module__ not in _INTERNAL)
        }
    return _SETTABLE[cls]


def coerce(trait: Trait, value: Any) -> Any:
    """The value as the trait takes it.

    A value with placeholders in it comes back as it is, if one of its kind can be right; coerce
    it again once they are replaced. Text never becomes a list or mapping, since then what
    a user is called could.

    Raises:
        TraitError: it does not fit; the message says what does.
    """
    if has_placeholder(value):
        if _may_fit(trait, value):
            return value
        raise TraitError(_mismatch(trait, value))
    for reading in _readings(trait, value):
        with suppress(Exception):  # validators may raise anything
            return _validate(trait, reading)
    raise TraitError(_mismatch(trait, value))


def _validate(trait: Trait, value: Any) -> Any:
    if value is None and trait.allow_none:
        return None
    validate = getattr(trait, "validate", None)
    return validate(_PROBE, value) if validate else value


def _readings(trait: Trait, value: Any) -> Iterator[Any]:
    """What the value may mean to the trait, best first."""
    if isinstance(value, str) and not _takes_text(trait):
        yield from _read_text(trait, value)
    yield value
    with suppress(TraitError):
        if isinstance(value, list) and (item := getattr(trait, "_trait", None)):
            yield [coerce(item, element) for element in value]
        if isinstance(value, Mapping) and (item := getattr(trait, "_value_trait", None)):
            yield {key: coerce(item, element) for key, element in value.items()}


def _read_text(trait: Trait, text: str) -> Iterator[Any]:
    if isinstance(trait, Union):
        for member in trait.trait_types:
            with suppress(TraitError):
                yield coerce(member, text)
    elif isinstance(trait, Bool):
        if text.strip().lower() in TRUTH:
            yield TRUTH[text.strip().lower()]
    elif isinstance(trait, (Int, Float, Enum)):
        with suppress(ValueError, TraitError):
            yield trait.from_string(text)


def _takes_text(trait: Trait) -> bool:
    if isinstance(trait, Union):
        return any(_takes_text(member) for member in trait.trait_types)
    return isinstance(trait, Unicode)


def _may_fit(trait: Trait, value: Any) -> bool:
    if isinstance(trait, Union):
        return any(_may_fit(member, value) for member in trait.trait_types)
    if isinstance(trait, Dict):
        return isinstance(value, Mapping)
    if isinstance(trait, Container):
        # JupyterHub's Command is a list that may be written as text.
        return isinstance(value, list) or (isinstance(value, str) and _accepts(trait, "text"))
    if isinstance(trait, (Unicode, Bool, Int, Float, Enum)):
        return isinstance(value, str)
    return not wants_function(trait)


def wants_function(trait: Trait) -> bool:
    """Whether nothing in a file can be right; traitlets has such a trait, and so has JupyterHub."""
    return type(trait).__name__ == "Callable"


def _accepts(trait: Trait, value: Any) -> bool:
    try:
        _validate(trait, value)
    except Exception:  # noqa: BLE001 - validators may raise anything
        return False
    return True


def _mismatch(trait: Trait, value: Any) -> str:
    return f"must be {trait.info()}, but is {shown(value, (trait.name or '',))}"


__all__ = ("TRUTH", "Trait", "coerce", "settable_traits", "wants_function")
