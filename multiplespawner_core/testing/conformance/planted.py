"""Keys that an authenticator could have made, and the secrets that must show nowhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiplespawner_core.catalogue.findings import looks_secret
from multiplespawner_core.contracts import Keys, Provider

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
        user_data={"write_files": [{"path": "/run/once", "content": f"once-{uuid.uuid4().hex}"}]},
    )


def secrets(keys: Keys, provider: Provider) -> set[str]:
    """What must not be seen: of the keys, and of the provider's settings."""
    found = {
        line
        for path in (keys.private_key_file, keys.host_key_file)
        if path is not None
        for line in Path(path).read_text().splitlines()
        if "KEY-----" not in line
    }
    found.update(_texts(keys.user_data))
    for name, trait in provider.traits().items():
        if trait.metadata.get("secret") or looks_secret(name):
            found.update(_texts(getattr(provider, name)))
    return {text for text in found if len(text) >= _SHORTEST and not text.startswith("/run/")}


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
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

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


__all__ = ("keys", "secrets")
