"""How much of each quantity users may ask for: per template, within what the site allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

SIZES: Final = ("cpu", "memory", "gpu")
"""vCPUs, GB of 2**30 bytes, devices: what a provider may enforce."""

QUANTITIES: Final = (*SIZES, "lifetime")
"""Everything that has limits; lifetime is in minutes."""

WHOLE: Final = frozenset({"gpu", "lifetime"})
"""Quantities of which there are no fractions."""

LEAST: Final[Mapping[str, float]] = {"cpu": 0.01, "memory": 0.01, "gpu": 0, "lifetime": 1}
"""Of CPUs what a kernel can enforce, of memory some megabytes."""

MOST: Final[Mapping[str, float]] = {
    "cpu": 1_000_000,
    "memory": 10_000_000,
    "gpu": 1024,
    "lifetime": 100 * 366 * 24 * 60,
}
"""Of minutes a century: later moments do not fit into every database's and platform's clock."""

_TOLERANCE = 1e-9
"""Relative: in floating point three steps of 0.1 are not 0.3."""

_MOST_VALUES = 1000
"""So many values are listed in a schema where their step cannot be said exactly."""

FLAWED = "flawed"


def flawed(message: str, hint: str = "") -> PydanticCustomError:
    """What a validator of ours raises: a message for the administrator, and what would be right."""
    return PydanticCustomError(FLAWED, "{message}", {"message": message, "hint": hint})


def _no_bool(value: Any) -> Any:
    # Pydantic takes true for 1.
    if isinstance(value, bool):
        raise flawed(f"must be a number, but is {str(value).lower()}")
    return value


_Number = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]


class Range(BaseModel):
    """The limits of one quantity, as they stand in a file.

    Args:
        minimum: ``min`` in the file; None for the least that is possible.
        maximum: ``max`` in the file; None for no limit.
        default: what a user gets who does not say.
        step: values are multiples of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: _Number | None = Field(default=None, alias="min")
    maximum: _Number | None = Field(default=None, alias="max")
    default: _Number | None = None
    step: _Number | None = None


class Limits(BaseModel):
    """Limits as they stand in a template or in ``c.MultipleSpawner.limits``.

    A quantity that is null is not for users to set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: Range | None = Range()
    memory: Range | None = Range()
    gpu: Range | None = Range()
    lifetime: Range | None = Range()

    @field_validator(*QUANTITIES)
    @classmethod
    def _sound(cls, given: Range | None, info: ValidationInfo) -> Range | None:
        if given is not None:
            _check(str(info.field_name), given)
        return given


@dataclass(frozen=True)
class Allowed:
    """What holds for one quantity once everybody who has a say has said it.

    Args:
        name: of the quantity.
        minimum: the least that may be asked for.
        maximum: the most; None for no limit.
        default: what a user gets who does not say; None leaves it to the provider, and of a
            lifetime means that there is no end.
        step: values are multiples of it; None for no such rule.
        settable: whether users may set it at all.
    """

    name: str
    minimum: float
    maximum: float | None = None
    default: float | None = None
    step: float | None = None
    settable: bool = True

    @property
    def fixed(self) -> bool:
        """Whether there is nothing for a user to choose."""
        return not self.settable or self.minimum == self.maximum

    @property
    def possible(self) -> bool:
        """Whether any value is allowed."""
        return self.maximum is None or self.minimum <= self.maximum

    def refuse(self, value: float) -> str | None:
        """Why this value may not be had, and what may; None if it may."""
        if not self.settable:
            if value == self.given:
                return None
            return f"{self.name}: cannot be chosen here; leave it out"
        too_much = self.maximum is not None and value > self.maximum
        if value < self.minimum or too_much or not _multiple(value, self.step):
            return f"{self.name}: allowed is {self}, not {_text(value)}"
        return None

    def __str__(self) -> str:
        text = f"{_text(self.minimum)} or more"
        if self.maximum is not None:
            text = f"{_text(self.minimum)} to {_text(self.maximum)}"
        if self.minimum == self.maximum:
            text = f"only {_text(self.minimum)}"
        elif self.step is not None:
            text += f" in steps of {_text(self.step)}"
        return text

    @property
    def given(self) -> float | None:
        """What everybody gets who does not say; None leaves it to the provider."""
        return 0 if self.name == "gpu" and self.default is None else self.default

    def nearest(self, value: float) -> float | int:
        """The allowed value that is nearest, or just below between two steps."""
        return self.typed(_nearest(value, self.minimum, self.maximum, self.step))

    def schema(self) -> dict[str, Any]:
        """As JSON Schema; null stands for what a user gets who does not say."""
        if not self.settable:
            return {"enum": [None] if self.given is None else [None, self.typed(self.given)]}
        most = MOST[self.name] if self.maximum is None else self.maximum
        schema: dict[str, Any] = {
            "type": ["integer" if self.name in WHOLE else "number", "null"],
            "minimum": self.typed(self.minimum),
            "maximum": self.typed(most),
        }
        if self.step is not None:
            schema |= self._steps(self.step)
        if self.default is not None:
            schema["default"] = self.typed(self.default)
        return schema

    def _steps(self, step: float) -> dict[str, Any]:
        """The values that are steps: listed where validators would divide 0.3 by 0.1."""
        count = math.inf if self.maximum is None else (self.maximum - self.minimum) / step
        if count >= _MOST_VALUES or (step * 2**20).is_integer():
            return {"multipleOf": self.typed(step)}
        values = (_clean(self.minimum + number * step) for number in range(round(count) + 1))
        return {"enum": [None, *map(self.typed, values)]}

    def typed(self, value: float) -> float | int:
        """A value as people write it and JSON Schema wants it: 2 rather than 2.0."""
        return int(value) if self.name in WHOLE or value == int(value) else value

    def closed(self) -> Allowed:
        """The same, but not for users to set and left to the provider."""
        return replace(self, settable=False, default=None)


def combine(template: Limits, site: Limits) -> dict[str, Allowed]:
    """What a template allows within the site's limits, by quantity.

    Where a default is missing: of CPU and memory the least that was named, else the most, so that
    nobody has an unlimited server where a limit was meant; of a lifetime the longest.
    """
    return {
        name: _within(name, getattr(template, name), getattr(site, name)) for name in QUANTITIES
    }


def _within(name: str, inner: Range | None, outer: Range | None) -> Allowed:
    settable = inner is not None and outer is not None
    inner, outer = inner or Range(), outer or Range()
    step = inner.step if inner.step is not None else outer.step
    named = [r.minimum for r in (inner, outer) if r.minimum is not None]
    minimum = _up(max([LEAST[name], *named]), step)
    tops = [r.maximum for r in (inner, outer) if r.maximum is not None]
    maximum = _down(min(tops), step) if tops else None
    default = inner.default if inner.default is not None else outer.default
    if default is not None:
        default = _nearest(default, minimum, maximum, step)
    elif name == "lifetime":
        default = maximum
    elif name == "gpu":
        default = minimum or None
    else:
        default = minimum if named else maximum
    return Allowed(name, minimum, maximum, default, step, settable)


def conflicts(template: Limits, site: Limits) -> Iterator[tuple[str, str, str]]:
    """Quantity, key and message of everything in a template that the site's limits overrule."""
    for name in QUANTITIES:
        inner, outer = getattr(template, name) or Range(), getattr(site, name) or Range()
        allowed = _within(name, inner, outer)
        if not allowed.possible:
            key = "min" if inner.minimum is not None else "max"
            yield name, key, "no value is left within c.MultipleSpawner.limits"
        elif inner.default is not None and allowed.refuse(inner.default) is not None:
            yield name, "default", f"c.MultipleSpawner.limits allow {allowed}"


