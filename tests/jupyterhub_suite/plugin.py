"""The plugin of pytest for JupyterHub's tests: MultipleSpawner around every mock spawner.

With `--bare` the mocks are left as they are; all else is the same.
"""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import tempfile
import textwrap
from pathlib import Path

import jupyterhub
import psutil
import pytest
from jupyterhub.tests import mocking
from multiplespawner_local.processes import INTENT as MARK
from traitlets.config import PyFileConfigLoader

from multiplespawner_core.spawner.runtime import Runtime

from . import site, wrapping
from .altered import ALTERED, altered_in

NEVER_CLEANED_UP = "/user/river/"
"""The server in test_proxy::test_external_proxy, which does not end its hub."""


def pytest_addoption(parser):
    parser.addoption("--bare", action="store_true", help="the mock spawners as they are")
    parser.addoption("--children", type=Path, help="file for the number of children of each mock")


def pytest_configure(config):
    folder = Path(tempfile.mkdtemp(prefix="jupyterhub-suite-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    config.hub_file = site.write(folder, wrapping.MOCKS)
    mocking.MockHub.load_config_file = _loading(config.hub_file)
    if not config.option.bare:
        wrapping.wrap()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if config.option.bare:
        return
    found = set()
    for item in items:
        name = f"{item.path.stem}::{item.originalname}"
        if name in ALTERED:
            found.add(name)
            item.obj = _rewritten(item.obj, ALTERED[name].replace)
    if not any("::" in argument for argument in config.args):
        modules = {item.path.stem for item in items}
        expected = {
            name
            for name in altered_in(jupyterhub.version_info[0])
            if name.partition("::")[0] in modules
        }
        if missing := sorted(expected - found):
            msg = f"JupyterHub has no {missing[0]} (any more)"
            raise pytest.UsageError(msg)


@pytest.fixture(autouse=True)
async def hubless(request):
    """Where a test has no hub, what MultipleSpawner makes when one starts."""
    if request.config.option.bare or "app" in request.fixturenames or Runtime._current is not None:
        yield
        return
    config = PyFileConfigLoader(str(request.config.hub_file)).load_config()
    runtime = Runtime.start(config, lambda _: None, set, logging.getLogger(__name__))
    yield
    await runtime.shutdown()


@pytest.fixture(autouse=True, scope="module")
def nothing_left(request):
    """Once a hub has ended, none of our servers runs."""
    yield
    folder = str(request.config.hub_file.parent)
    left = [
        f"{process.pid}: {variables['JUPYTERHUB_SERVICE_PREFIX']}"
        for process in psutil.process_iter(["environ"])
        if MARK in (variables := process.info["environ"] or {})
        and variables.get("HOME", "").startswith(folder)
        and process.status() != psutil.STATUS_ZOMBIE
        and not variables["JUPYTERHUB_SERVICE_PREFIX"].endswith(NEVER_CLEANED_UP)
    ]
    assert not left


@pytest.fixture(autouse=True)
def no_mistakes():
    """Every spawner that JupyterHub made was ours, with the child that the test wants."""
    yield
    found, wrapping.mistakes[:] = list(wrapping.mistakes), []
    assert not found


def pytest_sessionfinish(session):
    if session.config.option.children is not None:
        session.config.option.children.write_text(json.dumps(wrapping.children))


def _loading(hub_file):
    def load_config_file(self, *_):
        super(mocking.MockHub, self).load_config_file(str(hub_file))

    return load_config_file


def _rewritten(function, replace):
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in replace.items():
        if old not in source:
            msg = f"{function.__qualname__} does not contain {old!r} (any more)"
            raise pytest.UsageError(msg)
        source = source.replace(old, new)
    above = "\n" * (function.__code__.co_firstlineno - 1)
    made = {}
    exec(compile(above + source, inspect.getfile(function), "exec"), function.__globals__, made)
    return made[function.__name__]
