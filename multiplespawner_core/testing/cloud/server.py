"""The small cloud as an HTTP server: what `python -m multiplespawner_core.testing.cloud` runs.

Clients send ``POST /v1/SCOPE/METHOD`` with the arguments as JSON and the secret as bearer token.
Whoever tests sends faults, and reads the meter and the records, on a port of its own: the other
one is closed while the cloud is down.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import logging
import os
import random
import secrets
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from multiplespawner_core.testing.cloud.containers import Containers, EngineError
from multiplespawner_core.testing.cloud.errors import ERRORS
from multiplespawner_core.testing.cloud.faults import Fault, FaultKind
from multiplespawner_core.testing.cloud.model import Call, Cloud
from multiplespawner_core.testing.cloud.settings import Settings
from multiplespawner_core.testing.cloud.sshd import Machines
from multiplespawner_core.testing.cloud.store import Store, write

HOST = "127.0.0.1"

_TICK = 0.05
_RESET = struct.pack("ii", 1, 0)

_log = logging.getLogger(__name__)


@dataclass
class Place:
    """The cloud, where it is kept, and its machines.

    Args:
        cloud: the rules.
        store: where everything is kept.
        secret: what requests must bring.
        machines: real ones; None where instances are only records.
    """

    cloud: Cloud
    store: Store
    secret: str
    machines: Machines | Containers | None = None

    def settle(self) -> None:
        """Make machines and files what the rules say, before anybody hears of it."""
        self.cloud.advance()
        while self.cloud.changed:
            instance = self.cloud.record(self.cloud.changed.pop())
            if self.machines is not None:
                self.machines.settle(instance, self.cloud)
            self.store.save(instance)


class Handler(RequestHandler):
    """What both doors have in common."""

    def initialize(self, place: Place) -> None:
        self.place = place

    def is_let_in(self) -> bool:
        given = self.request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.place.secret}".encode())

    def argument(self) -> Any:
        try:
            return json.loads(self.request.body or b"{}")
        except ValueError:
            raise HTTPError(400) from None

    def answer(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))


class Api(Handler):
    """The door for clients."""

    async def post(self, scope: str, method: str) -> None:
        if not self.is_let_in():
            refusal = ERRORS["unauthorized"]
            self.answer({"code": refusal.code, "message": refusal.message}, refusal.status)
            return
        call = Call(method, scope, self.argument())
        if self._is_down(call):
            self._reset()
            return
        await asyncio.sleep(self.place.cloud.hold(call))
        answer = self.place.cloud.handle(call)
        self.place.settle()
        await asyncio.sleep(answer.delay)
        if answer.lost:
            self._reset()
            return
        if answer.retry_after is not None:
            self.set_header("Retry-After", str(answer.retry_after))
        self.answer(answer.body, answer.status)

    def _is_down(self, call: Call) -> bool:
        """All scopes have one address, which is closed only while all of them are down."""
        cloud = self.place.cloud
        return cloud.faults.down_until(cloud.now) is None and cloud.is_down(call)

    def _reset(self) -> None:
        """Leave the client without an answer, and without the end of a connection in order."""
        stream = self.detach()
        if stream.socket is not None:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        stream.close()


class Admin(Handler):
    """The door for who tests."""

    def prepare(self) -> None:
        if not self.is_let_in():
            raise HTTPError(401)

    def get(self, name: str) -> None:
        cloud = self.place.cloud
        self.place.settle()
        if name == "meter":
            self.answer(cloud.meter().to_json())
        elif name == "records":
            self.answer([one.to_json() for one in cloud.records()])
        elif name == "faults":
            self.answer(dict(cloud.faults.fired))
        elif name == "settings":
            self.answer(cloud.settings.to_json())
        else:
            raise HTTPError(404)

    def post(self, name: str) -> None:
        cloud, given = self.place.cloud, self.argument()
        try:
            if name == "faults":
                cloud.add_fault(Fault.from_json(given))
            elif name == "settings":
                cloud.settings = Settings.from_json(given, cloud.settings)
                self.place.store.save_settings(cloud.settings)
            elif name == "terminate":
                cloud.terminate(given["id"])
            else:
                raise HTTPError(404)
        except (TypeError, ValueError, KeyError) as error:
            self.answer({"message": str(error)}, 400)
            return
        self.answer({})

    def delete(self, name: str) -> None:
        if name != "faults":
            raise HTTPError(404)
        self.place.cloud.faults.clear()
        self.answer({})


class Server:
    """Both doors, and the time that passes between requests.

    Args:
        place: what is served.
        port: of the door for clients; 0 takes the one of the last time, or any.
    """

    def __init__(self, place: Place, port: int) -> None:
        self._place = place
        known = place.store.read("address") or {}
        self._port = port or known.get("port", 0)
        self._admin_port = known.get("admin_port", 0)
        self._api: HTTPServer | None = None
        self._closing = asyncio.Event()
        self._forever = False

    async def run(self) -> None:
        """Serve until `close`; then the machines end."""
        admin = self._listen(Admin, r"/(\w+)", self._admin_port)
        self._admin_port = admin[1]
        self._open()
        self._place.store.write("address", self._address())
        print(json.dumps(self._address()), flush=True)  # noqa: T201 - what the starter waits for
        try:
            while not self._closing.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _TICK)
                await self._pass()
        finally:
            admin[0].stop()
            await self._shut()
            if self._place.machines is not None:
                self._place.machines.end_all(forever=self._forever)

    def close(self, *, forever: bool = False) -> None:
        """End it; forever if nobody will start it again."""
        self._forever = forever
        self._closing.set()

    def _address(self) -> dict[str, Any]:
        return {
            "url": f"http://{HOST}:{self._port}",
            "port": self._port,
            "admin_url": f"http://{HOST}:{self._admin_port}",
            "admin_port": self._admin_port,
            "pid": os.getpid(),
        }

    async def _pass(self) -> None:
        place = self._place
        if place.machines is not None:
            place.machines.look(place.cloud)
        place.settle()
        down = place.cloud.faults.down_until(place.cloud.now) is not None
        if down and self._api is not None:
            # Calls that nobody hears are not counted.
            place.cloud.faults.fired[FaultKind.DOWN.value] += 1
            await self._shut()
        elif not down and self._api is None:
            with contextlib.suppress(OSError):  # somebody else has the port for a moment
                self._open()

    def _open(self) -> None:
        self._api, self._port = self._listen(Api, r"/v1/([\w-]+)/(\w+)", self._port)

    def _listen(self, handler: type[Handler], path: str, port: int) -> tuple[HTTPServer, int]:
        sockets = bind_sockets(port, HOST)
        app = Application([(path, handler, {"place": self._place})], log_function=_quiet)
        server = HTTPServer(app)
        server.add_sockets(sockets)
        return server, sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._api is not None:
            server, self._api = self._api, None
            server.stop()
            await server.close_all_connections()


def _quiet(_: RequestHandler) -> None:
    """Requests are not logged: there are thousands of them."""


def read_secret(path: Path) -> str:
    """The secret in a file; made where there is none."""
    if not path.exists():
        write(path, secrets.token_urlsafe(32))
    return path.read_text("utf-8").strip()


async def serve(place: Place, port: int, *, while_stdin: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, or until the other end of standard input is closed."""
    server = Server(place, port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.close)
    if while_stdin:
        loop.add_reader(sys.stdin.fileno(), partial(server.close, forever=True))
    await server.run()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m multiplespawner_core.testing.cloud")
    parser.add_argument("--state", type=Path, required=True, help="directory to keep it in")
    parser.add_argument("--secret-file", type=Path, required=True, help="made if missing")
    parser.add_argument("--port", type=int, default=0, help="0: that of the last time, or any")
    parser.add_argument("--settings", type=Path, help="JSON file, as docs/testing.md says")
    parser.add_argument("--seed", type=int, help="of every chance")
    parser.add_argument(
        "--machines",
        choices=("none", "process", "container"),
        default="none",
        help="process: each instance that runs is an OpenSSH server with a port of its own;"
        " container: one of a Docker engine, with systemd, sudo and cloud-init",
    )
    parser.add_argument(
        "--while-stdin",
        action="store_true",
        help="end when standard input is closed, as it is when the process that started this dies",
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO)
    store = Store(given.state.resolve())
    settings = store.settings() or Settings()
    if given.settings is not None:
        settings = Settings.from_json(json.loads(given.settings.read_text("utf-8")), settings)
        store.save_settings(settings)
    rng = random.Random(given.seed)  # noqa: S311 - it deals out misfortunes
    cloud = Cloud(
        settings,
        clock=time.time,
        rng=rng,
        records=store.load(),
    )
    machines = _machines(given.machines, store.directory / "machines")
    if machines is not None:
        cloud.own_addresses = False
        machines.take_up(cloud)
    place = Place(cloud, store, read_secret(given.secret_file), machines)
    asyncio.run(serve(place, given.port, while_stdin=given.while_stdin))


def _machines(kind: str, directory: Path) -> Machines | Containers | None:
    if kind == "none":
        return None
    try:
        return Machines(directory) if kind == "process" else Containers(directory)
    except (EngineError, FileNotFoundError) as error:
        sys.exit(f"there can be no machines: {error}")


__all__ = ("Place", "Server", "main", "read_secret", "serve")
