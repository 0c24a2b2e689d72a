"""The ledger as an SQLite file, and what disks, people and programs do to such a file."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from resources.parts import record, refused
from sqlalchemy import select, text

from multiplespawner_core import Owner
from multiplespawner_core.resources.ledger import Ledger, LedgerUnavailable
from multiplespawner_core.resources.tables import intents


@pytest.fixture
def ledger(state_dir):
    ledger = Ledger.open("", state_dir)
    yield ledger
    ledger.close()


@pytest.fixture
def file(state_dir):
    return state_dir / "ledger.sqlite"


def row(number):
    return record(number, Owner(f"user-{number}"))


def held(state_dir):
    """What the next hub finds."""
    ledger = Ledger.open("", state_dir)
    try:
        assert not ledger.setbacks
        return {row.owner.user for row in ledger.unfinished()}
    finally:
        ledger.close()


async def unavailable(ledger, number=9):
    with pytest.raises(LedgerUnavailable) as caught:
        await ledger.insert(row(number))
    assert ledger.trouble == str(caught.value)
    return str(caught.value)


# -- privacy and exclusion ---------------------------------------------------------------------


async def test_files_are_private(tmp_path):
    before = os.umask(0o022)
    try:
        ledger = Ledger.open("", tmp_path / "new" / "state")
        await ledger.insert(record())
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (tmp_path / "new" / "state").iterdir()
        }
        directory = stat.S_IMODE((tmp_path / "new" / "state").stat().st_mode)
        ledger.close()
    finally:
        os.umask(before)
    assert directory == 0o700
    assert {
        "ledger.sqlite", "ledger.sqlite-wal", "ledger.lock", "installation_id", "ledger_mark"
    } <= set(modes)  # fmt: skip
    assert set(modes.values()) == {0o600}


def test_a_second_hub_with_a_directory_of_its_own_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    first = Ledger.open(url, tmp_path / "one")
    try:
        assert refused(url, tmp_path / "two") == (
            f"another hub uses {tmp_path / 'shared.sqlite'}: stop it, or give each hub its own"
            " c.MultipleSpawner.ledger_url"
        )
    finally:
        first.close()


async def test_a_hub_whose_lock_was_deleted_writes_nothing_beside_the_next(ledger, state_dir):
    await ledger.insert(row(1))
    (state_dir / "ledger.lock").unlink()
    second = Ledger.open("", state_dir)
    try:
        message = await unavailable(ledger)
        assert message == (
            f"the ledger sqlite:///{state_dir / 'ledger.sqlite'} cannot be written: another hub has"
            " opened the ledger since this one did: this hub writes nothing any more. Stop it; see"
            " that only one hub uses the ledger, and start that one again"
        )
        await second.insert(row(2))
        assert {r.owner.user for r in second.unfinished()} == {"user-1", "user-2"}
    finally:
        second.close()


# -- what cannot be opened ---------------------------------------------------------------------


def test_a_newer_ledger_is_refused(state_dir, file):
    Ledger.open("", state_dir).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE multiplespawner_version SET version_num = '9999'")
    connection.close()
    for _ in range(2):  # and the lock is let go of
        assert refused("", state_dir) == (
            f"the ledger sqlite:///{file} was made by a newer multiplespawner-core:"
            " Can't locate revision identified by '9999';"
            " install that version again, or restore the ledger's backup"
        )


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    state_dir = tmp_path / "file" / "state"
    assert refused("", state_dir) == (
        f"c.MultipleSpawner.state_dir {state_dir} cannot be used:"
        f" [Errno 20] Not a directory: '{state_dir}'; the hub's user must be able to write there"
    )


def test_a_directory_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert refused("", tmp_path / "file").startswith(
        f"c.MultipleSpawner.state_dir {tmp_path / 'file'} cannot be used: "
    )


def test_a_ledger_that_is_a_directory(state_dir, file):
    file.mkdir(parents=True)
    assert refused("", state_dir) == (
        f"the ledger sqlite:///{file} cannot be opened: unable to open database file; file and"
        " directory must exist and be writable for the hub's user; see c.MultipleSpawner.ledger_url"
    )


def test_a_ledger_in_no_directory(state_dir, tmp_path):
    url = f"sqlite:///{tmp_path / 'missing' / 'ledger.sqlite'}"
    message = refused(url, state_dir)
    assert message.startswith(f"the ledger {url} cannot be opened: [Errno 2] No such file")
    assert message.endswith("; see c.MultipleSpawner.ledger_url")


def test_a_ledger_that_is_something_else(state_dir, file):
    state_dir.mkdir()
    file.write_text("no database at all " * 100)
    assert refused("", state_dir) == (
        f"the ledger sqlite:///{file} cannot be opened: file is not a database; it is damaged or"
        " something else: restore its backup; see c.MultipleSpawner.ledger_url"
    )
    assert file.read_text() == "no database at all " * 100


async def test_a_damaged_ledger_is_not_opened(state_dir, file):
    ledger = Ledger.open("", state_dir)
    for number in range(200):
        await ledger.insert(row(number))
    ledger.close()
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(b"\xa5" * 8192)
    message = refused("", state_dir)
    assert f"the ledger sqlite:///{file} cannot be opened: " in message
    assert "damaged" in message
    assert "restore its backup" in message


def test_a_url_of_its_own(state_dir, tmp_path):
    file = tmp_path / "50% #1" / "elsewhere.sqlite"
    file.parent.mkdir()
    Ledger.open(f"sqlite:///{file}", state_dir).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (state_dir / "ledger.sqlite").exists()


@contextmanager
def as_nobody():
    """Root may write everything; whom a hub runs as may not."""
    if os.getuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def nobodys():
    """A state directory of somebody whom permissions bind."""
    folder = Path(tempfile.mkdtemp(prefix="msp-ledger-"))
    folder.chmod(0o777)
    with as_nobody():
        Ledger.open("", folder / "state").close()
    yield folder / "state"
    shutil.rmtree(folder)


def test_a_file_that_is_read_only(nobodys):
    file = nobodys / "ledger.sqlite"
    file.chmod(0o400)
    with as_nobody():
        message = refused("", nobodys)
    assert message.startswith(f"the ledger sqlite:///{file} cannot be opened: ")
    assert "must be writable for the hub's user" in message


def test_a_directory_that_is_read_only(nobodys):
    (nobodys / "ledger.lock").unlink()
    nobodys.chmod(0o500)
    with as_nobody():
        message = refused("", nobodys)
    nobodys.chmod(0o700)
    assert message.startswith(f"c.MultipleSpawner.state_dir {nobodys} cannot be used: ")
    assert message.endswith("the hub's user must be able to write there")


# -- while the hub runs ------------------------------------------------------------------------


def test_writes_are_synchronous(ledger):
    with ledger._backend.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(select(intents)).all() == []


async def test_a_full_file_is_told_to_everyone_whom_it_rolled_back(ledger):
    """SQLite ends the whole transaction then, not only the savepoint of the one that met it."""
    pages = await ledger.submit(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
    await ledger.submit(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}"))

    async def outcome(number, deployment):
        try:
            row = record(number, Owner(f"user-{number}"), deployment=deployment)
            return (await ledger.insert(row)).id
        except LedgerUnavailable as error:
            return error.written

    told = await asyncio.gather(outcome(1, "a"), outcome(2, "b" * 10**6), outcome(3, "c"))
    held = {row.id for row in ledger.unfinished()}
    assert {row for row in told if row} == held
    assert told[1] is False  # surely not written


DISK = """
import asyncio, json, os, subprocess, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from resources.parts import ConfigurationError, Ledger, Owner, record
from multiplespawner_core.resources.ledger import LedgerUnavailable

