"""The hub's API, asked by the command."""

from __future__ import annotations

import json
import os
import ssl
import stat
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from multiplespawner_core.cli.hub_config import HubConfig
from multiplespawner_core.cli.resources.door import Model
from multiplespawner_core.contracts import ConfigurationError, MultipleSpawnerError
from multiplespawner_core.resources.failures import Refused

NEEDED = (
    "the hub runs, so it is asked by its API, and that needs a token with the scope admin:servers:"
    " set JUPYTERHUB_API_TOKEN, or name a file of mode 0600 with --token-file"
)
NOT_ASKED = "without a token the hub is not asked"

_UNTRUSTED = (
    "with internal SSL ask through the hub's proxy, by --hub-url if need be; where a certificate is"
    " of an authority of your own, name its file in the environment variable SSL_CERT_FILE"
)

_TIMEOUT = 600.0
_EVERYWHERE = ("", "*", "0.0.0.0", "::")  # noqa: S104 - addresses to listen at, not to ask


class Unreachable(MultipleSpawnerError):
    """No hub answers at the URL."""


class Hub:
    """A running hub.

    Args:
        url: of its API.
        token: for it.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        # Neither to a proxy nor to wherever an answer points: the token is for the hub alone.
        self._opener = build_opener(ProxyHandler({}), _NoRedirect())

    async def list(self, user: str | None = None) -> Model:
        return self._ask("GET", "", user=user)

    async def history(self, limit: int, user: str | None = None) -> Model:
        return self._ask("GET", "/history", limit=limit, user=user)

    async def show(self, given: str) -> Model:
        return self._ask("GET", f"/{given}")

    async def release(self, given: str, by: str) -> Model:  # noqa: ARG002 - the token says who
        return self._ask("POST", f"/{given}/release", {})

    async def discard(self, given: str, by: str) -> Model:  # noqa: ARG002 - the token says who
        return self._ask("POST", f"/{given}/release", {"quarantined": True})

    async def forget(self, given: str, reason: str, by: str) -> Model:  # noqa: ARG002 - the token says who
        return self._ask("POST", f"/{given}/forget", {"reason": reason})

    async def reconcile(self, *, dry_run: bool = False) -> Model:
        return self._ask("POST", "/reconcile", {"dry_run": dry_run})

    async def finish(self, seconds: float) -> None:
        """Nothing: the hub goes on."""

    def _ask(self, method: str, path: str, body: Model | None = None, **query: Any) -> Model:
        given = urlencode({key: value for key, value in query.items() if value is not None})
        url = f"{self._url}/multiplespawner/resources{path}{'?' * bool(given)}{given}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = Request(url, data, headers, method=method)  # noqa: S310 - checked by `url_of`
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                answer: Model = json.loads(response.read())
        except HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            hint = _UNTRUSTED if isinstance(reason, ssl.SSLError) else "see --hub-url"
            msg = f"no hub answers at {self._url} ({reason}); {hint}"
            raise Unreachable(msg) from None
        except ValueError:
            raise self._strange("no JSON") from None
        return answer

    def _refused(self, error: HTTPError) -> MultipleSpawnerError:
        try:
            message = str(json.loads(error.read())["message"])
        except (ValueError, TypeError, KeyError):
            return self._strange(f"status {error.code}")
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            msg = f"the hub refuses the token, which needs the scope admin:servers: {message}"
            return Refused(msg, error.code)
        return Refused(message, error.code)

    def _strange(self, what: str) -> ConfigurationError:
        msg = f"{self._url} answers like no hub with multiplespawner ({what}); see --hub-url"
        return ConfigurationError(msg)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the redirect becomes an error."""


def url_of(hub: HubConfig, given: str | None) -> str:
    """The URL of the hub's API: what is given, else what the hub's configuration says.

    Raises:
        ConfigurationError: it is none that can be asked.
    """
    url = given or os.environ.get("JUPYTERHUB_API_URL") or _configured(hub)
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        msg = f"{url!r} is no URL of a hub's API that can be asked; name it with --hub-url"
        raise ConfigurationError(msg)
    return url


def token_of(file: Path | None) -> str | None:
    """The token, if there is one.

    Raises:
        ConfigurationError: others may read the file, or it cannot be read.
    """
    if file is None:
        return os.environ.get("JUPYTERHUB_API_TOKEN") or None
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            msg = f"{file} has the mode {mode:04o}, so others can use the token: chmod 600 {file}"
            raise ConfigurationError(msg)
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the token in {file} cannot be read: {error}"
        raise ConfigurationError(msg) from None
    if not token or not token.isascii() or len(token.split()) != 1:
        msg = f"{file} holds no token"
        raise ConfigurationError(msg)
    return token


def _configured(hub: HubConfig) -> str:
    """Asked directly: a proxy may give up before a sweep has ended."""
    from jupyterhub.app import JupyterHub  # noqa: PLC0415 - takes seconds

    app = hub.app or JupyterHub()
    if app.internal_ssl:
        # Behind the proxy only those with the hub's own certificates are heard.
        parts = urlsplit(app.public_url or app.bind_url)
        host = "127.0.0.1" if (parts.hostname or "") in _EVERYWHERE else parts.hostname
        netloc = f"{host}:{parts.port}" if parts.port else str(host)
        return f"{parts.scheme}://{netloc}{app.hub_prefix}api"
    app.init_hub()
    url: str = app.hub.api_url
    return url


__all__ = ("NEEDED", "NOT_ASKED", "Hub", "Unreachable", "token_of", "url_of")
