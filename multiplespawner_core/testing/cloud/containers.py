"""Machines that are containers: systemd, sshd, sudo and a real cloud-init in each.

They need a Docker engine on this host, which the host reaches by their addresses, and the image
that `multiplespawner_core.testing.machine_image` makes.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import secrets
import shutil
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from multiplespawner_core.testing.cloud.model import Cloud
from multiplespawner_core.testing.cloud.records import Instance, State
from multiplespawner_core.testing.cloud.sshd import host_key_of
from multiplespawner_core.testing.cloud.store import write

IMAGE = "multiplespawner-machine"

_CLOUD, _MACHINE = "multiplespawner.cloud", "multiplespawner.machine"
"""Labels: whose container it is, and of which instance."""

_SYSTEMD = "/sys/fs/cgroup/systemd"
_SSH = 22
_AT_ONCE = 4
_TIMEOUT = 120.0
_GRACE = 5
"""Seconds in which a machine shuts down."""

_SURVEY = 1.0
_AGAIN = 1.0
"""Seconds between two looks at what runs, and between two attempts to end a machine."""

_log = logging.getLogger(__name__)


class EngineError(Exception):
    """The engine does not do it; the message is its own, or says what is missing."""


class _Wish(enum.Enum):
    RUN = "run"
    STOP = "stop"
    REMOVE = "remove"


@dataclass
class _Machine:
    """What is known of one.

    Args:
        wish: what it is to be.
        user_data: what it is told at its first boot.
        found: what it was made last; None while nobody knows.
        since: when that was.
        work: under way.
        doing: what that makes of it.
        not_before: when it may be tried again.
    """

    wish: _Wish
    user_data: dict[str, Any]
    found: _Wish | None = None
    since: float = 0.0
    work: Future[Any] | None = None
    doing: _Wish | None = None
    not_before: float = 0.0


class Containers:
    """One for each instance that is not terminated.

    They outlive this process when it is killed, and are found again by their labels. Nobody else's
    containers are touched. The engine is asked in threads: it takes its time.

    Args:
        directory: for what they are told at their first boot; made where it is missing.

    Raises:
        EngineError: there is no engine, or no image; the message says what to do.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_engine()
        self._cloud_id = _cloud_id(directory)
        self._machines: dict[str, _Machine] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE, "engine")
        self._survey: Future[set[str]] | None = None
        self._surveyed = 0.0

    def take_up(self, cloud: Cloud) -> None:
        """Go on with what an earlier process left; what does not run any more is started anew."""
        cloud.advance()
        live = {instance.id: instance for instance in cloud.live()}
        for name in _names(self._cloud_id, "--all"):
            self._machines[name] = _Machine(_Wish.REMOVE, {})
            if name not in live:
                self._go_on(name)
        for instance in live.values():
            self.settle(instance, cloud)

    def settle(self, instance: Instance, cloud: Cloud) -> None:  # noqa: ARG002 - as of `Machines`
        """Begin to make the container what the instance's state says."""
        machine = self._machines.get(instance.id)
        if instance.state is State.RUNNING:
            if machine is None:
                machine = self._machines[instance.id] = _Machine(_Wish.RUN, {})
            machine.user_data = dict(instance.user_data)
            machine.wish = _Wish.RUN
            if instance.address is None and machine.work is None:
                machine.found = None  # its address is to be said
        elif machine is not None:
            terminated = instance.state is State.TERMINATED
            machine.wish = _Wish.REMOVE if terminated else _Wish.STOP
        self._go_on(instance.id)

    def look(self, cloud: Cloud) -> None:
        """Tell the cloud what was done meanwhile, and which machines ended by themselves."""
        for name, machine in list(self._machines.items()):
            if machine.work is not None and machine.work.done():
                self._note(name, machine, cloud)
            self._go_on(name)
        self._look_around(cloud)

    def end_all(self, *, forever: bool = False) -> None:
        """Stop all of them, or remove them; else they are started by the next process."""
        self._threads.shutdown(wait=True)
        if forever:
            remove(self._directory)
        elif names := _names(self._cloud_id):
            docker("stop", "--time", str(_GRACE), *map(self._container, names))

    # --- one machine ---

    def _go_on(self, name: str) -> None:
        machine = self._machines.get(name)
        if machine is None or machine.work is not None or machine.wish is machine.found:
            return
        if time.monotonic() < machine.not_before:
            return
        machine.doing = machine.wish
        work = {
            _Wish.RUN: lambda: self._run(name, machine.user_data),
            _Wish.STOP: lambda: self._stop(name),
            _Wish.REMOVE: lambda: self._remove(name),
        }[machine.wish]
        machine.work = self._threads.submit(work)

    def _note(self, name: str, machine: _Machine, cloud: Cloud) -> None:
        work, machine.work = machine.work, None
        assert work is not None  # noqa: S101 - asked for where there is some
        try:
            answer = work.result()
        except (EngineError, OSError) as error:
            _log.warning("%s: %s failed: %s", name, machine.doing, error)
            machine.not_before = time.monotonic() + _AGAIN
            if machine.doing is _Wish.RUN and cloud.record(name).state is State.RUNNING:
                cloud.fail(name, "The machine did not come up.")
            return
        machine.found, machine.since = machine.doing, time.monotonic()
        if machine.found is _Wish.REMOVE:
            del self._machines[name]
        elif machine.found is _Wish.RUN and cloud.record(name).state is State.RUNNING:
            host, host_key = answer
            known = cloud.record(name).address
            if known is None or (known.host, known.host_key) != (host, host_key):
                cloud.attach(name, host, _SSH, host_key)

    def _look_around(self, cloud: Cloud) -> None:
        now = time.monotonic()
        if self._survey is None and now > self._surveyed + _SURVEY:
            self._surveyed = now
            self._survey = self._threads.submit(_names, self._cloud_id)
        if self._survey is None or not self._survey.done():
            return
        survey, self._survey = self._survey, None
        try:
            running = survey.result()
        except EngineError as error:
            _log.warning("nobody knows which machines run: %s", error)
            return
        for name, machine in self._machines.items():
            settled = machine.work is None and machine.since < self._surveyed
            if settled and machine.found is machine.wish is _Wish.RUN and name not in running:
                _log.warning("%s ended by itself", name)
                machine.found = None
                machine.wish = _Wish.STOP
                cloud.fail(name, "The machine ended by itself.")

    # --- in threads ---

    def _run(self, name: str, user_data: dict[str, Any]) -> tuple[str, str]:
        container = self._container(name)
        seed = self._directory / name
        host_key = _furnish(seed, name, user_data)
        try:
            docker("start", container)
        except EngineError:
            docker(
                "run", "--detach", "--name", container, "--hostname", name,
                "--stop-signal", "SIGRTMIN+3",  # for systemd: shut down
                "--label", f"{_CLOUD}={self._cloud_id}", "--label", f"{_MACHINE}={name}",
                *(part for path in ("/run", "/run/lock", "/tmp") for part in ("--tmpfs", path)),  # noqa: S108 - its own
                "--volume", f"{_SYSTEMD}:{_SYSTEMD}:rw",
                "--volume", f"{seed / 'seed'}:/var/lib/cloud/seed/nocloud:ro",
                IMAGE,
            )  # fmt: skip
        shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        host = docker("inspect", "--format", shown, container).strip()
        if not host:
            msg = f"{container} has no address"
            raise EngineError(msg)
        return host, host_key

    def _stop(self, name: str) -> None:
        if name in _names(self._cloud_id, "--all"):
            docker("stop", "--time", str(_GRACE), self._container(name))

    def _remove(self, name: str) -> None:
        if name in _names(self._cloud_id, "--all"):
            docker("rm", "--force", "--volumes", self._container(name))
        shutil.rmtree(self._directory / name, ignore_errors=True)

    def _container(self, name: str) -> str:
        return f"multiplespawner-{self._cloud_id}-{name}"


