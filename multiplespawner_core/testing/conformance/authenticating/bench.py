"""What a check works with: authenticators of one hub, machines, and the core's way of calling."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import itertools
import shutil
import socket
import stat
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from multiplespawner_core.contracts import Access, Authenticator, Endpoint, Intent, Keys, OpenFailed
from multiplespawner_core.resources.timing import bounded
from multiplespawner_core.testing.conformance.configuring.bench import intent
from multiplespawner_core.testing.conformance.rules import ContractBroken, Rule, Teller
from multiplespawner_core.testing.lone_machine import LoneMachine

if TYPE_CHECKING:
    from multiplespawner_core.testing.conformance.authenticating import AuthenticatorConformance

T = TypeVar("T")

_PRIVATE = b"PRIVATE KEY"
_OURS = 0o600


class Bench(Teller):
    """One for each check; nothing of what was made on it is left.

    Args:
        case: what the author said.
        rule: that is checked.
        folder: for the hub's state, for machines and for files that settings name.
        parts: receives why parts of the check were left out.
    """

    def __init__(
        self, case: AuthenticatorConformance, rule: Rule, folder: Path, parts: list[str]
    ) -> None:
        super().__init__(rule, parts)
        self.case = case
        self.state_dir = folder / "state"
        self.state_dir.mkdir(mode=0o700)
        self._folder = folder
        settings = folder / "settings"
        settings.mkdir(mode=0o700)
        self._traits = case.traits(settings)
        self._stack = AsyncExitStack()
        self._numbers = itertools.count(1)

    def authenticator(self) -> Authenticator:
        """A new object of the same hub, as a restart makes it."""
        return self.case.authenticator(
            component=self.case.component,
            state_dir=self.state_dir,
            installation_id="conformance",
            **self._traits,
        )

    def intent(self, user: str = "ada") -> Intent:
        """Of something that is to be made."""
        return intent(user)

    # --- machines ---

    def machine(self, keys: Keys) -> Endpoint:
        """A machine that was told these keys, and answers; the provider vouches for its host key.

        Where the keys have none it has one of its own, as images do.
        """
        machine = LoneMachine(self._folder / f"machine-{next(self._numbers)}", keys)
        self._stack.enter_context(machine)
        return machine.access.endpoint

    async def late(self, endpoint: Endpoint, seconds: float) -> Endpoint:
        """The same machine behind a port at which nobody listens before so many seconds."""
        port = _free_port()
        coming = asyncio.ensure_future(_forward(port, endpoint, seconds))
        self._stack.push_async_callback(_end, coming)
        return Endpoint(endpoint.address, port, endpoint.host_key)

    def nowhere(self, endpoint: Endpoint) -> Endpoint:
        """A port at which nobody listens."""
        return Endpoint(endpoint.address, _free_port(), endpoint.host_key)

    async def log_in(self, access: Access) -> str:
        """What OpenSSH's own client says, with nothing but what `open` gave; empty if it is in."""
        program = shutil.which("ssh")
        if program is None:
            raise FileNotFoundError("there is no ssh: the checks need OpenSSH's client")
        known, key = access.known_hosts_file, access.private_key_file
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes",
            "IdentityAgent=none", "GlobalKnownHostsFile=/dev/null",
            f"UserKnownHostsFile={known}", f"IdentityFile={key}",
            *([f"CertificateFile={access.certificate_file}"] if access.certificate_file else ()),
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            program, "-F", "none", *(part for one in options for part in ("-o", one)),
            "-p", str(access.endpoint.port or 22), "-l", access.username or getpass.getuser(),
            access.endpoint.address, "exit 0",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return "" if process.returncode == 0 else said.decode(errors="replace").strip()

    # --- calling as the core calls ---

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        name = getattr(work, "__qualname__", "a call")
        try:
            return await bounded(work, self.case.patience)
        except asyncio.TimeoutError:
            raise self.broken(f"{name} took more than {self.case.patience:g} s") from None

    async def prepare(self, authenticator: Authenticator, wanted: Intent) -> Keys:
        keys: Any = await self.call(authenticator.prepare(wanted))
        if not isinstance(keys, Keys):
            raise self.broken(f"prepare answered {keys!r:.200}")
        return keys

    async def open(
        self, authenticator: Authenticator, wanted: Intent, endpoint: Endpoint, keys: Keys
    ) -> Access:
        access: Any = await self.call(authenticator.open(wanted, endpoint, keys))
        if not isinstance(access, Access):
            raise self.broken(f"open answered {access!r:.200}")
        return access

    async def refused(
        self,
        authenticator: Authenticator,
        wanted: Intent,
        endpoint: Endpoint,
        keys: Keys,
        why: str,
    ) -> OpenFailed:
        """It must raise `OpenFailed`, with a message; that is returned."""
        try:
            await self.open(authenticator, wanted, endpoint, keys)
        except OpenFailed as error:
            self.require(str(error).strip(), f"OpenFailed has no message: {why}")
            return error
        except ContractBroken:
            raise
        except Exception as error:
            raise self.broken(f"{error!r} was raised, no OpenFailed: {why}") from error
        raise self.broken(f"it says that it is open: {why}")

    # --- looking ---

    def files(self) -> dict[str, bytes]:
        """What the hub's state holds, by path."""
        found = {}
        for path in sorted(self.state_dir.rglob("*")):
            name = str(path.relative_to(self.state_dir))
            found[name] = path.read_bytes() if path.is_file() else b""
        return found

    def require_private(self, keys: Keys) -> None:
        """There is a private key, and none in the hub's state that anybody else can read."""
        path = Path(keys.private_key_file or "/nonexistent")
        self.require(path.is_file(), "there is no private key")
        for one in (path, *self.state_dir.rglob("*")):
            if one.is_file() and _PRIVATE in one.read_bytes():
                mode = stat.S_IMODE(one.stat().st_mode)
                self.require(mode == _OURS, f"{one} holds a private key, and has mode {mode:o}")

    async def close(self) -> None:
        """End every machine."""
        await self._stack.aclose()


async def _forward(port: int, endpoint: Endpoint, seconds: float) -> None:
    await asyncio.sleep(seconds)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(endpoint.address, endpoint.port)
        await asyncio.gather(_pass(reader, there[1]), _pass(there[0], writer))

    async with await asyncio.start_server(take, endpoint.address, port) as server:
        await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _end(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


__all__ = ("Bench",)
