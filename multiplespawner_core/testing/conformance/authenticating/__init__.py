"""The contract of an authenticator, as checks: see docs/conformance-authenticators.md."""

from __future__ import annotations

from multiplespawner_core.testing.conformance.authenticating.checks import Checks


class AuthenticatorConformance(Checks):
    """Subclass it as ``TestMine`` and say what is under test; pytest runs the rest.

    Each check has real machines, OpenSSH servers on 127.0.0.1 that run as the user who runs the
    tests and let in whom the keys under test say. Every check says in its docstring which rule of
    the contract it holds.
    """


__all__ = ("AuthenticatorConformance",)
