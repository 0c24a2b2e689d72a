"""Machines, the connections to them, and an intent."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from multiplespawner_core import Intent, Offer, Owner, Scope, Specification

# With importlib's import mode pytest does not put it there.
sys.path.insert(0, str(Path(__file__).parent))

from multiplespawner_ssh.connection import connections
from ssh_parts import Sshd, marked


@pytest.fixture
def make_sshd(tmp_path):
    made = []

    def make(name="machine", *, start=True, **given):
        sshd = Sshd(tmp_path / name, **given)
        made.append(sshd)
        return sshd.start() if start else sshd

    yield make
    for sshd in made:
        sshd.stop()
        assert marked(sshd.home) == []


@pytest.fixture
def sshd(make_sshd):
    return make_sshd()


@pytest.fixture
async def pool():
    """The connections of the test; closed with it."""
    yield connections()
    await connections().close()


@pytest.fixture
def make_intent():
    def make(user="ada"):
        one = uuid.uuid4().hex
        offer = Offer(Scope("small", "north"), "small")
        return Intent(one, one, 1, "here", Owner(user), offer, Specification("virtual_machine"))

    return make


@pytest.fixture
def intent(make_intent):
    return make_intent()
