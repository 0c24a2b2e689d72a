"""What a user may choose, over JupyterHub's API, so that scripts can choose too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import needs_scope, scope_definitions
from tornado import web

from multiplespawner_core.selection.endings import on_end
from multiplespawner_core.selection.request import Choice, User
from multiplespawner_core.selection.schema import schema
from multiplespawner_core.spawner.multiple import OFFERS_WAIT
from multiplespawner_core.spawner.runtime import Runtime

PATH: Final = r"/api/multiplespawner/choices"

# Who may start a user's servers has to know how; who may read a user reads what is the user's.
# JupyterHub 5 has no scope for starting alone.
_SCOPES = [one for one in ("servers", "start:servers", "read:users") if one in scope_definitions]


class ChoicesAPIHandler(APIHandler):
    """Read what one user may choose."""

    def initialize(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def get(self) -> Any:
        asking = self.current_user
        name = self.get_query_argument("user", None)
        if name is None and asking is not None and asking.kind != "user":
            raise web.HTTPError(400, "A service chooses for somebody: say ?user=NAME.")
        if name == "":
            raise web.HTTPError(400, "user: is empty; say ?user=NAME.")
        # In two steps, as JupyterHub's own handlers do it: scopes are checked for `user_name`.
        return self._get(user_name=getattr(asking, "name", "") if name is None else name)

    @needs_scope(*_SCOPES)
    async def _get(self, user_name: str) -> None:
        found = self.find_user(user_name)
        if found is None:
            raise web.HTTPError(404, "No access to resources or resources not found")
        user = User(found.name, frozenset(group.name for group in found.groups))
        site = await self._runtime.fresh_site()
        choices = site.choices(user)
        unavailable = await site.unavailable(choices, OFFERS_WAIT)
        self.write(
            json.dumps(
                {
                    "user": user.name,
                    "choices": [_model(one, unavailable.get(one.where, "")) for one in choices],
                    "schema": schema(choices),
                }
            )
        )


def handlers(runtime: Runtime) -> list[tuple[Any, ...]]:
    """What JupyterHub answers by us, below its own prefix."""
    return [(PATH, ChoicesAPIHandler, {"runtime": runtime})]


def _model(choice: Choice, reason: str) -> Mapping[str, Any]:
    return {
        "provider": choice.provider,
        "resource_type": choice.resource_type,
        "deployment": choice.deployment,
        "template": choice.template,
        "available": not reason,
        "reason": reason or None,
        "limits": {name: allowed.schema() for name, allowed in choice.limits.items()},
        "storage": choice.storage.value,
        "on_end": on_end(choice.storage, choice.resource_type, stops=choice.stops),
    }


__all__ = ("PATH", "ChoicesAPIHandler", "handlers")
