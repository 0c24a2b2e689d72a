"""Starts single-user servers on remote machines, over SSH."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ipaddress
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import url_path_join
from traitlets import CInt, Integer, List, Unicode, default

from multiplespawner_core import ConfigurationError, unix_user
from multiplespawner_ssh.connection import Connection, Machine, connections
from multiplespawner_ssh.errors import (
    ServerNotStarted,
    SSHError,
    Unreachable,
    WrongHostKey,
)
from multiplespawner_ssh.remote import Process, Server, watch

if TYPE_CHECKING:
    from multiplespawner_core import Access

_POLL_TIMEOUT = 8.0
_POLL_AGE = 5.0
"""Seconds that a poll's answer may be old: polls of one machine share one command."""

_FIRST_LOOK, _LONGEST_LOOK = 0.1, 1.0
_LAUNCHED_WITHIN = 10.0
_MARGIN = 5.0
"""Seconds before JupyterHub gives up: until then we can say what the log says."""

_ENDED = 1
_SECRET_NAMES = ("TOKEN", "SECRET", "PASSWORD")
_SHORTEST_SECRET = 6


class SSHSpawner(Spawner):
    """A server on a machine that runs sshd, as an account of that machine.

    The hub needs nothing there but the account, a POSIX shell, Linux's /proc and the server's
    program. Nothing secret stands in a command line, and only what has the host key that is
    expected is talked to.
    """

    remote_hosts = List(
        Unicode(),
        help="""Machines to start the server on: the first one that answers, in random order.

        multiplespawner gives the machine that it obtained.
        """,
    ).tag(config=True)

    remote_port = CInt(22, min=1, max=65535, help="The port of sshd.").tag(config=True)

    remote_user = Unicode(
        "{unix_user}",
        help="""The account that the server runs as.

        ``{username}`` is the user's name, ``{unix_user}`` the same where that can be an account's
        name, else one that is derived from it.
        """,
    ).tag(config=True)

    ssh_keyfile = Unicode(
        "~/.ssh/id_rsa",
        help="""The private key to log in with, where no authenticator supplies one.

        ``~`` is the hub's home; ``{username}`` and ``{unix_user}`` are replaced. A certificate
        beside it, under the same name with ``-cert.pub``, is used as well.
        """,
    ).tag(config=True)

    ssh_certificate_file = Unicode(
        help="OpenSSH certificate of the key, where it is not beside it."
    ).tag(config=True)

    host_keys = List(
        Unicode(),
        help="""Public host keys, or their fingerprints ``SHA256:...``, one of which a machine has.

        By default those that multiplespawner has verified, else those of `known_hosts`.
        """,
    ).tag(config=True)

    known_hosts = Unicode(
        "~/.ssh/known_hosts",
        help="File of the host keys of machines, where `host_keys` is empty.",
    ).tag(config=True)

    remote_port_command = Unicode(
        help="""A command, for the account's shell, that prints a free port of the machine.

        By default one is looked for.
        """
    ).tag(config=True)

    path = Unicode(
        help="""Directories to look for the server's program in, before the account's own PATH.

        They are separated by colons; ``~/`` at the beginning of one is the account's home.
        """
    ).tag(config=True)

    hub_api_url = Unicode(
        help="The URL of the hub's API as the machine reaches it; by default the hub's own."
    ).tag(config=True)

    resource_path = Unicode(
        ".multiplespawner",
        help="""Directory on the machine for logs and certificates of servers, in the account's home
        unless it is absolute.
        """,
    ).tag(config=True)

    term_timeout = Integer(
        10, min=0, help="Seconds that a server gets to end before its processes are killed."
    ).tag(config=True)

    @default("ip")
    def _default_ip(self) -> str:
        # Where it listens; the proxy comes from another machine.
        return "0.0.0.0"  # noqa: S104 - meant

    @default("env_keep")
    def _default_env_keep(self) -> list[str]:
        # What the hub's own environment says is not true of another machine.
        return []

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._machine: Machine | None = None
        self._name = ""
        self._process: Process | None = None
        self._furnished = False
        self._starting = False
        self._launching: asyncio.Future[Process] | None = None

    @classmethod
    def access_traits(cls, access: Access) -> Mapping[str, Any]:
        """How to get to what an authenticator opened; its keys win over those of a template."""
        endpoint = access.endpoint
        given: dict[str, Any] = {}
        if endpoint.host_key:
            given |= {"remote_hosts": [endpoint.address], "host_keys": [endpoint.host_key]}
            if endpoint.port:
                given["remote_port"] = endpoint.port
        if access.private_key_file:
            given["ssh_keyfile"] = access.private_key_file
            given["ssh_certificate_file"] = access.certificate_file or ""
        return given

    # --- JupyterHub's contract ---

    async def start(self) -> tuple[str, int]:
        self._starting = True
        try:
            return await self._start()
        except Exception:
            # Cancelled, it is ended by `stop`, which JupyterHub waits for.
            await self._clean_up()
            raise
        finally:
            self._starting = False

    async def poll(self) -> int | None:
        """None while it runs, and while the machine does not say that it has ended."""
        if not self._name:
            return 0
        if self._starting or self._process is None or self._machine is None:
            return None
        asking = self._is_running(self._process, _POLL_AGE)
        try:
            if await asyncio.wait_for(asking, _POLL_TIMEOUT):
                return None
        except WrongHostKey as error:
            # Another machine has the address of the one that is gone.
            self.log.warning("The server of %s is gone: %s", self._log_name, error)
            self.clear_state()
            return _ENDED
        except (SSHError, ConfigurationError, asyncio.TimeoutError) as error:
            self.log.info("Nobody knows whether the server of %s runs: %s", self._log_name, error)
            return None
        # JupyterHub calls no `stop` for what has ended.
        await self._clean_up()
        self.clear_state()
        return _ENDED

    async def stop(self, now: bool = False) -> None:
        """End it and all below it: gently, then by force.

        Raises:
            SSHError: the machine cannot be reached: the server may go on running.
        """
        if not self._name:
            return
        await self._await_launch()
        server = self._remote()
        try:
            if self._process is not None and not now and await server.terminate(self._process):
                await self._await_end(self._process)
            left = await server.kill(self._process)
        except WrongHostKey as error:
            self.log.warning("The machine of %s is gone: %s", self._log_name, error)
            left = ()
        if left:
            self.log.error("%s: the processes %s could not be ended", self._machine, left)
        self.clear_state()

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self._name and self._machine is not None:
            state["ssh"] = {
                "host": self._machine.host,
                "port": self._machine.port,
                "username": self._machine.username,
                "name": self._name,
                "process": str(self._process or ""),
            }
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        kept = state.get("ssh")
        if kept:
            self._machine = self._to(kept["host"], kept["port"], kept["username"])
            self._name = kept["name"]
            self._process = Process.read(kept["process"]) if kept["process"] else None

    def clear_state(self) -> None:
        super().clear_state()
        if self._name and self._machine is not None:
            with contextlib.suppress(RuntimeError):  # there is no event loop, so nobody watches
                watch(self._connection()).forget(self._name)
        self._machine, self._name, self._process = None, "", None
        self._furnished, self._launching = False, None

    def get_env(self) -> dict[str, Any]:
        env: dict[str, Any] = super().get_env()
        if self.hub_api_url:
            env["JUPYTERHUB_API_URL"] = self.hub_api_url
            env["JUPYTERHUB_ACTIVITY_URL"] = url_path_join(
                self.hub_api_url, "users", self.user.escaped_name, "activity"
            )
        return env

    async def create_certs(self) -> Any:
        """For the machine that the server will run on, which is chosen now."""
        await self._choose()
        assert self._machine is not None  # noqa: S101 - just chosen
        given: Any = self.ssl_alt_names  # type: ignore[has-type]
        names = await _awaited(given(self)) if callable(given) else given
        self.ssl_alt_names = [*names, _alt_name(self._machine.host)]
        try:
            return await _awaited(super().create_certs())
        finally:
            self.ssl_alt_names = given

    async def move_certs(self, paths: Mapping[str, str]) -> Mapping[str, str]:
        """To the server's private directory on the machine."""
        names = {"keyfile": "internal.key", "certfile": "internal.crt", "cafile": "internal-ca.crt"}
        contents = {
            names[kind]: await asyncio.to_thread(Path(path).read_text, "utf-8")
            for kind, path in paths.items()
        }
        moved = await self._furnish(contents)
        return {kind: moved[names[kind]] for kind in paths}

    # --- starting ---

    async def _start(self) -> tuple[str, int]:
        began = time.monotonic()
        await self._choose()
        if not self._furnished:
            await self._furnish({})
        server = self._remote()
        assert self._machine is not None  # noqa: S101 - just chosen
        self.port = await server.free_port(self.remote_port_command)
        env = {name: str(value) for name, value in self.get_env().items() if value is not None}
        await self._require_hub(server, env["JUPYTERHUB_API_URL"])
        command = [*self.cmd, *self.get_args()]
        # Not given up halfway: what was started is to be known, so that it can be ended.
        launch = server.launch(command, env, self.path)
        self._launching = asyncio.ensure_future(launch)
        self._process = await asyncio.shield(self._launching)
        await self._await_listening(server, env, began + self.start_timeout - _MARGIN)
        return self._machine.host, self.port

    async def _choose(self) -> None:
        """Take the first machine that answers; a wrong host key is no reason to look further."""
        if self._name:
            return
        hosts = list(self.remote_hosts)
        if not hosts:
            msg = "SSHSpawner.remote_hosts names no machine to start servers on"
            raise ConfigurationError(msg)
        random.shuffle(hosts)
        errors: list[str] = []
        for host in hosts:
            machine = self._to(host, self.remote_port, self._expanded(self.remote_user))
            try:
                await connections().to(machine).run("exit 0\n", insist=True)
            except Unreachable as error:
                errors.append(str(error))
                continue
            self._machine, self._name = machine, Server.new_name()
            return
        raise Unreachable("; ".join(errors))

    async def _furnish(self, contents: Mapping[str, str]) -> Mapping[str, str]:
        await self._choose()
        paths = await self._remote().furnish(contents)
        self._furnished = True
        return paths

    async def _require_hub(self, server: Server, url: str) -> None:
        """A server that cannot reach the hub ends within a minute, and its log says little."""
        why = await server.why_unreachable(url, self.path)
        if why is None:
            self.log.info("%s has no Python: nobody knows if it reaches the hub", self._machine)
        elif why:
            msg = (
                f"The machine {server.where} does not reach the hub at {url}: {why}. Your"
                " administrator sets an address that machines reach, as `hub_connect_url` of the"
                " template or with c.JupyterHub.hub_connect_url."
            )
            raise ServerNotStarted(msg)

    async def _await_listening(
        self, server: Server, env: Mapping[str, str], deadline: float
    ) -> None:
        assert self._process is not None  # noqa: S101 - just launched
        pause = _FIRST_LOOK
        while True:
            listening = await server.is_listening(self._process, self.port)
            if listening:
                return
            if listening is None:
                await self._give_up("ended before it listened", server, env)
            if time.monotonic() + pause > deadline:
                await self._give_up("does not listen in time", server, env)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_LOOK, pause * 1.5)

    async def _give_up(self, why: str, server: Server, env: Mapping[str, str]) -> None:
        tail = _masked(await server.tail(), env)
        said = f" The end of its log:\n{tail}" if tail else " Its log is empty."
        msg = f"The server on {server.where} {why}.{said}"
        raise ServerNotStarted(msg)

    # --- the machine ---

    def _to(self, host: str, port: int, username: str) -> Machine:
        key_file = str(Path(self._expanded(self.ssh_keyfile)).expanduser())
        certificate: str | None = self.ssh_certificate_file or f"{key_file}-cert.pub"
        if not self.ssh_certificate_file and not Path(str(certificate)).exists():
            certificate = None
        known_hosts = None if self.host_keys else str(Path(self.known_hosts).expanduser())
        return Machine(
            host, port, username, key_file, certificate, tuple(self.host_keys), known_hosts
        )

    def _expanded(self, text: str) -> str:
        name = self.user.name
        if "{username}" in text and ("/" in name or "\0" in name or name in ("", ".", "..")):
            msg = f"the user name {name!r} cannot be part of {text!r}: use {{unix_user}}"
            raise ConfigurationError(msg)
        return text.replace("{username}", name).replace("{unix_user}", unix_user(name))

    def _connection(self) -> Connection:
        assert self._machine is not None  # noqa: S101 - it is chosen first
        return connections().to(self._machine)

    def _remote(self) -> Server:
        base = self.resource_path.removeprefix("~/")
        return Server(self._connection(), base, self._name)

    async def _is_running(self, process: Process, max_age: float) -> bool:
        return await watch(self._connection()).is_running(self._name, process, max_age)

    # --- ending ---

    async def _await_launch(self) -> None:
        """The answer to a start that was cancelled, if it comes."""
        if self._launching is not None and self._process is None:
            with contextlib.suppress(SSHError, asyncio.TimeoutError):
                launching = asyncio.shield(self._launching)
                self._process = await asyncio.wait_for(launching, _LAUNCHED_WITHIN)

    async def _await_end(self, process: Process) -> None:
        deadline = time.monotonic() + self.term_timeout
        pause = _FIRST_LOOK
        while await self._is_running(process, 0) and time.monotonic() < deadline:
            await asyncio.sleep(pause)
            pause = min(_LONGEST_LOOK, pause * 1.5)

    async def _clean_up(self) -> None:
        """Remove what is left on the machine; if it cannot be reached, `stop` tries again."""
        if self._name and self._machine is not None:
            try:
                await self._remote().kill(self._process)
            except (SSHError, ConfigurationError) as error:
                self.log.warning("%s was not cleaned up: %s", self._machine, error)
                return
        self.clear_state()


def _masked(text: str, env: Mapping[str, str]) -> str:
    """A log for its user, without what was a secret in the environment."""
    for name, value in env.items():
        if any(part in name for part in _SECRET_NAMES) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text


def _alt_name(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"DNS:{host}"
    return f"IP:{host}"


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


__all__ = ("SSHSpawner",)
