"""What the administrator allows: templates and deployments, and whether they can work here."""

from __future__ import annotations

from multiplespawner_core.catalogue.attributes import deployment_split
from multiplespawner_core.catalogue.check import (
    Resolution,
    ResolvedDeployment,
    ResolvedTemplate,
    resolve,
)
from multiplespawner_core.catalogue.findings import Finding
from multiplespawner_core.catalogue.load import Catalogue, Paths, load, locate
from multiplespawner_core.catalogue.model import Block, ConfigurerBlock, Deployment, Template
from multiplespawner_core.catalogue.placeholders import PLACEHOLDERS, render
from multiplespawner_core.contracts.accounts import unix_user

__all__ = (
    "PLACEHOLDERS",
    "Block",
    "Catalogue",
    "ConfigurerBlock",
    "Deployment",
    "Finding",
    "Paths",
    "Resolution",
    "ResolvedDeployment",
    "ResolvedTemplate",
    "Template",
    "deployment_split",
    "load",
    "locate",
    "render",
    "resolve",
    "unix_user",
)
