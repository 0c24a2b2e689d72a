"""``multiplespawner demo``: a whole JupyterHub on this machine, gone without a trace afterwards."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from multiplespawner_core.cli.descendants import Descendants
from multiplespawner_core.contracts import ConfigurationError

_NEEDED = {
    "configurable-http-proxy": "configurable_http_proxy",
    "jupyterlab": "jupyterlab",
    "multiplespawner-lab": "multiplespawner_lab",
    "multiplespawner-local": "multiplespawner_local",
    "rich": "rich",
}
_START_TIMEOUT = 90
_STOP_TIMEOUT = 60
_PAUSE = 0.2
_PORTS = (8000, 8010, 8020, 8888)

_TEMPLATES = [
    {
        "name": "This machine",
        "resource_type": "bare_metal",
        "providers": ["local"],
        "spawner": {"class": "jupyterhub.spawner.SimpleLocalProcessSpawner"},
    }
]
_DEPLOYMENTS = {
    "bare_metal": [
        {"name": "JupyterLab", "provider": "local", "default_url": "/lab"},
        {"name": "JupyterLab, one document", "provider": "local", "default_url": "/doc"},
    ]
}

# The hub runs in the demo's directory: files without a path of their own go there.
_CONFIG = """\
c = get_config()
c.JupyterHub.spawner_class = "multiplespawner.MultipleSpawner"
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = [{python!r}, "-m", "multiplespawner_core.cli.proxy"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.MultipleSpawner.template_file = "spawner_templates.json"
c.MultipleSpawner.deployment_file = "spawner_deployment.json"
c.MultipleSpawner.state_dir = "state"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = {arguments!r}
# Everybody's notebooks run as the user who started the demo. On a real hub that lets notebooks
# read the hub's keys, so it has to be allowed by name.
c.LocalProvider.allow_same_user = True
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--port", type=_port_number, help="port to listen on (default: the first free one)"
    )


def run(chosen: argparse.Namespace) -> int:
    """Prepare, start, wait for Ctrl-C, and clean up.

    Raises:
        ConfigurationError: a package is missing, the port is taken, or the hub does not start.
    """
    _require_packages()
    port = _port(chosen.port)
    stop = _Stop()
    descendants = Descendants()
    directory = Path(tempfile.mkdtemp(prefix="multiplespawner-demo-"))
    try:
        return _demo(directory, port, stop)
    finally:
        left = [] if descendants.end() else ["some processes"]
        _give_back(directory / "state")
        left += [] if _remove(directory) else [str(directory)]
        _say(f"The demo has ended; {' and '.join(left) or 'nothing'} of it is left.")


class _Stop:
    """Whether Ctrl-C, SIGTERM or SIGHUP came.

    It is asked for and interrupts nothing, so that no signal comes between a process's start and
    the place that remembers to end it, and none disturbs the cleaning up.
    """

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup the demo outlives its terminal.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._received)

    def _received(self, _number: int, _frame: Any) -> None:
        self.requested = True


def _demo(directory: Path, port: int, stop: _Stop) -> int:
    password = secrets.token_urlsafe(9)
    log = directory / "jupyterhub.log"
    with contextlib.ExitStack() as stack:
        with _progress() as step:
            step("Writing the configuration")
            _write_configuration(directory, port, password)
            step("Starting JupyterHub and its proxy")
            hub = stack.enter_context(_running_hub(directory, log))
            step("Waiting until it answers")
            ready = _answers(hub, port, stop)
            step("Ready" if ready else "Ending")
        if ready:
            _welcome(port, password, directory)
            while hub.poll() is None and not stop.requested:
                time.sleep(_PAUSE)
        if stop.requested:
            return 0
        what = "ended by itself" if ready else "did not start"
        msg = f"JupyterHub {what}. The end of its log:\n{_tail(log)}"
        raise ConfigurationError(msg)


def _require_packages() -> None:
    missing = [name for name, module in _NEEDED.items() if not importlib.util.find_spec(module)]
    if missing:
        msg = f"the demo needs {', '.join(missing)}: pip install 'multiplespawner-core[demo]'"
        raise ConfigurationError(msg)


