import pytest
from spawner.parts import FakeRuntime, User5Or6
from traitlets.config import Config

from multiplespawner_core.resources import policy
from multiplespawner_core.resources import release as release_module
from multiplespawner_core.spawner import multiple
from multiplespawner_core.spawner import runtime as runtime_module
from multiplespawner_core.spawner.runtime import Runtime


@pytest.fixture
def config():
    """The hub's configuration, to be filled before the first spawner is made."""
    return Config()


@pytest.fixture
def users(config):
    made = []

    def make(name="ada", **settings):
        user = User5Or6(config, settings, name)
        made.append(user)
        return user

    yield make
    for user in made:
        user.close()


@pytest.fixture
def ada(users):
    return users()


@pytest.fixture
def no_runtime(monkeypatch):
    """Fails whatever would make one."""
    monkeypatch.setattr(Runtime, "_current", None)

    def refuse(*_):
        raise AssertionError("a runtime was made")

    monkeypatch.setattr(Runtime, "__init__", refuse)


@pytest.fixture
async def runtime(tmp_path, monkeypatch):
    monkeypatch.setattr(policy, "pause", lambda failures, error=None: 0.01)
    monkeypatch.setattr(release_module, "_LOOK_PAUSE", 0.01)
    monkeypatch.setattr(runtime_module.Runtime, "_current", None)
    runtime = FakeRuntime(tmp_path / "state")
    runtime_module.Runtime._current = runtime
    yield runtime
    await runtime.end()


@pytest.fixture(autouse=True)
def request_of_its_own():
    """JupyterHub answers each request in a context of its own, and no test sees another's."""
    multiple._entered.set(None)
