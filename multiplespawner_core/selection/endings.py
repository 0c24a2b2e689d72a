"""What the end of a server means for its user's files: the one place that says it in words."""

from __future__ import annotations

from multiplespawner_core.contracts import Storage

_DELETED = {
    "virtual_machine": "At the end the machine is deleted with every file on it.",
    "container": "At the end the container is deleted with every file in it.",
    "bare_metal": "At the end the server is stopped and its files are deleted.",
}
_KEPT = (
    "At the end the server is stopped. Your files stay; running programs and unsaved work are lost."
)
_STOPPED = (
    "At the end the {} is stopped. Your files stay, for the next start of the same choice; running"
    " programs and unsaved work are lost."
)
_THINGS = {"virtual_machine": "machine", "container": "container", "bare_metal": "server"}


def on_end(storage: Storage, resource_type: str, *, stops: bool = False) -> str:
    """A text for users, to stand where they choose, wait for, extend and leave a server.

    Args:
        storage: what becomes of files.
        resource_type: of what they are on.
        stops: whether they stay because that is stopped instead of deleted.
    """
    if stops:
        return _STOPPED.format(_THINGS[resource_type])
    return _KEPT if storage is Storage.KEEP else _DELETED[resource_type]


def on_deletion(resource_type: str) -> str:
    """The same of what was kept, to stand where they give it up."""
    return f"The {_THINGS[resource_type]} is deleted with every file on it, for good."


__all__ = ("on_deletion", "on_end")
