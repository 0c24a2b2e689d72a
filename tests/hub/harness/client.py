"""What tests say to a hub: as an administrator over the API, and as a user with cookies."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx

from .processes import wait_for

Json = dict[str, Any]


class HubClient:
    """The REST API as an administrator. Methods raise httpx.HTTPStatusError on refusal."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.http = httpx.Client(
            base_url=f"{url}/hub/api",
            headers={"Authorization": f"token {token}"},
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        self.http.close()

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Any call, without raising: for tests of refusals."""
        return self.http.request(method, path, **kwargs)

    def version(self) -> tuple[int, ...]:
        found = self._json("GET", "/")["version"]
        return tuple(int(part) for part in re.findall(r"\d+", found)[:3])

    # --- users ---

    def create_user(self, name: str, *, admin: bool = False) -> Json:
        return self._json("POST", f"/users/{name}", json={"admin": admin})

    def user(self, name: str) -> Json:
        return self._json("GET", f"/users/{name}?include_stopped_servers")

    def delete_user(self, name: str) -> None:
        self._raise(self.request("DELETE", f"/users/{name}"))

    def ensure_user(self, name: str) -> None:
        response = self.request("POST", f"/users/{name}")
        if response.status_code != httpx.codes.CONFLICT:
            self._raise(response)

    def create_group(self, name: str, *users: str) -> None:
        self._raise(self.request("POST", f"/groups/{name}"))
        self._raise(self.request("POST", f"/groups/{name}/users", json={"users": list(users)}))

    # --- servers ---

    def start(
        self, user: str, options: Json | None = None, server: str = "", *, wait: bool = True
    ) -> httpx.Response:
        """Ask for a server with `options`, in the body's shape of the hub's version."""
        self.ensure_user(user)
        response = self.try_start(user, options, server)
        self._raise(response)
        if wait:
            self.wait_until_running(user, server)
        return response

    def try_start(self, user: str, options: Json | None = None, server: str = "") -> httpx.Response:
        """The same, without raising or waiting; the user must exist."""
        body = {"user_options": options} if self.version() >= (6,) else options
        return self.request(
            "POST", self._server_path(user, server), json=None if options is None else body
        )

    def stop(self, user: str, server: str = "", *, wait: bool = True) -> None:
        self._raise(self.request("DELETE", self._server_path(user, server)))
        if wait:
            self.wait_until_stopped(user, server)

    def remove_server(self, user: str, server: str) -> None:
        """Stop a named server and delete its record."""
        path = self._server_path(user, server)
        self._raise(self.request("DELETE", path, json={"remove": True}))

    def server(self, user: str, server: str = "") -> Json | None:
        """The server's model (ready, pending, url, user_options...), None if there is none."""
        return self.user(user)["servers"].get(server)

    def is_running(self, user: str, server: str = "") -> bool:
        return bool((self.server(user, server) or {}).get("ready"))

    def is_stopped(self, user: str, server: str = "") -> bool:
        model = self.server(user, server) or {}
        return not model.get("ready") and not model.get("pending")

    def wait_until_running(self, user: str, server: str = "", *, timeout: float = 60) -> Json:
        """The model of the ready server; AssertionError as soon as the start has failed."""
        deadline = time.monotonic() + timeout
        while True:
            model = self.server(user, server) or {}
            if model.get("ready"):
                return model
            assert model.get("pending"), f"the start of {user}/{server} has failed"
            assert time.monotonic() < deadline, f"{user}/{server} is not ready: {model}"
            time.sleep(0.1)

    def wait_until_stopped(self, user: str, server: str = "", *, timeout: float = 60) -> None:
        wait_for(lambda: self.is_stopped(user, server), f"{user}/{server} stops", timeout=timeout)

    def progress(self, user: str, server: str = "", *, timeout: float = 60) -> Iterator[Json]:
        """The events of a starting server until the stream ends (keep-alives left out)."""
        url = f"{self._server_path(user, server)}/progress"
        accept = {"Accept": "text/event-stream"}
        with self.http.stream("GET", url, headers=accept, timeout=timeout) as response:
            if response.is_error:
                response.read()
            self._raise(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def server_get(self, user: str, path: str = "", server: str = "") -> httpx.Response:
        """GET something from the user's own server, through the proxy."""
        name = f"{server}/" if server else ""
        return httpx.get(
            f"{self.url}/user/{user}/{name}{path}",
            headers=self.http.headers,
            timeout=30,
            trust_env=False,
        )

    @staticmethod
    def _server_path(user: str, server: str) -> str:
        return f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"

    def _json(self, method: str, path: str, **kwargs: Any) -> Any:
        response = self.request(method, path, **kwargs)
        self._raise(response)
        return response.json()

    @staticmethod
    def _raise(response: httpx.Response) -> None:
        if response.is_error:
            message = (
                f"{response.request.method} {response.url}: {response.status_code} {response.text}"
            )
            raise httpx.HTTPStatusError(message, request=response.request, response=response)


class UserSession:
    """A user's browser without the browser: cookies, forms, _xsrf. Answers are not raised."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60, follow_redirects=True, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.http.get(path, **kwargs)

    def post(
        self, path: str, fields: dict[str, Any] | None = None, **kwargs: Any
    ) -> httpx.Response:
        """Submit a form to `path`; a list as value gives several fields of one name."""
        kwargs.setdefault("headers", {"Referer": str(self.http.base_url.join(path))})
        data = {"_xsrf": self.xsrf, **(fields or {})}
        return self.http.post(path, data=data, **kwargs)

    def login(self, name: str, password: str = "any") -> UserSession:
        self.get("/hub/login")
        response = self.post("/hub/login?next=/hub/home", {"username": name, "password": password})
        assert response.is_success, response.text
        assert response.url.path == "/hub/home", response.url
        return self

    def spawn_form(self, user: str = "", server: str = "") -> httpx.Response:
        """The page with the options form (or what the hub answers instead of it)."""
        return self.get(self._spawn_path(user, server))

    def submit_spawn(
        self,
        fields: dict[str, Any],
        user: str = "",
        server: str = "",
        *,
        files: dict[str, Any] | None = None,
    ) -> httpx.Response:
        """Open the form and submit it. Redirects are followed: a start ends on the pending page."""
        self.spawn_form(user, server)
        return self.post(self._spawn_path(user, server), fields, files=files)

    @staticmethod
    def _spawn_path(user: str, server: str) -> str:
        assert user or not server, "a named server's form needs the user's name"
        return "/hub/spawn" + (f"/{user}" if user else "") + (f"/{server}" if server else "")

    @property
    def xsrf(self) -> str:
        """What the hub's forms and scripts send back; it changes at login."""
        jar = self.http.cookies.jar
        found = [c for c in jar if c.name == "_xsrf" and c.path.endswith("/hub/")]
        return found[-1].value or "" if found else ""
