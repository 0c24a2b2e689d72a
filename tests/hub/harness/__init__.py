"""Real JupyterHubs for tests: processes of their own that can be killed and brought back."""

from .client import HubClient, UserSession
from .hub import HubProcess
from .processes import wait_for

__all__ = ("HubClient", "HubProcess", "UserSession", "wait_for")
