"""What is declared, and what merely importing the declaration costs."""

from __future__ import annotations

import subprocess
import sys

from multiplespawner_local.plugin import plugin
from multiplespawner_local.provider import LocalProvider

from multiplespawner_core import Provider


def test_declares_the_provider():
    [component] = plugin.multiplespawner_providers()
    assert (component.name, tuple(component.resource_types)) == ("local", ("bare_metal",))
    assert component.path == f"{LocalProvider.__module__}.{LocalProvider.__qualname__}"
    assert issubclass(LocalProvider, Provider)
    assert list(plugin.multiplespawner_spawners()) == []


def test_the_declaration_imports_little():
    code = (
        "import sys, multiplespawner_local.plugin;"
        "print([name for name in ('jupyterhub', 'psutil', 'sqlalchemy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_provider_imports_no_jupyterhub():
    code = "import sys, multiplespawner_local.provider; print('jupyterhub' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
