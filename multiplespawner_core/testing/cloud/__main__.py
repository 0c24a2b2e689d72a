"""``python -m multiplespawner_core.testing.cloud``."""

from __future__ import annotations

from multiplespawner_core.testing.cloud.server import main

main()
