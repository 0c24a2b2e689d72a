"""The spawners that are compared, each in a real hub of its own."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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

# As installed: without the harness's debug log; the hub ends its servers with itself.
_COMMON = f"""
sys.path.insert(0, {str(PROJECT)!r})
from benchmarks.probe import install
install(c)
c.JupyterHub.log_level = "INFO"
c.JupyterHub.cleanup_servers = True
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 120, "slow_stop_timeout": 120}}
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
    """A running hub whose spawner is one of `SUBJECTS`."""

    process: HubProcess
    body: dict[str, Any]

    @classmethod
    def of(cls, subject: str, process: HubProcess) -> Hub:
        chosen = _CHOSEN[subject]
        nested = process.client.version() >= (6,)
        return cls(process, {"user_options": chosen} if nested else chosen)

    def begin(self, *, fine: bool = False, lag: bool = False) -> None:
        """Forget what the probe has measured; see `probe.Probe.begin`."""
        self._answer("GET", f"/benchmark/begin?fine={fine}&lag={lag}")

    def end(self) -> Any:
        """What the probe has measured since then."""
        return self._answer("GET", "/benchmark/end").json()

    def start(self, user: str) -> None:
        """Returns once the server is ready."""
        answer = self._answer("POST", f"/users/{user}/server", json=self.body)
        assert answer.status_code == httpx.codes.CREATED, answer.text

    def stop(self, user: str) -> None:
        """Returns once the server has ended."""
        answer = self._answer("DELETE", f"/users/{user}/server")
        assert answer.status_code == httpx.codes.NO_CONTENT, answer.text

    def _answer(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        answer = self.process.client.request(method, path, timeout=180, **kwargs)
        return answer.raise_for_status()


@contextlib.contextmanager
def hubs(subjects: Sequence[str], deployments: int = 1) -> Iterator[dict[str, Hub]]:
    """A hub for each subject, all running, with so many things to choose from.

    Raises:
        RuntimeError: a hub has left processes behind.
    """
    started: list[HubProcess] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        stack.callback(remove_groups)
        found = {}
        for subject in subjects:
            process = _configured(subject, folder / subject, deployments)
            stack.callback(process.close)
            started.append(process)
            found[subject] = Hub.of(subject, process.start())
        yield found
    left = [leftover for process in started for leftover in process.leftovers]
    if left:
        raise RuntimeError(f"left behind: {left}")


def _configured(subject: str, folder: Path, deployments: int) -> HubProcess:
    if subject != OURS:
        config = {BARE: _BARE, PROFILES: _PROFILES}[subject]
        return HubProcess(folder, config.replace("NUMBER", str(deployments)) + _COMMON)

    def factory(config: str, *, files: Mapping[str, str]) -> HubProcess:
        return HubProcess(folder, config, files=files)

    entries = [{"name": f"d{i}", "provider": "local"} for i in range(deployments)]
    site: Any = Site(factory)  # type: ignore[no-untyped-call] # tests' code
    process: HubProcess = site(_COMMON, deployments={"bare_metal": entries})
    return process


__all__ = ("BARE", "OURS", "PROFILES", "SUBJECTS", "Hub", "UserSession", "hubs")
