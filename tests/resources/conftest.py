import pytest
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
