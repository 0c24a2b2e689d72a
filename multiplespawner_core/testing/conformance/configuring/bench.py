"""What a check works with: a real machine, and the core's way of calling."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from multiplespawner_core.cli.descendants import Descendants
from multiplespawner_core.contracts import (
    Access,
    Configurer,
    Intent,
    MultipleSpawnerError,
    Offer,
    Owner,
    Scope,
    Specification,
)
from multiplespawner_core.resources.timing import GRACE, bounded, end
from multiplespawner_core.testing.conformance import planted
from multiplespawner_core.testing.conformance.rules import ContractBroken, Rule, Teller
from multiplespawner_core.testing.lone_machine import LoneMachine, command

if TYPE_CHECKING:
    from multiplespawner_core.testing.conformance.configuring import ConfigurerConformance

_PAUSE = 0.05
_LOOKS = 2


class Bench(Teller):
    """One for each check; nothing of what was made on it is left.

    Args:
        case: what the author said.
        rule: that is checked.
        folder: for the machine, and for what a template would name.
        parts: receives why parts of the check were left out.
    """

    def __init__(
        self, case: ConfigurerConformance, rule: Rule, folder: Path, parts: list[str]
    ) -> None:
        super().__init__(rule, parts)
        self.case = case
        self.told: list[str] = []
        self.looks: Callable[[], None] = _nothing
        self.folder = folder / "configuration"
        self.folder.mkdir()
        self.state_dir = folder / "state"
        self.state_dir.mkdir(mode=0o700)
        self._stack = ExitStack()
        # Short: it may be that of a socket.
        self.temporary = Path(self._stack.enter_context(_temporary()))
        self._stack.enter_context(mock.patch.dict(os.environ, {"TMPDIR": str(self.temporary)}))
        self._stack.enter_context(mock.patch.object(tempfile, "tempdir", str(self.temporary)))
        self.keys = planted.keys(folder)
        self.machine = self._stack.enter_context(LoneMachine(folder / "machines", self.keys))
        # The machine's own processes are ours as well, and no concern of the configurer's.
        self.started = Descendants()

    # --- calling as the core calls ---

    def given(self, of: Callable[[Path, Path], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What one of the author's methods says."""
        return of(self.folder, self.machine.home)

    def configurer(self, arguments: Mapping[str, Any]) -> Configurer:
        """A new one, as each start has."""
        return self.case.configurer(
            component=self.case.component,
            state_dir=self.state_dir,
            installation_id="conformance",
            configuration_dir=self.folder,
            **arguments,
        )

    async def apply(
        self, arguments: Mapping[str, Any], access: Access | None = None, user: str = "ada"
    ) -> None:
        """For a new intent, as long as it may take."""
        configurer = self.configurer(arguments)
        work = configurer.apply(intent(user), access or self.machine.access, self._report)
        try:
            await bounded(work, self.case.patience)
        except asyncio.TimeoutError:
            raise self.broken(f"apply took more than {self.case.patience:g} s") from None

    async def refused(
        self,
        arguments: Mapping[str, Any],
        allowed: type[MultipleSpawnerError],
        why: str,
        access: Access | None = None,
    ) -> MultipleSpawnerError:
        """It must raise `allowed`, with a message; that is returned."""
        try:
            await self.apply(arguments, access)
        except allowed as error:
            self.require(str(error).strip(), f"{type(error).__name__} has no message: {why}")
            return error
        except ContractBroken:
            raise
        except Exception as error:
            raise self.broken(f"{error!r} was raised, no {allowed.__name__}: {why}") from error
        raise self.broken(f"it succeeded: {why}")

    async def cancelled(self, arguments: Mapping[str, Any]) -> None:
        """Cancelled as soon as it has told a line and works on the machine."""
        configurer = self.configurer(arguments)
        work = configurer.apply(intent("ada"), self.machine.access, self._report)
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.case.patience
        while not (self.told and self.machine.processes()):
            if task.done() or loop.time() > until:
                await end(task)
                raise self.broken("slow_arguments(): nothing was told, or nothing worked there")
            await asyncio.sleep(_PAUSE)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=GRACE)
        self.require(done, f"{GRACE:g} s after it was cancelled, it goes on")
        if not task.cancelled():
            came = task.exception() or "it returned"
            raise self.broken(f"it was cancelled, and swallowed that: {came!r}")

    def _report(self, line: str) -> None:
        self.told.append(line)
        self.looks()

    # --- looking ---

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """Everything in the machine's home: mode and content, by path."""
        found = {}
        for path in sorted(self.machine.home.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.machine.home))] = status.st_mode, content
        return found

    async def require_nothing_left(self, when: str) -> None:
        """Neither processes nor temporary files."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GRACE
        seen_nothing = 0
        # What has been killed takes a moment to go. One look may miss a process that forks.
        while seen_nothing < _LOOKS:
            left = [*map(command, self.started.running()), *self.machine.processes()]
            self.require(not left or loop.time() < until, f"{when}, these processes go on: {left}")
            seen_nothing = 0 if left else seen_nothing + 1
            await asyncio.sleep(_PAUSE)
        files = sorted(str(path) for path in self.temporary.rglob("*"))
        self.require(not files, f"{when}, these files are left: {files}")

    async def close(self) -> None:
        """End what the check has started."""
        self.started.end()
        self.started.release()
        self._stack.close()


@contextlib.contextmanager
def _temporary() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="mc-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _nothing() -> None:
    """What is looked at while something is told, unless a check says otherwise."""


def intent(user: str) -> Intent:
    """Of something that was made somewhere."""
    scope = Scope("conformance", "here")
    return Intent(
        id=uuid.uuid4().hex,
        token="token",  # noqa: S106 - of nothing
        attempt=1,
        installation_id="conformance",
        owner=Owner(user),
        offer=Offer(scope, "machine"),
        specification=Specification("virtual_machine"),
    )


__all__ = ("Bench", "intent")
