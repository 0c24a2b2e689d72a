"""The provider that talks to the small cloud over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient
from traitlets import Float, List, Unicode

from multiplespawner_core.contracts import ConfigurationError
from multiplespawner_core.testing.cloud.model import Answer, Call
from multiplespawner_core.testing.cloud.provider import CloudProvider, NoAnswer, NoConnection

_SENT = "during request"


class SmallCloud(CloudProvider):
    """Virtual machines of the small cloud, over HTTP."""

    url = Unicode(help="Where the cloud's server is, such as ``http://127.0.0.1:8123``.").tag(
        config=True
    )

    secret_file = Unicode(help="File of mode 0600 with the secret that the server asks for.").tag(
        config=True
    )

    scope_names = List(
        Unicode(), ["north", "south"], help="The scopes of the cloud in which to create."
    ).tag(config=True)

    connect_timeout = Float(5.0, min=0, help="Seconds until there is a connection.").tag(
        config=True
    )

    request_timeout = Float(20.0, min=0, help="Seconds until a request is answered.").tag(
        config=True
    )

    def __init__(
        self, *, component: str, state_dir: Path, installation_id: str, **kwargs: Any
    ) -> None:
        super().__init__(
            component=component, state_dir=state_dir, installation_id=installation_id, **kwargs
        )
        if not self.url or not self.secret_file:
            msg = "SmallCloud needs url and secret_file (c.SmallCloud.url = ...)"
            raise ConfigurationError(msg)
        self._client: AsyncHTTPClient | None = None
        self._secret: str | None = None

    async def shutdown(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _scope_keys(self) -> Sequence[str]:
        return self.scope_names

    async def _exchange(self, call: Call) -> Answer:
        if self._secret is None:
            self._secret = await asyncio.to_thread(_read_secret, Path(self.secret_file))
        request = HTTPRequest(
            f"{self.url}/v1/{call.scope}/{call.method}",
            "POST",
            {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"},
            json.dumps(call.arguments),
            connect_timeout=self.connect_timeout,
            request_timeout=self.request_timeout,
            follow_redirects=False,
        )
        response = await self._fetch(request)
        try:
            body = json.loads(response.body)
        except ValueError:
            raise NoAnswer("it cannot be read") from None
        if response.code == 401:  # noqa: PLR2004 - HTTP's own number
            self._secret = None  # it may have been renewed
        retry_after = None
        with contextlib.suppress(KeyError, ValueError):
            retry_after = float(response.headers["Retry-After"])
        return Answer(response.code, body, retry_after)

    async def _fetch(self, request: HTTPRequest) -> HTTPResponse:
        if self._client is None:
            # As many as this class lets through: none waits in the client's own queue.
            self._client = SimpleAsyncHTTPClient(force_instance=True, max_clients=self.concurrency)
        try:
            return await self._client.fetch(request, raise_error=False)
        except ConnectionRefusedError as error:
            raise NoConnection("connection refused") from error
        except HTTPTimeoutError as error:
            kind = NoAnswer if _SENT in str(error) else NoConnection
            raise kind("timed out") from error
        except Exception as error:
            # Its text may hold what was sent.
            raise NoAnswer(type(error).__name__) from error


def _read_secret(path: Path) -> str:
    """The secret, unless others can read it as well."""
    try:
        if path.stat().st_mode & 0o077:
            msg = f"{path} can be read by others: chmod 600 {path}"
            raise ConfigurationError(msg)
        return path.read_text("utf-8").strip()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error


__all__ = ("SmallCloud",)
