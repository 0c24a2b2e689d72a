"""The server extension: its settings, its one address, and what it answers there."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated
from traitlets import Float, List
from traitlets.config import LoggingConfigurable

from multiplespawner_lab import hub
from multiplespawner_lab.lifetime import Lifetime, iso

_SHORTEST, _LONGEST, _RARELY = 30, 300, 900
"""Seconds after which a page asks again: near the end, far from it, and where there is none."""


class MultipleSpawnerLab(LoggingConfigurable):
    """What the page in JupyterLab is told."""

    warn_minutes = List(
        Float(min=0),
        default_value=[15.0, 5.0, 1.0],
        minlen=1,
        help="""How many minutes before a server's end to warn, each time anew.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._home = hub.home(os.environ)
        self._hub = hub.from_environment(os.environ, self.log)

    async def answer(self) -> dict[str, Any]:
        """For the page.

        Raises:
            HubError: the hub has never answered.
        """
        if self._hub is None:
            return self._answer(None, None)
        said = await self._hub.answer()
        return self._answer(said.lifetime, said.now)

    def _answer(self, lifetime: Lifetime | None, now: datetime | None) -> dict[str, Any]:
        return {
            "now": iso(now),
            "lifetime": lifetime and lifetime.dump(),
            "warn_minutes": sorted(self.warn_minutes, reverse=True),
            "extend_url": self._home if lifetime and lifetime.can_be_extended else None,
            "ask_again": self._ask_again(lifetime, now),
        }

    def _ask_again(self, lifetime: Lifetime | None, now: datetime | None) -> int:
        if lifetime is None or now is None:
            return _RARELY
        if lifetime.ends_at is None:
            return _LONGEST
        first = lifetime.ends_at - timedelta(minutes=max(self.warn_minutes))
        halfway = (first - now).total_seconds() / 2
        return round(min(max(halfway, _SHORTEST), _LONGEST))


class LifetimeHandler(APIHandler):
    """``GET multiplespawner-lab/lifetime``."""

    # Pages ask by themselves: that must not keep a server alive that nobody uses.
    _track_activity = False

    def initialize(self, extension: MultipleSpawnerLab) -> None:
        self.extension = extension

    @authenticated
    async def get(self) -> None:
        try:
            answer = await self.extension.answer()
        except hub.HubError as error:
            raise HTTPError(502, str(error)) from None
        self.finish(json.dumps(answer))


def load(server: ServerApp) -> None:
    """Add the address to the server."""
    application: Any = server.web_app
    extension = MultipleSpawnerLab(parent=server)
    path = url_path_join(application.settings["base_url"], "multiplespawner-lab", "lifetime")
    application.add_handlers(".*$", [(path, LifetimeHandler, {"extension": extension})])


__all__ = ("LifetimeHandler", "MultipleSpawnerLab", "load")
