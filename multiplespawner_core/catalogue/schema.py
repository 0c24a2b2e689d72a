"""Both files as JSON Schema, with what the installed plugins offer, for editors and for checks.

It says what `load` and `resolve` would, as far as one file shows it: neither that a name stands
twice nor that a template and a deployment do not fit each other.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel

from multiplespawner_core.catalogue.attributes import schema_mistake
from multiplespawner_core.catalogue.check import constructor_parameters
from multiplespawner_core.catalogue.limits import LEAST, MOST, QUANTITIES, WHOLE, Range
from multiplespawner_core.catalogue.model import (
    Block,
    ConfigurerBlock,
    Deployment,
    Restricted,
    Template,
)
from multiplespawner_core.catalogue.trait_schema import (
    NOTHING,
    SHARED,
    Schema,
    any_case,
    one_of,
    or_placeholder,
    properties,
    shared,
)
from multiplespawner_core.contracts import (
    RESOURCE_TYPES,
    Component,
    ConfigurationError,
    Kind,
    Provider,
    Storage,
)
from multiplespawner_core.plugins.discovery import Declared
from multiplespawner_core.plugins.registry import Registry

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_UNITS: Mapping[str, str] = {
    "cpu": "vCPUs",
    "memory": "GB of 2**30 bytes",
    "gpu": "devices",
    "lifetime": "minutes",
}
_TEXT: Schema = {"type": "string", "pattern": r"\S"}
_NULL: Schema = {"type": "null"}
_BLOCKS = {
    Kind.SPAWNER: Block,
    Kind.CONFIGURER: ConfigurerBlock,
    Kind.AUTHENTICATOR: Block,
}


@dataclass(frozen=True)
class FileSchemas:
    """What may stand in the two files.

    Args:
        templates: schema of the Spawner Template configuration.
        deployments: schema of the Spawner Deployment configuration.
        left_out: components whose classes cannot be imported, and why.
    """

    templates: Schema
    deployments: Schema
    left_out: tuple[str, ...] = ()

    def either(self) -> Schema:
        """One schema for both: templates are a list, deployments a mapping."""
        defs = {
            **self.templates["$defs"],
            **self.deployments["$defs"],
            "templates": _without(self.templates, "$schema", "$defs"),
            "deployments": _without(self.deployments, "$schema", "$defs"),
        }
        return {
            "$schema": DIALECT,
            "title": "Templates or deployments of multiplespawner",
            "if": {"type": "array"},
            "then": _ref("templates"),
            "else": _ref("deployments"),
            "$defs": defs,
        }


@dataclass(frozen=True)
class _Known:
    """A component whose class could be imported, and what a file may set of it."""

    declared: Declared
    names: tuple[str, ...]
    cls: type[Any]
    takes: Mapping[str, Schema]

    @property
    def definition(self) -> str:
        return f"{self.declared.kind.value}:{self.declared.component.path}"

    @property
    def pattern(self) -> str:
        return rf"^\s*({'|'.join(map(any_case, self.names))})\s*$"

    @property
    def description(self) -> str:
        first = inspect.cleandoc(self.cls.__doc__ or "").partition("\n\n")[0]
        return f"{' '.join(first.split())} ({self.declared.source})".strip()


def file_schemas(registry: Registry) -> FileSchemas:
    """The schemas of both files; imports the class of every component that can be named."""
    known = _Components(registry)
    return FileSchemas(
        templates=_templates(known),
        deployments=_deployments(known),
        left_out=tuple(known.left_out),
    )


class _Components:
    """The components of a registry with their classes."""

    def __init__(self, registry: Registry) -> None:
        self.left_out: list[str] = []
        self._registry = registry
        self._broken: set[Component] = set()
        self.kinds = {kind: list(self._load(kind)) for kind in Kind if kind is not Kind.PROVIDER}
        self.providers = {name: list(self._load(Kind.PROVIDER, name)) for name in RESOURCE_TYPES}

    def _load(self, kind: Kind, resource_type: str = "") -> Iterator[_Known]:
        for declared, names in self._registry.components(kind, resource_type):
            component = declared.component
            try:
                cls = self._registry.load(kind, component)
                takes = _claims(cls) if kind is Kind.PROVIDER else _arguments(kind, cls)
            except ConfigurationError as error:
                self._leave_out(component, str(error))
            except Exception as error:  # noqa: BLE001 - whatever a plugin's class does when asked
                why = f"{type(error).__name__}: {error}"
                what = f"{kind.value} {component.name!r}: {component.path}"
                self._leave_out(component, f"{what} cannot say what it takes: {why}")
            else:
                yield _Known(declared, names, cls, takes)

    def _leave_out(self, component: Component, why: str) -> None:
        if component not in self._broken:
            self._broken.add(component)
            self.left_out.append(why)


# -- templates ----------------------------------------------------------------------------------


def _templates(known: _Components) -> Schema:
    defs: dict[str, Schema] = {**SHARED, "limits": _limits(), "template": _template(known)}
    for kind, components in known.kinds.items():
        defs[kind.value] = _name(components)
        defs[f"{kind.value}:block"] = _block(kind, components)
        for component in components:
            arguments = f"{component.definition}:kwargs"
            defs[arguments] = _closed(component.takes)
            defs[component.definition] = _of_class(kind, component, arguments)
    return {
        "$schema": DIALECT,
        "title": "Spawner Template configuration of multiplespawner",
        "type": "array",
        "minItems": 1,
        "items": _ref("template"),
        "$defs": defs,
    }


def _template(known: _Components) -> Schema:
    texts = {**_described(Block), **_described(Template)}
    fields: dict[str, Schema] = {
        "name": _TEXT,
        "resource_type": {"enum": list(RESOURCE_TYPES)},
        "providers": {"type": "array", "minItems": 1},
        "spawner": _ref("spawner:block"),
        "configurer": _optional("configurer:block"),
        "authenticator": _optional("authenticator:block"),
        "hub_connect_url": one_of(
            {
                "type": "string",
                "pattern": r"^\s*[hH][tT][tT][pP][sS]?://[^/?#]",
                "not": {"pattern": r"^[^?#]*/hub/api/*([?#]|$)"},
            },
            _NULL,
        ),
        "limits": _ref("limits"),
        "storage": {"enum": [*(one.value for one in Storage), None]},
        **_restrictions(),
        "class": _ref("spawner"),
        "args": {"type": "array"},
        "kwargs": {"type": "object"},
    }
    return {
        "description": _summary(Template),
        "type": "object",
        "properties": _with_texts(fields, texts),
        "required": ["name", "resource_type", "providers"],
        "additionalProperties": False,
        "allOf": [
            _when(
                {"resource_type": {"const": name}},
                {"properties": {"providers": {"items": _name(components)}}},
            )
            for name, components in known.providers.items()
        ],
        "if": {"required": ["class"]},
        "then": {
            "properties": {"spawner": False},
            **_all(_flat(component) for component in known.kinds[Kind.SPAWNER]),
        },
        "else": {"required": ["spawner"], "properties": {"args": False, "kwargs": False}},
    }


def _flat(spawner: _Known) -> Schema:
    """A template with the spawner's keys beside its name."""
    return _when(
        {"class": {"pattern": spawner.pattern}},
        {
            "properties": {
                key: _ref(spawner.definition, "properties", key) for key in ("args", "kwargs")
            }
        },
    )


