"""Configurers for multiplespawner: Ansible's playbooks, scripts, and nothing at all."""

from __future__ import annotations

__version__ = "0.1.0"
