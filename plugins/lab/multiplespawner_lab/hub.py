"""Asking the hub for the lifetime of this server."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from multiplespawner_lab.lifetime import Lifetime

FRESH = 15.0
"""Seconds for which an answer counts, also one that failed: every open page asks."""

_CONNECT_TIMEOUT = 5.0
_TIMEOUT = 10.0


class HubError(Exception):
    """The hub did not say it. The text names no secret and may be shown."""


@dataclass(frozen=True)
class Answer:
    """What the hub said last; no lifetime where it has no multiplespawner."""

    lifetime: Lifetime | None
    now: datetime


@dataclass(frozen=True)
class _Said:
    lifetime: Lifetime | None
    at: datetime
    clock: float


class Hub:
    """The hub, for one server.

    Args:
        url: where it says the lifetime.
        token: the server's own.
        certificates: for a hub with internal SSL.
        log: hears when the hub stops answering, and when it answers again.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        url: str,
        token: str,
        certificates: ssl.SSLContext | None = None,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._token = token
        self._certificates = certificates
        self._log = log or logging.getLogger(__name__)
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked: float | None = None
        self._said: _Said | None = None
        self._error: HubError | None = None

    async def answer(self) -> Answer:
        """What the hub says, or said last if it does not answer: an end that is known stays near.

        Raises:
            HubError: it has never answered.
        """
        async with self._asking:
            if self._asked is None or self._clock() - self._asked >= FRESH:
                await self._ask()
                self._asked = self._clock()
        said = self._said
        if said is None:
            raise self._error or HubError("The hub was not asked.")
        return Answer(said.lifetime, said.at + timedelta(seconds=self._clock() - said.clock))

    async def _ask(self) -> None:
        try:
            self._said = await self._fetch()
        except HubError as error:
            if self._error is None:
                self._log.warning("multiplespawner_lab: %s", error)
            self._error = error
        else:
            if self._error is not None:
                self._log.info("multiplespawner_lab: the hub answers again")
            self._error = None

    async def _fetch(self) -> _Said:
        request = HTTPRequest(
            self.url,
            headers={"Authorization": f"token {self._token}", "Accept": "application/json"},
            connect_timeout=_CONNECT_TIMEOUT,
            request_timeout=_TIMEOUT,
            follow_redirects=False,  # the token is for this address alone
            ssl_options=self._certificates,
        )
        try:
            response = await AsyncHTTPClient().fetch(request, raise_error=False)
        except (OSError, HTTPClientError) as error:
            raise HubError(f"The hub cannot be reached: {error}.") from error
        return _Said(self._lifetime(response), _date(response), self._clock())

    def _lifetime(self, response: HTTPResponse) -> Lifetime | None:
        # A lifetime does not go away: then it is something on the way that answers 404.
        known = self._said is not None and self._said.lifetime is not None
        if response.code == HTTPStatus.NOT_FOUND and not known:
            return None
        if response.code != HTTPStatus.OK:
            raise HubError(f"The hub answered {response.code}.")
        try:
            return Lifetime.parse(json.loads(response.body))
        except ValueError as error:
            raise HubError(f"The hub's answer was not understood: {error}.") from error


def from_environment(
    environ: Mapping[str, str], log: logging.Logger | logging.LoggerAdapter[Any] | None = None
) -> Hub | None:
    """The hub that has started this server; None if none has."""
    api, user = environ.get("JUPYTERHUB_API_URL"), environ.get("JUPYTERHUB_USER")
    token, server = environ.get("JUPYTERHUB_API_TOKEN"), environ.get("JUPYTERHUB_SERVER_NAME")
    if not (api and user and token):
        return None
    which = f"servers/{quote(server, safe='')}" if server else "server"
    url = f"{api.rstrip('/')}/multiplespawner/users/{quote(user, safe='')}/{which}/lifetime"
    return Hub(url, token, _certificates(environ), log)


def home(environ: Mapping[str, str]) -> str:
    """The hub's page on which users see and extend their servers."""
    public = environ.get("JUPYTERHUB_PUBLIC_HUB_URL")
    if not public:
        host, base = environ.get("JUPYTERHUB_HOST", ""), environ.get("JUPYTERHUB_BASE_URL") or "/"
        public = f"{host}{base.rstrip('/')}/hub/"
    # What multiplespawner adds to that page is below its servers.
    return f"{public.rstrip('/')}/home#multiplespawner-ends"


def _certificates(environ: Mapping[str, str]) -> ssl.SSLContext | None:
    """With internal SSL both sides show certificates that the hub has made."""
    key, certificate = environ.get("JUPYTERHUB_SSL_KEYFILE"), environ.get("JUPYTERHUB_SSL_CERTFILE")
    if not (key and certificate):
        return None
    context = ssl.create_default_context(cafile=environ.get("JUPYTERHUB_SSL_CLIENT_CA") or None)
    context.load_cert_chain(certificate, key)
    return context


def _date(response: HTTPResponse) -> datetime:
    """The hub's clock, rounded up: its times are compared with no other."""
    try:
        moment = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return datetime.now(timezone.utc)
    # It names the second that has begun: a warning that is early is better than one that is late.
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc) + timedelta(seconds=1)


__all__ = ("FRESH", "Answer", "Hub", "HubError", "from_environment", "home")
