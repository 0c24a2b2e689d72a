"""Who takes which attribute of a deployment: the provider what it claims, the child the rest."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, Int, TraitError

from multiplespawner_core.catalogue.coercion import Trait, coerce, settable_traits
from multiplespawner_core.catalogue.findings import KeyPath, path_text, shown, suggestion
from multiplespawner_core.catalogue.model import Deployment
from multiplespawner_core.catalogue.placeholders import has_placeholder
from multiplespawner_core.contracts import ConfigurationError, Provider

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError


@dataclass(frozen=True)
class Problem:
    """What is wrong at a path within a deployment."""

    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False


def deployment_split(
    deployment: Deployment, provider: type[Provider], spawner: type[Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of the attributes goes to the provider, and what to the child, as its traits take it.

    Raises:
        ConfigurationError: an attribute fits neither.
    """
    for_provider, for_child, problems = split(deployment, provider, spawner)
    for problem in problems:
        message = f"{path_text(deployment.path(*problem.path))}: {problem.message}"
        raise ConfigurationError(message)
    return for_provider, for_child


def split(
    deployment: Deployment, provider: type[Provider], spawner: type[Any], provider_name: str = ""
) -> tuple[dict[str, Any], dict[str, Any], list[Problem]]:
    """As `deployment_split`, with everything that is wrong instead of an error."""
    claimed = provider.deployment_schema
    traits = settable_traits(spawner)
    for_provider: dict[str, Any] = {}
    for_child: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in deployment.attributes.items():
        if name in claimed:
            for_provider[name] = typed = _typed_by_schema(claimed[name], value)
            problems += _schema_problems(claimed[name], typed, name, provider)
        elif name in traits:
            try:
                for_child[name] = coerce(traits[name], value)
            except TraitError as error:
                problems.append(Problem((name,), str(error)))
        else:
            who = provider_name or provider.__name__
            message = f"neither provider {who!r} nor {spawner.__name__} takes this attribute"
            hint = suggestion(name, sorted({*claimed, *traits}))
            problems.append(Problem((name,), message, hint, at_key=True))
    return for_provider, for_child, problems


def _schema_problems(
    schema: Any, value: Any, name: str, provider: type[Provider]
) -> Iterator[Problem]:
    if has_placeholder(value):
        return
    validator, mistake = _validator(_as_text(schema))
    if validator is None:
        message = f"{provider.__name__}.deployment_schema is wrong here: {mistake}"
        yield Problem((name,), message, "report this to the plugin's author")
        return
    for error in validator.iter_errors(value):
        path = (name, *error.absolute_path)
        yield Problem(path, _explain(error, path))


def schema_mistake(schema: Any) -> str:
    """Why this is no JSON Schema; empty if it is one."""
    return _validator(_as_text(schema))[1]


def _as_text(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True, default=str)


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> tuple[Draft202012Validator | None, str]:
    """The validator of a schema, or why it is none."""
    # Its optional format checkers take seconds to import where JupyterLab has brought them along.
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - as said above

    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except SchemaError as error:
        return None, error.message
    return Draft202012Validator(json.loads(schema)), ""


def _explain(mistake: ValidationError, path: KeyPath) -> str:
    found = shown(mistake.instance, path)
    if mistake.validator == "type":
        types: Any = mistake.validator_value
        return f"must be {types if isinstance(types, str) else ' or '.join(types)}, but is {found}"
    if mistake.validator == "enum":
        return f"must be one of {shown(mistake.validator_value)}, but is {found}"
    if found == json.dumps(mistake.instance, ensure_ascii=False):
        return mistake.message
    # The message would hold the value: a long one, or a secret.
    return f"must fit {mistake.validator} {shown(mistake.validator_value)}, but is {found}"


def _typed_by_schema(schema: Any, value: Any) -> Any:
    """The value as the schema's type, where it is text and the schema wants something else."""
    wanted = schema.get("type") if isinstance(schema, Mapping) else None
    trait = _SCHEMA_TRAITS.get(wanted) if isinstance(wanted, str) else None
    if trait is None or not isinstance(value, str):
        return value
    try:
        return coerce(trait, value)
    except TraitError:
        return value


_SCHEMA_TRAITS: Mapping[str, Trait] = {"integer": Int(), "number": Float(), "boolean": Bool()}


__all__ = ("Problem", "deployment_split", "schema_mistake", "split")
