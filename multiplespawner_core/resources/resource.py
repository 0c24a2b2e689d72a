"""One resource in the memory of the hub: its row, its progress, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources.child import Child
from multiplespawner_core.resources.events import EventLog
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.record import Phase, Record


def new_id() -> str:
    """Of an intent."""
    return uuid.uuid4().hex


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _future() -> asyncio.Future[str]:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    # A start that was cancelled leaves nobody to fetch the failure.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


@dataclass(eq=False)
class Resource:
    """What the manager holds of one start.

    Args:
        id: of the intent, fixed before it is written. A start whose resource failed when it had
            been accepted goes on under another.
        owner: whose server it is for.
        child: the child spawner; None after a restart, until JupyterHub asks for the server.
        events: what the user sees of the start.
        record: the ledger's row; None until the intent is written.
        phase: where the start is, also while no record exists.
        url: settled with the server's URL, or with the reason why there is none.
        released: set once the release is committed; from then on `poll` says it has ended.
        child_ended: set once the child spawner has been stopped.
        given_up: set once it is committed that nothing of it is kept.
        closed: set once the provider has shown that nothing is left; or that it is stopped, and
            another object stands for what is kept.
        verified: set unless a restarted hub has yet to ask the provider whether it still exists.
        exit_status: what `poll` reports once the release is committed.
        pipeline: the start, while it is under way.
        watcher: looks after the child while it runs.
        for_good: why its end leaves nothing, also where its template keeps files; empty if it may.
        release: gives everything back, or stops it.
        asked_at: when the provider last answered to a create, by the loop's clock; at the latest.
        left: work on the resource that is under way, or was left behind when it was cancelled.
        hurry: set to try a release again at once that waits after a failure.
        extending: held while the end is moved, so that each extension sees the one before.
    """

    owner: Owner
    id: str = field(default_factory=new_id)
    child: Child | None = None
    events: EventLog = field(default_factory=EventLog)
    record: Record | None = None
    phase: Phase = Phase.CREATING
    url: asyncio.Future[str] = field(default_factory=_future)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    child_ended: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    verified: asyncio.Event = field(default_factory=_set_event)
    exit_status: int = 0
    pipeline: asyncio.Task[Any] | None = None
    watcher: asyncio.Task[Any] | None = None
    for_good: str = ""
    release: asyncio.Task[Any] | None = None
    asked_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    left: set[asyncio.Future[Any]] = field(default_factory=set)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    extending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def running(self) -> bool:
        """Whether its start has succeeded and its release has not begun."""
        return self.phase is Phase.RUNNING and self.release is None

    @property
    def kept(self) -> bool:
        """Whether it is stopped, with the files of its user, and nothing is done with it."""
        return self.phase is Phase.KEPT and self.release is None

    async def commit(self, ledger: Ledger, **changes: Any) -> None:
        """Change fields of the record, in the ledger first."""
        if self.record is not None:
            await ledger.update(self.record, **changes)
            self.record = replace(self.record, **changes)

    def busy(self) -> set[asyncio.Future[Any]]:
        """Work that may still make something: nothing is proven gone before it has ended."""
        starting = {self.pipeline} if self.pipeline is not None else set()
        return {task for task in starting | self.left if not task.done()}

    def poll(self) -> int | None:
        """What JupyterHub is told: None until the release is committed."""
        return self.exit_status if self.released.is_set() else None

    async def settled(self, timeout: float) -> None:
        """Wait until `poll` says what is so: a restart has verified it, a release is committed."""
        if self.verified.is_set() and self.release is None:
            return  # what nearly every poll of thousands finds needs neither a task nor a timer
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._settled(), timeout)

    async def _settled(self) -> None:
        await self.verified.wait()
        # Asked only now: what was verified may have begun to be released meanwhile.
        if self.release is not None:
            await self.released.wait()


__all__ = ("Resource", "new_id")
