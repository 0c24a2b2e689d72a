"""One hub's time as the writer of a ledger, and how it notices that the ledger was set back."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, update

from multiplespawner_core.resources.installation import installation_id
from multiplespawner_core.resources.tables import LIVE, installation, intents, setbacks
from multiplespawner_core.resources.unavailable import LedgerUnavailable

_MARK = re.compile(r"([0-9a-f]{32}) (\d{20})\n\Z")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setback:
    """The ledger turned out to be older than this installation: lost, or restored from a backup.

    Args:
        noticed_at: when, in seconds since the epoch.
        expected: commits that it had once confirmed.
        found: commits that it held; 0 if it was lost as a whole.
    """

    noticed_at: float
    expected: int
    found: int


class Tenure:
    """Begins when a hub opens the ledger, and ends when another one does.

    Every commit renews it in its own transaction, so that no lock has to be trusted: a hub whose
    ledger was taken by another, or was set back under it, cannot commit. Commits are counted,
    in the ledger and, once they are durable, in a file outside of it as well. A ledger that counts
    fewer than the file is older than what it once confirmed.

    Args:
        identity: of the installation.
        writer: of this hub's time, made anew by each.
        commits: counted so far.
        mark: the file.
        setbacks: all that were ever noticed.
    """

    def __init__(
        self, identity: str, writer: str, commits: int, mark: Path, found: list[Setback]
    ) -> None:
        self.installation_id = identity
        self.setbacks = tuple(found)
        self._writer = writer
        self._tried = self._confirmed = commits
        self._mark = mark
        self._complained = False

    def renew(self, connection: Connection) -> None:
        """Part of every transaction.

        Raises:
            LedgerUnavailable: the ledger is another hub's, or not what it was.
        """
        # One that failed may have been written all the same: no number is used twice.
        self._tried += 1
        mine = update(installation).where(
            installation.c.id == self.installation_id,
            installation.c.writer == self._writer,
            installation.c.commits >= self._confirmed,
        )
        if connection.execute(mine.values(commits=self._tried)).rowcount != 1:
            raise LedgerUnavailable(self._why(connection))

    def note(self) -> None:
        """After every commit: what is confirmed from here on must be in every later ledger."""
        self._confirmed = self._tried
        try:
            # Not synchronized: a mark that lags behind raises no false alarm.
            descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, f"{self.installation_id} {self._confirmed:020d}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._complained:
                _log.warning(
                    "%s cannot be written: %s. Should the ledger be restored from a backup, the hub"
                    " may not notice it", self._mark, error,
                )  # fmt: skip
            self._complained = True

    def _why(self, connection: Connection) -> str:
        row = connection.execute(select(installation)).one_or_none()
        if row is None or row.id != self.installation_id:
            what = "the ledger is not this hub's any more"
        elif row.writer != self._writer:
            what = "another hub has opened the ledger since this one did"
        else:
            what = (
                f"the ledger was set back while the hub runs: it lacks its last"
                f" {self._confirmed - row.commits} commits"
            )
        return (
            f"{what}: this hub writes nothing any more. Stop it; see that only one hub uses the"
            " ledger, and start that one again"
        )


def begin_tenure(connection: Connection, state_dir: Path) -> Tenure:
    """Take the ledger for this hub, in the transaction in which it is opened.

    Rows of a ledger that was set back are doubted: what they say was true once.
    """
    identity = installation_id(connection, state_dir / "installation_id")
    mark = state_dir / "ledger_mark"
    found = connection.execute(select(installation.c.commits)).scalar_one()
    expected = _read(mark, identity)
    if found < expected:
        _set_back(connection, Setback(time.time(), expected, found))
    writer, commits = uuid.uuid4().hex, max(found, expected) + 1
    connection.execute(update(installation).values(writer=writer, commits=commits))
    rows = connection.execute(select(setbacks).order_by(setbacks.c.noticed_at))
    return Tenure(identity, writer, commits, mark, [Setback(*row) for row in rows])


def _set_back(connection: Connection, setback: Setback) -> None:
    connection.execute(
        insert(setbacks).values(
            noticed_at=setback.noticed_at, expected=setback.expected, found=setback.found
        )
    )
    doubted = update(intents).where(LIVE).values(doubted_at=setback.noticed_at)
    rows = connection.execute(doubted).rowcount
    if connection.execute(select(func.count()).select_from(intents)).scalar():
        _log.error(
            "the ledger is older than this installation, as if it was restored from a backup: it"
            " lacks %d of %d commits. %d resources that it shows may have changed since, and some"
            " that exist are not in it: nothing is deleted because of that",
            setback.expected - setback.found, setback.expected, rows,
        )  # fmt: skip
    else:
        _log.error(
            "the ledger is empty, but this installation had one with %d commits: it was lost, or"
            " c.MultipleSpawner.ledger_url names another. Resources that exist are not in it;"
            " nothing is deleted because of that",
            setback.expected,
        )


def _read(mark: Path, identity: str) -> int:
    with suppress(FileNotFoundError):
        found = _MARK.match(mark.read_text(encoding="utf-8", errors="replace"))
        if found and found[1] == identity:
            return int(found[2])
    return 0


__all__ = ("Setback", "Tenure", "begin_tenure")
