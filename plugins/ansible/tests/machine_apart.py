"""A machine whose files are apart: this one's, with a layer of its own above them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from multiplespawner_core import Access, Endpoint

_MAKE = """
set -e
cd {directory}
mount -t tmpfs tmpfs layer
mkdir layer/upper layer/work layer/root
mount -t overlay overlay -o lowerdir=/,upperdir=layer/upper,workdir=layer/work layer/root
mount --rbind /dev layer/root/dev
mount -t proc proc layer/root/proc
mkdir -p layer/root/run/sshd layer/root/machine
cp host_key sshd_config authorized_keys layer/root/machine/
chmod 600 layer/root/machine/host_key
chroot layer/root useradd -m -p '*' -s /bin/bash opc
echo 'opc ALL=(ALL) NOPASSWD:ALL' > layer/root/etc/sudoers.d/opc
touch made
exec chroot layer/root /usr/sbin/sshd -D -e -f /machine/sshd_config
"""
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /machine/host_key
AuthorizedKeysFile /machine/authorized_keys .ssh/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""


class Apart:
    """Its accounts are in the group of nobody else; ``opc`` may become root, as in a cloud.

    Args:
        directory: for what is mounted; nobody else sees that.
        keys: with the host key.
    """

    def __init__(self, directory, keys):
        directory.mkdir()
        (directory / "layer").mkdir()
        self._directory = directory
        self._keys = keys
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        (directory / "sshd_config").write_text(_CONFIG.format(port=self.port))
        (directory / "authorized_keys").write_text(f"{keys.public_key}\n")
        shutil.copy(keys.host_key_file, directory / "host_key")

    def access(self, username="opc"):
        endpoint = Endpoint("127.0.0.1", self.port, self._keys.host_public_key)
        return Access(endpoint, username, self._keys.private_key_file)

    def __enter__(self):
        script = _MAKE.format(directory=self._directory)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise RuntimeError((self._directory / "log").read_text())
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def run(self, command, username="root"):
        """What a command there prints, asked with the ssh of this machine."""
        known = self._directory / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.port} {self._keys.host_public_key}\n")
        done = subprocess.run(
            ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes",
             "-o", "BatchMode=yes", "-i", self._keys.private_key_file, "-p", str(self.port),
             "-l", username, "127.0.0.1", command],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def _answers(self):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as s,
        ):
            return s.recv(4) == b"SSH-"
        return False


def can_be_made():
    """Why not, where it cannot."""
    if sys.platform != "linux" or not shutil.which("unshare") or Path("/proc").stat().st_uid:
        return "it takes Linux"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "it takes root"


__all__ = ("Apart", "can_be_made")
