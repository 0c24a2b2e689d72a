"""``multiplespawner resources``: options, what people read, and the ledger while no hub runs."""

from __future__ import annotations

import http.server
import json
import os
import sqlite3
import ssl
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from certipy import Certipy

from multiplespawner_core.cli import hub_config, main
from multiplespawner_core.cli.resources import output, remote
from multiplespawner_core.contracts import (
    ConfigurationError,
    Handle,
    Offer,
    Owner,
    Scope,
    Specification,
)
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.record import Phase, Record

INTENT = "abcd" * 8
GONE = Scope("closedcloud", "eu")


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    for name in ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)


def record(**changes):
    values = {
        "id": INTENT,
        "installation_id": "i" * 32,
        "owner": Owner("ada", "lab"),
        "generation": 0,
        "template": "Cloud",
        "deployment": "image",
        "provider": GONE.provider,
        "offer": Offer(GONE, "small", cpu=2, memory=0.5, price=0.25),
        "specification": Specification("virtual_machine"),
        "created_at": 1_700_000_000.0,
        "phase": Phase.RELEASING,
        "handle": Handle("vm-1", GONE),
        "reason": "it was stopped",
        "last_error": "Unauthorized: the key was refused",
    }
    return Record(**{**values, **changes})


@pytest.fixture
async def ledger(folder):
    """A hub's that is down: one release that can never end, and one that is over."""
    ledger = Ledger.open("", folder.path / "state")
    await ledger.insert(record())
    over = {"owner": Owner("eve"), "phase": Phase.CLOSED, "last_error": ""}
    times = {"created_at": 1_600_000_000.0, "closed_at": 1_600_000_060.0}
    await ledger.insert(record(id="1234" * 8, **over, **times))
    ledger.close()
    return folder.path / "state" / "ledger.sqlite"


