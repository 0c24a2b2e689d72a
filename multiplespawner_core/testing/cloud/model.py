"""The rules of a small cloud, without any I/O: time and chance come from outside.

Requests go in as `Call`, answers come out as `Answer`, in HTTP's terms; who carries them (the
HTTP server, or a provider in the same process) also carries out what an answer says of delays and
losses. Everything that the cloud holds can be read with `Cloud.records`, as no client can.
"""

from __future__ import annotations

import bisect
import hashlib
import heapq
import json
import random
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multiplespawner_core.testing.cloud import meter
from multiplespawner_core.testing.cloud.errors import ERRORS, RefusedError
from multiplespawner_core.testing.cloud.faults import Fault, FaultKind, Faults
from multiplespawner_core.testing.cloud.records import (
    Address,
    Dependent,
    History,
    Instance,
    Presence,
    State,
)
from multiplespawner_core.testing.cloud.settings import Settings, Span

_BEFORE = frozenset({FaultKind.HOLD})
_DURING = frozenset(FaultKind) - {FaultKind.HOLD, FaultKind.DOWN}
_DOWN = frozenset({FaultKind.DOWN})

_COUNTED = frozenset(State) - {State.TERMINATED}
_ROOM = _COUNTED - {State.STOPPED}


@dataclass(frozen=True)
class Call:
    """A request.

    Args:
        method: one of `Cloud.METHODS`.
        scope: where.
        arguments: JSON-able.
    """

    method: str
    scope: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What the cloud says.

    Args:
        status: as in HTTP.
        body: JSON-able.
        retry_after: seconds to wait, with 429.
        delay: seconds until it is sent.
        lost: it is not sent at all: the connection is reset.
    """

    status: int
    body: Mapping[str, Any]
    retry_after: float | None = None
    delay: float = 0.0
    lost: bool = False


class Cloud:
    """A small cloud of virtual machines.

    Args:
        settings: its habits.
        clock: seconds; for a cloud whose records are kept, the clock that they were made by.
        rng: every chance; a seeded one makes the cloud repeat itself.
        records: what it held when it was left; from `records`.
    """

    METHODS = (
        "create",
        "get",
        "list",
        "terminate",
        "stop",
        "start",
        "tag",
        "list_dependents",
        "delete_dependent",
        "shapes",
    )

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        records: Iterable[Instance] = (),
    ) -> None:
        self.settings = settings or Settings()
        self.faults = Faults()
        self.changed: set[str] = set()
        """Ids of what has changed since somebody emptied this set; for who keeps the records."""
        self._clock = clock
        self._rng = rng
        self._instances = {record.id: record for record in records}
        self._numbers = len(self._instances)
        self._order: list[tuple[float, str]] = []
        self._tokens: dict[str, list[Instance]] = {}
        self._parts: dict[str, Instance] = {}
        self._pending: list[tuple[float, str]] = []
        for instance in sorted(self._instances.values(), key=_order):
            self._index(instance)
            self._await(instance)
        self._live = {one.id for one in self._instances.values() if not one.gone}
        self._allowance = float(self.settings.burst)
        self._allowed_at = clock()
        self.own_addresses = True
        """Whether addresses are made up here; where machines are real, `attach` says them."""

    # --- what no client can do ---

    @property
    def now(self) -> float:
        """What its clock says."""
        return self._clock()

    def add_fault(self, fault: Fault) -> None:
        """Arm a fault; calls are counted from now."""
        self.faults.add(fault, self.now)

    def records(self) -> list[Instance]:
        """Everything there ever was, as it is now."""
        self.advance()
        return sorted(self._instances.values(), key=_order)

    def record(self, instance_id: str) -> Instance:
        """One of them, as it is now."""
        return self._instances[instance_id]

    def live(self) -> list[Instance]:
        """What is not gone: it, or something that depends on it."""
        self.advance()
        return sorted((self._instances[one] for one in self._live), key=_order)

    def meter(self) -> meter.Meter:
        """What everything has cost until now."""
        self.advance()
        stopped = self.settings.bill_stopped
        return meter.read(self._instances.values(), self.now, bill_stopped=stopped)

    def attach(self, instance_id: str, host: str, port: int, host_key: str | None = None) -> None:
        """Say where a running instance is reached."""
        instance = self._instances[instance_id]
        instance.address = Address(host, port, self.now, host_key)
        self.changed.add(instance_id)

    def fail(self, instance_id: str, reason: str) -> None:
        """A machine came to an end by itself, or did not come up."""
        instance = self._instances[instance_id]
        self._enter(instance, self.now, State.FAILED)
        instance.reason = reason

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance behind everybody's back, as the account's owner can."""
        instance = self._instances[instance_id]
        if instance.state not in (State.TERMINATING, State.TERMINATED):
            self._enter(instance, self.now, State.TERMINATING)

    def advance(self) -> None:
        """Bring everything to the present; every call does so first."""
        now = self.now
        while self._pending and self._pending[0][0] <= now:
            self._advance(self._instances[heapq.heappop(self._pending)[1]], now)

    def _advance(self, instance: Instance, now: float) -> None:
        while instance.due is not None and instance.due[0] <= now:
            self._enter(instance, *instance.due)
        if instance.address_due is not None and instance.address_due <= now:
            # In a block that is kept for examples.
            host = f"192.0.2.{zlib.crc32(instance.id.encode()) % 254 + 1}"
            instance.address = Address(host, 22, instance.address_due)
            instance.address_due = None
            self.changed.add(instance.id)
        for one in instance.dependents:
            if one.due is not None and one.due <= now:
                self._delete(instance, one, one.due)

    # --- what clients do ---

    def is_down(self, call: Call) -> bool:
        """Whether nobody listens; counts as a hit."""
        return bool(self._faults(_DOWN, call))

    def hold(self, call: Call) -> float:
        """Seconds until this call reaches the cloud; to be waited before `handle`."""
        return sum(fault.delay for fault in self._faults(_BEFORE, call))

    def handle(self, call: Call) -> Answer:
        """Do what is asked, or refuse it; the answer may have to be delayed or lost."""
        self.advance()
        hits = self._faults(_DURING, call)
        faults = {fault.kind: fault for fault in hits}
        delay = sum(fault.delay for fault in hits if fault.kind is FaultKind.DELAY)
        lost = self._rng.random() < self.settings.lost_answers
        self.faults.fired["lost"] += lost
        lost |= FaultKind.DROP in faults
        try:
            self._throttle()
            body = self._do(call, faults)
        except RefusedError as error:
            refusal = error.refusal
            answer = {"code": refusal.code, "message": str(error)}
            return Answer(refusal.status, answer, error.retry_after, delay, lost)
        # Copied: what an answer says does not change after it was sent.
        return Answer(200, json.loads(json.dumps({"now": self.now, **body})), None, delay, lost)

    def _do(self, call: Call, faults: Mapping[FaultKind, Fault]) -> Mapping[str, Any]:
        if refuse := faults.get(FaultKind.REFUSE):
            retry_after = refuse.delay if refuse.error == "throttled" else None
            raise RefusedError(refuse.error, retry_after=retry_after)
        if call.method not in self.METHODS or call.scope not in self.settings.scopes:
            raise RefusedError("not_found")
        if call.method == "create":
            return self._create(call, faults)
        if FaultKind.IGNORE in faults:
            return {}
        if FaultKind.STRAND in faults:
            self._find(call).strands = True
        act: Callable[[Call], Mapping[str, Any]] = getattr(self, f"_{call.method}")
        body = act(call)
        if call.method == "start" and (later := faults.get(FaultKind.FAIL_LATER)):
            self._find(call).doomed = later.error
        return body

    def _create(self, call: Call, faults: Mapping[FaultKind, Fault]) -> Mapping[str, Any]:
        digest = _digest(call)
        token = str(call.arguments.get("token") or "")
        if not token or not isinstance(call.arguments.get("tags", {}), dict):
            raise RefusedError("invalid", "A request needs a token, and tags are a mapping.")
        known = self._known(token)
        if known is not None:
            if known.digest != digest or known.state in (State.TERMINATING, State.TERMINATED):
                raise RefusedError("token")
            return {"instance": self._shown(known, self.now)}
        shape = str(call.arguments.get("shape"))
        self._require_room(call.scope, shape)
        later = faults.get(FaultKind.FAIL_LATER)
        doomed = later.error if later else ""
        made = self._make(call, token, digest, doomed=doomed)
        if FaultKind.TWICE in faults:
            self._make(call, token, digest, doomed=doomed)
        return {"instance": self._shown(made, self.now)}

    def _get(self, call: Call) -> Mapping[str, Any]:
        shown = self._shown(self._find(call), self._view())
        if shown is None:
            raise RefusedError("not_found")
        return {"instance": shown}

    def _list(self, call: Call) -> Mapping[str, Any]:
        name = call.arguments.get("name")
        return self._paged("instances", call, lambda one: self._listed(one, name), self._order)

    def _listed(self, instance: Instance, name: str | None) -> list[dict[str, Any]]:
        if name not in (None, instance.name) or not self._is_retained(instance):
            return []
        shown = self._shown(instance, self._view())
        return [] if shown is None else [shown]

    def _terminate(self, call: Call) -> Mapping[str, Any]:
        self.terminate(self._find(call).id)
        return {}

    def _stop(self, call: Call) -> Mapping[str, Any]:
        instance = self._find(call)
        # One that failed as well: its volume is there.
        if instance.state in (State.RUNNING, State.FAILED):
            self._enter(instance, self.now, State.STOPPING)
        elif instance.state not in (State.STOPPING, State.STOPPED):
            raise RefusedError("state")
        return {}

    def _start(self, call: Call) -> Mapping[str, Any]:
        instance = self._find(call)
        if instance.state is State.STOPPED:
            # Room that was given up is not kept for it.
            if self._lacks(self.settings.capacity, call.scope, instance.shape, _ROOM):
                raise RefusedError("capacity")
            instance.doomed = ""
            self._enter(instance, self.now, State.STARTING)
        elif instance.state not in (State.STARTING, State.RUNNING):
            raise RefusedError("state")
        return {}

    def _tag(self, call: Call) -> Mapping[str, Any]:
        instance = self._find(call)
        if instance.state in (State.TERMINATING, State.TERMINATED):
            raise RefusedError("state")
        instance.tags.update({str(k): str(v) for k, v in dict(call.arguments["tags"]).items()})
        self.changed.add(instance.id)
        return {"instance": self._shown(instance, self.now)}

    def _list_dependents(self, call: Call) -> Mapping[str, Any]:
        wanted = call.arguments.get("instance")
        if wanted is None:
            return self._paged("dependents", call, self._dependents, self._order)
        instance = self._instances.get(str(wanted))
        among = [] if instance is None else [_order(instance)]
        return self._paged("dependents", call, self._dependents, among)

    def _dependents(self, instance: Instance) -> list[dict[str, Any]]:
        seen = [(one, one.history.at(self._view())) for one in instance.dependents]
        return [
            _dependent(one, instance, state)
            for one, state in seen
            if state in (Presence.ATTACHED, Presence.LEFT)
        ]

    def _delete_dependent(self, call: Call) -> Mapping[str, Any]:
        wanted = str(call.arguments.get("id"))
        instance = self._parts.get(wanted)
        if instance is None or instance.scope != call.scope:
            raise RefusedError("not_found")
        for one in instance.dependents:
            if one.id == wanted:
                self._delete(instance, one, self.now)
        return {}

    def _shapes(self, call: Call) -> Mapping[str, Any]:
        shapes = []
        for shape in self.settings.shapes:
            availability = "AVAILABLE"
            if self._lacks(self.settings.quotas, call.scope, shape.name, _COUNTED):
                availability = "NO_QUOTA"
            elif self._lacks(self.settings.capacity, call.scope, shape.name, _ROOM):
                availability = "NO_CAPACITY"
            shapes.append({**vars(shape), "availability": availability})
        return {"shapes": shapes}

    # --- rules ---

    def _known(self, token: str) -> Instance | None:
        """The first instance that the token made, while the token is remembered."""
        made = [
            one
            for one in self._tokens.get(token, ())
            if self.now < one.created + self.settings.token_validity
        ]
        return made[0] if made else None

    def _require_room(self, scope: str, shape: str) -> None:
        if self.settings.shape(shape) is None:
            raise RefusedError("invalid", f"There is no shape {shape!r}.")
        if self._lacks(self.settings.quotas, scope, shape, _COUNTED):
            raise RefusedError("quota")
        if self._lacks(self.settings.capacity, scope, shape, _ROOM):
            raise RefusedError("capacity")

    def _lacks(
        self, bounds: Mapping[str, Mapping[str, int]], scope: str, shape: str, of: frozenset[State]
    ) -> bool:
        bound = bounds.get(scope, {}).get(shape)
        if bound is None:
            return False
        live = (self._instances[one] for one in self._live)
        held = sum(one.scope == scope and one.shape == shape and one.state in of for one in live)
        return held >= bound

    def _make(self, call: Call, token: str, digest: str, *, doomed: str) -> Instance:
        now, arguments = self.now, call.arguments
        self._numbers += 1
        number = f"{self._numbers:04x}{self._rng.getrandbits(32):08x}"
        kinds = ("volume", "address")
        instance = Instance(
            id=f"vm-{number}",
            scope=call.scope,
            name=str(arguments.get("name", "")),
            shape=str(arguments["shape"]),
            token=token,
            digest=digest,
            tags={str(k): str(v) for k, v in arguments.get("tags", {}).items()},
            user_data=dict(arguments.get("user_data") or {}),
            history=History(),
            dependents=[
                Dependent(f"{kind}-{number}", kind, History([(now, Presence.ATTACHED.value)]))
                for kind in kinds
            ],
            doomed=doomed,
        )
        self._instances[instance.id] = instance
        self._live.add(instance.id)
        self._enter(instance, now, State.PROVISIONING)
        self._index(instance)
        return instance

    def _index(self, instance: Instance) -> None:
        bisect.insort(self._order, _order(instance))
        self._tokens.setdefault(instance.token, []).append(instance)
        self._parts.update((one.id, instance) for one in instance.dependents)

    def _enter(self, instance: Instance, when: float, state: State) -> None:
        """Enter a state, and see to what follows from it."""
        settings = self.settings
        if state is State.RUNNING and instance.doomed:
            state = State.FAILED
            why = ERRORS[instance.doomed]
            room = instance.doomed in ("capacity", "quota")
            instance.code = why.code
            instance.reason = why.message if room else "The machine did not come up."
        instance.history.add(when, state.value)
        instance.due = None
        if state is not State.RUNNING:
            instance.address = instance.address_due = None
        if state in (State.PROVISIONING, State.STARTING):
            instance.due = (when + self._draw(settings.provisioning), State.RUNNING)
        elif state is State.STOPPING:
            instance.due = (when + self._draw(settings.stopping), State.STOPPED)
        elif state is State.TERMINATING:
            instance.due = (when + self._draw(settings.terminating), State.TERMINATED)
        elif state is State.RUNNING and self.own_addresses:
            instance.address_due = when + self._draw(settings.address_delay)
        elif state is State.TERMINATED:
            self._part(instance, when)
        self._await(instance)
        self.changed.add(instance.id)

    def _part(self, instance: Instance, when: float) -> None:
        """What depends on a terminated instance goes after it, or is left behind."""
        for one in instance.dependents:
            if one.history.now != Presence.ATTACHED:
                continue
            one.history.add(when, Presence.LEFT.value)
            if not instance.strands:
                one.due = when + self._draw(self.settings.dependents_delay)

    def _await(self, instance: Instance) -> None:
        """Have `advance` look at it when its next change is due."""
        dues = [instance.address_due, *(one.due for one in instance.dependents)]
        dues.append(instance.due[0] if instance.due else None)
        for due in dues:
            if due is not None:
                heapq.heappush(self._pending, (due, instance.id))

    def _delete(self, instance: Instance, one: Dependent, when: float) -> None:
        if instance.state is not State.TERMINATED:
            raise RefusedError("state", "It is attached to an instance.")
        if one.history.now != Presence.DELETED:
            one.history.add(when, Presence.DELETED.value)
            self.changed.add(instance.id)
        one.due = None
        if instance.gone:
            self._live.discard(instance.id)

    def _find(self, call: Call) -> Instance:
        instance = self._instances.get(str(call.arguments.get("id")))
        if instance is None or instance.scope != call.scope or not self._is_retained(instance):
            raise RefusedError("not_found")
        return instance

    def _is_retained(self, instance: Instance) -> bool:
        if instance.state is not State.TERMINATED:
            return True
        return self.now < instance.history.since + self.settings.retention

    def _shown(self, instance: Instance, when: float) -> dict[str, Any] | None:
        """An instance as it was then; None before it was."""
        state = instance.history.at(when)
        if state is None:
            return None
        address = instance.address
        if state != State.RUNNING or (address is not None and address.since > when):
            address = None
        return {
            "id": instance.id,
            "scope": instance.scope,
            "name": instance.name,
            "shape": instance.shape,
            "state": state,
            "tags": dict(instance.tags),
            "created": instance.created,
            "reason": instance.reason if state == State.FAILED else "",
            "code": instance.code if state == State.FAILED else "",
            "address": address and {k: v for k, v in vars(address).items() if k != "since"},
        }

    def _paged(
        self,
        name: str,
        call: Call,
        show: Callable[[Instance], list[dict[str, Any]]],
        order: Sequence[tuple[float, str]],
    ) -> Mapping[str, Any]:
        """One page: whole instances, in the order in which they were made, until it is full."""
        mark = call.arguments.get("page")
        if mark is None and self.settings.empty_first_page:
            return {name: [], "next": ""}
        # What becomes visible late, before the mark, is not seen in this list any more.
        start = bisect.bisect_right(order, tuple(json.loads(mark))) if mark else 0
        found: list[dict[str, Any]] = []
        for place in range(start, len(order)):
            if len(found) >= self.settings.page:
                return {name: found, "next": json.dumps(list(order[place - 1]))}
            instance = self._instances[order[place][1]]
            if instance.scope == call.scope:
                found += show(instance)
        return {name: found, "next": None}

    def _view(self) -> float:
        """The time as of which something is seen."""
        return self.now - self._rng.random() * self.settings.lag

    def _draw(self, span: Span) -> float:
        return self._rng.uniform(*span)

    def _throttle(self) -> None:
        rate, now = self.settings.rate, self.now
        if rate is None:
            return
        earned = (now - self._allowed_at) * rate
        self._allowance = min(float(self.settings.burst), self._allowance + earned)
        self._allowed_at = now
        if self._allowance < 1:
            raise RefusedError("throttled", retry_after=(1 - self._allowance) / rate)
        self._allowance -= 1

    def _faults(self, kinds: frozenset[FaultKind], call: Call) -> list[Fault]:
        return self.faults.take(kinds, call.method, call.scope, call.arguments, self.now)


def _order(instance: Instance) -> tuple[float, str]:
    return instance.created, instance.id


def _dependent(one: Dependent, instance: Instance, state: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "instance": instance.id,
        "scope": instance.scope,
        "state": state,
        "tags": dict(instance.tags),
        "created": instance.created,
    }


def _digest(call: Call) -> str:
    text = json.dumps([call.scope, dict(call.arguments)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ("Answer", "Call", "Cloud")
