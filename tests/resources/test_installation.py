"""Who this hub is, in the ledger and in a file beside it."""

from __future__ import annotations

import re
import stat

import pytest

from multiplespawner_core import ConfigurationError
from multiplespawner_core.resources.installation import write_private
from multiplespawner_core.resources.ledger import Ledger

OTHER = "f" * 32


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


def identity(state_dir):
    ledger = Ledger.open("", state_dir)
    ledger.close()
    return ledger.installation_id


def lose_ledger(state_dir):
    for file in state_dir.glob("ledger.sqlite*"):
        file.unlink()


def refused(state_dir):
    with pytest.raises(ConfigurationError) as caught:
        Ledger.open("", state_dir)
    return str(caught.value)


def test_file_and_ledger_agree(state_dir):
    first = identity(state_dir)
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    file = state_dir / "installation_id"
    assert file.read_text() == f"{first}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert identity(state_dir) == first


def test_every_hub_is_another(tmp_path):
    assert identity(tmp_path / "one") != identity(tmp_path / "two")


def test_a_lost_ledger_takes_the_id_from_the_file(state_dir):
    first = identity(state_dir)
    lose_ledger(state_dir)
    assert identity(state_dir) == first
    (state_dir / "installation_id").unlink()
    assert identity(state_dir) == first  # and wrote it down


def test_a_lost_file_takes_the_id_from_the_ledger(state_dir):
    first = identity(state_dir)
    (state_dir / "installation_id").unlink()
    assert identity(state_dir) == first
    assert (state_dir / "installation_id").read_text() == f"{first}\n"


def test_file_and_ledger_of_different_hubs(state_dir):
    first = identity(state_dir)
    file = state_dir / "installation_id"
    file.write_text(OTHER)
    for _ in range(2):  # the lock is let go of, and nothing is overwritten
        assert refused(state_dir) == (
            f"{file} says that this installation is {OTHER}, but the ledger belongs to {first}:"
            " one of them is another hub's. Restore the one that belongs here, or point"
            " c.MultipleSpawner.state_dir or ledger_url elsewhere"
        )
    assert file.read_text() == OTHER


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hello", b"\xff\xfe\x00", OTHER.upper().encode(), b"f" * 33]
)
@pytest.mark.parametrize("with_ledger", [True, False])
def test_a_file_that_holds_no_id(state_dir, content, with_ledger):
    identity(state_dir)
    if not with_ledger:
        lose_ledger(state_dir)
    file = state_dir / "installation_id"
    file.write_bytes(content)
    assert refused(state_dir) == (
        f"{file} does not hold an installation id; restore it, or delete it to take the ledger's"
    )
    assert file.read_bytes() == content


def test_a_private_file_is_written_as_a_whole(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    write_private(file, "one\n")
    write_private(file, "two\n")
    assert file.read_text() == "two\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_private(file, "three\n")
    assert file.read_text() == "two\n"