def _check(name: str, given: Range) -> None:
    for key, value in given.model_dump(by_alias=True, exclude_none=True).items():
        whole = name in WHOLE and value != int(value)
        least = 0 if key == "step" else LEAST[name]
        if whole or value > MOST[name] or value < least or (key == "step" and value == 0):
            kind = "a whole number" if name in WHOLE else "a number"
            above = "above 0" if key == "step" else f"from {_text(least)}"
            raise flawed(f"{name}.{key} must be {kind} {above} to {_text(MOST[name])}")
    low, high = given.minimum, given.maximum
    if low is not None and high is not None and low > high:
        raise flawed(f"{name}.min {_text(low)} is above {name}.max {_text(high)}")
    allowed = _within(name, given, Range())
    if not allowed.possible:
        raise flawed(f"no multiple of {name}.step lies between {name}.min and {name}.max")
    if given.default is not None and allowed.refuse(given.default) is not None:
        raise flawed(f"{name}.default {_text(given.default)} is not allowed: {allowed}")


def _multiple(value: float, step: float | None) -> bool:
    if step is None:
        return True
    steps = value / step
    return math.isclose(steps, round(steps), rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _up(value: float, step: float | None) -> float:
    if step is None or _multiple(value, step):
        return value
    return _clean(math.ceil(value / step) * step)


def _down(value: float, step: float | None) -> float:
    if step is None or _multiple(value, step):
        return value
    return _clean(math.floor(value / step) * step)


def _nearest(value: float, minimum: float, maximum: float | None, step: float | None) -> float:
    return _down(max(minimum, value if maximum is None else min(value, maximum)), step)


def _clean(value: float) -> float:
    """Without the last digits, in which floating point shows: 0.1 * 3."""
    return float(f"{value:.12g}")


def _text(value: float) -> str:
    return f"{value:.12g}"


__all__ = (
    "FLAWED",
    "LEAST",
    "MOST",
    "QUANTITIES",
    "SIZES",
    "WHOLE",
    "Allowed",
    "Limits",
    "Range",
    "combine",
    "conflicts",
    "flawed",
)
