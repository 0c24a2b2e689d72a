"""A ledger that was lost or restored from a backup is noticed, and what it says is doubted."""

from __future__ import annotations

import shutil
import sqlite3
import stat

import pytest
from resources.parts import ADA, record

from multiplespawner_core import Owner
from multiplespawner_core.resources.ledger import Ledger
from multiplespawner_core.resources.record import Phase


@pytest.fixture
def opened(url, state_dir):
    """Open the ledger, as often as wanted, each time as another hub would."""
    ledgers = []

    def opened():
        close()
        ledgers.append(Ledger.open(url, state_dir))
        return ledgers[-1]

    def close():
        if ledgers:
            ledgers[-1].close()

    opened.close = close
    yield opened
    close()


def of_sqlite(file, copy):
    with sqlite3.connect(file) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    return lambda: shutil.copy(copy, file)


@pytest.fixture
def backup(request, url, state_dir, tmp_path):
    """Make a backup beside the running hub; what it returns restores it while none runs."""

    def backup():
        copy = tmp_path / "backup"
        if not url:
            return of_sqlite(state_dir / "ledger.sqlite", copy)
        place = request.getfixturevalue("place")
        copy.touch(mode=0o666)
        place.dump(copy)
        return lambda: place.restore(copy)

    return backup


def lose(url, state_dir, request):
    if not url:
        (state_dir / "ledger.sqlite").unlink()
        return
    place = request.getfixturevalue("place")
    place.run("DROP OWNED BY hub")


def row(number, **changes):
    return record(number, Owner(f"user-{number}"), **changes)


async def test_a_ledger_that_goes_on_is_not_doubted(opened, state_dir, caplog):
    for number in range(5):
        ledger = opened()
        await ledger.insert(row(number))
    ledger = opened()
    assert not ledger.setbacks
    assert {r.doubted_at for r in ledger.unfinished()} == {None}
    assert caplog.text == ""
    mark = state_dir / "ledger_mark"
    assert stat.S_IMODE(mark.stat().st_mode) == 0o600


@pytest.mark.parametrize("later", ["a row", "a change", "nothing but a restart"])
async def test_a_restored_backup_is_noticed(opened, backup, caplog, later):
    """Made while the hub ran, or before it ended: by one commit or by many."""
    ledger = opened()
    live = await ledger.insert(row(1))
    gone = await ledger.insert(row(2))
    await ledger.update(gone, phase=Phase.CLOSED)
    ending = await ledger.insert(row(3))
    await ledger.update(ending, phase=Phase.RELEASING)
    restore = backup()
    if later == "a row":
        await ledger.insert(row(4))
    elif later == "a change":
        await ledger.update(live, expires_at=5000.0)
    else:
        ledger = opened()
    opened.close()
    restore()
    ledger = opened()
    (setback,) = ledger.setbacks
    assert setback.expected == setback.found + 1
    # A release that was committed is final: only what lives may have changed since.
    doubted = {r.owner.user: r.doubted_at for r in ledger.unfinished()}
    assert doubted == {"user-1": setback.noticed_at, "user-3": None}
    assert (await ledger.history(gone.owner))[0].doubted_at is None
    assert "\n".join(caplog.messages) == (
        "the ledger is older than this installation, as if it was restored from a backup: it lacks"
        f" 1 of {setback.expected} commits. 1 resources that it shows may have changed since, and"
        " some that exist are not in it: nothing is deleted because of that"
    )


async def test_the_doubt_outlives_the_hub_that_noticed(opened, backup):
    ledger = opened()
    await ledger.insert(row(1))
    restore = backup()
    await ledger.insert(row(2))
    opened.close()
    restore()
    (setback,) = opened().setbacks
    again = opened()
    assert again.setbacks == (setback,)  # noticed once
    (kept,) = again.unfinished()
    assert kept.doubted_at == setback.noticed_at
    await again.update(kept, doubted_at=None)
    await again.insert(row(3))
    assert {r.doubted_at for r in opened().unfinished()} == {None}


async def test_it_is_noticed_every_time(opened, backup):
    ledger = opened()
    restore = backup()
    for _ in range(3):
        await ledger.insert(row(1))
        opened.close()
        restore()
        ledger = opened()
        # The backup knows of no earlier one.
        assert len(ledger.setbacks) == 1
        assert ledger.unfinished() == []


async def test_a_lost_ledger_is_noticed(opened, url, state_dir, request, caplog):
    first = opened()
    identity = first.installation_id
    await first.insert(row(1))
    opened.close()
    lose(url, state_dir, request)
    ledger = opened()
    (setback,) = ledger.setbacks
    assert setback.found == 0
    assert setback.expected >= 2
    assert ledger.installation_id == identity
    assert "\n".join(caplog.messages) == (
        f"the ledger is empty, but this installation had one with {setback.expected} commits: it"
        " was lost, or c.MultipleSpawner.ledger_url names another. Resources that exist are not in"
        " it; nothing is deleted because of that"
    )


@pytest.mark.parametrize("content", [None, "", "nonsense", f"{'f' * 32} {10**6:020d}\n"])
async def test_a_mark_that_says_nothing_about_this_ledger(opened, state_dir, content):
    """Lost, damaged, or another installation's."""
    await opened().insert(row(1))
    opened.close()
    mark = state_dir / "ledger_mark"
    mark.unlink()
    if content is not None:
        mark.write_text(content)
    ledger = opened()
    assert not ledger.setbacks
    await ledger.insert(row(2))
    assert mark.read_text().startswith(ledger.installation_id)


async def test_a_mark_that_lags_behind_is_no_alarm(opened, state_dir):
    """The hub was killed between commit and mark, or the file system lost the latest."""
    await opened().insert(row(1))
    mark = state_dir / "ledger_mark"
    before = mark.read_text()
    ledger = opened()
    await ledger.insert(row(2))
    opened.close()
    mark.write_text(before)
    assert not opened().setbacks


async def test_a_mark_that_cannot_be_written_fails_no_commit(opened, state_dir, caplog):
    ledger = opened()
    mark = state_dir / "ledger_mark"
    mark.unlink()
    mark.mkdir()
    await ledger.insert(row(1))
    await ledger.insert(row(2))
    assert caplog.text.count("may not notice it") == 1
    assert ADA.user not in caplog.text
    opened.close()
    mark.rmdir()
    assert {r.owner.user for r in opened().unfinished()} == {"user-1", "user-2"}


async def test_a_commit_that_failed_raises_no_alarm(opened):
    ledger = opened()

    def fail(_):
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            await ledger.submit(fail)
    assert not opened().setbacks
