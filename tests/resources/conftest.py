import pytest
from postgres import Server
from resources.parts import Hub

from multiplespawner_core.resources import policy
from multiplespawner_core.resources import release as release_module


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(policy, "pause", lambda failures, error=None: 0.01)
    monkeypatch.setattr(release_module, "STOP_TIMEOUT", 0.5)
    monkeypatch.setattr(release_module, "_CALL_TIMEOUT", 0.5)


@pytest.fixture
async def hub(tmp_path, impatient):
    hub = Hub(tmp_path / "state")
    yield hub
    hub.providers.error = None
    hub.provider.faults.clear()
    for gate in hub.provider.gates.values():
        gate.set()
    await hub.manager.shutdown()


@pytest.fixture(scope="session")
def server():
    """A real PostgreSQL."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def place(server):
    """A database of its own on it."""
    place = server.create()
    yield place
    place.drop()


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """Of a ledger, on each database."""
    return "" if request.param == "sqlite" else request.getfixturevalue("place").url
