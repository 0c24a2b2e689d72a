"""The ledger: durable, private, exclusive, and written in groups."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from resources.parts import ADA, SCOPE, record, refused
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.exc import IntegrityError

from multiplespawner_core import (
    Endpoint,
    Handle,
    Offer,
    Owner,
    Scope,
    Specification,
)
from multiplespawner_core.resources import database
from multiplespawner_core.resources import ledger as ledger_module
from multiplespawner_core.resources.ledger import Ledger, LedgerUnavailable, UnknownRow
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.tables import intents, metadata


@pytest.fixture
def ledger(url, state_dir):
    ledger = Ledger.open(url, state_dir)
    yield ledger
    ledger.close()


def reopened(ledger, url, state_dir):
    ledger.close()
    again = Ledger.open(url, state_dir)
    try:
        return again.unfinished()
    finally:
        again.close()


@pytest.fixture
def busy(ledger):
    """A writer thread that is held up until the event is set, and the commits it makes after."""
    gate, entered, commits = threading.Event(), threading.Event(), []

    def hold(_):
        entered.set()
        gate.wait(10)

    async def hold_up():
        task = asyncio.create_task(ledger.submit(hold))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        event.listen(ledger._backend.engine, "commit", lambda _: commits.append(1))
        return task

    hold_up.release = gate.set
    hold_up.commits = commits
    yield hold_up
    gate.set()


# -- rows --------------------------------------------------------------------------------------


async def test_a_row_comes_back_as_it_was(ledger, url, state_dir):
    full = record(
        owner=Owner("ada", "näme"),
        offer=Offer(SCOPE, "S1", cpu=0.05, memory=1.5, gpu=1, price=0.25),
        specification=Specification("container", cpu=1, memory=2, gpu=1, attributes={"a": [1]}),
        attempt=3,
        phase=Phase.RELEASING,
        phase_deadline=5.5,
        expires_at=6.5,
        handle=Handle(
            "vm-1", SCOPE, Endpoint("192.0.2.1", 22, "ssh-ed25519 A", "opc"), {"x": {"y": 1}}
        ),
        child={"class": "a.B", "kwargs": {"n": 1}},
        url="http://192.0.2.1:8888",
        exit_status=3,
        reason="over",
        last_error="busy",
        closed_at=9.75,
    )
    await ledger.insert(full)
    assert reopened(ledger, url, state_dir) == [replace(full, generation=1)]


async def test_optional_fields_stay_empty(ledger, url, state_dir):
    await ledger.insert(record(handle=Handle("vm-1", SCOPE)))
    (row,) = reopened(ledger, url, state_dir)
    assert row == record(generation=1, handle=Handle("vm-1", SCOPE))


async def test_generations_count_per_server(ledger):
    lab = Owner("ada", "lab")
    for number, (owner, generation) in enumerate(
        [(ADA, 1), (ADA, 2), (lab, 1), (ADA, 3), (Owner("bob"), 1), (lab, 2)]
    ):
        row = await ledger.insert(record(number, owner))
        assert row.generation == generation
        await ledger.update(row, phase=Phase.CLOSED)
    assert [row.generation for row in await ledger.history(ADA)] == [1, 2, 3]
    assert [row.owner for row in await ledger.history(lab)] == [lab, lab]


async def test_closed_rows_are_not_unfinished(ledger):
    for number, phase in enumerate(Phase):
        row = await ledger.insert(record(number, Owner(f"user-{number}")))
        await ledger.update(row, phase=phase)
    assert {row.phase for row in ledger.unfinished()} == set(Phase) - {Phase.CLOSED}


@pytest.mark.parametrize("phase", [p for p in Phase if p not in (Phase.RELEASING, Phase.CLOSED)])
async def test_one_live_intent_per_server(ledger, phase):
    first = await ledger.insert(record(1))
    await ledger.update(first, phase=phase)
    with pytest.raises(IntegrityError):
        await ledger.insert(record(2))
    await ledger.insert(record(3, Owner("ada", "other")))
    await ledger.update(first, phase=Phase.RELEASING)
    assert (await ledger.insert(record(4))).generation == 2


async def test_a_released_row_cannot_come_back_to_life_beside_another(ledger):
    first = await ledger.insert(record(1))
    await ledger.update(first, phase=Phase.RELEASING)
    await ledger.insert(record(2))
    with pytest.raises(IntegrityError):
        await ledger.update(first, phase=Phase.RUNNING)


async def test_update_writes_only_what_it_was_given(ledger):
    row = await ledger.insert(record())
    await ledger.update(row, url="http://a", last_error="busy")
    # `row` still says that there is no URL; that must not be written back.
    await ledger.update(row, phase=Phase.RUNNING)
    (now,) = await ledger.history(ADA)
    assert now == replace(row, url="http://a", last_error="busy", phase=Phase.RUNNING)


async def test_update_leaves_other_rows_alone(ledger):
    first = await ledger.insert(record(1))
    second = await ledger.insert(record(2, Owner("bob")))
    await ledger.update(first, reason="over", phase=Phase.CLOSED)
    assert await ledger.history(Owner("bob")) == [second]


async def test_an_owner_is_two_columns(ledger):
    row = await ledger.insert(record(owner=Owner("ada", "lab")))
    await ledger.update(row, owner=Owner("grace", "den"))
    assert [r.owner for r in ledger.unfinished()] == [Owner("grace", "den")]


async def test_another_offer_brings_its_scope(ledger):
    row = await ledger.insert(record())
    offer = Offer(Scope("fake", "there"), "S2")
    await ledger.update(row, offer=offer, attempt=2)
    (now,) = ledger.unfinished()
    assert (now.offer, now.scope, now.attempt) == (offer, offer.scope, 2)


async def test_an_unknown_field_is_an_error(ledger):
    row = await ledger.insert(record())
    with pytest.raises(TypeError):
        await ledger.update(row, colour="red")


def test_a_token_is_a_function_of_intent_and_attempt():
    assert record(1).token == record(1, url="http://a", generation=7).token
    tokens = {record(n, attempt=a).token for n in range(3) for a in range(1, 4)}
    assert len(tokens) == 9
    assert all(re.fullmatch(r"[0-9a-f]{32}", token) for token in tokens)


# -- groups ------------------------------------------------------------------------------------


async def test_concurrent_writes_share_a_commit(ledger, busy):
    held = await busy()
    writes = [asyncio.create_task(ledger.insert(record(n, Owner(f"user-{n}")))) for n in range(100)]
    await asyncio.sleep(0)
    busy.release()
    await asyncio.gather(held, *writes)
    assert len(busy.commits) == 2  # the one that was under way, and one for all of these
    assert len(ledger.unfinished()) == 100


async def test_one_that_fails_takes_no_other_with_it(ledger, busy):
    def fail_late(connection):
        connection.execute(intents.update().values(reason="must be taken back"))
        raise LookupError("me alone")

    held = await busy()
    writes = [
        asyncio.create_task(write)
        for write in (
            ledger.insert(record(1)),
            ledger.submit(fail_late),
            ledger.insert(record(2)),
            ledger.insert(record(3, Owner("bob"))),
        )
    ]
    await asyncio.sleep(0)
    busy.release()
    outcomes = await asyncio.gather(held, *writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[2:4]] == [LookupError, IntegrityError]
    assert len(busy.commits) == 2
    assert {(r.owner.user, r.reason) for r in ledger.unfinished()} == {("ada", ""), ("bob", "")}


async def test_one_that_ends_the_transaction_is_told_to_all_whom_it_took_with_it(ledger):
    def roll_back(connection):
        connection.exec_driver_sql("ROLLBACK")
        raise LookupError

    writes = (ledger.insert(record(1)), ledger.submit(roll_back), ledger.insert(record(2)))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    told = {outcome.id for outcome in outcomes if not isinstance(outcome, Exception)}
    assert told == {row.id for row in ledger.unfinished()}
    assert isinstance(outcomes[1], LedgerUnavailable)


async def test_a_failed_commit_fails_everyone_in_it(ledger, busy):
    held = await busy()

    def full(_):
        raise sqlite3.OperationalError("database or disk is full")

    event.listen(ledger._backend.engine, "commit", full)
    busy.release()
    outcomes = await asyncio.gather(held, ledger.insert(record()), return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    event.remove(ledger._backend.engine, "commit", full)
    assert ledger.unfinished() == []
    assert (await ledger.insert(record())).generation == 1


async def test_the_write_of_a_cancelled_caller_is_committed(ledger, busy):
    held = await busy()
    write = asyncio.create_task(ledger.insert(record()))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert ledger.unfinished() == []
    busy.release()
    await held
    assert [row.id for row in await ledger.history(ADA)] == [record().id]


async def test_close_writes_what_is_queued(ledger, busy, url, state_dir):
    held = await busy()
    writes = [asyncio.create_task(ledger.insert(record(n, Owner(f"u{n}")))) for n in range(5)]
    await asyncio.sleep(0)
    threading.Timer(0.02, busy.release).start()
    assert len(reopened(ledger, url, state_dir)) == 5
    await asyncio.gather(held, *writes)


async def test_nothing_is_written_after_close(ledger):
    ledger.close()
    with pytest.raises(RuntimeError) as caught:
        await ledger.insert(record())
    assert str(caught.value) == "the ledger is closed"


async def test_close_twice(ledger):
    ledger.close()
    ledger.close()


def test_a_write_may_outlive_its_event_loop(ledger, url, state_dir):
    entered, gate = threading.Event(), threading.Event()

    def slow(connection):
        entered.set()
        gate.wait(10)
        connection.execute(intents.insert().values(**ledger_module._values(record())))

    async def leave():
        write = asyncio.create_task(ledger.submit(slow))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        write.cancel()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    gate.set()
    assert len(reopened(ledger, url, state_dir)) == 1


# -- one hub at a time, and SIGKILL ------------------------------------------------------------

WRITER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from resources.parts import Owner, record
from multiplespawner_core.resources.ledger import Ledger

ledger = Ledger.open({url!r}, Path({state_dir!r}))

async def write(number):
    while True:
        row = await ledger.insert(record(number, Owner(f"user-{{number}}")))
        os.write(1, f"{{row.id}}\\n".encode())
        number += 8

async def main():
    await asyncio.gather(*(write(number) for number in range(8)))

asyncio.run(main())
"""


