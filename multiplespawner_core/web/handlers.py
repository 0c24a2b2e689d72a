"""The end of a server over JupyterHub's API, and the form of the home page."""

from __future__ import annotations

import json
from typing import Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_path_join
from tornado import web

from multiplespawner_core.resources.failures import NotExtended
from multiplespawner_core.resources.resource import Resource
from multiplespawner_core.spawner.multiple import MultipleSpawner
from multiplespawner_core.spawner.runtime import Runtime
from multiplespawner_core.web.home import ANCHOR, Home, duration, label
from multiplespawner_core.web.lifetime import extend, lifetime_of, minutes_of

_PATHS = (
    r"/multiplespawner/users/([^/]+)/server/lifetime",
    r"/multiplespawner/users/([^/]+)/servers/([^/]*)/lifetime",
)

_NOT_RUNNING = "No such server runs."


class LifetimeAPIHandler(APIHandler):
    """Read and move the end of one server."""

    def initialize(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @needs_scope("access:servers", "read:servers")
    async def get(self, user_name: str, server_name: str = "") -> None:
        self._answer(_running(_spawner(self, user_name, server_name)))

    @needs_scope("servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        beyond = self.has_scope(f"admin:servers!server={user_name}/{server_name}")
        try:
            minutes = minutes_of(self.get_json_body())
            resource = _running(_spawner(self, user_name, server_name))
            if resource is not None:
                await extend(self._runtime, resource, minutes, by=_asking(self), beyond=beyond)
        except NotExtended as refused:
            raise web.HTTPError(refused.status, refused.message) from None
        self._answer(resource)

    def _answer(self, resource: Resource | None) -> None:
        known = None if resource is None else lifetime_of(self._runtime, resource)
        if known is None:
            raise web.HTTPError(404, _NOT_RUNNING)
        self.write(json.dumps(known.model()))


class LifetimeFormHandler(BaseHandler):
    """Move the end of one server by a form of the home page, and go back there."""

    def initialize(self, runtime: Runtime, home: Home) -> None:
        self._runtime = runtime
        self._home = home

    @needs_scope("servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        spawner = _spawner(self, user_name, server_name)
        server = label(server_name, spawner)
        try:
            minutes = minutes_of({"minutes": _number(self.get_body_argument("minutes", ""))})
            await self._extend(spawner, minutes)
        except NotExtended as refused:
            self._home.tell(self.current_user.name, f"{server}: {refused.message}", good=False)
        else:
            text = f"The end of {server} was moved by {duration(minutes)}."
            self._home.tell(self.current_user.name, text, good=True)
        self.redirect(f"{url_path_join(self.hub.base_url, 'home')}#{ANCHOR}", status=303)

    async def _extend(self, spawner: MultipleSpawner | None, minutes: int) -> None:
        resource = _running(spawner)
        if resource is None:
            raise NotExtended(_NOT_RUNNING, "extension", 404)
        seen = self.get_body_argument("ends_at", None)
        await extend(self._runtime, resource, minutes, by=_asking(self), seen=seen)


def handlers(runtime: Runtime, home: Home) -> list[tuple[Any, ...]]:
    """What JupyterHub answers by us, below its own prefix."""
    return [
        *((f"/api{path}", LifetimeAPIHandler, {"runtime": runtime}) for path in _PATHS),
        *((path, LifetimeFormHandler, {"runtime": runtime, "home": home}) for path in _PATHS),
    ]


def _spawner(handler: BaseHandler, user_name: str, server_name: str) -> MultipleSpawner | None:
    """JupyterHub's own view of a server, if there is one.

    In the manager a user may still have an earlier name, which is somebody else's by now.
    """
    user = handler.find_user(user_name)
    spawner = None if user is None else user.spawners.get(server_name)
    return spawner if isinstance(spawner, MultipleSpawner) else None


def _running(spawner: MultipleSpawner | None) -> Resource | None:
    resource = None if spawner is None else spawner.resource
    return resource if resource is not None and resource.running else None


def _asking(handler: BaseHandler) -> str:
    return f"{handler.current_user.kind} {handler.current_user.name}"


def _number(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


__all__ = ("LifetimeAPIHandler", "LifetimeFormHandler", "handlers")