def call(capsys, *arguments):
    status = main(["resources", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_list_of_a_hub_that_is_down(ledger, folder, capsys):
    before = folder.there(), ledger.read_bytes()
    status, out, err = call(capsys, "list")
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == (
        "ID            OWNER    PHASE      PROVIDER     SIZE           CREATED (UTC)     PRICE"
    )
    assert lines[1] == (
        "abcdabcdabcd  ada/lab  releasing  closedcloud  2 CPU, 0.5 GB  2023-11-14 22:13  0.25"
    )
    assert "closedcloud" in lines[2], "its plugin is missing"
    assert lines[3] == "              Unauthorized: the key was refused"
    assert len(lines) == 4
    assert err == (
        "multiplespawner: without a token the hub is not asked; this is what the ledger says\n"
    )
    assert (folder.there(), ledger.read_bytes()) == before


def test_history_and_show(ledger, capsys):
    status, out, _ = call(capsys, "history")
    assert (status, len(out.splitlines())) == (0, 3)
    assert " ".join(out.splitlines()[2].split()) == (
        "123412341234 eve closed closedcloud 2020-09-13 12:26 2020-09-13 12:27 it was stopped"
    )
    assert len(call(capsys, "history", "--limit", "1")[1].splitlines()) == 2
    _, out, _ = call(capsys, "history", "--user", "eve", "--json")
    assert [one["id"] for one in json.loads(out)["resources"]] == ["1234" * 8]
    assert call(capsys, "history", "--user", "nobody")[1] == "nothing\n"
    assert call(capsys, "list", "--user", "eve")[1] == "no resources\n"
    status, out, _ = call(capsys, "show", "1234")
    assert status == 0
    assert f"id: '{'1234' * 8}'\nuser: eve\n" in out
    status, _, err = call(capsys, "show", "9999")
    assert status == 1
    assert err.endswith("multiplespawner: The ledger has no resource 9999.\n")
    status, _, err = call(capsys, "show", "q1234")
    assert status == 1
    assert "Nothing is known of q1234: only a sweep says what is quarantined." in err


def test_forget_without_a_hub(ledger, capsys):
    status, out, err = call(capsys, "forget", "abcd", "--reason", "its cloud is closed")
    assert (status, out.partition("forgotten by account ")[0]) == (0, f"{INTENT} of ada/lab: ")
    assert out.endswith(": its cloud is closed; vm-1 in closedcloud eu may still be there\n"), (
        "what may be left is said"
    )
    assert f"multiplespawner: {INTENT} of ada/lab is forgotten by account " in err
    with closing(sqlite3.connect(ledger)) as database:
        rows = database.execute(
            "SELECT phase, last_error FROM intents WHERE id = ?", [INTENT]
        ).fetchall()
    assert rows == [("closed", "Unauthorized: the key was refused")]
    status, _, err = call(capsys, "forget", "abcd", "--reason", "again")
    assert status == 1
    assert f"{INTENT} is closed: forgotten by account " in err


def test_what_cannot_be_asked_is_not_waited_for(ledger, capsys):
    before = time.monotonic()
    status, out, _ = call(capsys, "release", "abcd", "--wait", "600")
    assert status == 1
    assert out.startswith(f"{INTENT} of ada/lab is still being given back: ")
    status, out, _ = call(capsys, "reconcile", "--wait", "600")
    assert status == 1
    assert "closedcloud eu (virtual_machine): nothing is known: " in out
    assert time.monotonic() - before < 120


def test_while_the_lock_is_held(ledger, folder, capsys, monkeypatch):
    held = Ledger.open("", folder.path / "state")
    try:
        assert call(capsys, "list")[0] == 0
        status, _, err = call(capsys, "release", "abcd")
        assert status == 1
        assert err == (
            "multiplespawner: the hub runs, so it is asked by its API, and that needs a token with"
            " the scope admin:servers: set JUPYTERHUB_API_TOKEN, or name a file of mode 0600 with"
            " --token-file\n"
        )
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "SECRET")
        monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:1/hub/api")
        status, out, err = call(capsys, "release", "abcd")
        assert (status, out) == (1, "")
        assert "no hub answers at http://127.0.0.1:1/hub/api (" in err
        assert "SECRET" not in err
        status, out, err = call(capsys, "list")
        assert (status, out[:2]) == (0, "ID")
        assert "no hub answers at http://127.0.0.1:1/hub/api (" in err
        assert "; this is what the ledger says" in err
    finally:
        held.close()


def test_a_ledger_of_another_version(ledger, capsys):
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("UPDATE multiplespawner_version SET version_num = '0002'")
        database.commit()
    status, out, err = call(capsys, "list")
    assert (status, out) == (1, "")
    assert "is as another version of multiplespawner-core writes it" in err


def test_another_user_leaves_the_ledger_alone(ledger, folder, capsys, monkeypatch):
    """The hub could not open what would be made there."""
    owner = ledger.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    before = folder.there(), ledger.read_bytes()
    status, _, err = call(capsys, "reconcile")
    assert status == 1
    assert f"belongs to the user with the id {owner}: call the command as that user" in err
    assert (folder.there(), ledger.read_bytes()) == before


def test_no_ledger(folder, capsys):
    status, _, err = call(capsys, "list")
    assert status == 1
    assert "cannot be read: " in err
    assert "in the directory in which the hub is started" in err
    status, _, err = call(capsys, "reconcile")
    assert status == 1
    assert "no hub has ever used c.MultipleSpawner.state_dir" in err
    assert not (folder.path / "state").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["lst"],
        ["show"],
        ["show", "xyz"],
        ["show", "abc"],
        ["show", "ABCD"],
        ["release", "%%%%"],
        ["forget", "abcd"],
        ["forget", "abcd", "--reason", " "],
        ["history", "--limit", "0"],
        ["history", "--limit", "x"],
        ["history", "--limit", "9" * 5000],
        ["release", "abcd", "--wait", "-1"],
        ["release", "abcd", "--wait", "nan"],
        ["list", "--token-file", "none"],
        ["list", "--token", "SECRET"],
    ],
)
def test_wrong_usage(folder, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["resources", *arguments])
    assert ended.value.code == 2


