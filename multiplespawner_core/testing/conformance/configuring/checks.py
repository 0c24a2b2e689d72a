"""Every rule of a configurer's contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from multiplespawner_core.contracts import Access, ConfigureFailed
from multiplespawner_core.testing.conformance import planted, watchdog
from multiplespawner_core.testing.conformance.configuring.bench import Bench
from multiplespawner_core.testing.conformance.configuring.subject import Subject
from multiplespawner_core.testing.conformance.rules import Body, LeftOut
from multiplespawner_core.testing.conformance.rules import check as _check
from multiplespawner_core.testing.conformance.seeing import (
    chain,
    command_lines,
    imports,
    read,
    recorded,
)

PAGE = "conformance-configurers.md"

_LONGEST_LINE = 1000


def check(where: str, text: str) -> Callable[[Body], Callable[..., None]]:
    """A check that is documented on its own page."""
    return _check(where, text, PAGE)


class Checks(Subject):
    @check("Configurer.apply", "It makes an opened resource ready, and leaves nothing else behind.")
    async def test_apply_configures(self, bench: Bench) -> None:
        bench.require(not self.is_configured(bench.machine), "is_configured() before anything was")
        await bench.apply(bench.given(self.arguments))
        bench.require(self.is_configured(bench.machine), "it returned, and nothing is configured")
        await bench.require_nothing_left("after it returned")

    @check("Configurer.apply", "Doing it again changes nothing.")
    async def test_apply_again_changes_nothing(self, bench: Bench) -> None:
        arguments = bench.given(self.arguments)
        await bench.apply(arguments)
        before = bench.tree()
        await bench.apply(arguments)
        after = bench.tree()
        changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
        bench.require(not changed, f"the second time, these changed: {changed}")

    @check("Configurer.apply", "On a machine that serves several users it configures for each.")
    async def test_apply_for_two_users(self, bench: Bench) -> None:
        arguments = bench.given(self.arguments)
        await bench.apply(arguments, user="ada")
        bench.require(self.is_configured(bench.machine), "nothing is configured for the first")
        await bench.apply(arguments, user="grace")
        bench.require(self.is_configured(bench.machine), "the second has undone it")

    @check("Configurer.apply", "It tells what it does, a line at a time.")
    async def test_progress_is_told(self, bench: Bench) -> None:
        await bench.apply(bench.given(self.arguments))
        bench.require(bench.told, "it told nothing")
        for line in bench.told:
            short = isinstance(line, str) and 0 < len(line.strip()) <= _LONGEST_LINE
            bench.require(short and len(line.splitlines()) == 1, f"this is no line: {line!r:.200}")

    @check("ConfigureFailed", "What fails on the machine is told as such, with a message.")
    async def test_a_failure_is_told(self, bench: Bench) -> None:
        await bench.refused(bench.given(self.failing_arguments), ConfigureFailed, "it fails there")
        await bench.require_nothing_left("after it failed")
        await bench.apply(bench.given(self.arguments))
        bench.require(self.is_configured(bench.machine), "it failed once, and then did nothing")

    @check("ConfigureFailed", "A machine that nobody answers for is told as such.")
    async def test_an_unreachable_machine_is_told(self, bench: Bench) -> None:
        arguments, access = bench.given(self.arguments), bench.machine.access
        bench.machine.stop()
        await bench.refused(arguments, ConfigureFailed, "nobody answers there", access)
        await bench.require_nothing_left("after it failed")

    @check("Access", "A machine with another host key is not the one: nothing is done there.")
    async def test_another_host_key_is_refused(self, bench: Bench) -> None:
        access = bench.machine.access
        other = planted.keys(bench.folder).host_public_key
        endpoint = replace(access.endpoint, host_key=other)
        known = bench.folder / "other_known_hosts"
        known.write_text(f"[{endpoint.address}]:{endpoint.port} {other}\n")
        wrong = replace(access, endpoint=endpoint, known_hosts_file=str(known))
        await self._refuses(bench, wrong, "it has another host key")

    @check("Access", "Without a host key to go by, nothing is done: nobody is trusted unseen.")
    async def test_no_host_key_is_refused(self, bench: Bench) -> None:
        access = bench.machine.access
        endpoint = replace(access.endpoint, host_key=None)
        unknown = replace(access, endpoint=endpoint, known_hosts_file=None)
        await self._refuses(bench, unknown, "nothing vouches for its host key")

    @check("Access", "The endpoint's own host key counts where no file has one.")
    async def test_the_endpoint_s_host_key_counts(self, bench: Bench) -> None:
        access = replace(bench.machine.access, known_hosts_file=None)
        await bench.apply(bench.given(self.arguments), access)
        bench.require(self.is_configured(bench.machine), "it returned, and nothing is configured")

    @check(
        "Configurer.apply",
        "Cancelled, it ends every process that it started, here and on the machine, leaves no file"
        " here, and can be called again.",
    )
    async def test_apply_can_be_cancelled(self, bench: Bench) -> None:
        await bench.cancelled(bench.given(self.slow_arguments))
        await bench.require_nothing_left("after it was cancelled")
        await bench.apply(bench.given(self.arguments))
        bench.require(self.is_configured(bench.machine), "cancelled once, it did nothing again")

    @check("Configurer.apply", "It never blocks the event loop.")
    async def test_the_loop_is_never_blocked(self, bench: Bench) -> None:
        limit = watchdog.limit(self.longest_block, await watchdog.noise())
        with watchdog.watched(limit) as held:
            await bench.apply(bench.given(self.arguments))
        where = held.place or "a place that was not seen"
        took = f"the loop was held up for {held.seconds:.2f} s (allowed: {limit:.2f} s), at {where}"
        bench.require(held.seconds <= limit, took)

    @check("Configurer.apply", "No secret stands in a line, a message, a log or a command line.")
    async def test_no_secret_is_shown(self, bench: Bench) -> None:
        configurer = bench.configurer(bench.given(self.arguments))
        secrets = {*self.secrets, *planted.secrets(bench.keys, configurer)}
        places: dict[str, str] = {}
        bench.looks = partial(_look, places)
        with recorded(configurer, places):
            await bench.apply(bench.given(self.arguments))
            try:
                failing = bench.given(self.failing_arguments)
            except LeftOut as why:
                bench.without(why)
            else:
                error = await bench.refused(failing, ConfigureFailed, "it fails there")
                places["the message"] = "".join(chain(error))
        places["what was told"] = "\n".join(bench.told)
        for path in (one for one in bench.state_dir.rglob("*") if one.is_file()):
            places[f"the file {path}"] = read(path)
        for place, text in places.items():
            for secret in secrets:
                # Not the secret itself: this message stands in logs as well.
                bench.require(secret not in text, f"{place} shows a secret ({secret[:4]}...)")

    @check(
        "Configurer.problems", "What can be told of arguments is told at once, without a machine."
    )
    async def test_problems_are_told(self, bench: Bench) -> None:
        found = self.configurer.problems(bench.given(self.arguments), bench.folder)
        bench.require(not list(found), f"of arguments that work it says: {found}")
        wrong = self.configurer.problems(bench.given(self.wrong_arguments), bench.folder)
        texts = not isinstance(wrong, str) and all(isinstance(one, str) for one in wrong)
        bench.require(texts and list(wrong), f"of arguments that cannot work it says: {wrong!r}")

    @check(
        "Component",
        "The module of the entry point imports neither configurer nor what it is made with: it is"
        " imported in every hub that has the plugin enabled.",
    )
    async def test_import_is_lazy(self, bench: Bench) -> None:
        if not self.plugin:
            raise LeftOut("the module of the entry point is not named: plugin = ...")
        found = imports(self.configurer, self.plugin, self.sdk)
        bench.require(not found, found)

    async def _refuses(self, bench: Bench, access: Access, why: str) -> None:
        before = bench.tree()
        await bench.refused(bench.given(self.arguments), ConfigureFailed, why, access)
        bench.require(bench.tree() == before, f"{why}, and something was done there")
        await bench.require_nothing_left("after it refused")


def _look(places: dict[str, str]) -> None:
    for name, path in command_lines():
        places[f"the command line of process {name}"] = read(path).replace("\0", " ")


__all__ = ("PAGE", "Checks")
