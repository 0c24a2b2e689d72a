"""The contract of a configurer, as checks that run against any: docs/conformance-configurers.md."""

from __future__ import annotations

from multiplespawner_core.testing.conformance.configuring.checks import Checks


class ConfigurerConformance(Checks):
    """Subclass it as ``TestMine`` and say what is under test; pytest runs the rest.

    Each check has a real machine, an OpenSSH server on 127.0.0.1 that runs as the user who runs
    the tests, with a home directory of its own. Every check says in its docstring which rule of
    the contract it holds.
    """


__all__ = ("ConfigurerConformance",)
