"""The small cloud's server as a child process, for tests: started, killed, started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import Self

from multiplespawner_core.testing.cloud.faults import Fault
from multiplespawner_core.testing.cloud.meter import Meter
from multiplespawner_core.testing.cloud.records import Instance
from multiplespawner_core.testing.cloud.settings import Settings

T = TypeVar("T", bound="CloudProcess")

_TIMEOUT = 60.0


class CloudProcess:
    """A server of its own process; as context manager it is stopped at the end.

    It also ends, and its machines with it, when the process that started it dies.

    Its methods block, for some milliseconds: call them from a thread where that matters.

    Args:
        directory: for its state, its secret and its log.
        settings: its habits; lists lag and answers are lost unless these say otherwise.
        machines: ``process`` for machines that are OpenSSH servers, ``container`` for those that
            are containers.
        seed: of every chance; None for another one each time.
    """

    module = "multiplespawner_core.testing.cloud"
    """What the server runs; for tests that run it otherwise."""

    def __init__(
        self,
        directory: Path,
        settings: Settings | None = None,
        *,
        machines: str = "none",
        seed: int | None = None,
    ) -> None:
        self.state = directory / "state"
        self.secret_file = directory / "secret"
        self.log_file = directory / "server.log"
        self._settings = directory / "settings.json"
        self._settings.write_text(json.dumps((settings or Settings()).to_json()), "utf-8")
        self._options = ["--machines", machines, "--while-stdin"]
        if seed is not None:
            self._options += ["--seed", str(seed)]
        self._process: subprocess.Popen[str] | None = None
        self._address: Mapping[str, Any] = {}

    @property
    def url(self) -> str:
        """Where clients ask; stays the same when it is started again."""
        return str(self._address["url"])

    @property
    def pid(self) -> int:
        """Of the server."""
        return int(self._address["pid"])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            sys.executable, "-m", self.module,
            "--state", str(self.state), "--secret-file", str(self.secret_file), *self._options,
        ]  # fmt: skip
        if self._settings.exists():
            command += ["--settings", str(self._settings)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None  # noqa: S101 - as said above
        line = self._process.stdout.readline()
        if not line:
            msg = f"the cloud's server did not start; see {self.log_file}"
            raise RuntimeError(msg)
        self._address = json.loads(line)
        # From now on it keeps its settings itself.
        self._settings.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it in order; its machines end as well, and are there again when it is started."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: its machines go on."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            self.start()  # what was killed has left machines behind
        self._end(None)

    def add_fault(self, fault: Fault) -> None:
        """Arm a fault; those of the whole cloud being down take effect within 0.1 seconds."""
        self._admin("POST", "faults", fault.to_json())

    def clear_faults(self) -> None:
        """Disarm all of them; what has hit stays counted."""
        self._admin("DELETE", "faults")

    def fired(self) -> dict[str, int]:
        """How often each kind of fault has hit."""
        return dict(self._admin("GET", "faults"))

    def change(self, **settings: Any) -> None:
        """Change some of its settings."""
        self._admin("POST", "settings", settings)

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance behind everybody's back, as the account's owner can."""
        self._admin("POST", "terminate", {"id": instance_id})

    def meter(self) -> Meter:
        """What everything has cost until now."""
        return Meter.from_json(self._admin("GET", "meter"))

    def records(self) -> list[Instance]:
        """Everything there ever was, as it is now, without lag."""
        return [Instance.from_json(one) for one in self._admin("GET", "records")]

    def _admin(self, method: str, name: str, value: Any = None) -> Any:
        secret = self.secret_file.read_text("utf-8").strip()
        request = urllib.request.Request(  # noqa: S310 - its own server
            f"{self._address['admin_url']}/{name}",
            None if value is None else json.dumps(value).encode(),
            {"Authorization": f"Bearer {secret}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 - our own
            return json.load(response)

    def _end(self, number: signal.Signals | None) -> None:
        """By a signal, or, for good, as it is when the process that started it dies."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101 - as it was started
        if number is None:
            process.stdin.close()
        else:
            process.send_signal(number)
        try:
            process.wait(_TIMEOUT)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None  # noqa: S101 - as it was started
                pipe.close()


__all__ = ("CloudProcess",)