def _block(kind: Kind, components: Iterable[_Known]) -> Schema:
    return {
        "description": _summary(_BLOCKS[kind]),
        "type": "object",
        "properties": {"class": _ref(kind.value)},
        "required": ["class"],
        **_all(
            _when({"class": {"pattern": component.pattern}}, _ref(component.definition))
            for component in components
        ),
    }


def _of_class(kind: Kind, component: _Known, arguments: str) -> Schema:
    """A block with that class: further keys beside ``kwargs`` go to the class as well."""
    model, traits = _BLOCKS[kind], component.takes
    fields: dict[str, Any] = {name: _ref(arguments, "properties", name) for name in traits}
    fields |= {"class": True, "kwargs": _ref(arguments)}
    if kind is Kind.SPAWNER and "args" in traits:
        fields["args"] = {"type": "array", **fields["args"]}
    else:
        fields["args"] = {"type": "array", "maxItems": 0}
    if "options" in model.model_fields:
        taken = {"maxProperties": 0} if "options" not in traits else fields["options"]
        fields["options"] = {"type": "object", **taken}
    return {
        "title": component.declared.component.path,
        "description": component.description,
        "properties": _with_texts(fields, _described(model)),
        "additionalProperties": False,
    }


def _arguments(kind: Kind, cls: type[Any]) -> dict[str, Schema]:
    parameters = set() if kind is Kind.SPAWNER else constructor_parameters(cls)
    return {**{name: {} for name in sorted(parameters)}, **properties(cls)}


