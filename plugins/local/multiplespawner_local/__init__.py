"""This machine as a provider for multiplespawner: servers are process trees with limits."""

from __future__ import annotations

__version__ = "0.1.0"