disk = Path({disk!r})

def mount(*options):
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(disk)], check=True)

async def main():
    mount("-o", "size=1m")
    ledger = Ledger.open("", disk / "state")
    confirmed, number = [], 0
    while not ledger.trouble:
        number += 1
        try:
            await ledger.insert(record(number, Owner(f"user-{{number}}"), deployment="d" * 4000))
            confirmed.append(f"user-{{number}}")
        except LedgerUnavailable as error:
            full = str(error)
    mount("-o", "remount,size=8m")
    await ledger.insert(record(0, Owner("afterwards")))
    trouble = ledger.trouble
    confirmed.append("afterwards")
    ledger.close()
    ledger = Ledger.open("", disk / "state")
    held = [row.owner.user for row in ledger.unfinished()]
    setbacks = len(ledger.setbacks)
    ledger.close()
    mount("-o", "remount,ro")
    try:
        Ledger.open("", disk / "state")
    except ConfigurationError as error:
        readonly = str(error)
    print(json.dumps([full, trouble, sorted(confirmed), sorted(held), setbacks, readonly]))

asyncio.run(main())
"""


def test_a_disk_that_is_full_and_then_is_read_only(tmp_path):
    """On a real file system, which is there for this process alone."""
    script = DISK.format(tests=str(Path(__file__).parents[1]), disk=str(tmp_path))
    alone = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "-r"]
    command = [*alone, sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    full, trouble, confirmed, held, setbacks, readonly = json.loads(done.stdout)
    assert full == (
        f"the ledger sqlite:///{tmp_path}/state/ledger.sqlite cannot be written: database or disk"
        " is full; free space where it is"
    )
    assert trouble == ""
    assert held == confirmed
    assert len(held) > 20
    assert setbacks == 0
    assert readonly.startswith(f"c.MultipleSpawner.state_dir {tmp_path}/state cannot be used: ")
    assert "Read-only file system" in readonly


async def test_a_ledger_that_became_read_only_is_said(ledger, state_dir, caplog):
    await ledger.insert(row(1))
    with ledger._backend.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    message = await unavailable(ledger)
    assert "attempt to write a readonly database; file and directory must be writable" in message
    await unavailable(ledger)
    assert [r.message for r in caplog.records].count(message) == 1  # once, not at every attempt
    with ledger._backend.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = OFF")
    await ledger.insert(row(2))
    assert ledger.trouble == ""
    assert "the ledger can be written again" in caplog.text
    ledger.close()
    assert held(state_dir) == {"user-1", "user-2"}


@pytest.mark.parametrize("what", ["file", "file and beside", "directory"])
async def test_what_is_deleted_is_written_anew(ledger, state_dir, file, caplog, what):
    await ledger.insert(row(1))
    if what == "directory":
        shutil.rmtree(state_dir)
    elif what == "file":
        file.unlink()
    else:
        for part in state_dir.glob("ledger.sqlite*"):
            part.unlink()
    await ledger.insert(row(2))
    assert f"the ledger's file {file} was deleted while the hub runs; it was written" in caplog.text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(state_dir.glob(".ledger*"))
    await ledger.insert(row(3))
    assert caplog.text.count("was deleted") == 1
    identity = ledger.installation_id
    ledger.close()
    assert held(state_dir) == {"user-1", "user-2", "user-3"}
    assert (state_dir / "installation_id").read_text().strip() == identity


async def test_what_is_deleted_during_a_commit_is_written_anew(ledger, state_dir, file):
    """It was there when the commit began: a look before it is not enough."""
    await ledger.submit(lambda _: file.unlink())
    ledger.close()
    assert held(state_dir) == set()

    ledger = Ledger.open("", state_dir)
    await ledger.insert(row(1))
    await asyncio.gather(ledger.insert(row(2)), ledger.submit(lambda _: file.unlink()))
    ledger.close()
    assert held(state_dir) == {"user-1", "user-2"}


@pytest.mark.parametrize("part", ["-wal", "-shm"])
@pytest.mark.parametrize("replaced", [True, False])
async def test_a_write_ahead_log_that_was_deleted(ledger, file, caplog, part, replaced):
    await ledger.insert(row(1))
    beside = file.with_name(file.name + part)
    beside.unlink()
    if replaced:
        beside.write_text("something else")
    await ledger.insert(row(2))
    assert "was deleted or replaced while the hub runs; the ledger lacks nothing" in caplog.text
    await ledger.insert(row(3))
    ledger.close()
    assert held(file.parent) == {"user-1", "user-2", "user-3"}


async def test_a_write_ahead_log_that_cannot_be_brought_in_yet(ledger, file):
    """Somebody reads what is older: without the log, what is newer would be lost."""
    with ledger._backend.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    await ledger.insert(row(1))
    shell = sqlite3.connect(file, isolation_level=None)
    shell.execute("BEGIN")
    assert shell.execute("SELECT count(*) FROM intents").fetchone() == (1,)
    await ledger.insert(row(2))
    file.with_name(file.name + "-wal").unlink()
    message = await unavailable(ledger)
    assert "another program reads the ledger, such as an open sqlite3 shell: end that" in message
    shell.close()
    await ledger.insert(row(3))
    ledger.close()
    assert held(file.parent) == {"user-1", "user-2", "user-3"}


async def test_a_place_where_it_cannot_be_written_anew(ledger, state_dir, file):
    await ledger.insert(row(1))
    away = state_dir.with_name("away")
    state_dir.rename(away)
    state_dir.write_text("in the way")
    message = await unavailable(ledger)
    assert "was deleted while the hub runs, and cannot be written anew: " in message
    state_dir.unlink()
    await ledger.insert(row(2))
    ledger.close()
    assert held(state_dir) == {"user-1", "user-2"}


async def test_a_ledger_behind_a_link(state_dir, tmp_path):
    real = tmp_path / "real.sqlite"
    state_dir.mkdir()
    (state_dir / "ledger.sqlite").symlink_to(real)
    ledger = Ledger.open("", state_dir)
    await ledger.insert(row(1))
    real.unlink()
    await ledger.insert(row(2))
    ledger.close()
    assert held(state_dir) == {"user-1", "user-2"}
    assert (state_dir / "ledger.sqlite").is_symlink()


async def test_a_file_that_was_put_in_its_place_is_not_touched(ledger, state_dir, file, tmp_path):
    await ledger.insert(row(1))
    other = tmp_path / "other"
    Ledger.open("", other).close()
    for part in state_dir.glob("ledger.sqlite?*"):
        part.unlink()
    (other / "ledger.sqlite").replace(file)
    before = file.read_bytes()
    message = await unavailable(ledger)
    assert message == (
        f"the ledger sqlite:///{file} cannot be written: the ledger's file {file} was replaced by"
        " another while the hub runs: nothing is written any more. What the hub had written until"
        f" then is in {file}.kept. Stop the hub, put the file that belongs here in its place, and"
        " start the hub again"
    )
    await unavailable(ledger)
    assert file.read_bytes() == before
    ledger.close()
    kept = file.with_name("ledger.sqlite.kept")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.replace(file)
    assert held(state_dir) == {"user-1"}
    assert not kept.exists()


async def test_a_file_that_comes_back_is_gone_on_with(ledger, state_dir, file, tmp_path):
    await ledger.insert(row(1))
    parked = tmp_path / "parked"
    file.rename(parked)
    file.write_text("by mistake")
    await unavailable(ledger)
    parked.rename(file)
    await ledger.insert(row(2))
    ledger.close()
    assert held(state_dir) == {"user-1", "user-2"}


async def test_a_backup_copied_over_a_running_ledger_is_not_gone_on_with(ledger, state_dir, file):
    """The same file by number, with other contents."""
    backup = state_dir / "backup.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    connection.close()
    for number in range(3):
        await ledger.insert(row(number))
    target = sqlite3.connect(file)
    with sqlite3.connect(backup) as source:
        source.backup(target)
    source.close()
    target.close()
    message = await unavailable(ledger)
    assert "the ledger was set back while the hub runs: it lacks its last 3 commits" in message


async def test_another_program_that_holds_it_is_waited_for_and_said(ledger, file):
    with ledger._backend.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    shell = sqlite3.connect(file, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    message = await unavailable(ledger)
    assert message.endswith(
        "database is locked; another program holds it: end that, such as an open sqlite3 shell"
    )
    shell.execute("ROLLBACK")
    shell.close()
    await ledger.insert(row(1))
