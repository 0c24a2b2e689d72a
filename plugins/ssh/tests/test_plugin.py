"""What is declared, and what merely importing the declaration costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from multiplespawner_ssh.authenticator import SSHAuthenticator
from multiplespawner_ssh.plugin import plugin
from multiplespawner_ssh.spawner import SSHSpawner

from multiplespawner_core import Authenticator, TakesAccess


def test_both_are_known_by_the_names_of_their_predecessors():
    [authenticator] = plugin.multiplespawner_authenticators()
    assert authenticator.aliases == ("corc.authenticator.SSHAuthenticator",)
    assert authenticator.path == f"{SSHAuthenticator.__module__}.{SSHAuthenticator.__qualname__}"
    assert issubclass(SSHAuthenticator, Authenticator)
    [spawner] = plugin.multiplespawner_spawners()
    assert spawner.aliases == ("sshspawner.sshspawner.SSHSpawner",)
    assert spawner.path == f"{SSHSpawner.__module__}.{SSHSpawner.__qualname__}"
    assert issubclass(SSHSpawner, TakesAccess)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("plugin", ["asyncssh", "jupyterhub", "sqlalchemy"]), ("authenticator", ["jupyterhub"])],
)
def test_what_is_imported(module, heavy):
    code = (
        f"import sys, multiplespawner_ssh.{module};"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
