"""The spawners that are compared, each in a real hub of its own."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "tests" / "hub"))

from harness import HubProcess, UserSession  # noqa: E402 - the path to it stands above
from site_fixture import Site, remove_groups  # noqa: E402 - the same

BARE = "SimpleLocalProcessSpawner"
PROFILES = "ProfilesSpawner"
OURS = "MultipleSpawner"
SUBJECTS = (BARE, PROFILES, OURS)

PROBED = f"""
sys.path.insert(0, {str(PROJECT)!r})
from benchmarks.probe import install
install(c)
c.JupyterHub.log_level = "INFO"
"""
"""As installed, without the harness's debug log, but for the probe."""

# The hub ends its servers with itself.
_COMMON = """
c.JupyterHub.cleanup_servers = True
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 120, "slow_stop_timeout": 120}
c.Spawner.poll_interval = 30
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
"""

_PROFILES = """
c.JupyterHub.spawner_class = "wrapspawner.ProfilesSpawner"
simple = "jupyterhub.spawner.SimpleLocalProcessSpawner"
c.ProfilesSpawner.profiles = [(f"Deployment {i}", f"d{i}", simple, {}) for i in range(NUMBER)]
"""

_BARE = """
options = "".join(f'<option value="d{i}">Deployment {i}</option>' for i in range(NUMBER))
c.Spawner.options_form = f'<select class="form-select" name="choice">{options}</select>'
c.Spawner.apply_user_options = lambda spawner, options: None
"""

_CHOSEN: Mapping[str, dict[str, Any]] = {
    BARE: {"choice": "d0"},
    PROFILES: {"profile": "d0"},
    OURS: {"provider": "local", "resource_type": "bare_metal", "deployment": "d0"},
}


@dataclass(frozen=True)
class Hub:
    """A running hub, and the body with which servers are asked for."""

    process: HubProcess
    body: dict[str, Any]

    @classmethod
    def choosing(cls, options: dict[str, Any], process: HubProcess) -> Hub:
        """One whose servers are started with these options."""
        nested = process.client.version() >= (6,)
        return cls(process, {"user_options": options} if nested else options)

    def begin(self, *, fine: bool = False, lag: bool = False) -> None:
        """Forget what the probe has measured; see `probe.Probe.begin`."""
        self.ask("GET", f"/benchmark/begin?fine={fine}&lag={lag}")

    def end(self) -> Any:
        """What the probe has measured since then."""
        return self.ask("GET", "/benchmark/end").json()

    def start(self, user: str) -> None:
        """Returns once the server is ready."""
        answer = self.ask("POST", f"/users/{user}/server", json=self.body)
        assert answer.status_code == httpx.codes.CREATED, answer.text

    def stop(self, user: str) -> None:
        """Returns once the server has ended."""
        answer = self.ask("DELETE", f"/users/{user}/server")
        assert answer.status_code == httpx.codes.NO_CONTENT, answer.text

    def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Any call of the API; raises where it is refused."""
        answer = self.process.client.request(method, path, timeout=180, **kwargs)
        return answer.raise_for_status()


@contextlib.contextmanager
def hubs(subjects: Sequence[str], deployments: int = 1) -> Iterator[dict[str, Hub]]:
    """A hub for each subject, all running, with so many things to choose from.

    Raises:
        RuntimeError: a hub has left processes behind.
    """

    def configured(subject: str, folder: Path) -> HubProcess:
        return _configured(subject, folder, deployments)

    with running(subjects, configured) as started:
        yield {subject: Hub.choosing(_CHOSEN[subject], one) for subject, one in started.items()}


@contextlib.contextmanager
def running(
    subjects: Sequence[str], configured: Callable[[str, Path], HubProcess]
) -> Iterator[dict[str, HubProcess]]:
    """A hub for each subject, all running; each of them measures itself.

    Args:
        subjects: names.
        configured: makes the hub of a subject, in a folder of its own.

    Raises:
        RuntimeError: a hub has left processes behind.
    """
    started: dict[str, HubProcess] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        stack.callback(remove_groups)
        for subject in subjects:
            process = configured(subject, folder / subject)
            stack.callback(process.close)
            started[subject] = process.start()
        yield started
    left = [leftover for process in started.values() for leftover in process.leftovers]
    if left:
        raise RuntimeError(f"left behind: {left}")


def site(folder: Path, config: str, **files: Any) -> HubProcess:
    """A hub with MultipleSpawner.

    Args:
        folder: for it alone.
        config: lines of its configuration.
        files: ``templates`` and ``deployments``, where those of the tests do not do.
    """

    def factory(config: str, *, files: Mapping[str, str]) -> HubProcess:
        return HubProcess(folder, config, files=files)

    make: Any = Site(factory)  # type: ignore[no-untyped-call] # tests' code
    process: HubProcess = make(config, **files)
    return process


def _configured(subject: str, folder: Path, deployments: int) -> HubProcess:
    if subject != OURS:
        config = {BARE: _BARE, PROFILES: _PROFILES}[subject]
        config = config.replace("NUMBER", str(deployments))
        return HubProcess(folder, config + PROBED + _COMMON)
    entries = [{"name": f"d{i}", "provider": "local"} for i in range(deployments)]
    return site(folder, PROBED + _COMMON, deployments={"bare_metal": entries})


__all__ = (
    "BARE",
    "OURS",
    "PROBED",
    "PROFILES",
    "SUBJECTS",
    "Hub",
    "HubProcess",
    "UserSession",
    "hubs",
    "running",
    "site",
)
