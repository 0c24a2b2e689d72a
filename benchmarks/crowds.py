"""Hubs with very many servers, none of which costs anything (`stubs`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.copies import multiply
from benchmarks.hubs import OURS, PROBED, Hub, HubProcess, running, site
from benchmarks.stubs import MACHINES

STUB = "StubSpawner"
CROWDS = (STUB, OURS)
"""The bare child and the same child below MultipleSpawner."""

_AT_ONCE = 20
"""Requests of the client that are under way at the same time."""

_SPAWNER = f"benchmarks.stubs.{STUB}"
_PROVIDER = "benchmarks.stubs.StubProvider"
_CLASSES = {"provider": [_PROVIDER], "spawner": [_SPAWNER]}

# No limit of JupyterHub's own, and nothing of its periodic work but the polls.
_CONFIG = f"""
{PROBED}
from benchmarks.stubs import StubSpawner
c.StubSpawner.url = URL
c.JupyterHub.cleanup_servers = False
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.init_spawners_timeout = -1
c.JupyterHub.last_activity_interval = 86400
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0, "slow_stop_timeout": 120}}
c.Spawner.poll_interval = POLL_INTERVAL
c.Spawner.start_timeout = c.Spawner.http_timeout = 600
"""

_BARE = """
c.JupyterHub.spawner_class = StubSpawner
"""

_OURS = f"""
c.MultipleSpawner.component_classes = {json.dumps(_CLASSES)}
c.StubSpawner.alone = False
"""

_TEMPLATES = [
    {
        "name": "Stub",
        "resource_type": "virtual_machine",
        "providers": [_PROVIDER],
        "spawner": {"class": _SPAWNER},
    }
]
_DEPLOYMENTS = {"virtual_machine": [{"name": "stub", "provider": _PROVIDER}]}
_CHOSEN = {"provider": _PROVIDER, "resource_type": "virtual_machine", "deployment": "stub"}


@dataclass(frozen=True)
class Crowd:
    """A hub and so many users, each with one server."""

    hub: Hub
    users: Sequence[str]

    def create_users(self) -> None:
        """Make them known to JupyterHub."""
        for first in range(0, len(self.users), 100):
            some = self.users[first : first + 100]
            self.hub.ask("POST", "/users", json={"usernames": some})

    def ask_for_all(self, every: float = 0) -> None:
        """Ask for all servers; JupyterHub answers before they are ready.

        Args:
            every: seconds between two requests.
        """
        began = time.monotonic()

        def start(numbered: tuple[int, str]) -> None:
            number, user = numbered
            time.sleep(max(0.0, began + number * every - time.monotonic()))
            path = f"/users/{user}/server"
            answer = self.hub.ask("POST", path, json=self.hub.body)
            assert answer.status_code in (httpx.codes.CREATED, httpx.codes.ACCEPTED), answer.text

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(start, enumerate(self.users)))

    def hold(self) -> None:
        """Let no machine come up that is asked for from now on."""
        self.hub.ask("GET", "/benchmark/hold")

    def let_up(self, every: float) -> None:
        """Let the machines come up that were held, so many seconds apart."""
        self.hub.ask("GET", f"/benchmark/open?every={every}")

    def wait_until_ready(self) -> None:
        """Until every server is."""
        self._wait_for(len(self.users))

    def multiply(self) -> None:
        """Start one server, then the hub anew with copies of it for all users.

        They are no users until then.
        """
        process, (first, *others) = self.hub.process, self.users
        self.hub.ask("POST", f"/users/{first}")
        self.hub.ask("POST", f"/users/{first}/server", json=self.hub.body)
        self._wait_for(1)
        process.kill()
        files = process.folder.glob(f"state/plugins/*/{MACHINES}")
        multiply(process.folder, first, others, next(files, None))
        self.start_again()

    def start_again(self) -> None:
        """Start the hub after it was killed; returns once it has looked at every server."""
        self.hub.process.start(timeout=600)
        self.wait_until_ready()

    def stop_all(self) -> None:
        """Stop all servers; returns once all have ended."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(self.hub.stop, self.users))

    def count(self) -> dict[str, int]:
        """How many servers are in which state, as JupyterHub counts them."""
        found: dict[str, int] = self.hub.ask("GET", "/benchmark/count").json()
        return found

    def memory(self) -> float:
        """KiB of memory that the hub's process has."""
        return float(self.hub.ask("GET", "/benchmark/memory").json())

    def _wait_for(self, servers: int) -> None:
        while (count := self.count()).get("ready", 0) < servers:
            assert count.get("pending") or count.get("active"), f"servers were lost: {count}"
            time.sleep(0.25)


@contextlib.contextmanager
def crowds(
    subjects: Sequence[str], servers: int, *, poll_interval: float = 30
) -> Iterator[dict[str, Crowd]]:
    """A hub for each subject.

    Args:
        subjects: of `CROWDS`.
        servers: how many users each has, or will have.
        poll_interval: seconds between JupyterHub's polls of a server.
    """
    with _answering() as url:
        told = {"URL": url, "POLL_INTERVAL": poll_interval}

        def configured(subject: str, folder: Path) -> HubProcess:
            config = _CONFIG + (_OURS if subject == OURS else _BARE)
            for name, value in told.items():
                config = config.replace(f" {name}\n", f" {value!r}\n")
            if subject == OURS:
                return site(folder, config, templates=_TEMPLATES, deployments=_DEPLOYMENTS)
            return HubProcess(folder, config)

        with running(subjects, configured) as processes:
            users = [f"user{number}" for number in range(servers)]
            chosen = {subject: _CHOSEN if subject == OURS else {} for subject in subjects}
            yield {
                subject: Crowd(Hub.choosing(chosen[subject], process), users)
                for subject, process in processes.items()
            }


@contextlib.contextmanager
def _answering() -> Iterator[str]:
    """The URL of the single-user server of everybody, which answers whatever it is asked."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = asyncio.start_server(_answer, "127.0.0.1", 0, backlog=4096)
    server = asyncio.run_coroutine_threadsafe(serving, loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
    writer.close()


__all__ = ("CROWDS", "STUB", "Crowd", "crowds")
