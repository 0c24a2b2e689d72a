"""The ledger cannot be written: what everyone is told who waits for a commit."""

from __future__ import annotations


class LedgerUnavailable(Exception):
    """A commit failed for a reason that lies in the database, not in what was to be written.

    Args:
        message: for the administrator: what happened, and the remedy.
        written: False if surely nothing of it was written; None if that is not known, because the
            answer to the commit was lost.
    """

    def __init__(self, message: str, *, written: bool | None = False) -> None:
        super().__init__(message)
        self.written = written


__all__ = ("LedgerUnavailable",)
