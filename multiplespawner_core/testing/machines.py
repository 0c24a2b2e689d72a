"""What opens a machine of the small cloud, and what starts a server on it.

Both are for tests: the server is a stub, and what the two know of each other stays in this
process.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import asyncssh
import jupyterhub
from jupyterhub.spawner import Spawner
from traitlets import Unicode

from multiplespawner_core.contracts import (
    Access,
    Authenticator,
    ConfigurationError,
    Endpoint,
    Intent,
    Keys,
    OpenFailed,
)
from multiplespawner_core.testing import stub_server
from multiplespawner_core.testing.cloud.provider import INTENT_VARIABLE
from multiplespawner_core.testing.cloud.store import write

_ALGORITHM = "ssh-ed25519"
_CONNECT_TIMEOUT = 10.0
_RUN_TIMEOUT = 30.0
_PAUSE = 0.1
_ENDED = 1

_opened: dict[str, Access] = {}
"""By intent: how the child gets to a machine that was opened in this process."""


class MachineAuthenticator(Authenticator):
    """A client key and a host key for each machine, made before it exists.

    (Not JupyterHub's Authenticator, which logs users in.)
    """

    async def prepare(self, intent: Intent) -> Keys:
        return await asyncio.to_thread(self._prepare, intent)

    async def open(self, intent: Intent, endpoint: Endpoint, keys: Keys) -> Access:
        """Wait until the machine lets us in; it is verified by the key that it was given."""
        known_hosts = self._place(intent) / "known_hosts"
        line = f"[{endpoint.address}]:{endpoint.port} {keys.host_public_key}\n"
        await asyncio.to_thread(write, known_hosts, line)
        access = Access(
            endpoint=endpoint,
            username=getpass.getuser(),
            private_key_file=keys.private_key_file,
            known_hosts_file=str(known_hosts),
        )
        while True:
            try:
                await _run(_machine(access), "true")
            except asyncssh.HostKeyNotVerifiable:
                raise OpenFailed("The machine has another host key than it was given.") from None
            except asyncssh.PermissionDenied:
                raise OpenFailed("The machine does not let the hub in.") from None
            except (OSError, asyncssh.Error, asyncio.TimeoutError):
                await asyncio.sleep(_PAUSE)
            else:
                _opened[intent.id] = access
                return access

    async def cleanup(self, intent: Intent) -> None:
        _opened.pop(intent.id, None)
        await asyncio.to_thread(shutil.rmtree, self._place(intent), ignore_errors=True)

    def _prepare(self, intent: Intent) -> Keys:
        place = self._place(intent)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Keys(
            public_key=_key(place / "client_key"),
            private_key_file=str(place / "client_key"),
            host_key_file=str(place / "host_key"),
            host_public_key=_key(place / "host_key"),
        )

    def _place(self, intent: Intent) -> Path:
        return Path(self.state_dir) / intent.id


class MachineSpawner(Spawner):
    """A stub server on a machine of the small cloud, over SSH. It ends with the machine."""

    python = Unicode(sys.executable, help="The interpreter, on the machine.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._machine: dict[str, Any] = {}
        self._stub: dict[str, int] = {}

    async def start(self) -> tuple[str, int]:
        if self.internal_ssl:
            msg = "MachineSpawner starts a stub that knows nothing of internal SSL"
            raise ConfigurationError(msg)
        access = _opened.get(self.environment.get(INTENT_VARIABLE, ""))
        if access is None:
            msg = "MachineSpawner needs MachineAuthenticator and a provider of the small cloud"
            raise ConfigurationError(msg)
        self._machine = _machine(access)
        script = await asyncio.to_thread(Path(stub_server.__file__).read_text, "utf-8")
        await _run(self._machine, 'umask 077; cat > "$HOME/server.py"', script)
        told = {
            "host": access.endpoint.address,
            "version": jupyterhub.__version__,
            "env": self.get_env(),
        }
        self._stub = json.loads(await self._command("", json.dumps(told)))
        return access.endpoint.address, self._stub["port"]

    async def poll(self) -> int | None:
        """Ended with the machine, or by itself; an error that proves nothing is raised."""
        if not self._stub:
            return 0
        try:
            said = await self._ask("poll")
        except (ConnectionRefusedError, asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied):
            # Nobody listens there any more, or another machine.
            return _ENDED
        return None if said == "running" else _ENDED

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002 - JupyterHub's signature
        try:
            await self._ask("stop")
        except (ConnectionRefusedError, asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied):
            self.log.info("The machine of %s has ended already", self._log_name)
        self.clear_state()

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self._stub:
            state |= {"machine": self._machine, "stub": self._stub}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._machine = state.get("machine", {})
        self._stub = state.get("stub", {})

    def clear_state(self) -> None:
        super().clear_state()
        self._machine, self._stub = {}, {}

    async def _ask(self, question: str) -> str:
        if not self._stub:
            return "ended"
        return await self._command(f"{question} {self._stub['pid']} {self._stub['started']}")

    async def _command(self, arguments: str, told: str = "") -> str:
        python = shlex.quote(self.python)
        return await _run(self._machine, f'exec {python} "$HOME/server.py" {arguments}', told)


def _machine(access: Access) -> dict[str, Any]:
    """How to get there: names of files, and no secret."""
    return {
        "host": access.endpoint.address,
        "port": access.endpoint.port,
        "username": access.username,
        "private_key_file": access.private_key_file,
        "known_hosts_file": access.known_hosts_file,
    }


async def _run(machine: dict[str, Any], command: str, told: str = "") -> str:
    """Run a command on the machine, with `told` on its standard input; gives what it prints."""
    connection = await asyncio.wait_for(
        asyncssh.connect(
            machine["host"],
            machine["port"],
            username=machine["username"],
            client_keys=[machine["private_key_file"]],
            known_hosts=machine["known_hosts_file"],
            config=None,
            agent_path=None,
        ),
        _CONNECT_TIMEOUT,
    )
    async with connection:
        done = await connection.run(command, input=told, check=True, timeout=_RUN_TIMEOUT)
    return str(done.stdout).strip()


def _key(path: Path) -> str:
    """The public half of the key in a file, which is made where there is none."""
    if not path.exists():
        made = asyncssh.generate_private_key(_ALGORITHM)
        write(path, made.export_private_key().decode())
    return asyncssh.read_private_key(path).export_public_key().decode().strip()


__all__ = ("MachineAuthenticator", "MachineSpawner")
