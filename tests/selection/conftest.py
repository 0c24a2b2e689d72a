"""What users may choose in the tests of the selection."""

from __future__ import annotations

import pytest
from fakes import free_limits

from multiplespawner_core.selection.request import Choice


def choice(provider, resource_type, deployment, *sizes):
    return Choice(provider, resource_type, deployment, "a template", free_limits(*sizes))


@pytest.fixture(scope="session")
def choices():
    return [
        choice("oci", "virtual_machine", "datascience", "cpu", "memory", "gpu"),
        choice("local", "bare_metal", "local_machine", "cpu", "memory"),
        choice("oci", "container", "datascience"),
        choice("local", "bare_metal", "scratch", "cpu", "memory"),
    ]
