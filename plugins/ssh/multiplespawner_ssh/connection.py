"""One connection to each machine and credential, for everything that is done there."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import asyncssh

from multiplespawner_core import ConfigurationError
from multiplespawner_ssh import certificates, keys, shell
from multiplespawner_ssh.errors import LoginRefused, SSHError, Unreachable, WrongHostKey

CONNECT_TIMEOUT = 10.0
"""Seconds until a machine that does not answer counts as unreachable."""

SESSIONS = 8
"""Commands under way at once on one connection; OpenSSH's MaxSessions is 10 by default."""

_CONNECTING = 4
"""Connections that are made to one machine at once; OpenSSH drops some beyond ten."""

_KEEPALIVE = 15.0
_KEEPALIVES = 3
"""Seconds between signs of life, and how many may be missed."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_IDLE = 300.0
"""Seconds after which a connection that nobody uses is closed."""

_ED25519 = ("ssh-ed25519",)
_ECDSA = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_HOST_KEY_KINDS = (_ED25519, _ECDSA, _RSA)

_ATTEMPTS = 20
_PAUSE = 0.05
"""How often and how fast a machine is asked for a session: it may not be done with the last one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """Where, as whom and with which keys.

    Args:
        host: name or address.
        port: sshd's.
        username: the account.
        key_file: the private key.
        certificate_file: an OpenSSH certificate of it; the key alone is tried as well.
        host_keys: public keys, or fingerprints, one of which the machine must have.
        known_hosts_file: looked up where `host_keys` is empty.
    """

    host: str
    port: int
    username: str
    key_file: str
    certificate_file: str | None = None
    host_keys: tuple[str, ...] = ()
    known_hosts_file: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.username}@{host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """What a script printed.

    Args:
        output: its standard output.
        errors: its standard error.
        status: its exit status.
    """

    output: str
    errors: str
    status: int


class _Line:
    """An open connection, and the sessions that the machine has room for."""

    def __init__(self, ssh: asyncssh.SSHClientConnection) -> None:
        self.ssh = ssh
        self.places = asyncio.Semaphore(SESSIONS)
        self.busy = 0

    @property
    def closed(self) -> bool:
        return self.ssh.is_closed()


class Connection:
    """The connection to one machine with one credential, made when it is needed, and again.

    Args:
        machine: which.
        gate: lets so many connections to the machine be made at once.
        idle: called once nobody has used it for a while.

    Attributes:
        opened: how often it was.
        host_key: the public key that the machine proved to have.
    """

    def __init__(
        self, machine: Machine, gate: asyncio.Semaphore, idle: Callable[[Machine], None]
    ) -> None:
        self.machine = machine
        self._gate = gate
        self._when_idle = idle
        self._line: _Line | None = None
        self._opening = asyncio.Lock()
        self._failures = 0
        self._error: SSHError | None = None
        self._again = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self.opened = 0
        self.host_key = ""

    async def run(self, script: str, *, timeout: float = 30, insist: bool = False) -> Answer:
        """Let the account's /bin/sh run a script, which stands in no command line.

        Args:
            script: for a POSIX shell.
            timeout: seconds that it may take.
            insist: connect at once, however often that has failed.

        Raises:
            WrongHostKey: another machine answers.
            LoginRefused: the machine does not let the hub in.
            Unreachable: no answer; the script may have run all the same.
        """
        said = shell.encoded(script)
        self._put_off_closing()
        attempts = 0
        while True:
            line = await self._connected(insist)
            await line.places.acquire()
            line.busy += 1
            spare = True
            try:
                # Whoever waited for a place may find the connection closed; nothing was sent yet.
                if not line.closed:
                    return await self._exchange(line, said, timeout)
            except asyncssh.ChannelOpenError as error:
                if not line.closed and line.busy > 1:
                    spare = False  # it has room for fewer: this place is gone for good
                elif not line.closed:
                    attempts += 1
                    if attempts == _ATTEMPTS:
                        msg = f"{self.machine} opens no session: {error.reason}"
                        raise Unreachable(msg) from error
                    await asyncio.sleep(_PAUSE)
            finally:
                line.busy -= 1
                if spare:
                    line.places.release()
                self._put_off_closing()

    async def close(self) -> None:
        """Close it; the next command opens it again."""
        if self._idle is not None:
            self._idle.cancel()
        line, self._line = self._line, None
        if line is not None:
            line.ssh.close()
            await line.ssh.wait_closed()

    async def _exchange(self, line: _Line, said: bytes, timeout: float) -> Answer:
        mark = secrets.token_hex(16)
        # What the account's own shell prints before it comes to our script is not the answer.
        told = f"echo {mark}; echo {mark} >&2\n".encode() + said
        try:
            process = await line.ssh.create_process(shell.COMMAND, input=told, encoding=None)
        except asyncssh.ChannelOpenError:
            raise
        except (asyncssh.Error, OSError) as error:
            # The session may be over before it could be told anything: then asyncssh itself says
            # that its channel is closed, and not the system that the connection's pipe is broken.
            over = isinstance(error, BrokenPipeError) and error.errno is None and not line.closed
            raise (self._refused() if over else self._lost(error)) from error
        try:
            done = await asyncio.wait_for(process.wait(), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            msg = f"{self.machine} did not answer within {timeout:g} seconds"
            raise Unreachable(msg) from None
        except (asyncssh.Error, OSError) as error:
            raise self._lost(error) from error
        finally:
            process.close()
        if done.exit_status is None:
            raise self._lost(None)
        _, marked, output = _text(done.stdout).partition(f"{mark}\n")
        if not marked:
            raise self._refused()
        errors = _text(done.stderr).rpartition(f"{mark}\n")[2]
        return Answer(output, errors, done.exit_status)

    def _refused(self) -> Unreachable:
        return Unreachable(f"{self.machine} runs no commands: its shell does not start /bin/sh")

    def _lost(self, error: Exception | None) -> Unreachable:
        why = f": {error}" if error else ""
        return Unreachable(f"the connection to {self.machine} was lost{why}")

    async def _connected(self, insist: bool) -> _Line:
        async with self._opening:
            if self._line is not None and not self._line.closed:
                return self._line
            self._line = None
            now = asyncio.get_running_loop().time()
            if self._error is not None and not insist and now < self._again:
                raise type(self._error)(str(self._error))
            try:
                async with self._gate:
                    self._line = _Line(await self._open())
            except SSHError as error:
                self._failures += 1
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 10))
                self._again = asyncio.get_running_loop().time() + pause
                self._error = error
                raise
            self._failures, self._error = 0, None
            self.opened += 1
            proven = self._line.ssh.get_server_host_key()
            self.host_key = keys.public(proven) if proven else ""
            return self._line

    async def _open(self) -> asyncssh.SSHClientConnection:
        machine = self.machine
        client_keys = await asyncio.to_thread(_credential, machine)
        try:
            known_hosts, pinned = await self._known_hosts()
            return await asyncssh.connect(
                machine.host,
                machine.port,
                username=machine.username,
                client_keys=client_keys,
                known_hosts=known_hosts,
                server_host_key_algs=_beginning_with(_kinds(pinned)),
                config=None,
                agent_path=None,
                gss_host=None,
                preferred_auth="publickey",
                connect_timeout=CONNECT_TIMEOUT,
                login_timeout=CONNECT_TIMEOUT,
                keepalive_interval=_KEEPALIVE,
                keepalive_count_max=_KEEPALIVES,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise _wrong(machine) from error
        except asyncssh.PermissionDenied as error:
            msg = f"{machine} does not let the hub in: it accepts none of its keys"
            raise LoginRefused(msg) from error
        except (OSError, asyncssh.Error, asyncio.TimeoutError) as error:
            raise _unreachable(machine, error) from error

    async def _known_hosts(self) -> tuple[Any, list[asyncssh.SSHKey]]:
        """What asyncssh trusts, and the keys that are expected."""
        machine = self.machine
        pinned = [keys.imported(one) for one in machine.host_keys if not keys.is_fingerprint(one)]
        prints = [one for one in machine.host_keys if keys.is_fingerprint(one)]
        if prints:
            pinned += await self._fingerprinted(prints)
        if machine.host_keys:
            return (pinned, [], []), pinned
        if machine.known_hosts_file is None:
            msg = (
                f"Nobody vouches for the host key of {machine.host}, so the hub does not talk to"
                " it. Your administrator can say which key it has."
            )
            raise WrongHostKey(msg)
        known = await asyncio.to_thread(_read_known_hosts, machine.known_hosts_file)
        return known, list(known.match(machine.host, machine.host, machine.port)[0])

    async def _fingerprinted(self, prints: list[str]) -> list[asyncssh.SSHKey]:
        """The machine's key that has one of the fingerprints; it shows one of each kind."""
        machine = self.machine
        for kinds in _HOST_KEY_KINDS:
            asking = asyncssh.get_server_host_key(
                machine.host,
                machine.port,
                server_host_key_algs=_beginning_with(kinds),
                config=None,
            )
            found = await asyncio.wait_for(asking, CONNECT_TIMEOUT)
            if found and any(keys.has_fingerprint(found, one) for one in prints):
                return [found]
        return []

    def _put_off_closing(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._opening.locked() or (self._line is not None and self._line.busy):
            self._put_off_closing()
            return
        if self._line is not None:
            line, self._line = self._line, None
            line.ssh.close()
        self._when_idle(self.machine)


class Connections:
    """All connections of one event loop."""

    def __init__(self) -> None:
        self._connections: dict[Machine, Connection] = {}
        self._gates: dict[tuple[str, int], asyncio.Semaphore] = {}

    def to(self, machine: Machine) -> Connection:
        """The one connection to it."""
        if machine not in self._connections:
            where = (machine.host, machine.port)
            gate = self._gates.setdefault(where, asyncio.Semaphore(_CONNECTING))
            self._connections[machine] = Connection(machine, gate, self._drop)
        return self._connections[machine]

    async def forget(self, machine: Machine) -> None:
        """Close the connection to a machine that is given back."""
        connection = self._connections.get(machine)
        self._drop(machine)
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Close all of them."""
        for machine in list(self._connections):
            await self.forget(machine)

    def _drop(self, machine: Machine) -> None:
        self._connections.pop(machine, None)
        where = (machine.host, machine.port)
        if not any((one.host, one.port) == where for one in self._connections):
            self._gates.pop(where, None)


_POOLS: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()


def connections() -> Connections:
    """Those of the running event loop."""
    return _POOLS.setdefault(asyncio.get_running_loop(), Connections())


def _kinds(pinned: Sequence[asyncssh.SSHKey]) -> list[str]:
    names = [key.algorithm.decode() for key in pinned]
    return [kind for name in names for kind in (_RSA if name == "ssh-rsa" else (name,))]


def _beginning_with(kinds: Sequence[str]) -> list[str]:
    """All kinds of host key, these first: a machine that has none of them shows another.

    Asked for these alone it would close the connection, which could mean anything.
    """
    every = [*kinds, *(one for group in _HOST_KEY_KINDS for one in group)]
    return list(dict.fromkeys(every))


def _credential(machine: Machine) -> list[Any]:
    key = keys.existing(Path(machine.key_file))
    if machine.certificate_file is None:
        return [key]
    try:
        return [(key, certificates.renewed(Path(machine.certificate_file)))]
    except (OSError, ValueError) as error:
        msg = f"the SSH certificate {machine.certificate_file} cannot be used: {error}"
        raise ConfigurationError(msg) from error


def _read_known_hosts(path: str) -> asyncssh.SSHKnownHosts:
    try:
        return asyncssh.read_known_hosts(path)
    except (OSError, ValueError) as error:
        msg = f"the file of known hosts {path} cannot be read: {error}"
        raise ConfigurationError(msg) from error


def _wrong(machine: Machine) -> WrongHostKey:
    return WrongHostKey(
        f"The machine that answers at {machine.host} port {machine.port} has another host key"
        " than the one that was expected: it may be another machine. Nothing was sent to it. Tell"
        " your administrator."
    )


def _unreachable(machine: Machine, error: Exception) -> Unreachable:
    why = str(error) or "it took too long"
    if isinstance(error, ConnectionRefusedError):
        why = "nothing listens there"
    return Unreachable(f"{machine} cannot be reached: {why}")


def _text(data: Any) -> str:
    return bytes(data or b"").decode("utf-8", "replace")


__all__ = ("Answer", "Connection", "Connections", "Machine", "connections")
