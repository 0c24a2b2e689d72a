"""From the name of a hub's user to the name of an account on a machine."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from typing import Final

SYSTEM_NAMES: Final = frozenset(
    """
    _apt adm admin audio avahi backup bin cdrom chrony colord crontab daemon dbus dialout dip disk
    dnsmasq docker fax floppy ftp fuse games gdm geoclue gnats halt http incus input irc jupyterhub
    kmem kvm landscape libvirt lightdm list lock lp lxd mail man messagebus mysql named netdev
    news nginx nobody nogroup nscd ntp operator pcp plugdev pollinate polkitd postfix postgres
    proxy pulse redis render root rpc rpcuser rtkit saned sasl sgx shadow shutdown src sshd sssd
    staff sudo sync sys syslog tape tcpdump tss tty unbound users utmp uucp uuidd video voice
    wheel www-data
    """.split()  # noqa: SIM905 - readable as a column
)
"""Accounts and groups of the operating system: an account made for a user brings its own group,
and ``%admin`` or ``docker`` would be more than a user may have."""

_LEGAL = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_SYSTEM = re.compile(r"systemd-.*|_.*|libvirt-.*|polkit.*")
_DERIVED = re.compile(r"[a-z][a-z0-9_]{0,10}-[a-z2-7]{20}")


def unix_user(name: str) -> str:
    """The user's name where that is a legal name of no system account, else one derived from it.

    Two users never get the same account: what looks like a derived name is derived again.
    """
    if _LEGAL.fullmatch(name) and not _reserved(name):
        return name
    # A lone surrogate is no UTF-8, and two names must not become one by replacing it.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return f"{_slug(name)}-{base64.b32encode(digest).decode().lower()[:20]}"


def _reserved(name: str) -> bool:
    return bool(name in SYSTEM_NAMES or _SYSTEM.fullmatch(name) or _DERIVED.fullmatch(name))


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).lstrip("_0123456789")[:11].rstrip("_") or "user"


__all__ = ("SYSTEM_NAMES", "unix_user")
