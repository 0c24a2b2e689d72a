"""A single-user server in 0.1 seconds, for a machine that has nothing but Python.

It is copied there and run by itself, so it imports the standard library only.

- Without arguments it reads ``{"host": ..., "version": ..., "env": {...}}`` from its standard
  input, so that no secret stands in a command line; goes into the background, and prints
  ``{"pid": ..., "started": ..., "port": ...}``.
- ``poll PID STARTED`` prints ``running`` or ``ended``.
- ``stop PID STARTED`` ends it.

Below JUPYTERHUB_SERVICE_PREFIX it answers at ``api``, ``api/status``, and ``machine``, which says
on which machine it runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PATIENCE = 5.0


class Handler(BaseHTTPRequestHandler):
    """What JupyterHub asks of a server."""

    protocol_version = "HTTP/1.1"
    version = ""
    since = ""

    def do_GET(self) -> None:
        prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")
        path = urlsplit(self.path).path
        answers: Mapping[str, Any] = {
            "": {"stub": True},
            "api": {"version": "0"},
            "api/status": {
                "started": self.since,
                "last_activity": self.since,
                "kernels": 0,
                "connections": 0,
            },
            "machine": {
                "pid": os.getpid(),
                "machine": os.environ.get("MULTIPLESPAWNER_MACHINE", ""),
                "intent": os.environ.get("MULTIPLESPAWNER_INTENT", ""),
            },
        }
        answer = answers.get(path.removeprefix(prefix)) if path.startswith(prefix) else None
        body = json.dumps(answer or {"message": "not found"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-JupyterHub-Version", self.version)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Addresses may hold tokens: nothing is logged."""


class Server(ThreadingHTTPServer):
    daemon_threads = True


def start(told: Mapping[str, Any]) -> None:
    """Serve in the background, and say where."""
    server = Server((told["host"], 0), Handler)
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os.wait()
        with os.fdopen(reading) as answer:
            print(answer.read())
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.environ.update(told["env"])
    Handler.version = told["version"]
    Handler.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    pid = os.getpid()
    said = {"pid": pid, "started": _started(pid), "port": server.server_address[1]}
    os.write(writing, json.dumps(said).encode())
    os.close(writing)
    os.close(reading)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    server.serve_forever()


def stop(pid: int, started: int) -> None:
    """End it, gently if that helps."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _PATIENCE
        while _started(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)


def _started(pid: int) -> int | None:
    """When it started, which tells it from another that gets its number; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def main(arguments: list[str]) -> None:
    if not arguments:
        start(json.load(sys.stdin))
        return
    command, pid, started = arguments[0], int(arguments[1]), int(arguments[2])
    if command == "stop":
        stop(pid, started)
    print("running" if _started(pid) == started else "ended")


if __name__ == "__main__":
    main(sys.argv[1:])
