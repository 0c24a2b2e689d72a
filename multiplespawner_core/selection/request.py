"""The request: JupyterHub's ``user_options`` in their canonical shape, validated."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from multiplespawner_core.contracts import MultipleSpawnerError

SIZES = ("cpu", "memory", "gpu")

_WHERE = ("provider", "resource_type", "deployment")


class InvalidOptions(MultipleSpawnerError):
    """What was asked for cannot be had; the message says what can."""


class Request(BaseModel):
    """What a user chose.

    Args:
        provider: component name of the provider.
        resource_type: kind of resource.
        deployment: name of the deployment.
        cpu: vCPUs; None for the provider's default.
        memory: GB; None for the provider's default.
        gpu: devices.
        lifetime: minutes after which the server is stopped; None for no end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    provider: str
    resource_type: str
    deployment: str
    # The least that a kernel can enforce of a CPU, and some megabytes.
    cpu: float | None = Field(default=None, ge=0.01, allow_inf_nan=False)
    memory: float | None = Field(default=None, ge=0.01, allow_inf_nan=False)
    gpu: int = Field(default=0, ge=0, le=1024)
    # A century: later moments do not fit into every database's and platform's clock.
    lifetime: int | None = Field(default=None, gt=0, le=100 * 366 * 24 * 60)


@dataclass(frozen=True)
class Choice:
    """One valid combination of provider, type and deployment.

    Args:
        provider: component name of the provider.
        resource_type: kind of resource.
        deployment: name of the deployment.
        template: name of the template that starts it.
        sizes: which of cpu, memory and gpu the provider enforces, and users may therefore set.
    """

    provider: str
    resource_type: str
    deployment: str
    template: str
    sizes: frozenset[str]

    @property
    def where(self) -> tuple[str, str, str]:
        """What identifies the choice in user options."""
        return (self.provider, self.resource_type, self.deployment)


def select(options: Mapping[str, Any], choices: Sequence[Choice]) -> tuple[Request, Choice]:
    """The request that `options` mean, and the choice that it fits.

    What is missing of provider, type and deployment is taken from the first choice that fits the
    rest.

    Args:
        options: JupyterHub's ``user_options``, from whichever door.
        choices: what this user may choose, in the administrator's order.

    Raises:
        InvalidOptions: they make no valid request; the message says what is allowed.
    """
    if not isinstance(options, Mapping):
        msg = f"options are names with values, not {options!r:.60}"
        raise InvalidOptions(msg)
    options = unwrapped(options)
    _refuse_unknown(options)
    wanted = {key: options[key] for key in _WHERE if options.get(key) is not None}
    fitting = [c for c in choices if all(getattr(c, key) == wanted[key] for key in wanted)]
    if not fitting:
        raise InvalidOptions(_nothing_fits(wanted, choices))
    choice = fitting[0]
    given = {key: value for key, value in options.items() if value is not None}
    given |= {key: getattr(choice, key) for key in _WHERE}
    try:
        request = Request.model_validate(given)
    except ValidationError as error:
        raise InvalidOptions(_say(error)) from None
    for size in SIZES:
        if getattr(request, size) and size not in choice.sizes:
            msg = f"{size}: {choice.provider} has no limits for it here; leave it out"
            raise InvalidOptions(msg)
    return request, choice


def unwrapped(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """JupyterHub 5 hands a JupyterHub 6 body, ``{"user_options": {...}}``, through as it is."""
    inner = options.get("user_options")
    if isinstance(inner, Mapping) and set(options) <= {"user_options", "display_name"}:
        return inner
    return options


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    allowed = list(Request.model_fields)
    for key in options:
        if key not in allowed:
            name = str(key)[:60]
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            msg = f"{name!r} is no option: {hint}allowed are {', '.join(allowed)}"
            raise InvalidOptions(msg)


def _nothing_fits(wanted: Mapping[str, Any], choices: Sequence[Choice]) -> str:
    if not choices:
        return "nothing can be started here at present; ask your administrator"
    for key, value in wanted.items():
        offered = _offered(key, choices)
        if value not in offered:
            return f"{key}: {value!r:.60} is not offered; allowed: {', '.join(offered) or 'none'}"
    combinations = "; ".join(" ".join(choice.where) for choice in choices[:20])
    asked = " ".join(str(value) for value in wanted.values())
    return f"{asked!r} is no combination that is offered; allowed: {combinations}"


def _offered(key: str, choices: Sequence[Choice]) -> Collection[str]:
    return list(dict.fromkeys(getattr(c, key) for c in choices))


def _say(error: ValidationError) -> str:
    parts = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"]
        parts.append(f"{where}: {message[0].lower()}{message[1:]}, not {detail['input']!r:.60}")
    return "; ".join(parts)


__all__ = ("SIZES", "Choice", "InvalidOptions", "Request", "select", "unwrapped")