def _write_configuration(directory: Path, port: int, password: str) -> None:
    directory.chmod(0o700)
    (directory / "home").mkdir()
    arguments = ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if os.geteuid() == 0:
        arguments.append("--allow-root")
    hub_port, proxy_port = _free_ports(2)
    values = {
        "port": port,
        "hub_port": hub_port,
        "proxy_port": proxy_port,
        "homes": str(directory / "home").replace("{", "{{").replace("}", "}}"),
        "password": password,
        "python": sys.executable,
        "arguments": arguments,
    }
    _write(directory / "jupyterhub_config.py", _CONFIG.format(**values))
    _write(directory / "spawner_templates.json", json.dumps(_TEMPLATES, indent=4))
    _write(directory / "spawner_deployment.json", json.dumps(_DEPLOYMENTS, indent=4))


def _write(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")


@contextlib.contextmanager
def _running_hub(directory: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A hub that is asked to end, with its servers and its proxy, when the block is left."""
    command = [sys.executable, "-m", "jupyterhub", "-f", str(directory / "jupyterhub_config.py")]
    with log.open("wb") as stream:
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we end it in order.
        hub = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield hub
    finally:
        _say("\nStopping servers, hub and proxy ...")
        hub.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            hub.wait(_STOP_TIMEOUT)
        hub.kill()
        hub.wait()


def _answers(hub: subprocess.Popen[bytes], port: int, stop: _Stop) -> bool:
    """Wait until the hub answers; False if it ends, does not in time, or is no longer wanted."""
    # A proxy of the environment has no business between us and this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and hub.poll() is None and not stop.requested:
        with (
            contextlib.suppress(OSError),
            opener.open(f"http://127.0.0.1:{port}/hub/api", timeout=2),
        ):
            return True
        time.sleep(_PAUSE)
    return False


def _give_back(state: Path) -> None:
    """Remove the control groups that a hub could not remove itself, because it was killed."""
    from multiplespawner_local.limits.base import is_group_of, remove_groups  # noqa: PLC0415 - of the extra
    from multiplespawner_local.reservations import Store  # noqa: PLC0415 - of the extra

    for directory in state.glob("**/reservations"):
        for held in Store(directory).all():
            groups = [Path(group) for group in held.groups]
            remove_groups([group for group in groups if is_group_of(group, held.intent_id)])


def _remove(directory: Path) -> bool:
    """Remove it with everything in it, also what a notebook has made read-only."""
    for folder, names, _ in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def _say(text: str) -> None:
    """Print, even where nobody listens any more: the terminal may have been closed."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _welcome(port: int, password: str, directory: Path) -> None:
    _say(
        f"\n  Open      http://127.0.0.1:{port}\n"
        "  Username  any\n"
        f"  Password  {password}\n\n"
        f"  Notebooks and log lie in {directory} and are deleted at the end.\n"
        "  All servers run under your own account, which only a demo may do\n"
        "  (c.LocalProvider.allow_same_user).\n\n"
        "  Ctrl-C ends everything."
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - of the extra

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as bar:
        task = bar.add_task("", total=4)

        def step(message: str) -> None:
            done = message == "Ready"
            bar.update(task, description=message, completed=4 if done else None)
            if not done:
                bar.advance(task)

        yield step


def _port_number(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 2**16:
        return int(text)
    msg = f"{text!r} is no port: 1 to 65535"
    raise argparse.ArgumentTypeError(msg)


def _port(wanted: int | None) -> int:
    if wanted is None:
        return next((port for port in _PORTS if _refusal(port) is None), 0) or _free_ports(1)[0]
    error = _refusal(wanted)
    if error is None:
        return wanted
    taken = error.errno == errno.EADDRINUSE
    reason = "is taken" if taken else f"cannot be used ({error.strerror})"
    msg = f"port {wanted} {reason}; choose another one with --port"
    raise ConfigurationError(msg)


def _refusal(port: int) -> OSError | None:
    """What keeps us from listening there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
        return None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])


__all__ = ("add_arguments", "run")
