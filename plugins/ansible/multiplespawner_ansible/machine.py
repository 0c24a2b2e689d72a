"""A machine that is being configured: how OpenSSH gets there; nothing is left here or there.

Everything goes through the OpenSSH client, Ansible's as well as ours: one connection for all of a
run, one way to say which host key is the right one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

from multiplespawner_ansible import processes
from multiplespawner_core import Access, ConfigureFailed

CONNECT_TIMEOUT = 30
"""Seconds that a connection may take to be made."""

_ROOM_IN_SOCKET_PATH = 100
"""Characters; kernels take 104 to 108. OpenSSH adds a hash of 40 and, at first, 17 more."""
_SOCKET_NAME = 58

_FORGETTING_TIMEOUT = 3.0
"""Seconds for removing what is left on the machine of a run that was cancelled."""

_PASSED_ON = ("HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
_PASSED_ON_BY_PREFIX = ("ANSIBLE_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")

Command = list[str]


class ConnectionLost(ConfigureFailed):
    """No command could be given to the machine."""


@dataclass(frozen=True)
class Login:
    """Where and as whom.

    Args:
        address: host name or IP address.
        port: of sshd.
        username: account; None for what OpenSSH takes.
        local: no login at all: what is configured is this machine.
    """

    address: str
    port: int
    username: str | None
    local: bool = False


class Machine:
    """One run on one machine. As a context manager nothing is left of it at the end.

    Args:
        access: what the authenticator gave.
        login: where it leads.
    """

    def __init__(self, access: Access, login: Login) -> None:
        self.name = uuid.uuid4().hex
        self.login = login
        self.directory = Path()
        self._access = access
        self._scratch = ""

    @property
    def environment(self) -> dict[str, str]:
        """For everything that is started here; the hub's own secrets are not among it."""
        found = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_BY_PREFIX)
        }
        return {
            **found,
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            processes.MARK: str(self.directory),
        }

    @property
    def options(self) -> Command:
        """Of the OpenSSH client; the first value of an option is the one that counts."""
        pairs = {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(str(self._known_hosts)),
            "GlobalKnownHostsFile": "/dev/null",
            "CheckHostIP": "no",
            "UpdateHostKeys": "no",
            "VerifyHostKeyDNS": "no",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "ForwardAgent": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "ConnectTimeout": str(CONNECT_TIMEOUT),
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3",
            "ControlMaster": "auto",
            "ControlPersist": "60s",
            "ControlPath": _quoted(f"{self.directory}/%C"),
        }
        if len(str(self.directory)) + _SOCKET_NAME > _ROOM_IN_SOCKET_PATH:
            pairs |= {"ControlMaster": "no", "ControlPersist": "no", "ControlPath": "none"}
        if self._access.certificate_file:
            pairs["CertificateFile"] = _quoted(self._access.certificate_file)
        if self._access.private_key_file:
            pairs["IdentityFile"] = _quoted(self._access.private_key_file)
        return [part for name, value in pairs.items() for part in ("-o", f"{name}={value}")]

    async def __aenter__(self) -> Self:
        self.directory = Path(await asyncio.to_thread(tempfile.mkdtemp, "", "multiplespawner-"))
        try:
            await asyncio.to_thread(self._pin)
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        # Whoever is cancelled once more meanwhile does not wait, but it goes on.
        await asyncio.shield(asyncio.ensure_future(self._close()))

    async def scratch(self) -> str:
        """A directory on the machine for this run alone, to be made by whoever needs it.

        Raises:
            ConnectionLost: the machine could not be asked.
        """
        if not self._scratch:
            home = (await self.shell('printf %s "$HOME"')).rstrip("/")
            self._scratch = f"{home}/.local/state/multiplespawner/run-{self.name}"
        return self._scratch

    async def shell(self, script: str, told: bytes = b"") -> str:
        """What a shell on the machine prints that runs `script`, with `told` as its input.

        Raises:
            ConnectionLost: the machine could not be asked.
            ConfigureFailed: the shell failed.
        """
        process = await self.start(script, stdout=asyncio.subprocess.PIPE)
        said, complaint = await process.communicate(told)
        if process.returncode == 255 and not self.login.local:  # noqa: PLR2004 - OpenSSH's own
            raise ConnectionLost(
                _connection_problem(self.login, complaint.decode(errors="replace"))
            )
        if process.returncode:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or [""]
            msg = f"{self.login.address}: a shell ended with {process.returncode}: {last[0]}"
            raise ConfigureFailed(msg)
        return said.decode(errors="replace")

    async def start(self, script: str, *flags: str, stdout: int) -> asyncio.subprocess.Process:
        """Start a shell on the machine; the flags are OpenSSH's."""
        return await asyncio.create_subprocess_exec(
            *self._command(script, *flags),
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.directory,
            env=self.environment,
            start_new_session=True,
        )

    async def forget(self, then: str = "true") -> None:
        """Remove this run's directory on the machine, and do one thing more there."""
        await self.shell(f"rm -rf {shlex.quote(self._scratch)} && {then}")
        self._scratch = ""

    def _command(self, script: str, *flags: str) -> Command:
        if self.login.local:
            return ["sh", "-c", script]
        user = ["-l", self.login.username] if self.login.username else []
        return [
            "ssh", "-F", "none", *flags, *self.options, "-p", str(self.login.port), *user,
            # Whatever the account's own shell is, it can start this one.
            "--", self.login.address, f"exec sh -c {shlex.quote(script)}",
        ]  # fmt: skip

    @property
    def _known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def _pin(self) -> None:
        """Write down the one host key that is right, for whatever name a client looks it up by."""
        if self.login.local:
            return
        endpoint, given = self._access.endpoint, self._access.known_hosts_file
        if given:
            shutil.copyfile(given, self._known_hosts)
        elif endpoint.host_key:
            name, port = self.login.address, self.login.port
            host = name if port == 22 else f"[{name}]:{port}"  # noqa: PLR2004 - sshd's own
            self._known_hosts.write_text(f"{host} {endpoint.host_key}\n", "utf-8")
        else:
            msg = "Nothing vouches for the host key: the template needs an authenticator"
            raise ConfigureFailed(msg)

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            if self._scratch:
                # First, or else what still runs there would write to it again.
                await asyncio.to_thread(processes.end, str(self.directory))
                await asyncio.wait_for(self.forget(), _FORGETTING_TIMEOUT)
        await asyncio.to_thread(processes.end, str(self.directory))
        await self._remove()

    async def _remove(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)


def _quoted(path: str) -> str:
    """As OpenSSH's options take a path that may hold spaces."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _connection_problem(login: Login, complaint: str) -> str:
    where = f"{login.address} port {login.port}"
    if "host key" in complaint.lower():
        return f"{where} has another host key than the one that is vouched for"
    if "permission denied" in complaint.lower():
        return f"{where} does not let {login.username or 'the hub'} in"
    return f"{where} cannot be reached"


__all__ = ("ConnectionLost", "Login", "Machine")
