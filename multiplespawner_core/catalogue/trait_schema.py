"""Traits as JSON Schema: what `coerce` takes for them from a file."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from traitlets import (
    Bool,
    CaselessStrEnum,
    CBool,
    CFloat,
    CInt,
    Container,
    CUnicode,
    Dict,
    Enum,
    Float,
    FuzzyEnum,
    HasTraits,
    Int,
    List,
    Set,
    TraitError,
    Tuple,
    Unicode,
    Union,
)

from multiplespawner_core.catalogue.coercion import (
    TRUTH,
    Trait,
    coerce,
    settable_traits,
    wants_function,
)
from multiplespawner_core.catalogue.placeholders import PLACEHOLDERS

Schema = dict[str, Any]

NOTHING: Schema = {"not": {}}
"""No value fits, such as where a function is wanted."""


def any_case(text: str) -> str:
    """A pattern for the text, whatever its case; JSON Schema has no flag for that."""
    pairs = ((letter.lower(), letter.upper()) for letter in text)
    return "".join(
        f"[{low}{up}]" if low != up and len(low + up) == len("xX") else re.escape(low)
        for low, up in pairs
    )


_FLOAT = r"([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?"

SHARED: Mapping[str, Schema] = {
    "placeholder": {
        "description": "text with a placeholder, replaced when a server starts",
        "type": "string",
        "pattern": rf"\{{({'|'.join(PLACEHOLDERS)})\}}",
    },
    "none": {
        "description": "nothing, written as text",
        "type": "string",
        "pattern": "^None$",
    },
    "integer": {
        "description": "a whole number written as text",
        "type": "string",
        "pattern": r"^\s*[-+]?[0-9]+(_[0-9]+)*\s*$",
    },
    "number": {
        "description": "a number written as text",
        "type": "string",
        "pattern": rf"^\s*[-+]?({_FLOAT}|{any_case('inf')}({any_case('inity')})?)\s*$",
    },
    "boolean": {
        "description": "a boolean written as text or number",
        "anyOf": [
            {"type": "string", "pattern": rf"^\s*({'|'.join(map(any_case, TRUTH))})\s*$"},
            {"enum": [0, 1]},
        ],
    },
}
"""Definitions that the schemas of traits refer to, as ``#/$defs/<name>``."""

_SAMPLES: Mapping[str, Iterable[Any]] = {
    "array": ([], ["text"]),
    "number": (1.5,),
    "object": ({}, {"text": "text"}),
}
_TYPES = ((Bool, "boolean"), (Int, "integer"), (Float, "number"), (Unicode, "string"))


def properties(cls: type[HasTraits]) -> dict[str, Schema]:
    """A schema for each trait of the class that a file may set, with help and default."""
    found = {}
    for name, trait in settable_traits(cls).items():
        schema = trait_schema(trait)
        if trait.help:
            schema = {"description": inspect.cleandoc(trait.help), **schema}
        default = _default(cls, name, trait)
        if default is not None:
            schema = {**schema, "default": default}
        found[name] = schema
    return found


def trait_schema(trait: Trait) -> Schema:
    """What the trait takes; a trait that nothing is known of takes everything."""
    schema = _accepted(trait)
    if not trait.allow_none or not schema:
        return schema
    if not isinstance(trait, (Bool, Int, Float)):
        return one_of(schema, {"type": "null"})
    return one_of(schema, {"type": "null"}, shared("none"))


def one_of(*schemas: Schema) -> Schema:
    """What fits one of them; nothing is added to what fits everything."""
    if not all(schemas):
        return {}
    alternatives: list[Schema] = []
    for schema in schemas:
        nested = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
        alternatives += [one for one in nested if one not in (*alternatives, NOTHING)]
    if not alternatives:
        return NOTHING
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def or_placeholder(*schemas: Schema) -> Schema:
    """What fits one of them, or text that a placeholder stands in."""
    any_text = {"type": "string"} in schemas
    return one_of(*schemas, *([] if any_text else [shared("placeholder")]))


def shared(name: str) -> Schema:
    """A reference to one of `SHARED`."""
    return {"$ref": f"#/$defs/{name}"}


