"""Classes that add handlers to the hub when they are imported, which is too late once it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyterhub import apihandlers
from jupyterhub import handlers as pagehandlers

from multiplespawner_core.catalogue import Resolution
from multiplespawner_core.contracts import ConfigurationError


class LateHandlers:
    """JupyterHub takes the lists of handlers once, when it starts (``app.py``, init_handlers).

    Some spawners append to them when they are imported. Where an edit of the files names such a
    class for the first time while the hub runs, its handlers would never answer.
    """

    def __init__(self) -> None:
        self._seated = False
        self._grew = False
        self._known: set[type[Any]] = set()
        self._late: set[type[Any]] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what is imported inside."""
        before = _count()
        yield
        self._grew = _count() != before

    def refuse(self, resolution: Resolution) -> None:
        """Accept the classes of the first resolution, and no later one that came with handlers.

        Raises:
            ConfigurationError: the hub must be started anew.
        """
        found = set(resolution.classes())
        if self._seated and self._grew:
            self._late |= found - self._known
        self._known |= found
        self._seated = True
        late = sorted(cls.__name__ for cls in found & self._late)
        if late:
            msg = f"{' and '.join(late)} must be there when the hub starts: restart needed"
            raise ConfigurationError(msg)


def _count() -> int:
    return len(apihandlers.default_handlers) + len(pagehandlers.default_handlers)


__all__ = ("LateHandlers",)
