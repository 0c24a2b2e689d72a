"""The configurable traits of a class as Markdown, from their own help texts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from traitlets import TraitType, Undefined


def own_traits(cls: type) -> dict[str, TraitType[Any, Any]]:
    """What the class adds to be configured, in the order of its source."""
    return {
        name: value
        for name, value in vars(cls).items()
        if name in cls.class_trait_names(config=True)
    }


def load(target: str) -> type:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def entry(section: str, name: str, trait: TraitType[Any, Any], *, dynamic: bool) -> str:
    """One item of a definition list, in Markdown."""
    facts = [_kind(trait)]
    if not dynamic:
        facts.append(f"default `{trait.default()!r}`")
    paragraphs = inspect.cleandoc(trait.help).split("\n\n")
    body = "\n\n".join(f"  {paragraph}".replace("\n", "\n  ") for paragraph in paragraphs)
    return f"(trait-{section}-{name})=\n`c.{section}.{name}`\n: *{'; '.join(facts)}.*\n\n{body}\n"


def markdown(cls: type, section: str) -> str:
    """The whole list.

    Raises:
        ValueError: a trait has no help.
    """
    traits = own_traits(cls)
    silent = [name for name, trait in traits.items() if not trait.help]
    if silent:
        msg = f"{cls.__name__}: no help for {', '.join(silent)}"
        raise ValueError(msg)
    computed = _computed(cls, traits)
    return "\n".join(
        entry(section, name, trait, dynamic=name in computed) for name, trait in traits.items()
    )


def _kind(trait: TraitType[Any, Any]) -> str:
    name = type(trait).__name__
    values = getattr(trait, "values", None)
    return f"{name}: {', '.join(f'`{value!r}`' for value in values)}" if values else name


def _computed(cls: type, traits: Mapping[str, TraitType[Any, Any]]) -> set[str]:
    """Those whose default is found out at run time, or which say it in their help."""
    by_method = {
        handler.trait_name
        for handler in vars(cls).values()
        if type(handler).__name__ == "DefaultHandler"
    }
    empty = {name for name, trait in traits.items() if trait.default() in ("", Undefined)}
    return by_method | empty
