"""A real PostgreSQL server for tests: one a session, a fresh database for whoever asks."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg

PASSWORD = "canary/of:the@ledger"
ENCODED = "canary%2Fof%3Athe%40ledger"

_numbers = itertools.count(1)


def _programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = found[-1] if found else shutil.which("initdb")
    assert program, "there is no PostgreSQL: run scripts/system_packages.sh postgresql as root"
    return Path(program).resolve().parent


class Server:
    """Runs as a user of its own, because PostgreSQL refuses root, and ends with this process."""

    def __init__(self):
        self.programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="msp-pg-", dir=_in_memory()))
        self.port = _free_port()
        self._as_user = ["setpriv", "--pdeathsig", "QUIT"]
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self._as_user += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._process = None
        self._template = None
        self._call("initdb", "-D", self.folder / "data", "-U", "admin", "--no-sync", "-E", "UTF8",
                   "--auth-local=trust", "--auth-host=scram-sha-256", "--no-locale")  # fmt: skip
        self.start()
        self.run("CREATE ROLE hub LOGIN PASSWORD '" + PASSWORD + "'")

    def _call(self, program, *args):
        command = [*self._as_user, self.programs / program, *args]
        subprocess.run(command, check=True, cwd=self.folder, capture_output=True, timeout=60)

    def start(self):
        """Not from a thread that ends: the server would end with it."""
        log = (self.folder / "log").open("ab")
        # fmt: off
        command = [*self._as_user, self.programs / "postgres", "-D", self.folder / "data",
                   "-k", self.folder, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                   "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=40",
                   "-c", "min_wal_size=32MB", "-c", "max_wal_size=64MB"]
        # fmt: on
        self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        log.close()
        give_up = time.monotonic() + 30
        while True:
            try:
                return self.run("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < give_up, (self.folder / "log").read_text()
                time.sleep(0.02)

    def stop(self, how=signal.SIGINT):
        """SIGINT: sessions are ended; SIGQUIT: as if it had crashed."""
        self._process.send_signal(how)
        self._process.wait(30)

    def close(self):
        with suppress(OSError):
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, statement, database="postgres", *values):
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="admin", dbname=database, autocommit=True
        ) as session:
            cursor = session.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def create(self, options="", *, upgraded=True):
        """A new database of the hub's; upgraded, it has the ledger's tables."""
        name = f"ledger_{next(_numbers)}"
        if upgraded and not options:
            options = f"TEMPLATE {self._upgraded()}"
        self.run(f"CREATE DATABASE {name} OWNER hub {options}")
        return Place(self, name)

    def _upgraded(self):
        if self._template is None:
            from sqlalchemy import create_engine

            from multiplespawner_core.resources.database import _upgrade

            self._template = self.create(upgraded=False).name
            engine = create_engine(Place(self, self._template).url)
            with engine.begin() as connection:
                _upgrade(connection)
            engine.dispose()
        return self._template


class Place:
    """One database, and what befalls it."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.url = f"postgresql+psycopg://hub@/{name}?host={server.folder}&port={server.port}"
        self.by_password = f"postgresql+psycopg://hub:{ENCODED}@127.0.0.1:{server.port}/{name}"

    def drop(self):
        """Each is a thousand files, which take their time to be deleted at the end."""
        self.server.run(f"DROP DATABASE {self.name} WITH (FORCE)")

    def through(self, port):
        return f"postgresql+psycopg://hub:{ENCODED}@127.0.0.1:{port}/{self.name}"

    def run(self, statement, *values):
        return self.server.run(statement, self.name, *values)

    def sessions(self):
        return [pid for (pid,) in self.run(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = 'hub'", self.name
        )]  # fmt: skip

    def locks(self):
        """Sessions that hold an advisory lock, and the second half of its key."""
        return self.run(
            "SELECT pid, objid::bigint FROM pg_locks JOIN pg_database ON oid = database"
            " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
        )

    def cut(self):
        """End every session of the hub, as an administrator or a failing server does."""
        for pid in self.sessions():
            self.run("SELECT pg_terminate_backend(%s, 5000)", pid)

    def dump(self, file):
        self._tool("pg_dump", "-Fc", "-f", file)

    def restore(self, file):
        self._tool("pg_restore", "--clean", "--if-exists", "--role=hub", "--no-owner", file)

    def _tool(self, program, *args):
        where = ["-h", self.server.folder, "-p", str(self.server.port), "-U", "admin"]
        command = [self.server.programs / program, *where, "-d", self.name, *args]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


class Wire:
    """Between hub and server: may be cut on the hub's side while the server notices nothing."""

    def __init__(self, port):
        self._target = port
        self._kept = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((near, far))
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near), daemon=True).start()

    def _pass(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def cut(self):
        for near, far in self._pairs:
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
            near.close()
            self._kept.append(far)
        self._pairs.clear()

    def close(self):
        self.cut()
        for end in (self._listener, *self._kept):
            end.close()


def _in_memory():
    """Each database is a thousand files: where there is room for them, no disk is kept busy."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    return memory if roomy else None


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
