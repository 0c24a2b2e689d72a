"""The end of a running server: what is told of it, and moving it within the limit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from multiplespawner_core.catalogue.limits import MOST
from multiplespawner_core.contracts import Storage
from multiplespawner_core.planning import site
from multiplespawner_core.resources.failures import NotExtended
from multiplespawner_core.resources.inventory import iso
from multiplespawner_core.resources.record import Record
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.selection.endings import on_end
from multiplespawner_core.spawner.runtime import Runtime

_LONGEST = int(MOST["lifetime"])
"""Minutes that a server may live, whoever asks."""

_LABEL = "extension"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lifetime:
    """What is told of a running server's end. Times are seconds since the epoch.

    Args:
        started_at: from when its lifetime counts.
        ends_at: its end; None for none.
        latest_end: to where its user may move the end; None where nothing limits it.
        storage: what becomes of its files, as its template says.
        on_end: the same in words.
    """

    started_at: float
    ends_at: float | None
    latest_end: float | None
    storage: Storage
    on_end: str

    def furthest(self, *, beyond: bool = False) -> float:
        """The latest possible end, with or without the limit for users."""
        longest = self.started_at + _LONGEST * site.MINUTE
        return longest if beyond or self.latest_end is None else min(self.latest_end, longest)

    def spare(self, *, beyond: bool = False) -> int:
        """Whole minutes by which the end may still be moved."""
        if self.ends_at is None:
            return 0
        seconds = self.furthest(beyond=beyond) - self.ends_at
        # Ends are sums of floats: a whole number of minutes may come out a microsecond short.
        return max(0, int((seconds + 0.001) // site.MINUTE))

    def model(self) -> dict[str, str | None]:
        """The answer of the API."""
        return {
            "started_at": iso(self.started_at),
            "ends_at": None if self.ends_at is None else iso(self.ends_at),
            "latest_end": None if self.latest_end is None else iso(self.latest_end),
            "storage": self.storage.value,
            "on_end": self.on_end,
        }


def lifetime_of(runtime: Runtime, resource: Resource) -> Lifetime | None:
    """What is told of the end of a server; None if it does not run."""
    record = resource.record
    if record is None or not resource.running:
        return None
    storage = _storage(runtime, record)
    return Lifetime(
        started_at=record.began_at,
        ends_at=record.expires_at,
        latest_end=_latest_end(runtime, record),
        storage=storage,
        on_end=on_end(storage, record.specification.resource_type, stops=record.keeps),
    )


async def extend(
    runtime: Runtime,
    resource: Resource,
    minutes: int,
    *,
    by: str,
    beyond: bool = False,
    seen: str | None = None,
) -> None:
    """Move the end of a server by some minutes, and say so in the log.

    Args:
        runtime: the hub's.
        resource: the server's.
        minutes: how much later.
        by: who asks, for the log.
        beyond: whether the limit for users does not count.
        seen: the end as it was shown to who asks; if it is another by now, nothing is moved.

    Raises:
        NotExtended: the end stays where it was; the message says why, and what is allowed.
    """
    steps: list[tuple[float, bool]] = []

    def new_end(end: float) -> float:
        if seen is not None and seen != iso(end):
            raise NotExtended("The end was moved meanwhile.", _LABEL, 409)
        known = lifetime_of(runtime, resource)
        assert known is not None  # noqa: S101 - asked for servers that run
        _require_within(known, minutes, beyond=beyond)
        steps.append((end, minutes > known.spare()))
        return end + minutes * site.MINUTE

    moment = await runtime.manager.extend(resource, new_end)
    ((before, beyond_limit),) = steps
    _log.info(
        "%s moved the end of %s from %s to %s%s",
        by, resource.owner, iso(before), iso(moment), ", beyond its limit" * beyond_limit,
    )  # fmt: skip


def minutes_of(body: Any) -> int:
    """The minutes that the body of a request asks for.

    Raises:
        NotExtended: it does not say; the message says how it must look.
    """
    if not isinstance(body, dict) or set(body) != {"minutes"}:
        raise NotExtended('The body must be {"minutes": N}, and nothing else.', _LABEL, 400)
    minutes = body["minutes"]
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 < minutes <= _LONGEST:
        message = f"minutes: must be a whole number from 1 to {_LONGEST}, not {minutes!r:.60}."
        raise NotExtended(message, _LABEL, 400)
    return minutes


def _require_within(known: Lifetime, minutes: int, *, beyond: bool) -> None:
    spare = known.spare(beyond=beyond)
    if minutes > spare:
        allowed = f"At most {spare} minutes more" if spare else "No more minutes"
        latest = iso(known.furthest(beyond=beyond))
        message = f"{allowed}: the server may run until {latest} at the latest."
        raise NotExtended(message, _LABEL, 400)


def _latest_end(runtime: Runtime, record: Record) -> float | None:
    if record.expires_at is None:
        return None
    allowed = runtime.site.limits(record.template).get("lifetime")
    if allowed is None or not allowed.settable:
        # Its template is gone, or leaves users no say in how long servers live.
        return record.expires_at
    if allowed.maximum is None:
        return None
    return record.began_at + allowed.maximum * site.MINUTE


def _storage(runtime: Runtime, record: Record) -> Storage:
    try:
        provider = runtime.pool.provider(record.provider, record.specification.resource_type)
        return runtime.site.storage(record.template, provider)
    except Exception:  # noqa: BLE001 - its plugin is gone, and what nobody knows is not promised
        return Storage.EPHEMERAL


__all__ = ("Lifetime", "extend", "iso", "lifetime_of", "minutes_of")
