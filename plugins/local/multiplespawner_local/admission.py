"""Who gets a place on this machine: decided and recorded in one step. Synchronous throughout."""

from __future__ import annotations

import errno
from dataclasses import replace

from multiplespawner_core import GB, Capacity, Intent, InvalidSpecification, Transient
from multiplespawner_local.limits.base import Limiter, remove_groups
from multiplespawner_local.machine import Size, number
from multiplespawner_local.reservations import Reservation, Store, free, new

_ROUNDING = 1e-9


class Admission:
    """Gives away what the machine has, and no more.

    Args:
        total: what may be given away.
        store: what has been.
        limiter: makes the groups.
        same_user: whether servers may run as the hub's own user.
    """

    def __init__(self, total: Size, store: Store, limiter: Limiter, *, same_user: bool) -> None:
        self._total = total
        self._store = store
        self._limiter = limiter
        self._same_user = same_user

    def admit(self, intent: Intent) -> Reservation:
        """Reserve a place and prepare its limits, or return the one that the intent has.

        Raises:
            Capacity: it does not fit beside the rest.
            InvalidSpecification: it does not fit at all.
            Transient: the kernel refused the limits.
        """
        wanted = self._wanted(intent)
        with self._store.locked():
            held = self._store.get(intent.id)
            if held is not None and replace(held, created=wanted.created) == wanted:
                self._prepare(held)
                return held
            others = [other for other in self._store.all() if other.intent_id != intent.id]
            reason = lacking(self._total, free(self._total, others), wanted.cpu, wanted.memory)
            if reason:
                raise Capacity(reason)
            self._store.put(wanted)
            try:
                self._prepare(wanted)
            except BaseException:
                remove_groups(self._limiter.groups(intent.id))
                self._store.remove(intent.id)
                raise
        return wanted

    def _wanted(self, intent: Intent) -> Reservation:
        check(self._total, self._limiter, intent.offer.cpu, intent.offer.memory)
        return new(
            Reservation(
                intent_id=intent.id,
                installation_id=intent.installation_id,
                user=intent.owner.user,
                server=intent.owner.server,
                cpu=intent.offer.cpu,
                memory=intent.offer.memory,
                same_user=self._same_user,
                groups=tuple(str(group) for group in self._limiter.groups(intent.id)),
            )
        )

    def _prepare(self, wanted: Reservation) -> None:
        memory = None if wanted.memory is None else round(wanted.memory * GB)
        try:
            self._limiter.prepare(wanted.intent_id, wanted.cpu, memory)
        except OSError as error:
            message = f"This machine could not set the limits: {error.strerror}"
            if error.errno == errno.EINVAL:
                raise InvalidSpecification(message) from error
            raise Transient(message) from error


def check(total: Size, limiter: Limiter, cpu: float | None, memory: float | None) -> None:
    """Refuse what can never be had here.

    Raises:
        InvalidSpecification: with what is allowed.
    """
    for name, size in (("cpu", cpu), ("memory", memory)):
        if size is None:
            continue
        if name not in limiter.sizes:
            message = f"This machine cannot hold a server to a size of {name}: leave {name} out."
            raise InvalidSpecification(message)
        if not 0 < size < float("inf"):
            raise InvalidSpecification(f"{name} must be more than 0, not {size:g}.")
    if (cpu or 0) > total.cpu + _ROUNDING or (memory or 0) > total.memory + _ROUNDING:
        wanted = _wanted(cpu, memory)
        raise InvalidSpecification(f"{wanted} cannot be had: this machine has {total}.")


def lacking(total: Size, left: Size, cpu: float | None, memory: float | None) -> str:
    """Why it does not fit now, for the user; empty if it does."""
    if (cpu or 0) <= left.cpu + _ROUNDING and (memory or 0) <= left.memory + _ROUNDING:
        return ""
    return (
        f"{number(left.cpu)} of {number(total.cpu)} CPUs and {number(left.memory)} of"
        f" {number(total.memory)} GB are free on this machine; {_wanted(cpu, memory)} do not fit."
    )


def _wanted(cpu: float | None, memory: float | None) -> str:
    parts = []
    if cpu is not None:
        parts.append(f"{number(cpu)} CPUs")
    if memory is not None:
        parts.append(f"{number(memory)} GB")
    return " and ".join(parts)


__all__ = ("Admission", "check", "lacking")
