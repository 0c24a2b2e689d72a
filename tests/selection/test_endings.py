"""What users are told of their files."""

from __future__ import annotations

import pytest

from multiplespawner_core.contracts import RESOURCE_TYPES, Storage
from multiplespawner_core.selection.endings import on_end


@pytest.mark.parametrize("resource_type", RESOURCE_TYPES)
def test_what_is_deleted_is_said_and_what_is_kept_is_promised(resource_type):
    deleted, kept = (on_end(storage, resource_type) for storage in Storage)
    assert "deleted" in deleted
    assert "file" in deleted
    assert "deleted" not in kept
    assert "files stay" in kept


@pytest.mark.parametrize("resource_type", RESOURCE_TYPES)
def test_what_is_stopped_with_files_is_said(resource_type):
    text = on_end(Storage.KEEP, resource_type, stops=True)
    assert "is stopped" in text
    assert "files stay, for the next start of the same choice" in text
    assert "deleted" not in text


def test_the_thing_has_its_name():
    texts = [on_end(Storage.EPHEMERAL, resource_type) for resource_type in RESOURCE_TYPES]
    assert "the machine is deleted" in texts[0]
    assert "the container is deleted" in texts[1]
    assert "the server is stopped and its files are deleted" in texts[2]
