"""What is kept for a server that does not run: telling of it, and giving it up."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_path_join
from tornado import web

from multiplespawner_core.contracts import Owner
from multiplespawner_core.resources.failures import Refused
from multiplespawner_core.resources.manager import Manager
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.selection.endings import on_deletion
from multiplespawner_core.spawner.runtime import Runtime
from multiplespawner_core.web.home import ANCHOR, Home, label

_PATHS = (
    r"/multiplespawner/users/([^/]+)/server/kept",
    r"/multiplespawner/users/([^/]+)/servers/([^/]*)/kept",
)

_NOTHING = "Nothing is kept for this server."
_IN_USE = "The server runs, or is being started, on what was kept: stop it first."
_LATER = (
    "The hub could not record this yet; it is deleted as soon as it can. Your administrator"
    " finds the reason in the hub's log."
)

_COMMIT = 10.0
"""Seconds for which the ledger is waited for."""

_log = logging.getLogger(__name__)


def kept_for(manager: Manager, owner: Owner) -> Resource | None:
    """What is kept for a server."""
    return next((one for one in manager.kept(owner.user) if one.owner == owner), None)


async def give_up(manager: Manager, owner: Owner, by: str) -> None:
    """Delete what is kept for a server; returns once that is committed, and it goes on behind.

    Args:
        manager: owns what exists.
        owner: whose server it is kept for.
        by: who asks, for log and ledger.

    Raises:
        Refused: nothing is kept, or it is in use, or this is not committed yet.
    """
    kept = kept_for(manager, owner)
    if kept is None:
        used = any(not resource.released.is_set() for resource in manager.of(owner))
        raise Refused(_IN_USE) if used else Refused(_NOTHING, HTTPStatus.NOT_FOUND)
    _log.info("%s gives up %s, which is kept for %s", by, kept.id, owner)
    reason = f"{by} gave up what was kept"
    manager.begin_release(kept, reason, for_good=True)  # before anything else can begin on it
    try:
        await asyncio.wait_for(manager.release(kept, reason, for_good=True), _COMMIT)
    except (asyncio.TimeoutError, TimeoutError):
        raise Refused(_LATER, HTTPStatus.SERVICE_UNAVAILABLE) from None


class KeptAPIHandler(APIHandler):
    """Look at what is kept for one server, and delete it."""

    def initialize(self, runtime: Runtime) -> None:
        self._manager = runtime.manager

    @needs_scope("read:servers", "delete:servers")
    async def get(self, user_name: str, server_name: str = "") -> None:
        kept = kept_for(self._manager, _owner(self, user_name, server_name))
        if kept is None or kept.record is None:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, _NOTHING)
        record = kept.record
        model = {
            "id": record.id,
            "template": record.template,
            "deployment": record.deployment,
            "provider": record.provider,
            "resource_type": record.specification.resource_type,
            "on_deletion": on_deletion(record.specification.resource_type),
        }
        self.write(json.dumps(model))

    @needs_scope("delete:servers")
    async def delete(self, user_name: str, server_name: str = "") -> None:
        try:
            await give_up(self._manager, _owner(self, user_name, server_name), _asking(self))
        except Refused as refused:
            raise web.HTTPError(refused.status, refused.message) from None
        self.set_status(HTTPStatus.NO_CONTENT)


class KeptFormHandler(BaseHandler):
    """Delete what is kept for one server by a form of the home page, and go back there."""

    def initialize(self, runtime: Runtime, home: Home) -> None:
        self._manager = runtime.manager
        self._home = home

    @needs_scope("delete:servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        server, by = label(server_name, None), _asking(self)
        try:
            await give_up(self._manager, _owner(self, user_name, server_name), by)
        except Refused as refused:
            self._tell(f"{server}: {refused.message}", good=False)
        else:
            self._tell(f"What was kept for {server} is being deleted.", good=True)
        self.redirect(f"{url_path_join(self.hub.base_url, 'home')}#{ANCHOR}", status=303)

    def _tell(self, text: str, *, good: bool) -> None:
        self._home.tell(self.current_user.name, text, good=good)


def handlers(runtime: Runtime, home: Home) -> list[tuple[Any, ...]]:
    """What JupyterHub answers by us, below its own prefix."""
    return [
        *((f"/api{path}", KeptAPIHandler, {"runtime": runtime}) for path in _PATHS),
        *((path, KeptFormHandler, {"runtime": runtime, "home": home}) for path in _PATHS),
    ]


def _owner(handler: BaseHandler, user_name: str, server_name: str) -> Owner:
    """Whose server is meant; of a user that JupyterHub does not know nothing is said."""
    user = handler.find_user(user_name)
    if user is None:
        raise web.HTTPError(HTTPStatus.NOT_FOUND, _NOTHING)
    return Owner(user.name, server_name)


def _asking(handler: BaseHandler) -> str:
    return f"{handler.current_user.kind} {handler.current_user.name}"


__all__ = ("KeptAPIHandler", "KeptFormHandler", "give_up", "handlers", "kept_for")
