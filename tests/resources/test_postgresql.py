"""The ledger in a real PostgreSQL database, which is restarted, cut off and taken away."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psycopg
import pytest
from postgres import PASSWORD, Wire
from resources.parts import record, refused
from sqlalchemy.exc import IntegrityError

from multiplespawner_core import Owner
from multiplespawner_core.resources import postgresql
from multiplespawner_core.resources.ledger import Ledger, LedgerUnavailable
from multiplespawner_core.resources.tables import intents

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(postgresql, "_PATIENCE", 0.5)


@pytest.fixture
def ledger(place, state_dir):
    ledger = Ledger.open(place.url, state_dir)
    yield ledger
    ledger.close()


@pytest.fixture
def wire(server):
    wire = Wire(server.port)
    yield wire
    wire.close()


def row(number):
    return record(number, Owner(f"user-{number}"))


def held(place):
    return {name for (name,) in place.run("SELECT user_name FROM intents")}


async def unavailable(ledger, number=9):
    with pytest.raises(LedgerUnavailable) as caught:
        await ledger.insert(row(number))
    assert ledger.trouble == str(caught.value)
    return str(caught.value)


async def again(write, seconds=20):
    """As callers do, until it is committed."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return await write()
        except LedgerUnavailable:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.05)


# -- one hub at a time -------------------------------------------------------------------------


async def test_a_second_hub_is_refused_and_told_by_whom(ledger, place, server, tmp_path):
    message = refused(place.by_password, tmp_path / "two")
    assert message.startswith(
        f"another hub uses the ledger postgresql+psycopg://hub:***@127.0.0.1:{server.port}/"
        f"{place.name} (connected from this machine since 20"
    )
    assert message.endswith("): stop it, or give each hub its own c.MultipleSpawner.ledger_url")
    await ledger.insert(row(1))  # and the first goes on
    ledger.close()
    Ledger.open(place.url, tmp_path / "two").close()


def test_hubs_with_a_schema_each_share_a_database(place, state_dir, tmp_path):
    first = Ledger.open(place.url, state_dir)
    place.run("CREATE SCHEMA other AUTHORIZATION hub")
    second = Ledger.open(f"{place.url}&options=-csearch_path%3Dother", tmp_path / "two")
    assert first.installation_id != second.installation_id
    first.close()
    second.close()


