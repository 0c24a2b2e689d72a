"""How a server's process tree is held to its size, and how it is ended."""

from __future__ import annotations
