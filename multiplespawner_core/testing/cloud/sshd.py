"""Machines that are real: an OpenSSH server each, with a port, a directory and a host key."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from multiplespawner_core.testing.cloud import processes
from multiplespawner_core.testing.cloud.model import Cloud
from multiplespawner_core.testing.cloud.records import Instance, State
from multiplespawner_core.testing.cloud.store import write

HOST = "127.0.0.1"

_ATTEMPTS = 5
"""Times that a machine is started in a row: the port that was free may be taken by then."""

_CONFIG = """\
Port {port}
ListenAddress {host}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
SetEnv {mark}={directory} HOME={directory}/home
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserRC no
PrintMotd no
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
"""

_log = logging.getLogger(__name__)


class Machines:
    """One for each instance that runs.

    They outlive this process when it is killed, and are found again by process id and start.

    Args:
        directory: of all of them; made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._running: dict[str, dict[str, Any]] = {}
        self._attempts: dict[str, int] = {}
        self._sshd = _program("sshd")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it separates privileges

    def take_up(self, cloud: Cloud) -> None:
        """Go on with what an earlier process left; what does not run any more is started anew."""
        cloud.advance()
        left = {path.name: path for path in self._directory.iterdir()}
        for instance in cloud.live():
            directory = left.pop(instance.id, None)
            if directory is not None:
                self._find(instance.id, directory)
            self.settle(instance, cloud)
        for name, directory in left.items():
            self._find(name, directory)
            self._end(name)
            shutil.rmtree(directory, ignore_errors=True)

    def settle(self, instance: Instance, cloud: Cloud) -> None:
        """Start or end the machine, as the instance's state says."""
        if instance.state is State.RUNNING:
            known = self._running.get(instance.id)
            if known is None:
                self._start(instance, cloud)
            elif instance.address is None:  # the end came between starting it and saying so
                cloud.attach(instance.id, HOST, known["port"], known["host_key"])
            return
        if instance.id in self._running or self._place(instance.id).exists():
            self._end(instance.id)
        if instance.state is State.TERMINATED:
            shutil.rmtree(self._place(instance.id), ignore_errors=True)

    def look(self, cloud: Cloud) -> None:
        """Notice machines that ended by themselves."""
        for name, known in list(self._running.items()):
            with contextlib.suppress(OSError):  # one that an earlier process started
                os.waitpid(known["pid"], os.WNOHANG)
            if processes.is_same(known["pid"], known["started"]):
                continue
            self._end(name)
            if self._said(name, "Address already in use") and self._attempts[name] < _ATTEMPTS:
                self._start(cloud.record(name), cloud)
            else:
                _log.warning("%s ended by itself", name)
                cloud.fail(name, "The machine ended by itself.")

    def end_all(self, *, forever: bool = False) -> None:
        """End all of them; unless it is forever, they are started anew by the next process."""
        for name in list(self._running):
            self._end(name)
        if forever:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, instance: Instance, cloud: Cloud) -> None:
        directory = self._place(instance.id)
        # What an earlier process started and had no time to write down.
        processes.end(str(directory))
        self._attempts[instance.id] = self._attempts.get(instance.id, 0) + 1
        host_key = _furnish(directory, instance.user_data)
        port = _free_port()
        config = _CONFIG.format(port=port, host=HOST, directory=directory, mark=processes.MARK)
        write(directory / processes.CONFIG, config)
        with (directory / "sshd.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - the program that was looked for
                [self._sshd, "-D", "-e", "-f", str(directory / processes.CONFIG)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath), processes.MARK: str(directory)},
            )
        process.returncode = 0  # reaped in `look`: this object must not
        self._running[instance.id] = {
            "pid": process.pid,
            "started": processes.started(process.pid) or -1,
            "port": port,
            "host_key": host_key,
        }
        write(directory / "process.json", self._running[instance.id])
        cloud.attach(instance.id, HOST, port, host_key)

    def _find(self, name: str, directory: Path) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads((directory / "process.json").read_text("utf-8"))
            if processes.is_same(known["pid"], known["started"]):
                self._running[name] = known

    def _end(self, name: str) -> None:
        known = self._running.pop(name, None)
        pid = known["pid"] if known and processes.is_same(known["pid"], known["started"]) else None
        processes.end(str(self._place(name)), pid)

    def _said(self, name: str, text: str) -> bool:
        with contextlib.suppress(OSError):
            return text in (self._place(name) / "sshd.log").read_text("utf-8", "replace")
        return False

    def _place(self, name: str) -> Path:
        return self._directory / name


def host_key_of(directory: Path, user_data: dict[str, Any]) -> str:
    """Put the machine's host key there, the given one or one that is made; gives the public one."""
    key = directory / "host_key"
    if not key.exists():
        if user_data.get("host_key"):
            write(key, user_data["host_key"])
        else:
            _keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
    return " ".join(_keygen("-y", "-f", str(key)).split()[:2])


def _furnish(directory: Path, user_data: dict[str, Any]) -> str:
    """What is on the machine before it boots; gives its public host key."""
    (directory / "home").mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = user_data.get("authorized_keys") or []
    write(directory / "authorized_keys", "".join(f"{one}\n" for one in keys))
    return host_key_of(directory, user_data)


def _keygen(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - the program that was looked for
        [_program("ssh-keygen"), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if path is None:
        msg = f"there is no {name}: machines need OpenSSH's server"
        raise FileNotFoundError(msg)
    return path


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


__all__ = ("Machines", "host_key_of")
