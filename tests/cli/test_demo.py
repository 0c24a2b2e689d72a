"""``multiplespawner demo`` as a user runs it: one command, a hub, and nothing left afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from harness import UserSession, processes, wait_for
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

pytestmark = pytest.mark.hub

MULTIPLESPAWNER = Path(sys.executable).parent / "multiplespawner"
CGROUPS = Path("/sys/fs/cgroup")
GOODBYE = "The demo has ended; nothing of it is left.\n"


class Demo:
    """One demo with a temporary directory of its own."""

    def __init__(self, folder, **options):
        self.ports = processes.Ports()
        self.port = self.ports.take()
        self.folder = folder / "demo's temporary {files}"  # a name that invites mistakes
        self.folder.mkdir()
        self.output = folder / "output.txt"
        self.errors = folder / "errors.txt"
        environment = {
            **os.environ,
            "TMPDIR": str(self.folder),
            "http_proxy": "http://127.0.0.1:1",  # nobody's: must not be asked for 127.0.0.1
        }
        environment.pop("no_proxy", None)
        environment.pop("NO_PROXY", None)
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            streams = {"stdout": output, "stderr": errors, **options}
            self.process = subprocess.Popen(
                [MULTIPLESPAWNER, "demo", "--port", str(self.port)],
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **streams,
            )
        self.seen = {}

    def printed(self):
        return self.output.read_text()

    def wait_until_ready(self):
        wait_for(
            lambda: "Ctrl-C ends everything." in self.printed() or self.process.poll() is not None,
            "the demo is ready",
            timeout=100,
        )
        assert self.process.poll() is None, self.printed() + self.errors.read_text()
        return self

    def running(self):
        """Everything that belongs to this demo, by environment, folder or command line."""
        found = {p.pid: p for p in processes.marked([str(self.folder)])}
        for process in psutil.process_iter(["cmdline"]):
            if str(self.folder) in " ".join(process.info["cmdline"] or ()):
                found[process.pid] = process
        found.pop(self.process.pid, None)
        self.seen |= found
        return list(found.values())

    def hub(self):
        return next(p for p in self.running() if "jupyterhub" in p.cmdline())

    def listening(self):
        """The ports on which hub, proxy and servers listen."""
        return {
            connection.laddr.port
            for process in self.running()
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def session(self):
        password = re.search(r"Password +(\S+)", self.printed())[1]
        return UserSession(f"http://127.0.0.1:{self.port}").login("ada", password)

    def start_server(self, deployment="JupyterLab"):
        """Through the form; the page of the running server."""
        session = self.session()
        try:
            assert f">{deployment} (" in session.spawn_form().text
            choice = json.dumps(["local", "bare_metal", deployment])
            fields = {"choice": choice, "cpu": "0.5", "memory": "0.5"}
            assert session.submit_spawn(fields).is_success
            page = []

            def is_running():
                page[:] = [session.get("/hub/spawn-pending/ada")]
                return page[0].url.path.startswith("/user/ada/")

            wait_for(is_running, "the server", timeout=60, every=0.5)
            return page[0]
        finally:
            session.close()

    def send(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(70)

    def assert_nothing_left(self):
        assert not [processes.describe(p) for p in self.running()]
        assert not [p for p in self.seen.values() if p.is_running()]
        assert not list(self.folder.iterdir())

    def close(self):
        processes.end(self.process)
        processes.kill_all(self.running())
        self.ports.release()


@pytest.fixture
def demo(tmp_path):
    made = []

    def start(**options):
        made.append(Demo(tmp_path, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


def groups():
    """The control groups of all demos and hubs of this machine."""
    return {path for path in CGROUPS.glob("**/multiplespawner/*") if path.is_dir()}


@pytest.mark.timeout(240)
def test_a_newcomer_runs_it(demo):
    mine = demo().wait_until_ready()
    assert f"Open      http://127.0.0.1:{mine.port}\n" in mine.printed()
    (directory,) = mine.folder.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert f"Notebooks and log lie in {directory} and are deleted at the end." in mine.printed()

    page = mine.start_server()
    assert page.is_success
    assert "<title>JupyterLab</title>" in page.text
    assert '"name": "multiplespawner-lab"' in page.text, "the warning before the end is loaded"
    ports = mine.listening()
    assert mine.port in ports
    assert len(ports) >= 4, "proxy, its API, hub, server"
    assert len(mine.running()) >= 3, "hub, proxy, server"

    mine.send(signal.SIGINT)
    assert mine.wait() == 0
    assert mine.printed().endswith(f"\nStopping servers, hub and proxy ...\n{GOODBYE}")
    assert mine.errors.read_text() == ""
    mine.assert_nothing_left()
    assert not [port for port in ports if processes.listens(port)]


@pytest.mark.timeout(240)
def test_every_offer_of_the_demo_leads_to_a_page(demo):
    mine = demo().wait_until_ready()
    page = mine.start_server("JupyterLab, one document")
    assert page.url.path == "/user/ada/doc"
    assert page.is_success
    assert "<title>JupyterLab</title>" in page.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_alike(demo, number):
    mine = demo().wait_until_ready()
    assert mine.running()
    mine.send(number)
    assert mine.wait() == 0
    assert mine.printed().endswith(GOODBYE)
    mine.assert_nothing_left()


@pytest.mark.timeout(240)
def test_a_second_ctrl_c_disturbs_nothing(demo):
    mine = demo().wait_until_ready()
    mine.start_server()
    assert mine.running()
    for _ in range(20):
        mine.send(signal.SIGINT)
        try:
            mine.process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    assert mine.wait() == 0
    assert mine.printed().endswith(GOODBYE)
    mine.assert_nothing_left()


@pytest.mark.parametrize("what", ["directory", "hub", "proxy"])
def test_ctrl_c_while_it_starts_leaves_nothing(demo, what):
    mine = demo()
    reached = {
        "directory": lambda: any(mine.folder.iterdir()),
        "hub": mine.running,
        "proxy": lambda: processes.listens(mine.port),
    }
    wait_for(reached[what], what, timeout=60, every=0.005)
    mine.running()
    mine.send(signal.SIGINT)
    assert mine.wait() == 0
    assert mine.printed().endswith(GOODBYE)
    assert "Password" not in mine.printed()
    mine.assert_nothing_left()


@pytest.mark.timeout(240)
def test_a_hub_that_is_killed_leaves_nothing(demo):
    before = groups()
    mine = demo().wait_until_ready()
    mine.start_server()
    assert len(mine.running()) >= 3
    own = {path for path in groups() - before if str(mine.folder) in _folders(path)}
    mine.hub().kill()
    assert mine.wait() == 1
    assert "multiplespawner: JupyterHub ended by itself. The end of its log:\n" in (
        mine.errors.read_text()
    )
    assert mine.printed().endswith(GOODBYE)
    mine.assert_nothing_left()
    assert not own & groups()


def _folders(group):
    """The working folders of the processes in the groups of one installation."""
    found = ""
    for file in group.glob("*/cgroup.procs"):
        for pid in file.read_text().split():
            found += f"{Path(f'/proc/{pid}/cwd').resolve()}\n"
    return found


@pytest.mark.timeout(240)
def test_processes_that_hide_are_ended_too(demo, tmp_path):
    """No marker, no folder, no parent: what a notebook's daemon may look like."""
    mine = demo().wait_until_ready()
    mine.start_server()
    server = next(p for p in mine.running() if "jupyterhub.singleuser" in p.cmdline())
    token = server.environ()["JUPYTERHUB_API_TOKEN"]
    pid = tmp_path / "daemon.pid"
    hide = f"cd / && (env -i setsid sh -c 'echo $$ > \"{pid}\"; exec sleep 600' &)"
    asyncio.run(_run_in_terminal(mine.port, token, hide, lambda: pid.exists() and pid.read_text()))
    daemon = psutil.Process(int(pid.read_text()))
    wait_for(lambda: daemon.name() == "sleep", "the daemon")
    assert daemon not in mine.running()
    mine.hub().kill()
    assert mine.wait() == 1
    assert not daemon.is_running()
    mine.assert_nothing_left()


