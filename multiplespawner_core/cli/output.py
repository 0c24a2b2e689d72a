"""The standard output is what a program may read: whole, and nothing else in it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def prepare() -> None:
    """Make it take whatever is printed: it may be closed, or know few letters."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def give_up() -> None:
    """Nothing can be written any more; the interpreter must not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What configuration and plugins print meanwhile, or programs that they call, goes to the
    standard error.
    """
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as after:
        with contextlib.suppress(OSError):  # where one of the two is closed
            kept = os.dup(1)
            after.callback(os.close, kept)
            after.callback(os.dup2, kept, 1)
            os.dup2(2, 1)
        yield


def fitting(text: Callable[[bool], str]) -> str:
    """The text with letters of all languages, where the standard output takes them.

    Args:
        text: makes it, with such letters or with escapes in their place.
    """
    plain = text(True)
    try:
        plain.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        return text(False)
    return plain


__all__ = ("aside", "fitting", "give_up", "prepare")
