"""A small cloud: its rules (`model`), the rules as a provider in process, and over HTTP."""

from __future__ import annotations

from multiplespawner_core.testing.cloud.faults import Fault, FaultKind
from multiplespawner_core.testing.cloud.meter import Meter
from multiplespawner_core.testing.cloud.model import Answer, Call, Cloud
from multiplespawner_core.testing.cloud.records import Instance
from multiplespawner_core.testing.cloud.settings import Settings, Shape

__all__ = (
    "Answer",
    "Call",
    "Cloud",
    "Fault",
    "FaultKind",
    "Instance",
    "Meter",
    "Settings",
    "Shape",
)