async def _run_in_terminal(port, token, command, finished):
    headers = {"Authorization": f"token {token}"}
    server = f"127.0.0.1:{port}/user/ada"
    async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=30) as client:
        made = await client.post(f"http://{server}/api/terminals")
    url = f"ws://{server}/terminals/websocket/{made.raise_for_status().json()['name']}"
    terminal = await websocket_connect(HTTPRequest(url, headers=headers))
    await terminal.write_message(json.dumps(["stdin", f"{command}\r"]))
    for _ in range(200):
        if finished():
            break
        await asyncio.sleep(0.1)
    terminal.close()


def test_a_closed_terminal_ends_it_alike(demo):
    """After a hang-up every print fails; the cleaning up must not."""
    reader, writer = os.pipe()
    mine = demo(stdout=writer)
    os.close(writer)
    received = b""
    while b"Ctrl-C ends everything." not in received:
        chunk = os.read(reader, 4096)
        assert chunk, mine.errors.read_text()
        received += chunk
    os.close(reader)
    assert mine.running()
    mine.send(signal.SIGHUP)
    mine.wait()
    mine.assert_nothing_left()


def test_a_hub_that_does_not_start_says_why(demo):
    mine = demo()
    wait_for(mine.running, "the hub", timeout=60, every=0.005)
    mine.hub().kill()
    assert mine.wait() == 1
    assert "multiplespawner: JupyterHub did not start. The end of its log:" in (
        mine.errors.read_text()
    )
    assert mine.printed().endswith(GOODBYE)
    mine.assert_nothing_left()


def test_progress_passes_the_proxy_while_it_happens(demo):
    mine = demo().wait_until_ready()
    session = mine.session()
    session.spawn_form()
    assert session.submit_spawn({"choice": '["local", "bare_metal", "JupyterLab"]'}).is_success
    headers = {"Accept": "text/event-stream", "Referer": str(session.http.base_url)}
    events = []
    running_at_first = None
    with session.http.stream(
        "GET",
        "/hub/api/users/ada/server/progress",
        headers=headers,
        params={"_xsrf": session.xsrf},
    ) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line.removeprefix("data:")))
                if running_at_first is None:
                    page = session.get("/hub/spawn-pending/ada")
                    running_at_first = page.url.path.startswith("/user/")
    session.close()
    assert running_at_first is False, "the first event came before the start was over"
    assert "Starting the server" in [event["message"] for event in events]
    assert events[-1]["ready"]
