"""The demo's proxy: the one from PyPI, made to pass progress on while it happens.

As it comes (``configurable_http_proxy/handlers.py``, ``ProxyHandler.call_proxy``) it holds every
answer back until its end and gives up after 20 seconds: the progress page stays empty, and a start
that takes longer leaves it there for ever. It also serves ten requests at a time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPHeaders, parse_response_start_line
from tornado.iostream import StreamClosedError

_DROPPED = {"connection", "content-encoding", "content-length", "transfer-encoding"}


def main() -> None:
    """Run it with the command line of ``configurable-http-proxy``."""
    # Not at the top: the demo's packages are an extra.
    handler = import_module("configurable_http_proxy.handlers").ProxyHandler
    buffering = handler.call_proxy

    async def call_proxy(self: Any, path: str | None = None) -> None:
        if "text/event-stream" in self.request.headers.get("Accept", ""):
            await _stream(self, path)
        else:
            await buffering(self, path)

    handler.call_proxy = call_proxy
    AsyncHTTPClient.configure(None, max_clients=1000, defaults={"request_timeout": 0})
    import_module("configurable_http_proxy.cli").main()


async def _stream(handler: Any, path: str | None) -> None:
    url = await handler.get_target_url(path)
    if url is None:
        return
    answer = _Answer(handler)
    request = handler._get_proxy_request(url)  # noqa: SLF001 - there is no other way
    request.header_callback = answer.header
    request.streaming_callback = answer.chunk
    try:
        await AsyncHTTPClient().fetch(request, raise_error=False)
    except Exception as error:  # noqa: BLE001 - whatever happened, the browser gets an answer
        if not answer.begun:
            await handler.handle_proxy_error(503, error)
            return
    handler.finish()


class _Answer:
    """Writes what arrives from the target, as it arrives."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self._lines: list[str] = []
        self.begun = False

    def header(self, line: str) -> None:
        if line.strip():
            self._lines.append(line)
            return
        self._handler.set_status(parse_response_start_line(self._lines[0].strip()).code)
        headers = HTTPHeaders.parse("".join(self._lines[1:]))
        for name in headers:
            if name.lower() not in _DROPPED:
                self._handler.clear_header(name)
        for name, value in headers.get_all():
            if name.lower() not in _DROPPED:
                self._handler.add_header(name, value)

    def chunk(self, data: bytes) -> None:
        if self._handler.request.connection.stream.closed():
            raise StreamClosedError  # ends the request to the target as well
        self.begun = True
        self._handler.write(data)
        self._handler.flush()


if __name__ == "__main__":
    main()


__all__ = ("main",)
