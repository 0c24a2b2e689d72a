"""For authors of plugins: a small cloud that misbehaves on demand, and machines in it.

Nothing else of the core imports this package. Its machines need
``pip install "multiplespawner-core[testing]"`` and an OpenSSH server; the cloud needs neither.

It is no plugin: installed, it offers nothing. A hub that is to use it says so with
``c.MultipleSpawner.component_classes = multiplespawner_core.testing.COMPONENT_CLASSES``.
"""

from __future__ import annotations

COMPONENT_CLASSES = {
    "provider": ["multiplespawner_core.testing.cloud.client.SmallCloud"],
    "authenticator": ["multiplespawner_core.testing.machines.MachineAuthenticator"],
    "spawner": ["multiplespawner_core.testing.machines.MachineSpawner"],
}
"""What a hub can be configured with; templates name them by these paths."""

__all__ = ("COMPONENT_CLASSES",)
