"""Scripts for a POSIX shell on the machine: what they say stands on its standard input alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from multiplespawner_core import ConfigurationError

COMMAND = "exec /bin/sh -s"
"""The whole command line, whoever is logged in: it reads the same in any account's shell."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quote(text: str) -> str:
    """The text as one word of a script, whatever it is.

    Raises:
        ConfigurationError: it has a NUL in it, which no environment or argument can hold.
    """
    if "\0" in text:
        msg = "a value for a server holds a NUL character, which no program can be given"
        raise ConfigurationError(msg)
    return shlex.quote(text)


def words(command: Sequence[str]) -> str:
    """A command and its arguments as a script runs them."""
    return " ".join(quote(word) for word in command)


def exports(environment: Mapping[str, str]) -> str:
    """Lines that put all of it into the environment.

    Raises:
        ConfigurationError: a name that no shell can set.
    """
    for name in environment:
        if not _NAME.fullmatch(name):
            msg = f"the environment variable {name!r} of a server has no name that a shell can set"
            raise ConfigurationError(msg)
    return "".join(f"export {name}={quote(value)}\n" for name, value in environment.items())


def encoded(script: str) -> bytes:
    """As it is sent: what is no text is sent as the bytes that it was read from."""
    try:
        return script.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        msg = "a value for a server holds a lone surrogate, which has no bytes"
        raise ConfigurationError(msg) from error


__all__ = ("COMMAND", "encoded", "exports", "quote", "words")
