"""Private keys in files, and how public ones are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import asyncssh

from multiplespawner_core import ConfigurationError
from multiplespawner_ssh import files

ALGORITHMS: Final = {"ed25519": "ssh-ed25519", "rsa": "ssh-rsa"}
"""The kinds of key that are made on request."""

_RSA_BITS = 3072
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_OTHERS_MAY_READ = 0o077


def kept(path: Path, kind: str) -> asyncssh.SSHKey:
    """The private key in a file, made where there is none. RSA takes a while: for a thread."""
    return asyncssh.import_private_key(files.keep(path, lambda: _made(kind)))


def existing(path: Path) -> asyncssh.SSHKey:
    """A private key that somebody else made.

    Raises:
        ConfigurationError: it is missing, or cannot be used; the message says what to do.
    """
    try:
        mode = path.stat().st_mode
        key = asyncssh.read_private_key(path)
    except OSError as error:
        msg = f"the SSH key {path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    except asyncssh.KeyImportError as error:
        msg = f"{path} is no private SSH key without a passphrase: {error}"
        raise ConfigurationError(msg) from error
    if mode & _OTHERS_MAY_READ:
        msg = f"others may read the SSH key {path}: chmod 600 {path}"
        raise ConfigurationError(msg)
    return key


def public(key: asyncssh.SSHKey) -> str:
    """Kind and key as OpenSSH writes them, without a comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


def is_fingerprint(text: str) -> bool:
    """Whether it is what ``ssh-keygen -l`` prints of a key, rather than the key."""
    return bool(_FINGERPRINT.fullmatch(text.strip()))


def has_fingerprint(key: asyncssh.SSHKey, text: str) -> bool:
    """Whether that is the key's fingerprint."""
    return key.get_fingerprint("sha256") == text.strip().rstrip("=")


def imported(text: str) -> asyncssh.SSHKey:
    """A public key as OpenSSH writes it, with or without a comment.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return asyncssh.import_public_key(text.strip())
    except asyncssh.KeyImportError as error:
        msg = f"{text.strip()[:60]!r} is neither a public SSH key nor a fingerprint SHA256:..."
        raise ConfigurationError(msg) from error


def _made(kind: str) -> bytes:
    if kind == "rsa":
        made = asyncssh.generate_private_key(ALGORITHMS[kind], key_size=_RSA_BITS)
    else:
        made = asyncssh.generate_private_key(ALGORITHMS[kind])
    return made.export_private_key()


__all__ = (
    "ALGORITHMS",
    "existing",
    "has_fingerprint",
    "imported",
    "is_fingerprint",
    "kept",
    "public",
)
