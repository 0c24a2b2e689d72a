"""What choices have in common but for their deployment, in the words of the form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from multiplespawner_core.catalogue.limits import LEAST, QUANTITIES, SIZES, WHOLE, Allowed
from multiplespawner_core.selection.endings import on_end
from multiplespawner_core.selection.request import Choice

LABELS: Final = {
    "cpu": "CPUs",
    "memory": "Memory (GB)",
    "gpu": "GPUs",
    "lifetime": "Lifetime (minutes)",
}

_TYPES = {
    "virtual_machine": "Virtual machine",
    "container": "Container",
    "bare_metal": "Bare metal",
}

_COUNTED = {"cpu": ("CPU", "CPUs"), "memory": ("GB of memory",) * 2, "gpu": ("GPU", "GPUs")}

_UNSAID = {
    "cpu": "no limit",
    "memory": "no limit",
    "lifetime": "until you stop it",
}
"""What a user gets who does not say, where no default is named."""


@dataclass(frozen=True)
class Kind:
    """Everything that the form says of a choice, but for its deployment.

    Args:
        choice: any choice of this kind.
    """

    choice: Choice

    @property
    def type(self) -> str:
        """The resource type for people."""
        return _TYPES.get(self.choice.resource_type, self.choice.resource_type)

    @property
    def place(self) -> str:
        """Resource type and provider."""
        return f"{self.type} at {self.choice.provider}"

    @property
    def name(self) -> str:
        """The template's name, which is the administrator's word to users."""
        return self.choice.template

    @property
    def ending(self) -> str:
        """What is deleted at the end."""
        choice = self.choice
        return on_end(choice.storage, choice.resource_type, stops=choice.stops)

    @property
    def settable(self) -> list[str]:
        """The quantities for which there is something to choose."""
        return [name for name in QUANTITIES if not self.choice.limits[name].fixed]

    @property
    def gives(self) -> str:
        """The sizes that are what they are."""
        fixed = [self.choice.limits[name] for name in SIZES if self.choice.limits[name].fixed]
        told = [_counted(one.name, given) for one in fixed if (given := _given(one))]
        return " and ".join(filter(None, [", ".join(told[:-1]), *told[-1:]]))

    @property
    def when(self) -> str:
        """When the server ends, if the user does not say."""
        allowed = self.choice.limits["lifetime"]
        minutes = _given(allowed) if allowed.fixed else allowed.default
        text = "the server runs until you stop it."
        if minutes is not None:
            text = f"the server ends {duration(int(minutes))} after its start, or when you stop it."
        if allowed.fixed:
            return f"T{text[1:]}"
        return f"Unless you set {'a' if minutes is None else 'another'} lifetime, {text}"

    @property
    def allows(self) -> str:
        """What may be set, in one line."""
        told = []
        for name in self.settable:
            allowed = self.choice.limits[name]
            default = "" if allowed.given is None else f" (default {allowed.given:.12g})"
            told.append(f"{LABELS[name]}: {'any' if _free(allowed) else allowed}{default}")
        return "; ".join(told)

    def model(self) -> dict[str, Any]:
        """What the form's script needs to know."""
        limits = self.choice.limits
        return {
            "type": self.type,
            "name": self.name,
            "gives": self.gives,
            "when": self.when,
            "ending": self.ending,
            "fields": {name: _field(limits[name]) for name in self.settable},
        }


def field(name: str, kinds: Sequence[Kind]) -> dict[str, Any]:
    """What a quantity's field allows where any of these kinds may be chosen."""
    ranges = [kind.choice.limits[name] for kind in kinds if name in kind.settable]
    if all(one == ranges[0] for one in ranges):
        return _field(ranges[0])
    tops = [one.maximum for one in ranges]
    top = None if None in tops else max(filter(None, tops))
    lowest = min(one.minimum for one in ranges)
    widest = Allowed(name, lowest, top)
    return {**_field(widest), "help": f"{widest}, as far as your choice allows."}


def duration(minutes: int) -> str:
    """For people; the form's script says it alike."""
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def _field(allowed: Allowed) -> dict[str, Any]:
    step = allowed.step
    if step is None and allowed.name in WHOLE:
        step = 1
    given = allowed.given
    return {
        "min": allowed.typed(allowed.minimum),
        "max": None if allowed.maximum is None else allowed.typed(allowed.maximum),
        "step": "any" if step is None else allowed.typed(step),
        "default": None if given is None else allowed.typed(given),
        "help": _help(allowed),
    }


def _help(allowed: Allowed) -> str:
    told = f"{allowed}."
    if _free(allowed):
        told = "" if allowed.name in WHOLE else "Fractions are allowed."
    default = _UNSAID[allowed.name] if allowed.given is None else f"{allowed.given:.12g}"
    return f"{told} Default: {default}.".lstrip()


def _given(allowed: Allowed) -> float | None:
    return allowed.minimum if allowed.settable else allowed.given


def _counted(name: str, amount: float) -> str:
    return f"{amount:.12g} {_COUNTED[name][amount != 1]}"


def _free(allowed: Allowed) -> bool:
    """Whether there is no limit that is worth a word."""
    least = allowed.minimum == LEAST[allowed.name]
    return least and allowed.maximum is None and allowed.step is None


__all__ = ("LABELS", "Kind", "duration", "field")