def test_what_was_confirmed_survives_sigkill(url, state_dir):
    folder = str(Path(__file__).parents[1])
    script = WRITER.format(tests=folder, url=url, state_dir=str(state_dir))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
        confirmed = [writer.stdout.readline() for _ in range(40)]
        assert refused(url, state_dir) == (
            f"another hub uses {state_dir}: stop it, or give each hub its own"
            " c.MultipleSpawner.state_dir"
        )
        writer.send_signal(signal.SIGKILL)
        confirmed += writer.stdout.readlines()
    ids = {line.decode().strip() for line in confirmed if line.endswith(b"\n")}
    assert len(ids) >= 40
    ledger = Ledger.open(url, state_dir)  # the lock died with its holder
    try:
        assert ids <= {row.id for row in ledger.unfinished()}
    finally:
        ledger.close()


def test_a_second_hub_is_refused(ledger, url, state_dir):
    assert "another hub uses" in refused(url, state_dir)


# -- what cannot be opened ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://hub:s3cret@127.0.0.1:1/ledger",
        "postgresql://hub@127.0.0.1:1/ledger?password=s3cret",
        "postgresql://hub:s3@s3cret@127.0.0.1:1/ledger",
        "postgresql://hub:s3/s3cret@127.0.0.1:1/ledger",
        "postgresql://hub:1/s3cret@127.0.0.1:1/ledger",
        "postgresql://hub:s3cret@127.0.0.1:1/ledger?nonsense=1",
        "postgresql+psycopg2://hub:s3cret@127.0.0.1:1/ledger",
        "postgresql//hub:s3cret@127.0.0.1/ledger",
        "nosuchdb://hub:s3cret@127.0.0.1/ledger",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_password_is_not_repeated(wrong, state_dir):
    message = refused(wrong, state_dir)
    assert "ledger_url" in message
    assert "s3cret" not in message


