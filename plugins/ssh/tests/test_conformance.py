"""The contract of authenticators, against real OpenSSH servers."""

from __future__ import annotations

import pytest
from multiplespawner_ssh.authenticator import SSHAuthenticator

from multiplespawner_core.testing import AuthenticatorConformance

pytestmark = pytest.mark.slow

pytest_plugins = ["multiplespawner_core.testing"]


class TestKeys(AuthenticatorConformance):
    authenticator = SSHAuthenticator
    plugin = "multiplespawner_ssh.plugin"
    sdk = ("asyncssh", "cryptography")

    def traits(self, folder):
        return {"login_timeout": 1}


class TestCertificates(TestKeys):
    def traits(self, folder):
        return {"login_timeout": 1, "create_certificate": True, "keys_for": "user"}


class TestVouched(TestKeys):
    """The provider vouches for the host key that the machine has anyway."""

    def traits(self, folder):
        return {"login_timeout": 1, "inject_host_key": False}
