"""A single-user server in 0.1 seconds: the least that JupyterHub accepts, standard library only.

Speaks TLS when the hub uses internal SSL. STUB_MODE says how it behaves:

- normal (default)
- exit-at-once: ends with status 1
- never-listen: runs, opens no port
- ignore-sigterm: normal, but only SIGKILL ends it

Below JUPYTERHUB_SERVICE_PREFIX: `api`, `api/status`, and `env`, which shows the environment
without tokens.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

STARTED = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
PREFIX = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        answers = {
            "": lambda: {"stub": True, "pid": os.getpid()},
            "api": lambda: {"version": "0"},
            "api/status": lambda: {
                "started": STARTED,
                "last_activity": STARTED,
                "kernels": 0,
                "connections": 0,
            },
            "env": lambda: {k: v for k, v in os.environ.items() if "TOKEN" not in k},
        }
        answer = answers.get(path.removeprefix(PREFIX) if path.startswith(PREFIX) else "?")
        body = json.dumps(answer() if answer else {"message": "not found"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-JupyterHub-Version", importlib.metadata.version("jupyterhub"))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None) -> None:
        self.context = context
        super().__init__(address, Handler)

    def finish_request(self, request, client_address) -> None:
        # The handshake belongs to the connection's own thread.
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address) -> None:
        sys.stderr.write(f"error with {client_address}: {sys.exc_info()[1]}\n")


def tls() -> ssl.SSLContext | None:
    if not os.environ.get("JUPYTERHUB_SSL_KEYFILE"):
        return None
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=os.environ["JUPYTERHUB_SSL_CLIENT_CA"]
    )
    context.load_cert_chain(
        os.environ["JUPYTERHUB_SSL_CERTFILE"], os.environ["JUPYTERHUB_SSL_KEYFILE"]
    )
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def main() -> None:
    mode = os.environ.get("STUB_MODE", "normal")
    if mode == "exit-at-once":
        sys.exit(1)
    if mode == "ignore-sigterm":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    if mode == "never-listen":
        while True:
            time.sleep(60)
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    host = "" if url.hostname in (None, "*") else url.hostname
    Server((host, url.port or 0), tls()).serve_forever()


if __name__ == "__main__":
    main()
