"""Configuration files for the tests of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiplespawner_core.catalogue import Catalogue, Paths, load


@pytest.fixture
def reference():
    """The folder with a verbatim copy of the four blocks of the reference."""
    return Path(__file__).parent / "reference"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write both files, as text or as values, and load them; findings name them without folder."""
    monkeypatch.chdir(tmp_path)

    def write(templates, deployments) -> Catalogue:
        for name, content in (("t.json", templates), ("d.json", deployments)):
            text = content if isinstance(content, (str, bytes)) else json.dumps(content)
            Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
        return load(Paths(Path("t.json"), Path("d.json")))

    return write