def _limits() -> Schema:
    texts = _described(Range)
    fields: dict[str, Schema] = {}
    for quantity in QUANTITIES:
        kind = "integer" if quantity in WHOLE else "number"
        keys: dict[str, Schema] = {}
        for name, field in Range.model_fields.items():
            key = field.alias or name
            bounds: Schema = {"minimum": LEAST[quantity], "maximum": MOST[quantity]}
            if key == "step":
                bounds = {"exclusiveMinimum": 0, "maximum": MOST[quantity]}
            amount = one_of({"type": kind, **bounds}, shared("number"), _NULL)
            keys[key] = {"description": texts[name], **amount}
        fields[quantity] = {"description": _UNITS[quantity], **one_of(_closed(keys), _NULL)}
    return {"description": "how much users may ask for", **_closed(fields)}


# -- deployments --------------------------------------------------------------------------------


def _deployments(known: _Components) -> Schema:
    traits = _child_traits(known.kinds[Kind.SPAWNER])
    defs: dict[str, Schema] = dict(SHARED)
    for name, providers in known.providers.items():
        defs[f"deployment:{name}"] = _deployment(providers, traits)
    return {
        "$schema": DIALECT,
        "title": "Spawner Deployment configuration of multiplespawner",
        **_closed(
            {
                name: {"type": "array", "items": _ref(f"deployment:{name}")}
                for name in RESOURCE_TYPES
            }
        ),
        "$defs": defs,
    }


def _deployment(providers: list[_Known], traits: Mapping[str, Schema]) -> Schema:
    """A deployment of one type. That of a provider which is not installed may hold anything."""
    texts = _described(Deployment)
    # Of what nobody offers no template can be in use, and nothing is checked.
    named = one_of(*(_name([provider]) for provider in providers), _TEXT, _NULL)
    fields = {"name": _TEXT, "provider": named, **_restrictions()}
    cases: list[Schema] = []
    for provider in providers:
        taken = {**traits, **provider.takes}
        cases.append(
            _when({"provider": {"pattern": provider.pattern, "type": "string"}}, _only(taken))
        )
    if providers:
        anywhere = {**traits}
        for key in {key for provider in providers for key in provider.takes}:
            every = [one.takes.get(key, traits.get(key, NOTHING)) for one in providers]
            anywhere[key] = one_of(*every)
        absent = {
            "anyOf": [{"not": {"required": ["provider"]}}, {"properties": {"provider": _NULL}}]
        }
        cases.append({"if": absent, "then": _only(anywhere)})
    return {
        "description": _summary(Deployment),
        "type": "object",
        "properties": _with_texts(fields, texts),
        "required": ["name"],
        **_all(cases),
    }


