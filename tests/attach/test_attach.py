"""The seat in the hub: what is wrapped, when, and what happens where it cannot be."""

from __future__ import annotations

import inspect
import logging
import sys

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets.config import Config

from multiplespawner_core.hub.attach import attach
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.spawner.runtime import Runtime

# The package holds the function under the module's name.
attach_module = sys.modules[attach.__module__]

pytestmark = pytest.mark.essential


def test_jupyterhub_has_both_methods_and_calls_them_when_we_need_them():
    source = inspect.getsource(JupyterHub.initialize)
    order = [source.index(f"self.{name}(") for name in ("init_db", "init_users", "init_handlers")]
    assert order == sorted(order)
    assert order[-1] < source.index("init_spawners()")
    assert not inspect.iscoroutinefunction(inspect.unwrap(JupyterHub.init_handlers))
    assert inspect.iscoroutinefunction(inspect.unwrap(JupyterHub.cleanup))


class Application:
    """As much of the hub as attaching touches."""

    config = Config()
    spawner_class = SimpleLocalProcessSpawner
    log = logging.getLogger("test")

    def __init__(self):
        self.calls = []

    def init_handlers(self):
        self.calls.append("init_handlers")

    async def cleanup(self):
        self.calls.append("cleanup")


def subclass(**attributes):
    members = {
        "init_handlers": Application.init_handlers,
        "cleanup": Application.cleanup,
        **attributes,
    }
    return type("App", (Application,), members)


async def test_with_another_spawner_nothing_of_ours_happens(monkeypatch):
    def forbidden(*args):
        raise AssertionError

    monkeypatch.setattr(attach_module, "_start", forbidden)
    application = subclass()
    attach(application)
    app = application()
    app.init_handlers()
    await app.cleanup()
    assert app.calls == ["init_handlers", "cleanup"]


async def test_it_is_attached_once(monkeypatch):
    started = []
    monkeypatch.setattr(attach_module, "_start", started.append)
    application = subclass(spawner_class=MultipleSpawner)
    attach(application)
    attach(application)
    app = application()
    app.init_handlers()
    assert started == [app]
    assert app.calls == ["init_handlers"]


@pytest.mark.parametrize("missing", ["init_handlers", "cleanup"])
def test_a_hub_without_the_methods_is_left_alone_with_a_warning(caplog, missing):
    class Other:
        pass

    for name in {"init_handlers", "cleanup"} - {missing}:
        setattr(Other, name, getattr(Application, name))
    before = dict(vars(Other))
    attach(Other)
    assert dict(vars(Other)) == before
    assert "multiplespawner starts with the first server" in caplog.text


@pytest.fixture
def loggers():
    """A runtime leads the packages' loggers to the hub's; other tests want them as they were."""
    found = [logging.getLogger(name) for name in ("multiplespawner_core", "multiplespawner_local")]
    before = [(logger, logger.parent, logger.level) for logger in found]
    yield
    for logger, parent, level in before:
        logger.parent = parent
        logger.setLevel(level)


@pytest.mark.usefixtures("loggers")
async def test_without_a_seat_the_first_spawner_starts_the_manager(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Runtime, "_current", None)
    state = str(tmp_path / "state")

    class First:
        config = Config({"MultipleSpawner": {"state_dir": state}})
        log = logging.getLogger("test")

        def serving(self):
            return set()

    runtime = Runtime.current(First())
    try:
        assert "was not attached when the hub started" in caplog.text
        assert Runtime.current(First()) is runtime
        assert runtime.ledger.unfinished() == []
    finally:
        await runtime.shutdown()
    assert Runtime._current is None


def test_a_misspelt_setting_is_told_when_the_hub_starts(caplog):
    """Else a list of plugins not to use would be undone in silence."""
    app = Application()
    app.config = Config({"MultipleSpawner": {"disabled_plugin": ["oci"], "state_dir": "x"}})
    attach_module._warn_of_typos(app)
    assert [record.getMessage() for record in caplog.records] == [
        "c.MultipleSpawner.disabled_plugin: is no setting (did you mean 'disabled_plugins'?)"
    ]
