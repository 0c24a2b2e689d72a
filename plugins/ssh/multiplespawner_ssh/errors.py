"""What goes wrong between the hub and a machine. Users read the messages."""

from __future__ import annotations

from multiplespawner_core import MultipleSpawnerError, OpenFailed


class SSHError(MultipleSpawnerError):
    """The base of what the connection to a machine raises."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.jupyterhub_message = message


class Unreachable(SSHError):
    """The machine gives no answer. Proves nothing about what runs on it."""


class LoginRefused(SSHError):
    """The machine answers and does not let the hub in. Proves nothing about what runs on it."""


class WrongHostKey(SSHError, OpenFailed):
    """What answers at the address is not the machine that was meant. Nothing was sent to it."""


class ServerNotStarted(SSHError):
    """The server did not come up; the message has the end of its log."""


__all__ = ("LoginRefused", "SSHError", "ServerNotStarted", "Unreachable", "WrongHostKey")
