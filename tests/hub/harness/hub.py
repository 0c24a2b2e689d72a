"""A real JupyterHub behind a real proxy, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from . import processes
from .client import HubClient, UserSession
from .processes import MARK, wait_for

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
STUB = HERE / "light_singleuser.py"
BIN = Path(sys.executable).parent

BASE_CONFIG = """\
import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821
c.JupyterHub.bind_url = {public_url!r}
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.log_level = "DEBUG"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.internal_ssl = {internal_ssl}
c.JupyterHub.internal_certs_location = "{folder}/certs"
c.ConfigurableHTTPProxy.api_url = "{scheme}://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.auth_token = {proxy_token!r}
c.ConfigurableHTTPProxy.should_start = {proxy_by_hub}
c.ConfigurableHTTPProxy.command = {proxy_command}
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"admin"}}
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{
        "name": "tests",
        "services": ["tests"],
        "scopes": [
            "admin-ui", "admin:users", "admin:servers", "admin:groups", "tokens", "access:servers",
            "access:services", "list:services", "read:hub", "read:metrics", "proxy", "shutdown",
        ],
    }}
]
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home/{{username}}"
c.Spawner.cmd = {cmd}
c.Spawner.args = ["--allow-root"] if os.getuid() == 0 else []
c.Spawner.http_timeout = 60
"""

# After the test's own lines, so that these cannot be lost.
LAST_CONFIG = """
c.Spawner.environment.update({{{mark!r}: {id!r}}})
"""


class HubProcess:
    """One hub, its proxy and its servers, all below one temporary folder.

    Args:
        folder: an empty folder; database, logs and homes go there.
        config: lines appended to `BASE_CONFIG`. `c`, `os`, `sys` and `Path` are at hand.
        singleuser: "light" for `light_singleuser.py`, "real" for jupyterhub-singleuser.
        internal_ssl: encrypt everything behind the proxy; needs the node proxy
            (`make .tools/node_modules/.bin/configurable-http-proxy`), which the hub starts.
        env: additions to the environment of the hub; None as value removes.
        files: name -> content of more files in `folder`, written before the first start.

    The proxy runs beside the hub and not below it: `kill()` takes the hub alone, the servers stay
    and can be reached, and `start()` brings a new hub to them.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *,
        singleuser: str = "light",
        internal_ssl: bool = False,
        env: Mapping[str, str | None] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.id = f"harness-{secrets.token_hex(8)}"
        self.token = secrets.token_hex(16)
        self.internal_ssl = internal_ssl
        self.proxy_by_hub = internal_ssl
        self._ports = processes.Ports()
        self.port, self.api_port, self.hub_port = (self._ports.take() for _ in range(3))
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = self._environment(env or {})
        self.leftovers: list[str] = []
        self.config_file = self.folder / "jupyterhub_config.py"
        self.log_file = self.folder / "hub.log"
        self.proxy_log_file = self.folder / "proxy.log"
        self.client = HubClient(self.url, self.token)
        self._sessions: list[UserSession] = []
        self._supervisors: list[subprocess.Popen[bytes]] = []
        self._proxy: subprocess.Popen[bytes] | None = None
        self._starts = 0
        for name, content in (files or {}).items():
            (self.folder / name).write_text(content)
        self.configure(config, singleuser=singleuser)

    def __enter__(self) -> HubProcess:  # noqa: PYI034 - typing.Self came with 3.11
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- configuration ---

    def configure(self, config: str, *, singleuser: str = "light") -> None:
        """Write the configuration file; it counts from the next start."""
        stub = [sys.executable, str(STUB)]
        real = [str(BIN / "jupyterhub-singleuser")]
        base = BASE_CONFIG.format(
            public_url=self.url,
            hub_port=self.hub_port,
            api_port=self.api_port,
            folder=self.folder,
            internal_ssl=self.internal_ssl,
            scheme="https" if self.internal_ssl else "http",
            proxy_token=self.env["CONFIGPROXY_AUTH_TOKEN"],
            proxy_by_hub=self.proxy_by_hub,
            proxy_command=[str(_node_proxy())] if self.proxy_by_hub else ["not-used"],
            token=self.token,
            cmd={"light": stub, "real": real}[singleuser],
        )
        last = LAST_CONFIG.format(mark=MARK, id=self.id)
        self.config_file.write_text(f"{base}\n{textwrap.dedent(config)}\n{last}")

    def _environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTERHUB_")}
        env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', os.defpath)}"
        env["CONFIGPROXY_AUTH_TOKEN"] = secrets.token_hex(16)
        env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost"
        env[MARK] = self.id
        for name, value in changes.items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = value
        return env

    # --- life ---

    def start(self, *, wait: bool = True, timeout: float = 60) -> HubProcess:
        assert not self.running, "the hub is already running"
        if not self.proxy_by_hub:
            self._start_proxy()
        self._starts += 1
        self._pid_file.unlink(missing_ok=True)
        supervisor = [sys.executable, str(HERE / "supervisor.py"), self._pid_file, self._exit_file]
        hub = [sys.executable, "-m", "jupyterhub", "--config", self.config_file]
        self._supervisors.append(self._popen([*supervisor, *hub], self.log_file))
        wait_for(self._pid_file.exists, "the hub's process")
        if wait:
            self.wait_ready(timeout=timeout)
        return self

    def wait_ready(self, *, timeout: float = 60) -> None:
        """Until /hub/api answers through the proxy; AssertionError with the log if the hub ends."""
        deadline = time.monotonic() + timeout
        while not self.ready:
            assert self.running, f"the hub has ended ({self.exit_code})\n{self.tail()}"
            assert time.monotonic() < deadline, f"the hub is not ready\n{self.tail()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to the hub alone: servers and proxy stay."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait_exit()

    def terminate(self, *, timeout: float = 60) -> int:
        """SIGTERM: the hub stops its servers, unless configured otherwise, and ends."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait_exit(timeout=timeout)

    def restart(self, *, kill: bool = False) -> HubProcess:
        if kill:
            self.kill()
        else:
            self.terminate()
        return self.start()

    def wait_exit(self, *, timeout: float = 60) -> int:
        wait_for(lambda: not self.running, "the hub ends", timeout=timeout, every=0.05)
        assert self.exit_code is not None
        return self.exit_code

    @property
    def pid(self) -> int:
        return int(self._pid_file.read_text())

    @property
    def running(self) -> bool:
        return bool(self._starts) and self._pid_file.exists() and not self._exit_file.exists()

    @property
    def exit_code(self) -> int | None:
        """How the last hub ended; negative for a signal, None while it runs."""
        return int(self._exit_file.read_text()) if self._exit_file.exists() else None

    @property
    def ready(self) -> bool:
        try:
            return self.client.http.get("/", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    # --- what tests look at ---

    @property
    def log(self) -> str:
        """What all hubs on this folder have logged, and the servers below them."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def proxy_log(self) -> str:
        file = self.proxy_log_file
        return file.read_text(errors="replace") if file.exists() else ""

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.splitlines()[-lines:])

    def session(self, user: str, password: str = "any") -> UserSession:
        """`user`, logged in with a new set of cookies."""
        session = UserSession(self.url)
        self._sessions.append(session)
        return session.login(user, password)

    def server_processes(self) -> list[Any]:
        """The single-user servers and what they have started, as psutil.Process."""
        hub_url = f":{self.hub_port}/hub/"
        ours = {p.pid for p in self._supervisors} | ({self.pid} if self._starts else set())
        ours |= {self._proxy.pid} if self._proxy else set()
        found = [p for p in processes.marked([hub_url]) if p.pid not in ours]
        return [p for p in found if self._environment_of(p).get("JUPYTERHUB_SERVICE_PREFIX")]

    # --- the end ---

    def close(self) -> None:
        """End everything. `leftovers` names what outlived a hub that ended in good order."""
        try:
            self._close_in_order()
        finally:  # Ctrl-C included
            self._kill_everything()

    def _close_in_order(self) -> None:
        orderly = self.running
        if orderly:
            with contextlib.suppress(AssertionError, ProcessLookupError):
                self.terminate(timeout=30)
            orderly = self.exit_code == 0
        processes.end(self._proxy, grace=2)
        if orderly:
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not self._strays(), "processes end", timeout=5)
            self.leftovers = [processes.describe(p) for p in self._strays()]

    def _kill_everything(self) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        processes.end(self._proxy)
        self._proxy = None
        processes.kill_all(self._strays())
        for supervisor in self._supervisors:
            processes.end(supervisor)
        for session in self._sessions:
            session.close()
        self.client.close()
        self._ports.release()

    def _strays(self) -> list[Any]:
        own = {p.pid for p in self._supervisors}
        clues = [self.id, f"127.0.0.1:{self.hub_port}/", f"{self.folder}/"]
        return [p for p in processes.marked(clues) if p.pid not in own]

    # --- parts ---

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"hub-{self._starts}.pid"

    @property
    def _exit_file(self) -> Path:
        return self.folder / f"hub-{self._starts}.exit"

    def _start_proxy(self) -> None:
        if self._proxy is not None and self._proxy.poll() is None:
            return
        hub = f"http://127.0.0.1:{self.hub_port}"
        command = [sys.executable, str(BIN / "configurable-http-proxy"), "--ip", "127.0.0.1"]
        command += [
            "--port",
            str(self.port),
            "--api-ip",
            "127.0.0.1",
            "--api-port",
            str(self.api_port),
        ]
        command += ["--error-target", f"{hub}/hub/error", "--default-target", hub]
        self._proxy = self._popen(command, self.proxy_log_file)
        wait_for(
            lambda: processes.listens(self.port) and processes.listens(self.api_port),
            f"the proxy listens; its log: {self.proxy_log_file}",
        )

    def _popen(self, command: list[Any], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as stream:
            return subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @staticmethod
    def _environment_of(process: Any) -> dict[str, str]:
        with contextlib.suppress(processes.psutil.Error):
            return process.environ()
        return {}


def _node_proxy() -> Path:
    local = PROJECT / ".tools/node_modules/.bin/configurable-http-proxy"
    assert local.exists(), f"internal SSL needs the node proxy: make {local.relative_to(PROJECT)}"
    assert shutil.which("node"), "internal SSL needs node"
    return local
