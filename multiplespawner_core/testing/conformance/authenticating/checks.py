"""Every rule of an authenticator's contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from multiplespawner_core.contracts import Keys
from multiplespawner_core.resources.timing import GRACE
from multiplespawner_core.testing.conformance import planted, watchdog
from multiplespawner_core.testing.conformance.authenticating.bench import Bench
from multiplespawner_core.testing.conformance.authenticating.subject import Subject
from multiplespawner_core.testing.conformance.rules import Body, LeftOut
from multiplespawner_core.testing.conformance.rules import check as _check
from multiplespawner_core.testing.conformance.seeing import (
    chain,
    command_lines,
    imports,
    read,
    recorded,
)
from multiplespawner_core.testing.conformance.stepping import When, cancel_at, count

PAGE = "conformance-authenticators.md"

_LATE = 1.0
_WAITING = 0.5


def check(where: str, text: str) -> Callable[[Body], Callable[..., None]]:
    """A check that is documented on its own page."""
    return _check(where, text, PAGE)


class Checks(Subject):
    @check(
        "Keys",
        "They say whom the machine lets in, in a line of authorized_keys, where the private half"
        " is, and either both halves of a host key or none.",
    )
    async def test_keys_belong_together(self, bench: Bench) -> None:
        keys = await bench.prepare(bench.authenticator(), bench.intent())
        line = keys.public_key or ""
        bench.require(line.strip() and len(line.splitlines()) == 1, f"this is no line: {line!r}")
        bench.require_private(keys)
        if not keys.host_key_file:
            bench.require(
                not keys.host_public_key, "of the host key there is the public half alone"
            )
            return
        made = await asyncio.to_thread(planted.public_half, Path(keys.host_key_file))
        said = (keys.host_public_key or "").split()[:2]
        bench.require(said == made.split(), "the halves of the host key are not of one pair")

    @check(
        "Authenticator.prepare",
        "Called again, also after a restart of the hub, it gives the same keys.",
    )
    async def test_prepare_again_gives_the_same(self, bench: Bench) -> None:
        first, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(first, wanted)
        files = bench.files()
        for one in (first, bench.authenticator()):
            again = await bench.prepare(one, wanted)
            bench.require(again == keys, "the keys are others")
            bench.require(bench.files() == files, "the files are others")

    @check(
        "Authenticator.prepare",
        "Resources are apart: no two have one host key, and cleaning up after one spares the"
        " other.",
    )
    async def test_resources_are_apart(self, bench: Bench) -> None:
        authenticator = bench.authenticator()
        one, other = bench.intent("ada"), bench.intent("grace")
        keys, others = [await bench.prepare(authenticator, each) for each in (one, other)]
        same = keys.host_public_key and keys.host_public_key == others.host_public_key
        bench.require(not same, "both have one host key: each machine can pass for the other")
        endpoint = bench.machine(others)
        await bench.call(authenticator.cleanup(one))
        access = await bench.open(authenticator, other, endpoint, others)
        said = await bench.log_in(access)
        bench.require(not said, f"after the other was cleaned up, nobody gets in: {said}")

    @check(
        "Authenticator.open",
        "It says how to log in: OpenSSH's own client gets in with that, and verifies the host key.",
    )
    async def test_open_lets_in(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(authenticator, wanted)
        endpoint = bench.machine(keys)
        # The object of a hub that was started meanwhile knows nothing but its files.
        for one in (authenticator, bench.authenticator()):
            access = await bench.open(one, wanted, endpoint, keys)
            where = (access.endpoint.address, access.endpoint.port)
            bench.require(where == (endpoint.address, endpoint.port), f"it opened {where}")
            bench.require(access.known_hosts_file, "it gives no file with the verified host key")
            said = await bench.log_in(access)
            bench.require(not said, f"with what it says nobody gets in: {said}")

    @check("Authenticator.open", "It waits for a machine that does not answer yet.")
    async def test_open_waits_for_the_machine(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(authenticator, wanted)
        endpoint = await bench.late(bench.machine(keys), _LATE)
        access = await bench.open(authenticator, wanted, endpoint, keys)
        said = await bench.log_in(access)
        bench.require(not said, f"with what it says nobody gets in: {said}")

    @check("OpenFailed", "A machine with another host key is not the one: nobody logs in there.")
    async def test_another_host_key_is_refused(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(authenticator, wanted)
        # It lets the hub in all the same, as one would that wants to be taken for the other.
        endpoint = bench.machine(replace(keys, host_key_file=None))
        expected = keys.host_public_key or planted.public_key()
        wrong = replace(endpoint, host_key=expected)
        await bench.refused(authenticator, wanted, wrong, keys, "it has another host key")

    @check("OpenFailed", "Without a host key to go by, nobody is trusted unseen.")
    async def test_no_host_key_is_refused(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(authenticator, wanted)
        endpoint = replace(bench.machine(keys), host_key=None)
        unknown = replace(keys, host_key_file=None, host_public_key=None)
        why = "nothing vouches for its host key"
        await bench.refused(authenticator, wanted, endpoint, unknown, why)

    @check("OpenFailed", "A machine that does not let the hub in is told as such, in time.")
    async def test_a_refused_login_is_told(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(authenticator, wanted)
        endpoint = bench.machine(replace(keys, public_key=planted.public_key()))
        await bench.refused(authenticator, wanted, endpoint, keys, "it lets somebody else in")

    @check(
        "Authenticator.prepare",
        "It may be cancelled at any await: called again it gives keys that work.",
    )
    async def test_prepare_can_be_cancelled(self, bench: Bench) -> None:
        authenticator = bench.authenticator()
        waits, _ = await count(authenticator.prepare(bench.intent()))
        for number in range(1, waits + 1):
            for when in When:
                wanted = bench.intent()
                told = await cancel_at(authenticator.prepare(wanted), number, when, self.patience)
                how = f"cancelled at its wait number {number}, {when.value}"
                bench.require(told.ended, f"{how}, it did not end")
                bench.require(not told.swallowed, f"{how}, it {told.swallowed} instead of ending")
                keys = await bench.prepare(authenticator, wanted)
                again = await bench.prepare(bench.authenticator(), wanted)
                bench.require(again == keys, f"{how}, the keys change from call to call")
                bench.require_private(keys)
                await bench.call(authenticator.cleanup(wanted))

    @check("Authenticator.open", "It may be cancelled while it waits, and called again.")
    async def test_open_can_be_cancelled(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        keys = await bench.prepare(authenticator, wanted)
        endpoint = bench.machine(keys)
        waiting = asyncio.ensure_future(authenticator.open(wanted, bench.nowhere(endpoint), keys))
        await asyncio.wait({waiting}, timeout=_WAITING)
        bench.require(not waiting.done(), "nobody answers, and it does not wait")
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=GRACE)
        bench.require(done, f"{GRACE:g} s after it was cancelled, it goes on")
        if not waiting.cancelled():
            came = waiting.exception() or "it returned"
            raise bench.broken(f"it was cancelled, and swallowed that: {came!r}")
        access = await bench.open(authenticator, wanted, endpoint, keys)
        said = await bench.log_in(access)
        bench.require(not said, f"cancelled once, it opens nothing any more: {said}")

    @check(
        "Authenticator.cleanup",
        "It removes everything that was made for the resource, done again it is a success, and so"
        " it is where nothing was made.",
    )
    async def test_cleanup_leaves_nothing(self, bench: Bench) -> None:
        authenticator = bench.authenticator()
        left = []
        # What the first one leaves may be for all: an authority, the key of a user.
        for _ in range(2):
            wanted = bench.intent()
            keys = await bench.prepare(authenticator, wanted)
            await bench.open(authenticator, wanted, bench.machine(keys), keys)
            for one in (authenticator, authenticator, bench.authenticator()):
                await bench.call(one.cleanup(wanted))
            left.append(bench.files())
        more = sorted({*left[1]} - {*left[0]})
        bench.require(not more, f"these are left: {more}")
        await bench.call(authenticator.cleanup(bench.intent()))
        bench.require(bench.files() == left[1], "cleaning up after nothing has changed something")

    @check("Keys", "Private keys stand in files of mode 0600 and nowhere else.")
    async def test_private_keys_are_private(self, bench: Bench) -> None:
        authenticator, wanted = bench.authenticator(), bench.intent()
        secrets = {*self.secrets}
        places: dict[str, str] = {}
        with recorded(authenticator, places):
            keys = await bench.prepare(authenticator, wanted)
            bench.require_private(keys)
            secrets |= {*planted.secrets(replace(keys, user_data={}), authenticator)}
            endpoint = bench.machine(keys)
            access = await bench.open(authenticator, wanted, endpoint, keys)
            for name, path in command_lines():
                places[f"the command line of process {name}"] = read(path).replace("\0", " ")
            other = replace(endpoint, host_key=planted.public_key())
            wrong = replace(keys, host_public_key=other.host_key)
            error = await bench.refused(authenticator, wanted, other, wrong, "it has another key")
            await bench.call(authenticator.cleanup(wanted))
        places["the message"] = "".join(chain(error))
        places |= {f"the repr of {type(one).__name__}": f"{one!r}" for one in (keys, access)}
        places["what the machine is told"] = "\n".join(_told(keys))
        for place, text in places.items():
            for secret in secrets:
                # Not the secret itself: this message stands in logs as well.
                bench.require(secret not in text, f"{place} shows a secret ({secret[:4]}...)")

    @check("Authenticator", "No method blocks the event loop.")
    async def test_the_loop_is_never_blocked(self, bench: Bench) -> None:
        limit = watchdog.limit(self.longest_block, await watchdog.noise())
        authenticator, wanted = bench.authenticator(), bench.intent()
        with watchdog.watched(limit) as preparing:
            keys = await bench.prepare(authenticator, wanted)
        endpoint = bench.machine(keys)
        with watchdog.watched(limit) as opening:
            await bench.open(authenticator, wanted, endpoint, keys)
        with watchdog.watched(limit) as cleaning:
            await bench.call(authenticator.cleanup(wanted))
        for name, held in (("prepare", preparing), ("open", opening), ("cleanup", cleaning)):
            where = held.place or "a place that was not seen"
            took = f"{name} held up the loop for {held.seconds:.2f} s (allowed: {limit:.2f} s)"
            bench.require(held.seconds <= limit, f"{took}, at {where}")

    @check(
        "Component",
        "The module of the entry point imports neither authenticator nor what it is made with: it"
        " is imported in every hub that has the plugin enabled.",
    )
    async def test_import_is_lazy(self, bench: Bench) -> None:
        if not self.plugin:
            raise LeftOut("the module of the entry point is not named: plugin = ...")
        found = imports(self.authenticator, self.plugin, self.sdk)
        bench.require(not found, found)


def _told(keys: Keys) -> Iterator[str]:
    """What every process on the machine can read."""
    yield keys.public_key or ""
    yield repr(dict(keys.user_data))


__all__ = ("PAGE", "Checks")