def require_engine() -> None:
    """Machines that are containers can be had here.

    Raises:
        EngineError: they cannot; the message says what to do.
    """
    docker("version", "--format", "{{.Server.Version}}")
    if not Path(_SYSTEMD).is_dir():
        msg = f"machines that are containers need {_SYSTEMD}, which hosts with cgroup v1 have"
        raise EngineError(msg)
    if not docker("images", "--quiet", IMAGE).strip():
        command = "python -m multiplespawner_core.testing.machine_image"
        msg = f"the engine has no image {IMAGE}: run {command}"
        raise EngineError(msg)


def remove(directory: Path) -> None:
    """Remove all containers of a cloud that has ended.

    Args:
        directory: that it kept them in.
    """
    cloud_id = _cloud_id(directory)
    ids = docker("ps", "--all", "--quiet", "--filter", f"label={_CLOUD}={cloud_id}").split()
    if ids:
        docker("rm", "--force", "--volumes", *ids)


def docker(*arguments: str, stdin: IO[bytes] | None = None, timeout: float = _TIMEOUT) -> str:
    """Let the command line ask the engine.

    Args:
        arguments: of ``docker``.
        stdin: what it reads.
        timeout: seconds.

    Raises:
        EngineError: it failed, or is not there.
    """
    program = shutil.which("docker")
    if program is None:
        raise EngineError(
            "there is no docker: install it (on Debian docker.io), and start its engine"
        )
    try:
        done = subprocess.run(  # noqa: S603 - the program that was looked for
            [program, *arguments],
            stdin=stdin or subprocess.DEVNULL,
            timeout=timeout,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        msg = f"docker {arguments[0]} took longer than {timeout:g} s"
        raise EngineError(msg) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        msg = f"docker {arguments[0]}: {said[-500:]}"
        raise EngineError(msg)
    return done.stdout.decode("utf-8", "replace")


def _names(cloud_id: str, *options: str) -> set[str]:
    """The instances of which there is a container that runs, or any with ``--all``."""
    label = f"label={_CLOUD}={cloud_id}"
    shown = f'{{{{.Label "{_MACHINE}"}}}}'
    return set(docker("ps", *options, "--filter", label, "--format", shown).split())


def _cloud_id(directory: Path) -> str:
    path = directory / "cloud-id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("utf-8").strip()
    made = secrets.token_hex(6)
    write(path, made)
    return made


def _furnish(directory: Path, name: str, user_data: dict[str, Any]) -> str:
    """What cloud-init reads at the first boot; gives the machine's public host key."""
    seed = directory / "seed"
    seed.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = host_key_of(directory, user_data)
    kind = public.split()[0].removeprefix("ssh-").partition("-")[0]
    rest = {k: v for k, v in user_data.items() if k not in ("host_key", "authorized_keys")}
    told = {
        "users": ["default"],
        "disable_root": False,
        "ssh_authorized_keys": user_data.get("authorized_keys") or [],
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "locale": "C.UTF-8",
        **rest,
        "ssh_keys": {
            f"{kind}_private": (directory / "host_key").read_text("utf-8"),
            f"{kind}_public": public,
        },
    }
    write(seed / "meta-data", json.dumps({"instance-id": name, "local-hostname": name}))
    # JSON is YAML.
    write(seed / "user-data", f"#cloud-config\n{json.dumps(told, indent=1)}\n")
    return public


__all__ = ("IMAGE", "Containers", "EngineError", "docker", "remove", "require_engine")
