"""Ports that no one else takes, and processes that no test leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import psutil

MARK = "HARNESS_ID"
# Below the kernel's range for outgoing connections and for "any port" (32768-60999).
FIRST_PORT, LAST_PORT = 20000, 32000


class Ports:
    """Free ports on 127.0.0.1, held against other test processes until `release`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir()) / "multiplespawner-test-ports"
        self._folder.mkdir(mode=0o777, exist_ok=True)
        self._held: list[IO[str]] = []

    def take(self) -> int:
        for _ in range(1000):
            port = random.randint(FIRST_PORT, LAST_PORT)
            lock = (self._folder / str(port)).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                lock.close()
                continue
            self._held.append(lock)
            return port
        message = "no free port"
        raise RuntimeError(message)

    def release(self) -> None:
        while self._held:
            # The file stays: who opens it next must lock the same one.
            self._held.pop().close()


def wait_for(
    condition: Callable[[], object], what: str, *, timeout: float = 30, every: float = 0.1
) -> None:
    """Poll until `condition` returns something true; AssertionError naming `what` otherwise."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            message = f"after {timeout:g} s still waiting: {what}"
            raise AssertionError(message)
        time.sleep(every)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def marked(clues: Iterable[str]) -> list[psutil.Process]:
    """Living processes with one of `clues` in a value of their environment or as their folder."""
    clues = tuple(clues)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            traces = [*process.environ().values(), process.cwd() + "/"]
        except psutil.Error:
            continue
        if any(clue in trace for trace in traces for clue in clues):
            found.append(process)
    return found


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid}: gone"


def kill_all(processes: Iterable[psutil.Process]) -> None:
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def end(process: subprocess.Popen[bytes] | None, *, grace: float = 0) -> None:
    """SIGTERM and up to `grace` seconds, then SIGKILL to the whole group."""
    if process is None:
        return
    if grace and process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