def test_token_files(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of-the-environment")
    assert remote.token_of(None) == "of-the-environment"
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    file.chmod(0o600)
    assert remote.token_of(file) == "of-the-file"
    for mode in (0o640, 0o604, 0o620, 0o601):
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match=rf"mode {mode:04o}.*chmod 600") as caught:
            remote.token_of(file)
        assert "of-the-file" not in str(caught.value)
    file.chmod(0o600)
    for content in ("", "\n", "two words", "t\u00f6ken", "a\r\nX-Header: b"):
        file.write_text(content)
        with pytest.raises(ConfigurationError, match="holds no token"):
            remote.token_of(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        remote.token_of(file)


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        ("", "http://127.0.0.1:8081/hub/api"),
        ("c.JupyterHub.hub_port = 9999", "http://127.0.0.1:9999/hub/api"),
        (
            "c.JupyterHub.hub_bind_url = 'http://127.0.0.1:9000'\nc.JupyterHub.base_url = '/j/'",
            "http://127.0.0.1:9000/j/hub/api",
        ),
        ("c.JupyterHub.hub_connect_url = 'http://hub:8081'", "http://hub:8081/hub/api"),
        (
            "c.JupyterHub.internal_ssl = True\nc.JupyterHub.bind_url = 'http://:8443/j'",
            "http://127.0.0.1:8443/j/hub/api",
        ),
    ],
)
def test_where_the_hub_is_asked(folder, lines, url):
    folder.write(lines)
    assert remote.url_of(hub_config.load(Path("jupyterhub_config.py")), None) == url


def test_another_address(folder, monkeypatch):
    hub = hub_config.load(None)
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://10.0.0.1:8081/hub/api")
    assert remote.url_of(hub, None) == "http://10.0.0.1:8081/hub/api"
    assert (
        remote.url_of(hub, "https://hub.example.org/hub/api") == "https://hub.example.org/hub/api"
    )
    for wrong in ("ftp://hub", "hub:8081", "file:///etc/passwd", "http://", "http://hub:x/"):
        with pytest.raises(ConfigurationError, match="--hub-url"):
            remote.url_of(hub, wrong)


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"resources": []}')


@pytest.fixture
def behind_tls(tmp_path):
    """An API with a certificate of an authority that nobody knows, and the authority's."""
    made = Certipy(store_dir=str(tmp_path))
    authority = made.create_ca("authority")["files"]["cert"]
    pair = made.create_signed_pair("hub", "authority", alt_names=["IP:127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair["files"]["cert"], pair["files"]["key"])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/hub/api", authority
        server.shutdown()
        thread.join()


async def test_a_certificate_of_an_authority_of_ones_own(behind_tls, monkeypatch):
    url, authority = behind_tls
    with pytest.raises(remote.Unreachable, match=r"name its file in .* SSL_CERT_FILE"):
        await remote.Hub(url, "SECRET").list()
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    assert await remote.Hub(url, "SECRET").list() == {"resources": []}


PLACE = {"provider": "fake", "scope": "here", "resource_types": ["virtual_machine"]}


def thing(handle, verdict, *, deleted, error=""):
    return {
        **PLACE, "id": "q12345678901234", "handle": handle, "intent": INTENT, "state": "ready",
        "dependent": False, "verdict": verdict, "deleted": deleted, "error": error,
    }  # fmt: skip


def test_what_a_sweep_says():
    found = [
        thing("vm-2", "extra", deleted=True),
        thing("vm-3", "leftover", deleted=False, error="Quota: no"),
        thing("vm-4", "unknown", deleted=False),
    ]
    good = {**PLACE, "error": "", "count": 4, "ended": [INTENT], "found": found}
    bad = {**good, "scope": "there", "error": "Unauthorized: no"}
    report = {"dry_run": False, "scopes": [good, bad]}
    assert output.swept(report) == (
        "fake here (virtual_machine): 4 found\n"
        "    abcdabcdabcd is gone, so its server has ended\n"
        "    vm-2, a second one for abcdabcdabcd: deleted\n"
        "    vm-3, left over from abcdabcdabcd: could not be deleted: Quota: no\n"
        "    vm-4 is quarantined as q12345678901: no intent is known\n"
        "fake there (virtual_machine): nothing is known: Unauthorized: no\n"
    )
    dry = output.swept({**report, "dry_run": True})
    assert "vm-2, a second one for abcdabcdabcd: would be deleted\n" in dry


def test_what_is_quarantined_is_shown_and_nothing_plays_with_the_terminal():
    listing = {
        "resources": [],
        "quarantined": [thing("vm\x1b[2J-4", "unknown", deleted=False)],
        "unknown_scopes": [{**PLACE, "error": "Unauthorized: no"}],
        "swept_at": None,
    }
    assert output.listing(listing) == (
        "no resources\n"
        "quarantined, to be deleted by: multiplespawner resources release ID --quarantined\n"
        "ID            PROVIDER  SCOPE  HANDLE    STATE\n"
        "q12345678901  fake      here   vm?[2J-4  ready\n"
        "nothing is known of fake here (virtual_machine): Unauthorized: no\n"
    )