HOLDER = """
import sys, time
from pathlib import Path
from multiplespawner_core.resources.ledger import Ledger
ledger = Ledger.open({url!r}, Path({state_dir!r}))
print("open", flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("stopped_first", [True, False])
def test_the_lock_dies_with_its_holder(place, tmp_path, stopped_first):
    """However long that said nothing before: no time-out takes it away."""
    script = HOLDER.format(url=place.by_password, state_dir=str(tmp_path / "one"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"open\n"
        if stopped_first:
            holder.send_signal(signal.SIGSTOP)
        assert "another hub uses" in refused(place.url, tmp_path / "two")
        holder.send_signal(signal.SIGKILL)
    Ledger.open(place.url, tmp_path / "two").close()


def test_a_session_that_ends_late_is_waited_for(place, state_dir, tmp_path, monkeypatch):
    """A hub that is started anew at once may come before the server has noticed the end."""
    monkeypatch.setattr(postgresql, "_PATIENCE", 10)
    first = Ledger.open(place.url, state_dir)
    ending = threading.Timer(0.5, first.close)
    ending.start()
    Ledger.open(place.url, tmp_path / "two").close()
    ending.join()


def test_a_refused_hub_leaves_no_session(ledger, place, tmp_path):
    refused(place.url, tmp_path / "two")
    assert len(place.sessions()) == 1


# -- the connection is lost --------------------------------------------------------------------


async def test_a_connection_that_was_cut_is_made_anew_unnoticed(ledger, place, caplog):
    await ledger.insert(row(1))
    place.cut()
    await ledger.insert(row(2))
    assert held(place) == {"user-1", "user-2"}
    assert ledger.trouble == ""
    assert len(place.sessions()) == 1


async def test_a_connection_that_is_cut_in_a_group_costs_nobody_anything(ledger, place):
    cut = iter([place.cut])

    def cut_once(connection):
        next(cut, lambda: None)()
        return connection.exec_driver_sql("SELECT 1").scalar()

    outcomes = await asyncio.gather(
        ledger.insert(row(1)), ledger.submit(cut_once), ledger.insert(row(2))
    )
    assert outcomes[1] == 1
    assert held(place) == {"user-1", "user-2"}


async def test_a_cut_between_savepoint_and_refusal(ledger, place):
    """One that fails on its own is told so, the others are written, cut or not."""
    await ledger.insert(record(1))
    cut = iter([place.cut])
    outcomes = await asyncio.gather(
        ledger.insert(row(2)),
        ledger.insert(record(3)),
        ledger.submit(lambda _: next(cut, lambda: None)()),
        ledger.insert(row(4)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], IntegrityError)
    assert held(place) == {"ada", "user-2", "user-4"}


async def test_an_answer_that_was_lost_may_have_been_written(ledger, place):
    """The commit arrives, its answer does not: nobody is told that nothing was written."""
    engine = ledger._backend.engine
    original = engine.dialect.do_commit

    def lose_the_answer(session):
        original(session)
        session.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    engine.dialect.do_commit = lose_the_answer
    with pytest.raises(LedgerUnavailable) as caught:
        await ledger.insert(row(1))
    engine.dialect.do_commit = original
    assert caught.value.written is None
    assert held(place) == {"user-1"}
    await ledger.insert(row(2))
    assert held(place) == {"user-1", "user-2"}


async def test_its_own_lost_session_does_not_lock_it_out(place, wire, state_dir):
    """The wire broke on this side: the server goes on holding the lock for a session of ours."""
    ledger = Ledger.open(place.through(wire.port), state_dir)
    await ledger.insert(row(1))
    (ghost,) = place.sessions()
    wire.cut()
    assert place.sessions() == [ghost]
    await ledger.insert(row(2))
    assert ghost not in place.sessions()
    assert held(place) == {"user-1", "user-2"}
    ledger.close()


async def test_a_lock_that_somebody_else_took_meanwhile_is_respected(ledger, place, caplog):
    await ledger.insert(row(1))
    ((holder, key),) = place.locks()
    with psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True) as other:
        place.run("SELECT pg_terminate_backend(%s, 5000)", holder)
        other.execute("SELECT pg_advisory_lock(%s::int, %s::int)", (postgresql._CLASS, key))
        message = await unavailable(ledger)
        assert f"cannot be written: another hub uses the ledger {ledger._backend.shown}" in message
        assert held(place) == {"user-1"}
    await ledger.insert(row(2))  # it was let go of, and nobody had written
    assert held(place) == {"user-1", "user-2"}
    assert "the ledger can be written again" in caplog.text


async def test_a_hub_that_another_has_replaced_never_writes_again(ledger, place, tmp_path):
    """Even if the other is gone by then: what this hub holds in memory is not true any more."""
    await ledger.insert(row(1))
    place.run("ALTER ROLE hub CONNECTION LIMIT 0")
    place.cut()
    assert "too many connections for role" in await unavailable(ledger)
    place.run("ALTER ROLE hub CONNECTION LIMIT -1")
    other = Ledger.open(place.url, tmp_path / "two")
    await other.insert(row(2))
    assert "another hub uses the ledger" in await unavailable(ledger)
    other.close()
    for _ in range(2):
        message = await unavailable(ledger)
        assert "another hub has opened the ledger since this one did: this hub writes" in message
    assert held(place) == {"user-1", "user-2"}


async def test_without_the_lock_there_is_still_one_writer(ledger, place, tmp_path):
    """As behind a pooler that shares sessions: the second hub gets the lock as well."""
    await ledger.insert(row(1))
    ((_, key),) = place.locks()
    with ledger._backend.engine.connect() as connection:
        unlock = f"SELECT pg_advisory_unlock({postgresql._CLASS}, {key})"
        assert connection.exec_driver_sql(unlock).scalar()
    second = Ledger.open(place.url, tmp_path / "two")
    await second.insert(row(2))
    assert "another hub has opened the ledger since" in await unavailable(ledger)
    await second.insert(row(3))
    assert held(place) == {"user-1", "user-2", "user-3"}
    second.close()


# -- the database is restarted -----------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_restart_in_mid_flight(ledger, place, server, how):
    """What is confirmed is there, and nothing is there twice."""
    confirmed, numbers = set(), iter(range(10**6))
    over = asyncio.Event()

    async def write():
        while not over.is_set():
            number = next(numbers)
            with suppress(IntegrityError):  # the answer to an earlier attempt was lost
                await again(lambda number=number: ledger.insert(row(number)))
            confirmed.add(f"user-{number}")

    writers = [asyncio.create_task(write()) for _ in range(8)]

    async def until(count):
        while len(confirmed) < count:
            assert not any(writer.done() for writer in writers)
            await asyncio.sleep(0.01)

    await until(50)
    await asyncio.to_thread(server.stop, how)
    message = await unavailable(ledger, 10**6)
    assert "Connection refused" in message or "No such file" in message
    server.start()
    await until(len(confirmed) + 50)
    over.set()
    await asyncio.gather(*writers)
    assert confirmed == held(place)
    assert ledger.trouble == ""


async def test_the_loop_is_not_held_up_while_the_database_is_away(ledger, place, server):
    server.stop()
    writes = [asyncio.create_task(unavailable(ledger, n)) for n in range(20)]
    longest = 0.0
    while not all(write.done() for write in writes):
        before = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - before)
    server.start()
    assert longest < 0.5
    await ledger.insert(row(1))


# -- what cannot be opened ---------------------------------------------------------------------


def test_a_password_is_nowhere(place, server, state_dir, caplog, monkeypatch):
    caplog.set_level(0)
    wrong = place.by_password.replace("canary", "kanarie")
    messages = [
        refused(wrong, state_dir),
        refused(wrong.replace(place.name, "nosuch"), state_dir),
        refused(place.by_password.replace(place.name, "nosuch"), state_dir),
        refused(place.by_password.replace(str(server.port), "1"), state_dir),
        refused(f"{place.url.replace('hub@', 'nobody@')}&password={PASSWORD}", state_dir),
    ]
    ledger = Ledger.open(place.by_password, state_dir)
    messages += [repr(ledger._backend.engine), ledger._backend.shown]
    ledger.close()
    for text in [*messages, caplog.text]:
        assert "canary" not in text
        assert "kanarie" not in text
        assert "of:the" not in text
    assert 'FATAL: password authentication failed for user "hub"' in messages[0]
    assert (
        'database "nosuch" does not exist; create it; a database with the encoding UTF8'
        in messages[2]
    )
    assert "Connection refused" in messages[3]
    assert "see that PostgreSQL runs and listens there" in messages[3]
    assert all("see c.MultipleSpawner.ledger_url" in message for message in messages[:5])


def test_a_missing_driver(state_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert refused("postgresql://hub:s3cret@127.0.0.1/ledger", state_dir) == (
        "c.MultipleSpawner.ledger_url names a PostgreSQL database, which needs psycopg: pip install"
        " 'multiplespawner-core[postgresql]' (import of psycopg halted; None in sys.modules)"
    )


def test_a_url_without_driver(place, state_dir):
    Ledger.open(place.url.replace("+psycopg", ""), state_dir).close()


def test_an_encoding_that_not_every_name_fits_into(server, state_dir):
    place = server.create("ENCODING 'LATIN1' TEMPLATE template0")
    assert ("its encoding is LATIN1: create the database with the encoding UTF8") in refused(
        place.url, state_dir
    )


def test_a_schema_of_somebody_else(server, state_dir):
    place = server.create(upgraded=False)
    place.run("ALTER DATABASE " + place.name + " OWNER TO admin")
    message = refused(place.url, state_dir)
    assert "permission denied for schema public" in message
    assert "the role must own the ledger's schema or tables" in message


async def test_a_database_that_became_read_only(ledger, place):
    place.run(f"ALTER DATABASE {place.name} SET default_transaction_read_only = on")
    place.cut()
    assert "it is a standby, or set to read only: the ledger needs" in await unavailable(ledger)
    place.server.run(f"ALTER DATABASE {place.name} SET default_transaction_read_only = off")
    place.cut()
    await ledger.insert(row(1))


# -- how it writes -----------------------------------------------------------------------------


async def test_what_is_confirmed_is_on_disk(server, state_dir):
    place = server.create()
    place.run(f"ALTER DATABASE {place.name} SET synchronous_commit = off")
    place.run(f"ALTER DATABASE {place.name} SET idle_session_timeout = '1min'")
    ledger = Ledger.open(place.url, state_dir)

    def settings(connection):
        names = ("synchronous_commit", "idle_session_timeout")
        return [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]

    assert await ledger.submit(settings) == ["on", "0"]
    ledger.close()


@pytest.mark.parametrize("text", ["NUL \0 in it", "lone \udcff surrogate", "näme 🙂", "x" * 10**5])
async def test_a_reason_of_any_kind_ends_no_release(ledger, text):
    kept = await ledger.insert(row(1))
    await ledger.update(kept, reason=text, last_error=text)
    (now,) = ledger.unfinished()
    assert len(now.reason) == len(now.last_error) == len(text)


async def test_a_failure_in_sql_leaves_the_group(ledger, place):
    def fail(connection):
        connection.execute(intents.update().values(reason="taken back"))
        connection.exec_driver_sql("SELECT 1/0")

    outcomes = await asyncio.gather(
        ledger.insert(row(1)), ledger.submit(fail), ledger.insert(row(2)), return_exceptions=True
    )
    assert "division by zero" in str(outcomes[1])
    assert {r.reason for r in ledger.unfinished()} == {""}
    assert held(place) == {"user-1", "user-2"}
