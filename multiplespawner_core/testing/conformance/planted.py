"""Keys that an authenticator could have made, and the secrets that must show nowhere."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiplespawner_core.catalogue.findings import looks_secret
from multiplespawner_core.contracts import Keys, Plugin

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SHORTEST = 8
"""Anything shorter is found by chance."""


def keys(folder: Path) -> Keys:
    """Real ones, with a secret in the user data as well."""
    client, host = _pair(folder / "client_key"), _pair(folder / "host_key")
    return Keys(
        public_key=client,
        private_key_file=str(folder / "client_key"),
        host_key_file=str(folder / "host_key"),
        host_public_key=host,
        user_data={"runcmd": [["echo", f"once-{uuid.uuid4().hex}"]]},
    )


def public_key() -> str:
    """Of a pair whose private half nobody has."""
    with tempfile.TemporaryDirectory() as folder:
        return _pair(Path(folder) / "key")


def public_half(path: Path) -> str:
    """Of a private key's file, without comment."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - heavy

    key: Any = serialization.load_ssh_private_key(path.read_bytes(), None)
    shown: bytes = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return shown.decode()


def secrets(keys: Keys, plugin: Plugin) -> set[str]:
    """What must not be seen: of the keys, and of the plugin's settings."""
    found = set(_texts(keys.user_data))
    for path in (keys.private_key_file, keys.host_key_file):
        if path is not None:
            found.update(_lines(Path(path)))
    for name, trait in plugin.traits().items():
        if trait.metadata.get("secret") or looks_secret(name):
            for text in _texts(getattr(plugin, name)):
                # The name of a file is no secret, what it holds is.
                found.update(_lines(Path(text)) if _is_file(text) else [text])
    return {text for text in found if len(text) >= _SHORTEST}


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False  # it cannot be the name of one


def _lines(path: Path) -> list[str]:
    """What a file of secrets holds, without the lines that say what kind they are."""
    return [line for line in path.read_text().splitlines() if "KEY-----" not in line]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _pair(path: Path) -> str:
    """Write a private key, mode 0600, and return the public one."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - of the extra

    key: Ed25519PrivateKey = ed25519.Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode()


__all__ = ("keys", "public_half", "public_key", "secrets")
