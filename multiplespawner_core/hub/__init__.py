"""The seat in the hub: importing this makes MultipleSpawner available and attaches it."""

from __future__ import annotations

from multiplespawner_core.hub.attach import attach
from multiplespawner_core.spawner.multiple import MultipleSpawner

attach()

__all__ = ("MultipleSpawner",)
