"""What pipeline and manager need of the child spawner, whoever implements it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from multiplespawner_core.contracts import Access, Handle, Intent, Owner
from multiplespawner_core.planning.plan import Placeholders, Plan
from multiplespawner_core.resources.events import EventLog


@dataclass(frozen=True)
class Launch:
    """What is known when the child is to be started."""

    intent: Intent
    plan: Plan
    handle: Handle
    access: Access
    placeholders: Placeholders
    events: EventLog


class Child(Protocol):
    """A child spawner, linked to JupyterHub's server."""

    @property
    def owner(self) -> Owner:
        """Whose server it is, as JupyterHub has it now."""
        ...

    async def start(self, launch: Launch) -> str:
        """Build the child, start it and return the URL at which it answers."""
        ...

    async def poll(self) -> int | None:
        """None while it runs or while nobody knows, else its exit status."""
        ...

    async def stop(self) -> None:
        """End it gently. Idempotent, and harmless where it was never started."""
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """JSON-able: what is needed to poll and stop it after a restart of the hub."""
        ...

    async def notice(self) -> None:
        """Make JupyterHub see that the server has ended."""
        ...


__all__ = ("Child", "Launch")
