"""The request: JupyterHub's ``user_options`` in their canonical shape, validated."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from multiplespawner_core.catalogue.findings import nearest
from multiplespawner_core.catalogue.limits import LEAST, MOST, QUANTITIES, Allowed
from multiplespawner_core.contracts import MultipleSpawnerError, Storage

WHERE = ("provider", "resource_type", "deployment")
"""The options that together name a choice."""

_MOST_NAMES = 20

_FREE: Mapping[str, Allowed] = {name: Allowed(name, LEAST[name]) for name in QUANTITIES}


class InvalidOptions(MultipleSpawnerError):
    """What was asked for cannot be had; the message says what can."""


def _as_integer(value: Any) -> Any:
    # JSON has one kind of number: 2.0 is 2.
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Whole = Annotated[int, BeforeValidator(_as_integer)]


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
    cpu: float | None = Field(default=None, le=MOST["cpu"], allow_inf_nan=False)
    memory: float | None = Field(default=None, le=MOST["memory"], allow_inf_nan=False)
    gpu: _Whole = Field(default=0, le=MOST["gpu"])
    lifetime: _Whole | None = Field(default=None, le=MOST["lifetime"])


@dataclass(frozen=True)
class User:
    """Who asks.

    Args:
        name: of JupyterHub's user.
        groups: names of the user's groups in JupyterHub.
    """

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Choice:
    """One valid combination of provider, type and deployment.

    Args:
        provider: component name of the provider.
        resource_type: kind of resource.
        deployment: name of the deployment.
        template: name of the template that starts it.
        limits: what may be asked for, by quantity; a size that the provider does not enforce is
            not settable.
        storage: what becomes of the user's files when the server ends.
        stops: whether they stay because the resource is stopped instead of deleted.
    """

    provider: str
    resource_type: str
    deployment: str
    template: str
    limits: Mapping[str, Allowed] = field(default_factory=lambda: _FREE)
    storage: Storage = Storage.EPHEMERAL
    stops: bool = False

    @property
    def where(self) -> tuple[str, str, str]:
        """What identifies the choice in user options."""
        return (self.provider, self.resource_type, self.deployment)


def select(options: Mapping[str, Any], choices: Sequence[Choice]) -> tuple[Request, Choice]:
    """The request that `options` mean, and the choice that it fits.

    What is missing of provider, type and deployment is taken from the first choice that fits the
    rest, sizes and lifetime included; of a quantity that is missing the choice's default.

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
    given = {key: value for key, value in options.items() if value is not None}
    wanted = {key: given[key] for key in WHERE if key in given}
    fitting = [c for c in choices if all(getattr(c, key) == wanted[key] for key in wanted)]
    if not fitting:
        raise InvalidOptions(_nothing_fits(wanted, choices))
    try:
        request = Request.model_validate({**given, **_where(fitting[0])})
    except ValidationError as error:
        raise InvalidOptions(_say(error, fitting[0])) from None
    amounts: dict[str, float] = {
        name: getattr(request, name) for name in QUANTITIES if name in given
    }
    for choice in fitting:
        if not _beyond(choice, amounts):
            return request.model_copy(update=_where(choice) | _defaults(choice, given)), choice
    # What can be set at all tells more of what is allowed than what cannot.
    told = max(fitting, key=lambda c: sum(c.limits[name].settable for name in amounts))
    raise InvalidOptions("; ".join(_beyond(told, amounts)))


def fallbacks(
    options: Mapping[str, Any], choice: Choice, choices: Sequence[Choice]
) -> list[tuple[Request, Choice]]:
    """What else the options may mean, where they name no provider: the template's other ones.

    Args:
        options: as for `select`.
        choice: what `select` made of them.
        choices: what this user may choose, in the administrator's order.
    """
    given = unwrapped(options)
    if given.get("provider") is not None:
        return []
    found = []
    for other in choices:
        same = replace(
            other, provider=choice.provider, limits=choice.limits, storage=choice.storage
        )
        # What becomes of files must not change behind the user's back.
        if other.provider != choice.provider and same == choice and other.storage == choice.storage:
            with contextlib.suppress(InvalidOptions):
                found.append(select({**given, "provider": other.provider}, [other]))
    return found


def unwrapped(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """JupyterHub 5 hands a JupyterHub 6 body, ``{"user_options": {...}}``, through as it is."""
    if options and set(options) <= {"user_options", "display_name"}:
        inner = options.get("user_options")
        if inner is None or isinstance(inner, Mapping):
            return inner or {}
    return options


def _where(choice: Choice) -> dict[str, Any]:
    return dict(zip(WHERE, choice.where, strict=True))


def _beyond(choice: Choice, amounts: Mapping[str, float]) -> list[str]:
    """Why the choice does not allow these amounts."""
    told = (choice.limits[name].refuse(value) for name, value in amounts.items())
    return [message for message in told if message]


def _defaults(choice: Choice, given: Collection[str]) -> dict[str, Any]:
    return {
        name: allowed.typed(allowed.default)
        for name, allowed in choice.limits.items()
        if name not in given and allowed.default is not None
    }


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
        offered = list(dict.fromkeys(getattr(choice, key) for choice in choices))
        if value not in offered:
            close = nearest(value, offered) if isinstance(value, str) else None
            meant = f"did you mean {close!r}? " if close else ""
            return f"{key}: {value!r:.60} is not offered; {meant}allowed: {_some(offered, ', ')}"
    combinations = list(dict.fromkeys(" ".join(choice.where) for choice in choices))
    asked = " ".join(str(value) for value in wanted.values())
    return f"{asked!r} is no combination that is offered; allowed: {_some(combinations, '; ')}"


def _some(names: Sequence[str], separator: str) -> str:
    """The names, or so many of them that people read it."""
    shown = separator.join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown}{separator}and {more} more" if more > 0 else shown


def _say(error: ValidationError, choice: Choice) -> str:
    parts = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"]
        told = f"{message[0].lower()}{message[1:]}"
        if detail["type"] == "less_than_equal":
            # More than anybody may have: what this choice allows is less, if it says so.
            allowed = choice.limits[where]
            told = told if allowed.maximum is None else f"allowed is {allowed}"
        parts.append(f"{where}: {told}, not {detail['input']!r:.60}")
    return "; ".join(parts)


__all__ = (
    "WHERE",
    "Choice",
    "InvalidOptions",
    "Request",
    "User",
    "fallbacks",
    "select",
    "unwrapped",
)
