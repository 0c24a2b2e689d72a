"""OpenSSH user certificates: issued for a short time, and anew for as long as they are used."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncssh

from multiplespawner_ssh import files, keys

_SKEW = 300
"""Seconds by which a machine's clock may be behind the hub's."""


@dataclass(frozen=True)
class Order:
    """How a certificate is issued; kept beside it, for the next one. Names files, and no secret.

    Args:
        ca_file: the private key of the authority.
        key_file: the private key that is certified.
        principals: what it is good for: names of accounts, or what a machine asks for instead.
        key_id: what sshd writes into its log.
        validity: seconds.
    """

    ca_file: str
    key_file: str
    principals: Sequence[str]
    key_id: str
    validity: int


def issue(path: Path, order: Order) -> None:
    """Write a certificate, and the order by which `renewed` finds out how to issue another."""
    files.write(_order_file(path), json.dumps(asdict(order)).encode())
    _write(path, order)


def renewed(path: Path) -> asyncssh.SSHCertificate:
    """The certificate in a file, issued anew if it is ours and half of its time is over.

    Raises:
        OSError: it is not there.
        asyncssh.KeyImportError: it is none.
    """
    try:
        order = Order(**json.loads(_order_file(path).read_text("utf-8")))
    except FileNotFoundError:
        pass  # an administrator's own, which somebody else renews
    else:
        if path.stat().st_mtime + order.validity / 2 < time.time():
            _write(path, order)
    return asyncssh.read_certificate(path)


def authority_line(authority: asyncssh.SSHKey, principal: str) -> str:
    """What stands in ``authorized_keys`` to let in whom the authority certified for this."""
    return f'cert-authority,principals="{principal}" {keys.public(authority)}'


def _write(path: Path, order: Order) -> None:
    now = int(time.time())
    certificate = asyncssh.read_private_key(order.ca_file).generate_user_certificate(
        asyncssh.read_private_key(order.key_file),
        order.key_id,
        serial=secrets.randbits(63),
        principals=list(order.principals),
        valid_after=now - _SKEW,
        valid_before=now + order.validity,
        permit_x11_forwarding=False,
        permit_agent_forwarding=False,
        permit_user_rc=False,
    )
    files.write(path, certificate.export_certificate())


def _order_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


__all__ = ("Order", "authority_line", "issue", "renewed")
