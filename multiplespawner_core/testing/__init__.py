"""For authors of plugins: conformance kits, and a small cloud that misbehaves.

Nothing else of the core imports this package, and it imports nothing before it is used. The
cloud's machines need ``pip install "multiplespawner-core[testing]"`` and an OpenSSH server.

As a pytest plugin it is asked for with ``pytest_plugins = ["multiplespawner_core.testing"]``. No
entry point announces it: that would load it in every test run of an environment that has the core
and pytest. Nor is it a plugin of a hub: one that is to use the cloud says so with
``c.MultipleSpawner.component_classes = multiplespawner_core.testing.COMPONENT_CLASSES``.

(PYTEST_DONT_REWRITE: a suite has imported it by the time pytest is asked to load it.)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from multiplespawner_core.testing.conformance import (
        ContractBroken as ContractBroken,
    )
    from multiplespawner_core.testing.conformance import (
        LeftOut as LeftOut,
    )
    from multiplespawner_core.testing.conformance import (
        ProviderConformance as ProviderConformance,
    )
    from multiplespawner_core.testing.conformance.authenticating import (
        AuthenticatorConformance as AuthenticatorConformance,
    )
    from multiplespawner_core.testing.conformance.configuring import (
        ConfigurerConformance as ConfigurerConformance,
    )

COMPONENT_CLASSES = {
    "provider": ["multiplespawner_core.testing.cloud.client.SmallCloud"],
    "authenticator": ["multiplespawner_core.testing.machines.MachineAuthenticator"],
    "spawner": ["multiplespawner_core.testing.machines.MachineSpawner"],
}
"""What a hub can be configured with; templates name them by these paths."""

_CONFORMANCE = {
    "AuthenticatorConformance": "conformance.authenticating",
    "ConfigurerConformance": "conformance.configuring",
    "ContractBroken": "conformance",
    "LeftOut": "conformance",
    "ProviderConformance": "conformance",
}
_REPORT = "conformance_report"


def __getattr__(name: str) -> Any:
    if name not in _CONFORMANCE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_CONFORMANCE[name]}"), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("multiplespawner").addoption(
        "--conformance-report",
        dest=_REPORT,
        metavar="FILE",
        help="write what every conformance class checked and left out, as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    from multiplespawner_core.testing.conformance import reporting  # noqa: PLC0415 - only when used

    config.pluginmanager.register(
        reporting.Reporter(config.getoption(_REPORT, None)), reporting.NAME
    )


# Without __all__: the hooks are for pytest, and the rest is loaded when it is used.