def test_what_is_no_url(state_dir):
    assert refused("ledger.sqlite", state_dir) == (
        "c.MultipleSpawner.ledger_url is neither the URL of an SQLite file, such as"
        " 'sqlite:////srv/hub/ledger.sqlite', nor that of a PostgreSQL database, such as"
        " 'postgresql+psycopg://hub@db.example.org/ledger'"
    )


# -- revisions ---------------------------------------------------------------------------------


def schema(engine):
    with engine.connect() as connection:
        seen = inspect(connection)
        return {
            table: (
                [{**column, "type": repr(column["type"])} for column in seen.get_columns(table)],
                {i["name"]: _conditions(i) for i in seen.get_indexes(table)},
                seen.get_pk_constraint(table)["constrained_columns"],
            )
            for table in seen.get_table_names()
            if "version" not in table
        }


def _conditions(index):
    options = index.get("dialect_options", {})
    return index["column_names"], bool(index["unique"]), {k: str(v) for k, v in options.items()}


@pytest.fixture
def engine(url, state_dir):
    Ledger.open(url, state_dir).close()
    engine = create_engine(url or f"sqlite:///{state_dir / 'ledger.sqlite'}")
    yield engine
    engine.dispose()


def test_the_revisions_make_exactly_the_tables(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": "multiplespawner_version",
                "compare_type": True,
                # PostgreSQL has no comparison for JSON; `schema` compares the text.
                "compare_server_default": engine.dialect.name == "sqlite",
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_revisions_make_the_same_indexes(engine):
    # alembic does not compare the condition of a partial index
    made = schema(engine)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert made == schema(engine)
    columns, unique, condition = made["intents"][1]["uq_intents_live_server"]
    assert columns == ["installation_id", "user_name", "server_name"]
    assert unique
    assert re.search("phase.*releasing.*closed", str(condition))


def test_down_and_up_again(engine):
    before = schema(engine)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
    assert schema(engine) == {}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
    assert schema(engine) == before


async def test_opening_again_keeps_what_is_there(ledger, url, state_dir):
    await ledger.insert(record())
    identity = ledger.installation_id
    assert len(reopened(ledger, url, state_dir)) == 1
    again = Ledger.open(url, state_dir)
    assert again.installation_id == identity
    again.close()


async def test_the_event_loop_is_not_held_up(ledger):
    slow = asyncio.create_task(ledger.submit(lambda _: time.sleep(0.2)))
    started = time.monotonic()
    await asyncio.sleep(0.001)
    assert time.monotonic() - started < 0.15
    await slow


# -- against a model ---------------------------------------------------------------------------

OWNERS = [Owner("ada"), Owner("ada", "lab"), Owner("bob")]


class LedgerMachine(RuleBasedStateMachine):
    """A ledger that is closed and opened at any time, beside a dictionary."""

    def url(self):
        return ""

    @initialize()
    def begin(self):
        self.directory = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.opened = self.url()
        self.ledger = Ledger.open(self.opened, self.directory / "state")
        self.identity = self.ledger.installation_id
        self.model = {}

    def run(self, work):
        return self.loop.run_until_complete(work)

    @rule(owner=st.sampled_from(OWNERS))
    def insert(self, owner):
        row = record(len(self.model), owner)
        if any(r.owner == owner and live(r) for r in self.model.values()):
            with pytest.raises(IntegrityError):
                self.run(self.ledger.insert(row))
            return
        before = [r.generation for r in self.model.values() if r.owner == owner]
        row = self.run(self.ledger.insert(row))
        assert row.generation == max(before, default=0) + 1
        self.model[row.id] = row

    @precondition(lambda self: self.model)
    @rule(
        data=st.data(),
        changes=st.fixed_dictionaries(
            {},
            optional={
                "phase": st.sampled_from(list(Phase)),
                "url": st.none() | st.just("http://a"),
                "expires_at": st.none() | st.floats(0, 1e10),
                "handle": st.none() | st.just(Handle("vm", SCOPE, None, {"a": 1})),
                "child": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
                "last_error": st.text(max_size=5).filter(lambda s: "\0" not in s),
            },
        ).filter(bool),
    )
    def update(self, data, changes):
        row = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        changed = replace(row, **changes)
        rivals = [r for r in self.model.values() if r.owner == row.owner and r.id != row.id]
        if live(changed) and any(live(rival) for rival in rivals):
            with pytest.raises(IntegrityError):
                self.run(self.ledger.update(row, **changes))
            return
        self.run(self.ledger.update(row, **changes))
        self.model[row.id] = changed

    @rule()
    def close_and_open(self):
        self.ledger.close()
        self.ledger = Ledger.open(self.opened, self.directory / "state")
        assert self.ledger.installation_id == self.identity

    @invariant()
    def agrees(self):
        expected = {r.id: r for r in self.model.values() if r.phase is not Phase.CLOSED}
        assert {r.id: r for r in self.ledger.unfinished()} == expected

    def teardown(self):
        if hasattr(self, "ledger"):
            for owner in OWNERS:
                expected = [r for r in self.model.values() if r.owner == owner]
                found = self.run(self.ledger.history(owner))
                assert found == sorted(expected, key=lambda r: r.generation)
            self.ledger.close()
            self.loop.close()
            shutil.rmtree(self.directory)


def live(row):
    return row.phase not in (Phase.RELEASING, Phase.CLOSED)


TestAgainstAModel = LedgerMachine.TestCase
TestAgainstAModel.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, derandomize=True
)


class PostgreSQLMachine(LedgerMachine):
    server = None

    def url(self):
        self.place = self.server.create()
        return self.place.url

    def teardown(self):
        super().teardown()
        if hasattr(self, "place"):
            self.place.drop()


@pytest.fixture(scope="class")
def machine_server(server):
    PostgreSQLMachine.server = server


@pytest.mark.slow
@pytest.mark.usefixtures("machine_server")
class TestAgainstAModelOnPostgreSQL(PostgreSQLMachine.TestCase):
    settings = TestAgainstAModel.settings


async def test_a_row_that_does_not_exist_cannot_be_changed(ledger):
    with pytest.raises(UnknownRow):
        await ledger.update(record(), reason="x")
