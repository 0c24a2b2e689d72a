"""What must hold of cloud, ledger and what JupyterHub shows, by name."""

from __future__ import annotations

import enum


class Invariant(str, enum.Enum):
    """The first ones hold at every moment, the others once everything has had its time."""

    COMMITTED = "nothing is asked for that is not committed"
    ONE_INTENT = "one live intent a server"
    EVIDENCE = "a row is closed only once what was made for it is gone"
    TOLD = "a server is said to have ended only once its release is committed"
    SPARED = "no server is ended that serves somebody"
    BOUNDED = "every start ends in time"
    UNDER_WAY = "an intent that does not run is of a start that somebody waits for, or released"
    PROMPT = "a start that is cancelled answers at once"
    KNOWN = "the ledger knows everything of ours"
    ONCE = "no second resource is asked for while there may be a first one"
    SHOWN = "live intents are the servers that JupyterHub shows, and what is kept"
    PAID = "what costs belongs to a live intent"
    ONE_RESOURCE = "one resource an intent"
    ANSWERS = "every server that JupyterHub shows as running answers"
    FOREIGN = "nobody else's is touched"
    STOPPED = "every server is stopped"
    SETTLED = "no server is on its way for ever"
    STILL = "the meter stands still when nobody runs, but for the disks that are kept"
    AT_REST = "what is kept does not run"
    KEPT = "what is to be kept is not deleted"
    GIVEN_UP = "what is deleted is not kept"


class Violation(AssertionError):
    """Something that must always hold does not.

    Args:
        invariant: what.
        state: what there is instead.
    """

    def __init__(self, invariant, state):
        super().__init__(f"{invariant.name}, not so: {invariant.value}; {state}")
        self.invariant = invariant


__all__ = ("Invariant", "Violation")