def _accepted(trait: Trait) -> Schema:
    if wants_function(trait):
        return NOTHING
    if isinstance(trait, Union):
        return one_of(*map(trait_schema, trait.trait_types))
    if not _as_traitlets_has_it(trait):
        return _probed(trait)
    for base in type(trait).__mro__:
        if base in _SCHEMAS:
            return _SCHEMAS[base](trait)
    return {}


def _as_traitlets_has_it(trait: Trait) -> bool:
    """Whether its values are checked by traitlets' own code."""
    validate = getattr(type(trait), "validate", None)
    return getattr(validate, "__module__", "traitlets.traitlets") == "traitlets.traitlets"


def _probed(trait: Trait) -> Schema:
    """Of a trait with rules of its own: the kinds of value of which some are taken."""
    bases = {kind for base, kind in _TYPES if isinstance(trait, base)}
    bases |= {"array"} if isinstance(trait, Container) else set()
    bases |= {"object"} if isinstance(trait, Dict) else set()
    if not bases:
        return {}
    taken = {kind for kind, samples in _SAMPLES.items() if _takes_one(trait, samples)}
    return {"type": sorted({*bases, *taken, "string"})}


def _takes_one(trait: Trait, samples: Iterable[Any]) -> bool:
    for sample in samples:
        with suppress(TraitError):
            coerce(trait, sample)
            return True
    return False


def _scalar(trait: Trait) -> Schema:
    kind = next(kind for base, kind in _TYPES if isinstance(trait, base))
    bounds = {"minimum": getattr(trait, "min", None), "maximum": getattr(trait, "max", None)}
    given = {key: value for key, value in bounds.items() if value not in _UNBOUNDED}
    return or_placeholder({"type": kind, **given}, shared(kind))


_UNBOUNDED = (None, float("inf"), float("-inf"))


def _one_of_values(trait: Any) -> Schema:
    values = list(trait.values or ())
    if not all(isinstance(value, (str, int, float, type(None))) for value in values):
        return {}
    # What is no text may be written as such.
    texts = [str(value) for value in values if not isinstance(value, str)]
    return or_placeholder({"enum": [*values, *texts]})


def _list(trait: Any) -> Schema:
    items = {} if trait._trait is None else trait_schema(trait._trait)  # noqa: SLF001 - no other way
    schema: Schema = {"type": "array"}
    if items:
        # A list with a placeholder in it is checked once that is replaced.
        schema["items"] = or_placeholder(items)
    if trait._minlen:  # noqa: SLF001 - traitlets has no other
        schema["minItems"] = trait._minlen  # noqa: SLF001 - traitlets has no other
    if trait._maxlen < sys.maxsize:  # noqa: SLF001 - traitlets has no other
        schema["maxItems"] = trait._maxlen  # noqa: SLF001 - traitlets has no other
    return schema


def _mapping(trait: Any) -> Schema:
    value = trait._value_trait  # noqa: SLF001 - traitlets has no other
    values = {} if value is None else trait_schema(value)
    schema: Schema = {"type": "object"}
    if values and not trait._per_key_traits:  # noqa: SLF001 - traitlets has no other
        schema["additionalProperties"] = or_placeholder(values)
    return schema


def _text(_: Trait) -> Schema:
    return {"type": "string"}


def _array(_: Trait) -> Schema:
    return {"type": "array"}


def _anything(_: Trait) -> Schema:
    return {}


_SCHEMAS: Mapping[type[Any], Callable[[Any], Schema]] = {
    # They cast, or compare in ways of their own.
    **dict.fromkeys((CBool, CFloat, CInt, CUnicode, CaselessStrEnum, FuzzyEnum), _anything),
    **dict.fromkeys((Bool, Float, Int), _scalar),
    **dict.fromkeys((List, Set), _list),
    Dict: _mapping,
    Enum: _one_of_values,
    Tuple: _array,
    Unicode: _text,
}


def _default(cls: type[HasTraits], name: str, trait: Trait) -> Any:
    """The default, where it is the same for every instance and a file can say it."""
    computed = (
        handler
        for base in cls.__mro__
        for handler in vars(base).values()
        if type(handler).__name__ == "DefaultHandler" and handler.trait_name == name
    )
    if next(computed, None) is not None or hasattr(cls, f"_{name}_default"):
        return None
    value = trait.default()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return value


__all__ = (
    "NOTHING",
    "SHARED",
    "Schema",
    "any_case",
    "one_of",
    "or_placeholder",
    "properties",
    "shared",
    "trait_schema",
)
