from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from securegw.config import describe, read, section
from securegw.mail.errors import DiskFull, LostClaim, StoreBusy
from securegw.store import engine, queue, schema, settings, writer
from securegw.store.database import Database, DatabaseSettings, place
from securegw.store.troubles import DatabaseTaken
from tests.store.samples import entry, put, rows


class Gate:
    """A step that keeps the writer busy until it is opened, so that what comes meanwhile becomes one group."""

    def __init__(self, database: Database) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.future = database.write(self.step)
        assert self.entered.wait(10)

    def step(self, _connection: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(10)

    def open(self) -> None:
        self.opened.set()
        self.future.result()


def fail(_connection: Connection, words: str) -> None:
    raise ArithmeticError(words)


def count_commits(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    committed: list[Connection] = []

    def commit(connection: Connection) -> None:
        engine.commit(connection)
        committed.append(connection)

    monkeypatch.setattr(writer, "commit", commit)
    return committed


# group commit


def test_what_waits_shares_one_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = count_commits(monkeypatch)
    gate = Gate(database)
    waiting = [database.write_many(queue.put, entry()) for _ in range(30)]
    waiting += [database.write(settings.put, f"key {number}", number) for number in range(5)]
    gate.open()
    for future in waiting:
        future.result()
    assert len(commits) == 2  # the gate's and the group's
    assert (rows(database, schema.item), rows(database, schema.setting)) == (30, 5)


def test_neighbours_with_the_same_step_are_one_call(database: Database) -> None:
    calls: list[list[int]] = []

    def double(_connection: Connection, numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [2 * number for number in numbers]

    gate = Gate(database)
    first = [database.write_many(double, number) for number in (1, 2)]
    between = database.write(settings.put, "a", 1)
    last = [database.write_many(double, number) for number in (3, 4, 5)]
    gate.open()
    assert [future.result() for future in first + last] == [2, 4, 6, 8, 10]
    assert between.result() is None
    assert calls == [[1, 2], [3, 4, 5]]


def test_what_is_deleted_is_not_written_over(tmp_path: Path) -> None:
    """Debian's SQLite would write zeros over every page of it, which is more work than keeping it was."""
    database = Database(f"sqlite:///{tmp_path}/x.db", inline=True)
    assert database.write(lambda conn: conn.scalar(text("PRAGMA secure_delete"))).result() == 2  # FAST
    database.close()


def test_a_failing_step_does_not_fail_its_neighbours(database: Database) -> None:
    gate = Gate(database)
    before = [database.write_many(queue.put, entry()) for _ in range(3)]
    failing = database.write(fail, "mine alone")
    after = database.write(settings.put, "a", 1)
    gate.open()
    assert [future.result() for future in before] == [None] * 3
    with pytest.raises(ArithmeticError, match="mine alone"):
        failing.result()
    after.result()
    assert rows(database, schema.item) == 3


def test_one_bad_argument_does_not_fail_the_others_of_its_call(database: Database) -> None:
    twice = entry()
    put(database, twice)
    gate = Gate(database)
    waiting = [database.write_many(queue.put, one) for one in (entry(), twice, entry())]
    gate.open()
    assert [future.exception() is None for future in waiting] == [True, False, True]
    assert rows(database, schema.item) == rows(database, schema.body) == 3


def test_a_step_that_forgets_an_answer_is_not_committed(database: Database) -> None:
    def forgetful(connection: Connection, keys: list[str]) -> list[None]:
        for key in keys:
            settings.put(connection, key, 1)
        return []

    with pytest.raises(ValueError, match="0 results"):
        database.write_many(forgetful, "a").result()
    assert database.read(settings.everything).result() == {}


def test_a_future_resolves_only_after_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def commit(connection: Connection) -> None:
        seen.append(future.done())
        engine.commit(connection)

    gate = Gate(database)
    monkeypatch.setattr(writer, "commit", commit)
    future = database.write(settings.put, "a", 1)
    gate.open()
    future.result()
    assert seen == [False, False]


def test_if_commit_fails_nobody_is_told_that_it_is_stored(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_connection: Connection) -> None:
        raise OperationalError("COMMIT", {}, Exception("the disk is gone"))

    gate = Gate(database)
    with monkeypatch.context() as patch:
        waiting = [database.write_many(queue.put, entry()) for _ in range(3)]
        patch.setattr(writer, "commit", broken)
        gate.opened.set()
        errors = [future.exception() for future in waiting]
    assert [type(error) for error in errors] == [StoreBusy] * 3
    assert "the disk is gone" in str(getattr(errors[0], "detail", ""))
    put(database, entry())  # the writer lives
    assert rows(database, schema.item) == 1


def test_a_cancelled_request_is_not_done(database: Database) -> None:
    gate = Gate(database)
    future = database.write(settings.put, "a", 1)
    assert future.cancel()
    gate.open()
    database.write(settings.put, "b", 1).result()
    assert database.read(settings.everything).result() == {"b": 1}


def test_a_large_crowd_is_served_in_order(database: Database) -> None:
    gate = Gate(database)
    waiting = [database.write(settings.put, "last", number) for number in range(3 * writer.GROUP_LIMIT // 2)]
    gate.open()
    for future in waiting:
        future.result()
    assert database.read(settings.get, "last").result() == len(waiting) - 1


# the pause between two groups


def crowd(database: Database, count: int) -> None:
    """One group of so many requests for the same step, to its end."""
    gate = Gate(database)
    waiting = [database.write_many(queue.put, entry()) for _ in range(count)]
    gate.open()
    for future in waiting:
        future.result(10)


def test_a_pause_ends_when_as_many_wait_as_the_last_group_had(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GATHER", 60.0)
    crowd(database, 3)
    for _ in range(3):
        waiting = [database.write_many(queue.put, entry()) for _ in range(3)]
        assert [future.result(10) for future in waiting] == [None] * 3


def test_the_largest_of_the_last_groups_counts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(database, 4)
    database.write_many(queue.put, entry()).result()  # the pause behind it is over
    monkeypatch.setattr(writer, "GATHER", 60.0)
    crowd(database, 2)
    two = [database.write_many(queue.put, entry()) for _ in range(2)]
    with pytest.raises(TimeoutError):
        two[0].result(0.2)
    more = [database.write_many(queue.put, entry()) for _ in range(2)]
    assert [future.result(10) for future in (*two, *more)] == [None] * 4


def test_requests_for_several_steps_let_others_come_beside_them(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER", 60.0)
    database = Database(url)
    crowd(database, 2)
    mixed = [database.write_many(queue.put, entry()), database.write_many(queue.treated_many, done())]
    with pytest.raises(TimeoutError):
        mixed[0].result(0.2)
    database.close()  # ends the pause too
    assert mixed[0].result(0) is None
    assert isinstance(mixed[1].exception(0), LostClaim)


def done() -> queue.Treated:
    return queue.Treated(id="0" * 16, session=1)


# readers


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((StoreBusy, DBAPIError)) as caught:
        database.read(settings.put, "a", 1).result()
    assert re.search("readonly|read-only", getattr(caught.value, "detail", "") or str(caught.value))
    assert database.read(settings.everything).result() == {}


def test_a_reader_sees_one_moment(database: Database) -> None:
    def look_twice(connection: Connection) -> tuple[Any, Any]:
        before = settings.get(connection, "a")
        database.write(settings.put, "a", 2).result()
        return before, settings.get(connection, "a")

    database.write(settings.put, "a", 1).result()
    assert database.read(look_twice).result() == (1, 1)
    assert database.read(settings.get, "a").result() == 2


def test_a_failing_question_fails_alone(database: Database) -> None:
    with pytest.raises(ArithmeticError):
        database.read(fail, "no").result()
    assert database.read(settings.get, "a", 1).result() == 1


# the end


def test_close_finishes_what_waits(url: str) -> None:
    database = Database(url)
    gate = Gate(database)
    waiting = [database.write_many(queue.put, entry()) for _ in range(10)]
    closing = threading.Thread(target=database.close)
    closing.start()
    gate.opened.set()
    closing.join()
    assert [future.result(0) for future in waiting] == [None] * 10
    again = Database(url)
    assert rows(again, schema.item) == 10
    again.close()


def test_after_close_nothing_is_taken(url: str) -> None:
    database = Database(url)
    database.close()
    database.close()
    with pytest.raises(StoreBusy):
        database.write(settings.put, "a", 1).result(5)
    with pytest.raises(StoreBusy):
        database.read(settings.get, "a").result(5)


# inline


@pytest.mark.parametrize("memory", [True, False])
def test_inline_everything_is_done_at_once(sqlite_url: str, memory: bool) -> None:
    database = Database("sqlite://" if memory else sqlite_url, inline=True)
    database.migrate()
    threads = threading.active_count()
    future = database.write(settings.put, "a", 1)
    assert future.done()
    assert database.read(settings.get, "a").result(0) == 1
    assert isinstance(database.write(fail, "no").exception(0), ArithmeticError)
    assert isinstance(database.read(fail, "no").exception(0), ArithmeticError)
    assert threading.active_count() == threads
    database.close()


def test_a_database_in_memory_has_one_connection_only() -> None:
    with pytest.raises(ValueError, match="inline"):
        Database("sqlite://")


# files


def test_a_commit_is_on_the_disk(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    pragmas = ("journal_mode", "synchronous", "foreign_keys")
    found = database.write(lambda conn: [conn.scalar(text(f"PRAGMA {name}")) for name in pragmas]).result()
    database.close()
    assert found == ["wal", 2, 1]  # 2 is FULL


def test_a_full_disk_is_told_as_such_and_passes(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    set_pages(database, 10)  # it will be as many as there are
    with pytest.raises(DiskFull) as caught:
        put(database, entry(body=(b"x" * 2_000_000,)))
    assert caught.value.temporary
    set_pages(database, 1_000_000)
    put(database, entry(body=(b"x" * 2_000_000,)))
    assert rows(database, schema.item) == rows(database, schema.body) == 1
    database.close()


def set_pages(database: Database, pages: int) -> None:
    database.write(lambda conn: conn.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar()).result()


def test_a_transaction_that_sqlite_ended_by_itself_is_not_called_stored(sqlite_url: str) -> None:
    def half(connection: Connection) -> None:
        settings.put(connection, "a", 1)
        connection.exec_driver_sql("ROLLBACK")

    database = Database(sqlite_url)
    with pytest.raises(StoreBusy):
        database.write(half).result()
    database.write(settings.put, "b", 1).result()
    assert database.read(settings.everything).result() == {"b": 1}
    database.close()


def test_a_locked_file_is_a_busy_store(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    database, other = Database(sqlite_url), Database(sqlite_url)
    gate = Gate(other)
    with pytest.raises(StoreBusy):
        database.write(settings.put, "a", 1).result()
    gate.open()
    database.write(settings.put, "a", 1).result()
    database.close()
    other.close()


def test_one_gateway_has_the_file_to_itself(sqlite_url: str) -> None:
    first, second = Database(sqlite_url), Database(sqlite_url)
    first.lock()
    first.lock()
    with pytest.raises(DatabaseTaken, match=str(os.getpid())):
        second.lock()
    second.read(settings.everything).result()  # commands may still look
    first.close()
    second.lock()
    second.close()


def test_the_lock_keeps_another_process_away(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.lock()
    program = f"from securegw.store.database import Database; Database({sqlite_url!r}, inline=True).lock()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    database.close()
    assert done.returncode == 1
    assert f"in use by the process {os.getpid()}" in done.stderr


WRITER = """
import sys
from securegw.store import queue
from securegw.store.database import Database
from tests.store.samples import entry

database = Database(sys.argv[1])

def tell(id, future):
    future.result()
    sys.stdout.write(id + "\\n")
    sys.stdout.flush()

while True:
    waiting = [entry(body=(b"x" * 20_000,)) for _ in range(19)] + [entry(body=(b"x" * 20_000, b"y"))]
    for one in waiting:
        database.write_many(queue.put, one).add_done_callback(lambda future, id=one.id: tell(id, future))
"""


@pytest.mark.parametrize("acknowledged", [1, 500])
def test_what_was_acknowledged_survives_kill_9(sqlite_url: str, acknowledged: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, sqlite_url], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    told = [line.strip() for line in itertools.islice(process.stdout, acknowledged)]
    process.send_signal(signal.SIGKILL)
    told += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert len(told) >= acknowledged
    database = Database(sqlite_url)
    assert database.read(lambda conn: conn.scalar(text("PRAGMA integrity_check"))).result() == "ok"
    stored = database.read(lambda conn: set(conn.scalars(text("SELECT id FROM item")))).result()
    assert stored >= set(told)
    assert rows(database, schema.body) == len(stored)  # nothing is half there
    for id in stored:
        assert database.read(queue.body, id).result() in ([b"x" * 20_000], [b"x" * 20_000, b"y"])
    database.close()


# settings


@pytest.mark.parametrize(
    ("url", "placed"),
    [
        ("sqlite:///securegw.db", "sqlite:////var/lib/securegw/securegw.db"),
        ("sqlite:////srv/mail.db", "sqlite:////srv/mail.db"),
        ("sqlite://", "sqlite://"),
        ("postgresql://ann:secret@db/securegw", "postgresql://ann:secret@db/securegw"),
    ],
)
def test_a_relative_file_is_put_below_the_data_directory(url: str, placed: str) -> None:
    assert place(url, Path("/var/lib/securegw")) == placed


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="sqlite or postgresql"):
        Database("mysql://db/securegw")


def test_postgresql_is_reached_by_psycopg() -> None:
    assert engine.database_url("postgresql://db/securegw").drivername == "postgresql+psycopg"


def test_the_settings_have_defaults(tmp_path: Path) -> None:
    @attrs.frozen
    class Whole:
        """All."""

        database: DatabaseSettings = section(DatabaseSettings)

    found = read(Whole, "", str(tmp_path / "securegw.toml"))
    assert (found.database.url, found.database.readers) == ("sqlite:///securegw.db", 4)
    assert "readers" in describe(Whole)


def test_a_mistake_in_a_statement_is_not_disguised(database: Database) -> None:
    def nonsense(connection: Connection) -> None:
        connection.execute(text("SELECT * FROM no_such_table"))

    for future in (database.read(nonsense), database.write(nonsense)):
        with pytest.raises(DBAPIError, match="no_such_table"):
            future.result()
