"""What a provider does to the hub that it runs in: its loop, its secrets, its imports."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from multiplespawner_core.contracts import Handle, Intent, Provider, Scope
from multiplespawner_core.testing.conformance import planted, watchdog
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.faults import during
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.seeing import (
    chain,
    command_lines,
    imports,
    read,
    recorded,
)
from multiplespawner_core.testing.conformance.subject import Context, Subject

_ATTEMPTS = 4


class Running(Subject):
    @check(
        "Provider",
        "No method blocks the event loop: calls of a synchronous client library run in threads.",
    )
    async def test_the_loop_is_never_blocked(self, bench: Bench) -> None:
        limit = watchdog.limit(self.longest_block, await watchdog.noise())
        worst: dict[str, watchdog.Held] = {}
        for attempt in range(_ATTEMPTS):
            held = await _life(bench, limit, f"blocking-{attempt}")
            # What blocks does so each time; a machine that stutters does it now here, now there.
            slow = {name: one for name, one in held.items() if one.seconds > limit}
            worst = {name: one for name, one in slow.items() if not attempt or name in worst}
            if not worst:
                return
        name, one = max(worst.items(), key=lambda item: item[1].seconds)
        raise bench.broken(
            f"{name} held up the loop for {one.seconds:.2f} s (allowed: {limit:.2f} s),"
            f" at {one.place or 'a place that was not seen'}"
        )

    @check(
        "Keys",
        "No secret stands in a log, a message, a repr, a handle, a command line or a file that"
        " others can read.",
    )
    async def test_no_secret_is_shown(self, bench: Bench) -> None:
        provider = await bench.provider()
        secrets = {*planted.secrets(bench.keys, provider), *self.secrets}
        places: dict[str, str] = {}
        with recorded(provider, places):
            await self._live_seen(bench, provider, places)
        for path in (one for one in provider.state_dir.rglob("*") if one.is_file()):
            if path.stat().st_mode & 0o077:
                places[f"the file {path}, which others can read,"] = read(path)
        for place, text in places.items():
            for secret in secrets:
                # Not the secret itself: this message stands in logs as well.
                bench.require(secret not in text, f"{place} shows a secret ({secret[:4]}...)")

    @check(
        "Component",
        "The module of the entry point imports neither provider nor client library: it is imported"
        " in every hub that has the plugin enabled.",
    )
    async def test_import_is_lazy(self, bench: Bench) -> None:
        if not self.plugin:
            raise LeftOut("the module of the entry point is not named: plugin = ...")
        found = imports(type(await bench.provider()), self.plugin, self.sdk)
        bench.require(not found, found)
        if not self.sdk:
            bench.without(LeftOut("whether it imports its client library: no module in sdk = ..."))

    async def _live_seen(self, bench: Bench, provider: Provider, places: dict[str, str]) -> None:
        """A life with all that can go wrong in it, and everything that is to be seen of it."""
        intent, handle = await bench.make(provider)
        places["the handle as JSON"] = json.dumps(asdict(handle), default=repr)
        await bench.start(provider, intent, handle)
        for name, path in command_lines():
            places[f"the command line of process {name}"] = read(path).replace("\0", " ")
        seen = await bench.call(provider.describe, handle)
        listed = await bench.listed(provider, handle.scope)
        for one in (provider, handle, seen, listed, intent):
            places[f"the repr of {type(one).__name__}"] = f"{one!r} {one}"
        calls = _methods(self, bench, provider, intent, handle)
        foreign = replace(handle, scope=Scope(provider.component, "elsewhere"))
        elsewhere = _methods(self, bench, provider, intent, foreign)
        await _provoke(contextlib.nullcontext(), "asked in a foreign scope", elsewhere, places)
        for fault in (self.unreachable, self.unauthorized, self.lost_answer):
            try:
                context = fault(provider)
            except LeftOut as why:
                bench.without(why)
            else:
                await _provoke(context, fault.__name__, calls, places)
        await bench.release(provider, intent)


async def _provoke(
    context: Context,
    fault: str,
    calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]],
    places: dict[str, str],
) -> None:
    async with during(context):
        for name, call in calls.items():
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - what it may raise is another check's question
                kind = type(error).__name__
                places[f"{kind} of {name} while {fault}"] = "".join(chain(error))


def _methods(
    case: Subject, bench: Bench, provider: Provider, intent: Intent, handle: Handle
) -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
    scope = handle.scope
    there = replace(intent, offer=replace(intent.offer, scope=scope))
    # Started first, which what runs already takes for done.
    switches = ("start", "stop") if bench.capabilities(provider).stop_start else ()
    return {
        "create": partial(provider.create, there, bench.keys),
        "scopes": provider.scopes,
        "offers": partial(provider.offers, case.specification),
        "find": partial(provider.find, intent, scope),
        "describe": partial(provider.describe, handle),
        "list_owned": partial(provider.list_owned, provider.installation_id, scope),
        **{name: partial(getattr(provider, name), handle) for name in switches},
        "delete": partial(provider.delete, handle),
    }


async def _life(bench: Bench, limit: float, hub: str) -> dict[str, watchdog.Held]:
    """Each method of a new provider, called once, and for how long it held up the loop."""
    held: dict[str, watchdog.Held] = {}
    with watchdog.watched(limit) as held["startup"]:
        provider = await bench.provider(hub)
    with watchdog.watched(limit) as held["offers"]:
        intent = await bench.wanted(provider)
    with watchdog.watched(limit) as held["create"]:
        handle = await bench.create(provider, intent)
    # Its start is the child's own business.
    await bench.start(provider, intent, handle)
    for name, call in _methods(bench.case, bench, provider, intent, handle).items():
        with watchdog.watched(limit) as measured:
            await bench.call(call)
        if name not in held:
            held[name] = measured
    await bench.until_gone(provider, handle)
    with watchdog.watched(limit) as held["shutdown"]:
        await bench.shutdown(provider)
    return held


__all__ = ("Running",)
