"""One machine without a cloud: an OpenSSH server to be configured."""

from __future__ import annotations

import getpass
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typing_extensions import Self

from multiplespawner_core.contracts import Access, Endpoint, Keys
from multiplespawner_core.testing.cloud import processes
from multiplespawner_core.testing.cloud.records import State
from multiplespawner_core.testing.cloud.sshd import Machines
from multiplespawner_core.testing.cloud.store import write

_NAME = "machine"
_PAUSE = 0.02
_TIMEOUT = 30.0


class LoneMachine:
    """A server on 127.0.0.1 that lets one key in, as the user who runs it.

    As a context manager it has started, and at the end nothing of it is left.

    Args:
        directory: of the machine; its accounts' home is ``home`` there.
        keys: with a public key that may log in, and the host key where one is given.
    """

    def __init__(self, directory: Path, keys: Keys) -> None:
        self.home = directory / _NAME / "home"
        self._directory = directory
        self._keys = keys
        self._machines = Machines(directory)
        self._endpoint: Endpoint | None = None

    @property
    def access(self) -> Access:
        """As an authenticator that has opened it would give it."""
        assert self._endpoint is not None  # noqa: S101 - it has started
        known_hosts = self._directory / "known_hosts"
        host = f"[{self._endpoint.address}]:{self._endpoint.port}"
        write(known_hosts, f"{host} {self._endpoint.host_key}\n")
        return Access(
            endpoint=self._endpoint,
            username=getpass.getuser(),
            private_key_file=self._keys.private_key_file,
            known_hosts_file=str(known_hosts),
        )

    def processes(self) -> list[list[str]]:
        """The command lines of what runs on it, without the server itself."""
        lines = [command(pid) for pid in processes.tree(str(self._directory / _NAME))]
        return [line for line in lines if line and "sshd" not in line[0]]

    def __enter__(self) -> Self:
        given: dict[str, Any] = {"authorized_keys": [self._keys.public_key]}
        if self._keys.host_key_file:
            given["host_key"] = Path(self._keys.host_key_file).read_text("utf-8")
        instance: Any = SimpleNamespace(
            id=_NAME, state=State.RUNNING, address=None, user_data=given
        )
        cloud: Any = SimpleNamespace(attach=self._attach, record=lambda _: instance, fail=_failed)
        self._machines.settle(instance, cloud)
        deadline = time.monotonic() + _TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline:
                self._machines.end_all()
                raise TimeoutError(f"the server in {self._directory} does not answer")
            self._machines.look(cloud)
            time.sleep(_PAUSE)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, and everything that runs on the machine."""
        self._machines.end_all()

    def _attach(self, _: str, host: str, port: int, host_key: str) -> None:
        self._endpoint = Endpoint(host, port, host_key)

    def _answers(self) -> bool:
        assert self._endpoint is not None  # noqa: S101 - it has been started
        try:
            with socket.create_connection(
                (self._endpoint.address, self._endpoint.port or 0), 1
            ) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return False


def _failed(name: str, reason: str) -> None:
    raise RuntimeError(f"{name}: {reason}")


def command(pid: int) -> list[str]:
    """The command line of a process; empty once it has ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part for part in line.decode(errors="replace").split("\0") if part]


__all__ = ("LoneMachine", "command")
