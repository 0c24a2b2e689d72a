"""Machines with a real OpenSSH server each, on this one: their own port, home and keys."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from multiplespawner_ssh.connection import Machine

CONFIG = """\
{more}
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
SetEnv HOME={folder}/home {env}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    assert path, f"there is no {name}"
    return path


def keygen(*arguments):
    done = subprocess.run(
        [program("ssh-keygen"), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class Sshd:
    """A machine. Its processes are this computer's; its home and keys are its own."""

    def __init__(self, folder, more="", env=""):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.port = _free_port()
        self.more, self.env = more, env
        self._process = None
        self.new_host_key()
        keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / "client_key")
        self.let_in((folder / "client_key.pub").read_text())

    @property
    def host_key(self):
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def log(self):
        return (self.folder / "sshd.log").read_text()

    def new_host_key(self, kind="ed25519"):
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
        keygen("-q", "-t", kind, "-N", "", "-C", "", "-f", self.folder / "host_key")

    def take_host_key(self, path):
        (self.folder / "host_key").unlink()
        shutil.copy(path, self.folder / "host_key")

    def let_in(self, *lines):
        (self.folder / "authorized_keys").write_text("".join(f"{line.strip()}\n" for line in lines))

    def machine(self, **given):
        values = {
            "host": "127.0.0.1",
            "port": self.port,
            "username": getpass.getuser(),
            "key_file": str(self.folder / "client_key"),
            "host_keys": (self.host_key,),
            **given,
        }
        return Machine(**values)

    def start(self):
        config = self.folder / "sshd_config"
        config.write_text(CONFIG.format(**vars(self)))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("sshd"), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def stop(self):
        """As when it is killed: with all of its connections, and nothing of what they started."""
        if self._process is None:
            return
        sessions = _below(self._process.pid)
        for pid in (self._process.pid, *sessions):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


def _below(root):
    """What descends from a process, parents first: none is left to tell how its child ended.

    Servers do not descend from it: whoever started them has ended.
    """
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [root]
    for above in found:
        found.extend(pid for pid, parent in parents.items() if parent == above)
    return found[1:]


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def marked(home):
    """The servers that run on a machine."""
    found = []
    clue = f"HOME={home}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            environment = path.read_bytes().split(b"\0")
            if clue in environment and any(
                one.startswith(b"MULTIPLESPAWNER_SERVER=") for one in environment
            ):
                found.append(int(path.parent.name))
    return found
