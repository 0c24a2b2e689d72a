"""A server's lifetime, as the hub says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_STEP = timedelta(minutes=1)
"""The least by which the hub extends a lifetime."""


@dataclass(frozen=True)
class Lifetime:
    """What the hub knows.

    Args:
        ends_at: None where nothing ends the server.
        latest_end: until when it can be extended; None where nothing limits that.
        on_end: what is deleted at the end, for the user.
        storage: "ephemeral" or "keep".
    """

    started_at: datetime | None
    ends_at: datetime | None
    latest_end: datetime | None
    on_end: str
    storage: str

    @classmethod
    def parse(cls, answer: Any) -> Lifetime:
        """From the hub's JSON; keys that are not known here are left out.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(answer, dict):
            msg = f"not an object but {type(answer).__name__}"
            raise ValueError(msg)  # noqa: TRY004 - the same fault as the others
        return cls(
            started_at=_time(answer, "started_at"),
            ends_at=_time(answer, "ends_at"),
            latest_end=_time(answer, "latest_end"),
            on_end=_text(answer, "on_end"),
            storage=_text(answer, "storage"),
        )

    @property
    def can_be_extended(self) -> bool:
        if self.ends_at is None:
            return False
        return self.latest_end is None or self.latest_end - self.ends_at >= _STEP

    def dump(self) -> dict[str, str | None]:
        """The hub's JSON again."""
        return {
            "started_at": iso(self.started_at),
            "ends_at": iso(self.ends_at),
            "latest_end": iso(self.latest_end),
            "on_end": self.on_end,
            "storage": self.storage,
        }


def iso(moment: datetime | None) -> str | None:
    """In UTC, and no finer than every browser reads."""
    if moment is None:
        return None
    fineness = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(timezone.utc).isoformat(timespec=fineness).replace("+00:00", "Z")


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key) or ""
    if not isinstance(value, str):
        msg = f"{key} is no text"
        raise ValueError(msg)  # noqa: TRY004 - likewise
    return value


def _time(answer: dict[str, Any], key: str) -> datetime | None:
    text = _text(answer, key)
    if not text:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 knows no Z
    if moment.tzinfo is None:
        msg = f"{key} has no time zone"
        raise ValueError(msg)
    return moment


__all__ = ("Lifetime", "iso")
