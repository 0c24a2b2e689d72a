"""Remote machines for multiplespawner: opened, and servers started on them, over SSH."""

from __future__ import annotations

__version__ = "0.1.0"
