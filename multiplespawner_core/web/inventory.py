"""All resources over JupyterHub's API, for administrators."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from multiplespawner_core.resources.failures import Refused
from multiplespawner_core.resources.inventory import MOST, Inventory, Model
from multiplespawner_core.resources.unavailable import LedgerUnavailable
from multiplespawner_core.spawner.runtime import Runtime

_ALL = r"/api/multiplespawner/resources"
_ONE = rf"{_ALL}/(q?[0-9a-f]+)"

# Of all users: whoever may see and stop the servers of some is not asked about everybody's.
_administrators = needs_scope("admin:servers")


class _Handler(APIHandler):
    def initialize(self, inventory: Inventory) -> None:
        self._inventory = inventory

    @property
    def _by(self) -> str:
        return f"{self.current_user.kind} {self.current_user.name}"

    async def _answer(self, answer: Awaitable[Model]) -> None:
        try:
            self.write(json.dumps(await answer))
        except Refused as refused:
            raise web.HTTPError(refused.status, refused.message) from None
        except LedgerUnavailable as error:
            # Written for administrators, with the remedy.
            raise web.HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}") from None

    def _body(self, **kinds: type) -> dict[str, Any]:
        """The body: an object with some of these keys, or nothing."""
        body = self.get_json_body() if self.request.body else {}
        good = isinstance(body, dict) and all(
            isinstance(value, kinds.get(key, ())) for key, value in body.items()
        )
        if not good:
            allowed = ", ".join(f'"{key}": {_NAMES[kind]}' for key, kind in kinds.items())
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST, f"The body may be {{{allowed}}}, and nothing else."
            )
        found: dict[str, Any] = body
        return found


class ListAPIHandler(_Handler):
    """Everything that is not given back."""

    @_administrators
    async def get(self) -> None:
        await self._answer(self._inventory.list(self.get_argument("user", None)))


class HistoryAPIHandler(_Handler):
    """What there was."""

    @_administrators
    async def get(self) -> None:
        text = self.get_argument("limit", "100")
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST):
            message = f"limit: must be a whole number from 1 to {MOST}, not {text!r:.60}."
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, message)
        user = self.get_argument("user", None)
        await self._answer(self._inventory.history(int(text), user))


class ReconcileAPIHandler(_Handler):
    """A sweep now."""

    @_administrators
    async def post(self) -> None:
        dry_run = self._body(dry_run=bool).get("dry_run", False)
        await self._answer(self._inventory.reconcile(dry_run=dry_run))


class ShowAPIHandler(_Handler):
    """One resource."""

    @_administrators
    async def get(self, given: str) -> None:
        await self._answer(self._inventory.show(given))


class ReleaseAPIHandler(_Handler):
    """Give one back."""

    @_administrators
    async def post(self, given: str) -> None:
        quarantined = self._body(quarantined=bool).get("quarantined", False)
        release = self._inventory.discard if quarantined else self._inventory.release
        await self._answer(release(given, self._by))


class ForgetAPIHandler(_Handler):
    """Give one up."""

    @_administrators
    async def post(self, given: str) -> None:
        reason = self._body(reason=str).get("reason", "")
        await self._answer(self._inventory.forget(given, reason, self._by))


def handlers(runtime: Runtime) -> list[tuple[Any, ...]]:
    """What JupyterHub answers by us, below its own prefix."""
    paths = {
        _ALL: ListAPIHandler,
        f"{_ALL}/history": HistoryAPIHandler,
        f"{_ALL}/reconcile": ReconcileAPIHandler,
        _ONE: ShowAPIHandler,
        f"{_ONE}/release": ReleaseAPIHandler,
        f"{_ONE}/forget": ForgetAPIHandler,
    }
    given = {"inventory": runtime.inventory}
    return [(path, handler, given) for path, handler in paths.items()]


_NAMES = {bool: "true or false", str: "text"}

__all__ = ("handlers",)
