"""The site as the files on disk have it: an edit counts from the next start, a broken one never."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from multiplespawner_core.catalogue import Catalogue, Finding, Paths, Resolution, load
from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.planning.pool import Pool
from multiplespawner_core.planning.site import Site

_log = logging.getLogger(__name__)

Resolve = Callable[[Catalogue], Resolution]
_Stamp = tuple[Path | None, int, int, int]


class CurrentSite:
    """Reads both files when the hub starts, and again when one of them has changed.

    When the hub starts, whatever is without an error is in use. After that an edit that brings an
    error, which was not there before, changes nothing: the last good version stays.

    Args:
        locate: finds the files.
        resolve: finds the classes that they name, and imports them.
        pool: makes providers and the rest.

    Raises:
        ConfigurationError: from `resolve`.
    """

    def __init__(self, locate: Callable[[], Paths], resolve: Resolve, pool: Pool) -> None:
        self._locate = locate
        self._resolve = resolve
        self._pool = pool
        self._lock = asyncio.Lock()
        self._stamps = self._look()
        self._catalogue = load(self._locate())
        self.site = Site(resolve(self._catalogue), pool)
        for finding in findings(self._catalogue, self.site):
            _log.warning("configuration: %s", finding)
        if not len(self.site):
            _log.error("configuration: nothing can be started")

    async def fresh(self) -> Site:
        """The site, with the files read again if they have changed."""
        async with self._lock:
            stamps = await asyncio.to_thread(self._look)
            if stamps != self._stamps:
                # Before they are read: what is written meanwhile is seen at the next look.
                self._stamps = stamps
                await self._read_again()
        return self.site

    async def _read_again(self) -> None:
        catalogue = await asyncio.to_thread(lambda: load(self._locate()))
        try:
            # Not on the event loop: what the files name for the first time is imported.
            resolution = await asyncio.to_thread(self._resolve, catalogue)
            # But on it: everybody else makes and finds providers there.
            site = Site(resolution, self._pool)
        except ConfigurationError as error:
            _log.error("configuration: the change is not taken over: %s", error)
            return
        except Exception:  # noqa: BLE001 - whatever a plugin does, what is in use stays in use
            _log.exception("configuration: the change is not taken over")
            return
        now = findings(catalogue, site)
        known = _identities(findings(self._catalogue, self.site))
        new = [finding for finding in now if _identity(finding) not in known]
        errors = [finding for finding in new if finding.severity == "error"]
        for finding in errors or new:
            _log.warning("configuration: %s", finding)
        if errors:
            _log.error("configuration: the change is not taken over; the last good one stays")
            return
        self._catalogue, self.site = catalogue, site
        _log.info("configuration: read again; %d combinations can be started", len(site))

    def _look(self) -> tuple[_Stamp, _Stamp]:
        paths = self._locate()
        return _stamp(paths.templates), _stamp(paths.deployments)


def findings(catalogue: Catalogue, site: Site) -> list[Finding]:
    """Everything that an administrator should know of the two files."""
    return [*catalogue.findings, *site.resolution.findings, *site.problems]


def _stamp(path: Path | None) -> _Stamp:
    try:
        if path is not None:
            status = path.stat()
            return path, status.st_mtime_ns, status.st_size, status.st_ino
    except (OSError, ValueError):  # ValueError: a NUL in the path
        pass
    return path, 0, 0, 0


def _identity(finding: Finding) -> tuple[str, str, str]:
    """What stays the same of a finding when lines move."""
    return finding.file, finding.path, finding.message


def _identities(found: Iterable[Finding]) -> set[tuple[str, str, str]]:
    return {_identity(finding) for finding in found}


__all__ = ("CurrentSite", "findings")
