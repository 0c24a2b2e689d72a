"""What the command asks for, whoever answers: the hub, or the ledger while the hub is down."""

from __future__ import annotations

from typing import Any, Protocol

Model = dict[str, Any]


class View(Protocol):
    """For reading; as `Inventory`, whose answers these are."""

    async def list(self, user: str | None = None) -> Model: ...

    async def history(self, limit: int, user: str | None = None) -> Model: ...

    async def show(self, given: str) -> Model: ...


class Door(View, Protocol):
    """For changes as well."""

    async def release(self, given: str, by: str) -> Model: ...

    async def discard(self, given: str, by: str) -> Model: ...

    async def forget(self, given: str, reason: str, by: str) -> Model: ...

    async def reconcile(self, *, dry_run: bool = False) -> Model: ...

    async def finish(self, seconds: float) -> None:
        """Wait for what is being given back, where nobody else would."""


__all__ = ("Door", "Model", "View")
