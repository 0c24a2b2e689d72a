"""A hub that says what a test wants, and a real Jupyter Server that asks it."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from harness import processes, wait_for

PLUGIN = Path(__file__).parents[1]
TOKEN = "secret-token-of-the-server"
ON_END = "Everything on this server is deleted."


def in_minutes(minutes):
    return datetime.now(timezone.utc) + timedelta(minutes=minutes)


def said(ends_at=None, *, latest_end=None, on_end=ON_END, storage="ephemeral"):
    """A hub's answer; times are datetimes."""
    times = {"started_at": in_minutes(-60), "ends_at": ends_at, "latest_end": latest_end}
    iso = {key: at and at.isoformat(timespec="seconds") for key, at in times.items()}
    told = {key: text and text.replace("+00:00", "Z") for key, text in iso.items()}
    return {**told, "on_end": on_end, "storage": storage}


def warn(*minutes):
    """Arguments for a server."""
    return [f"--MultipleSpawnerLab.warn_minutes={one}" for one in minutes]


class FakeHub:
    """Answers every request with `answer`: a dictionary, bytes, or a status; and remembers them.

    Before that it waits until `free` is set. `clock` takes the place of the real one: a header's
    text, or the time that it is when the hub is asked first.
    """

    def __init__(self):
        self.answer = said()
        self.clock = None
        self.free = threading.Event()
        self.free.set()
        self.requests = []
        self._first = None
        self.server = None
        self.port = 0
        self.scheme = "http"
        self.start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/hub/api"

    def date(self):
        if isinstance(self.clock, str):
            return self.clock
        now = datetime.now(timezone.utc)
        self._first = self._first or now
        shown = now if self.clock is None else self.clock + (now - self._first)
        return format_datetime(shown, usegmt=True)

    def start(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.requests.append((self.path, dict(self.headers)))
                hub.free.wait(30)
                status, body = _response(hub.answer)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{hub.url}/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def date_time_string(self, timestamp=None):
                return hub.date()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def encrypt(self, files):
        """Speak TLS from now on, with those that can show a certificate of the same authority."""
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=files["JUPYTERHUB_SSL_CLIENT_CA"]
        )
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(files["JUPYTERHUB_SSL_CERTFILE"], files["JUPYTERHUB_SSL_KEYFILE"])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "https"

    def stop(self):
        self.free.set()
        self.server.shutdown()
        self.server.server_close()


def _response(answer):
    if isinstance(answer, int):
        return answer, b"{}"
    if isinstance(answer, bytes):
        return 200, answer
    return 200, json.dumps(answer).encode()


class Server:
    """A real Jupyter Server, or JupyterLab, with the extension as this checkout has it."""

    def __init__(self, folder, module, hub, *arguments):
        self.ports = processes.Ports()
        self.port = self.ports.take()
        self.token = "token-of-the-browser"
        self.url = f"http://127.0.0.1:{self.port}/user/ada/"
        self.log_file = folder / "server.log"
        (folder / "home").mkdir()
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "MULTIPLE"))
        }
        environment |= {
            "HOME": str(folder / "home"),
            "JUPYTER_PATH": str(PLUGIN / "share" / "jupyter"),
            "JUPYTER_CONFIG_PATH": str(PLUGIN / "etc" / "jupyter"),
            "NO_PROXY": "127.0.0.1",
        }
        if hub is not None:
            environment |= {
                "JUPYTERHUB_API_URL": hub.url,
                "JUPYTERHUB_API_TOKEN": TOKEN,
                "JUPYTERHUB_USER": "ada",
                "JUPYTERHUB_SERVER_NAME": "",
                "JUPYTERHUB_BASE_URL": "/",
            }
        command = [
            *(sys.executable, "-m", module, "--no-browser", "--allow-root", "--debug"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}"),
            *("--ServerApp.port_retries=0", "--ServerApp.base_url=/user/ada/"),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={folder}/home"),
            *arguments,
        ]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    def __enter__(self):
        try:
            wait_for(self._answers, "the server answers", timeout=60)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _answers(self):
        assert self.process.poll() is None, self.log
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("api").is_success
        return False

    def get(self, path="multiplespawner-lab/lifetime"):
        return self.http.get(path, headers={"Authorization": f"token {self.token}"})

    def close(self):
        self.http.close()
        processes.end(self.process, grace=10)
        self.ports.release()