def _only(attributes: Mapping[str, Schema]) -> Schema:
    own = [field.alias or name for name, field in Deployment.model_fields.items()]
    return {
        "properties": {**attributes, **dict.fromkeys(own, True)},
        "additionalProperties": False,
    }


def _child_traits(spawners: Iterable[_Known]) -> dict[str, Schema]:
    """What the traits of one child spawner or another take; which one starts it, templates say."""
    found: dict[str, list[Schema]] = {}
    for spawner in spawners:
        for name, schema in spawner.takes.items():
            schemas = found.setdefault(name, [])
            if schema not in schemas:
                schemas.append(schema)
    return {name: one_of(*schemas) for name, schemas in found.items()}


def _claims(provider: type[Provider]) -> dict[str, Schema]:
    where = f"{provider.__module__}.{provider.__qualname__}"
    schemas = provider.deployment_schema.items()
    return {name: _claimed(f"{where}.{name}", schema) for name, schema in schemas}


def _claimed(where: str, schema: Any) -> Schema:
    """A provider's own schema, with the texts that are read as what it wants."""
    if not isinstance(schema, Mapping) or not schema or schema_mistake(schema):
        return {}
    own = dict(schema)
    if "$ref" in json.dumps(own):
        own = {"$id": f"urn:multiplespawner:{quote(where)}", **own}  # its references are within it
    kind = own.get("type")
    text = [shared(kind)] if isinstance(kind, str) and kind in SHARED else []
    texts = {key: own.pop(key) for key in ("title", "description", "default") if key in own}
    return {**texts, **or_placeholder(own, *text)}


# -- parts --------------------------------------------------------------------------------------


def _restrictions() -> dict[str, Schema]:
    names = one_of({"type": "array", "items": _TEXT}, _NULL)
    return dict.fromkeys(Restricted.model_fields, names)


def _name(components: Iterable[_Known]) -> Schema:
    """The names of some components: an editor offers them, and any case is right."""
    components = list(components)
    offered: list[Schema] = [
        {"const": name, "description": component.description}
        for component in components
        for name in component.names
    ]
    if not offered:
        return {"description": "no plugin that is installed offers one", **NOTHING}
    patterns: list[Schema] = [{"pattern": component.pattern} for component in components]
    return {"type": "string", "anyOf": [*offered, *patterns]}


def _optional(definition: str) -> Schema:
    return {"anyOf": [_ref(definition), {"type": "object", "maxProperties": 0}, _NULL]}


def _closed(fields: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(fields), "additionalProperties": False}


def _when(condition: Mapping[str, Schema], then: Schema) -> Schema:
    return {"if": {"properties": dict(condition), "required": list(condition)}, "then": then}


def _all(schemas: Iterable[Schema]) -> Schema:
    """Each of them; JSON Schema allows no empty list there."""
    schemas = list(schemas)
    return {"allOf": schemas} if schemas else {}


def _ref(*steps: str) -> Schema:
    path = "/".join(quote(step.replace("~", "~0").replace("/", "~1"), safe="~:") for step in steps)
    return {"$ref": f"#/$defs/{path}"}


def _without(schema: Schema, *keys: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in keys}


def _with_texts(fields: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The fields with the descriptions that the models have for them."""
    return {
        name: {"description": texts[name], **schema}
        if name in texts and isinstance(schema, Mapping)
        else schema
        for name, schema in fields.items()
    }


def _summary(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]


def _described(model: type[BaseModel]) -> dict[str, str]:
    """What a model's docstrings say of its fields, by their names in the file and in the code."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        arguments = inspect.cleandoc(base.__doc__ or "").partition("Args:\n")[2]
        found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
        texts |= {name: " ".join(text.split()) for name, text in found}
    aliases = {field.alias: name for name, field in model.model_fields.items() if field.alias}
    return {**texts, **{alias: texts[name] for alias, name in aliases.items()}}


__all__ = ("DIALECT", "FileSchemas", "file_schemas")
