"""Puts the hub's harness on the path; the parts are in `lab_parts.py`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "hub"))
sys.path.insert(0, str(Path(__file__).parent))

from harness.fixtures import chromium, page, pytest_runtest_makereport, screenshot
from lab_parts import FakeHub, Server


@pytest.fixture
def fake_hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def start_server(tmp_path):
    """start_server(module, hub, *arguments): ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *args: stack.enter_context(Server(tmp_path, *args))


__all__ = ("chromium", "page", "pytest_runtest_makereport", "screenshot")
