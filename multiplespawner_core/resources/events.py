"""The progress of one start: a log that every client replays from its beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

_MOST = 2000
_ALMOST = 99
_PASSED_ON = ("html_message",)


class EventLog:
    """Events in the form that JupyterHub's progress stream takes; progress never falls.

    JupyterHub starts one generator for each page that looks (``Spawner.progress``) and adds the
    final event with 100 itself.
    """

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._progress = 0
        self._closed = False
        self._changed = asyncio.Event()

    def add(self, message: str, progress: float | None = None, **extra: Any) -> None:
        """Append one event.

        Args:
            message: one line for the user; it must name no secret.
            progress: percent; a value below the last one counts as the last one.
            extra: further keys of a JupyterHub progress event, such as ``html_message``.
        """
        if self._closed or len(self._events) >= _MOST:
            return
        if progress is not None:
            self._progress = min(_ALMOST, max(self._progress, int(progress)))
        self._append({"progress": self._progress, "message": message, **extra})

    def add_from_child(self, event: Mapping[str, Any], low: float, high: float) -> None:
        """Pass on a child spawner's own event, its percent mapped to ``low``..``high``.

        Keys other than the texts are dropped: some spawners send raw events of their platform.
        """
        percent = event.get("progress")
        progress = None
        if isinstance(percent, (int, float)):
            progress = low + (high - low) * min(100.0, max(0.0, percent)) / 100
        extra = {key: str(event[key]) for key in _PASSED_ON if event.get(key)}
        self.add(str(event.get("message", "")), progress, **extra)

    def fail(self, message: str) -> None:
        """Append the last event of a start that failed."""
        if not self._closed:
            self._append({"progress": self._progress, "message": message, "failed": True})
        self.close()

    def close(self) -> None:
        """No more events: everybody who follows comes to an end."""
        self._closed = True
        self._changed.set()

    @property
    def events(self) -> tuple[dict[str, Any], ...]:
        """What has happened so far."""
        return tuple(self._events)

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Every event from the first on, until the log is closed."""
        position = 0
        while True:
            changed = self._changed
            while position < len(self._events):
                yield dict(self._events[position])
                position += 1
            if self._closed:
                return
            await changed.wait()

    def _append(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


__all__ = ("EventLog",)
