from __future__ import annotations

import pytest

from multiplespawner_core.catalogue.findings import (
    Finding,
    looks_secret,
    nearest,
    path_text,
    shown,
    suggestion,
    without_secrets,
)


def test_a_finding_reads_like_a_compilers_message():
    place = ("spawner_templates.json", 12, 9, "[0].spawner.class")
    assert str(Finding(*place, "is empty", "name one")) == (
        "spawner_templates.json:12:9: [0].spawner.class: is empty (name one)"
    )
    assert str(Finding(*place, "is empty", severity="warning")) == (
        "spawner_templates.json:12:9: warning: [0].spawner.class: is empty"
    )
    assert str(Finding("/etc", None, None, "", "is empty")) == "/etc: is empty"


def test_paths_quote_what_is_no_plain_word():
    assert path_text(()) == ""
    assert path_text((0, "spawner", "kwargs", 'an "odd" key', 1)) == (
        '[0].spawner.kwargs["an \\"odd\\" key"][1]'
    )
    assert path_text(("virtual_machine", 0)) == "virtual_machine[0]"


def test_the_nearest_name_is_found_without_regard_to_case():
    assert nearest("SPAWNR", ["spawner", "name"]) == "spawner"
    assert nearest("xyz", ["spawner", "name"]) is None
    assert suggestion("spawnr", ["spawner", "name"]) == "did you mean 'spawner'?"
    assert suggestion("xyz", ["spawner", "name"]) == "allowed: spawner, name"
    assert suggestion("xyz", [f"name{n}" for n in range(13)]) == ""
    assert suggestion("xyz", []) == ""


@pytest.mark.parametrize(
    "path",
    [
        *(("api_token",), ("environment", "DB_PASSWORD"), ("client_secret", 0), ("api-key",)),
        *(("ansible_become_pass",), ("MYSQL_PWD",), ("passphrase",)),
    ],
)
def test_a_secret_is_not_shown(path):
    assert shown("hunter2", path) == "a secret that is not shown"


def test_a_long_value_is_shortened():
    assert shown("x" * 100) == '"' + "x" * 56 + "..."
    assert shown({"a": None}) == '{"a": null}'


def test_secrets_within_texts_are_not_shown():
    assert without_secrets("postgres://ada:hunter2@db:5432/x?a=b") == (
        "postgres://ada:...@db:5432/x?a=b"
    )
    assert without_secrets("http://:a@b:c@proxy") == "http://:...@proxy"
    assert without_secrets(["jupyter", "--ServerApp.token=hunter2", "--debug"]) == [
        *("jupyter", "--ServerApp.token=...", "--debug"),
    ]
    assert without_secrets(
        ("--password", "hunter2", {"token": "hunter2"}, "A_TOKEN=hunter2 x")
    ) == [
        *("--password", "...", {"token": "..."}, "A_TOKEN=... x"),
    ]
    for plain in ("http://10.0.0.1:8081/hub/api", "ada@example.org", "a=b", "ssh://ada@host", 3):
        assert without_secrets(plain) == plain
    assert not looks_secret("PWD")
    assert not looks_secret("compass")
    assert not looks_secret("pass_through")
