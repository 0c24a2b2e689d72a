"""How the small cloud behaves when nothing is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Span = tuple[float, float]
"""The least and the most seconds that something takes; what it takes is drawn between them."""

Bounds = Mapping[str, Mapping[str, int]]
"""Scope -> shape -> how many; what is not named is not bounded."""


@dataclass(frozen=True)
class Shape:
    """A size that instances come in.

    Args:
        name: as requests write it.
        cpu: vCPUs.
        memory: GB.
        gpu: devices.
        price: per hour.
    """

    name: str
    cpu: float
    memory: float
    gpu: int = 0
    price: float = 0.0


@dataclass(frozen=True)
class Settings:
    """The habits of a cloud. By default its lists lag and some of its answers are lost.

    Args:
        scopes: its regions or compartments.
        shapes: what can be had in each.
        provisioning: seconds until an instance runs.
        address_delay: seconds after that until its address is known.
        stopping: seconds until it is stopped.
        terminating: seconds until it is terminated.
        dependents_delay: seconds after that until its dependents are gone.
        lag: the most seconds by which what is read may be out of date, drawn for each thing and
            each read: two reads in a row may go back in time. 0 turns it off.
        lost_answers: the share of answers that never arrive, though the request was accepted.
            0 turns it off.
        page: things with which a page of a list is full.
        empty_first_page: every list begins with a page that holds nothing but the next one's mark.
        token_validity: seconds for which a token stands for the instance that it made.
        retention: seconds for which a terminated instance can still be read.
        rate: calls a second; None for no limit.
        burst: calls that may come at once where there is a rate.
        quotas: how many the account may have, until they are terminated.
        capacity: how many there is room for; what is stopped takes none.
        bill_stopped: whether a stopped instance costs as much as one that runs.
    """

    scopes: Sequence[str] = ("north", "south")
    shapes: Sequence[Shape] = (Shape("small", 1, 2, price=0.05), Shape("large", 4, 16, price=0.2))
    provisioning: Span = (1.0, 3.0)
    address_delay: Span = (0.0, 1.0)
    stopping: Span = (0.5, 1.5)
    terminating: Span = (0.5, 2.0)
    dependents_delay: Span = (0.0, 1.0)
    lag: float = 2.0
    lost_answers: float = 0.02
    page: int = 20
    empty_first_page: bool = True
    token_validity: float = 86400.0
    retention: float = 43200.0
    rate: float | None = None
    burst: int = 20
    quotas: Bounds = field(default_factory=dict)
    capacity: Bounds = field(default_factory=dict)
    bill_stopped: bool = False

    def shape(self, name: str) -> Shape | None:
        """The shape of that name, if there is one."""
        return next((shape for shape in self.shapes if shape.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], base: Settings | None = None) -> Settings:
        """Settings with these values, and those of `base` for what is not named.

        Raises:
            TypeError: a name that no setting has.
        """
        given = {**(base or cls()).to_json(), **values}
        given["shapes"] = tuple(Shape(**shape) for shape in given["shapes"])
        given["scopes"] = tuple(given["scopes"])
        for name, value in given.items():
            if isinstance(value, list):
                given[name] = tuple(value)
        return cls(**given)


__all__ = ("Bounds", "Settings", "Shape", "Span")
