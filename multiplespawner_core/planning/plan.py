"""A plan: a request resolved against templates, deployments and offers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from multiplespawner_core.contracts import (
    Authenticator,
    Configurer,
    MadeBy,
    Offer,
    Provider,
    ProviderError,
    Specification,
)

Placeholders = Mapping[str, str]

MARGIN = 30.0
"""Seconds that JupyterHub grants beyond our own deadlines, which have the better messages."""


@dataclass(frozen=True)
class Budget:
    """How many seconds each phase of a start may take.

    Args:
        create: to make the keys, and again to get an id from the provider.
        ready: until the resource is ready.
        open: to log in to it.
        configure: to configure it.
        launch: to start the server.
        before: until what the server had before is gone and the offers are known.
        queue: until it is this start's turn to ask the provider.
    """

    create: float
    ready: float
    open: float
    configure: float
    launch: float
    before: float = 60.0
    queue: float = 120.0

    @property
    def total(self) -> float:
        """Seconds that the whole start may take."""
        after = self.ready + self.open + self.configure + self.launch
        return self.before + self.queue + 2 * self.create + after

    @property
    def start_timeout(self) -> int:
        """Seconds after which JupyterHub gives the start up, unless the administrator says."""
        return int(self.total + MARGIN)


class Made(Protocol):
    """What was made by an earlier plan."""

    @property
    def template(self) -> str: ...

    @property
    def deployment(self) -> str: ...

    @property
    def offer(self) -> Offer: ...

    @property
    def specification(self) -> Specification: ...


@dataclass(frozen=True)
class Plan:
    """Everything that is needed to start.

    Args:
        template: name of the template.
        deployment: name of the deployment.
        provider: makes the resource.
        offer: what is taken of it.
        specification: what was asked for.
        child_class: the Spawner to start on the resource.
        child_kwargs: its traits from template and deployment, placeholders not yet replaced.
        authenticator: opens the resource; None where nothing is to be opened.
        authenticator_kwargs: what it was made with.
        configurer: makes a configurer for this start, with its placeholders replaced.
        lifetime: seconds that the server may live; None for no end.
        hub_connect_url: where the server reaches the hub, if the template says so.
        budget: how long each phase may take.
        keeps: whether the resource is stopped, rather than deleted, when its server ends.
        turned_down: what was looked at before it and why it is not to be had, for the user.
        otherwise: from why this one is not to be had to the next best; raises if there is none.
    """

    template: str
    deployment: str
    provider: Provider
    offer: Offer
    specification: Specification
    child_class: type[Any]
    child_kwargs: Mapping[str, Any]
    authenticator: Authenticator | None
    configurer: Callable[[Placeholders], Configurer] | None
    lifetime: float | None
    hub_connect_url: str | None
    budget: Budget
    authenticator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    keeps: bool = False
    turned_down: Sequence[str] = ()
    otherwise: Callable[[ProviderError], Coroutine[Any, Any, Plan]] | None = None

    @property
    def made_by_child(self) -> bool:
        """Whether the child spawner makes what runs."""
        return self.provider.capabilities().made_by is MadeBy.CHILD


__all__ = ("MARGIN", "Budget", "Made", "Placeholders", "Plan")
