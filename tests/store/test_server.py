"""What can go wrong with a PostgreSQL server: each of these once looked like success, or hung without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import psycopg
import pytest
from sqlalchemy import Connection, text

from securegw.mail.errors import StoreBusy
from securegw.store import database as databases
from securegw.store import deadline, queue, settings, writer
from securegw.store.database import Database
from securegw.store.engine import commit
from tests.store.samples import entry
from tests.support.postgres import Postgres


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    opened = Database(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def no_standby(postgres: Postgres) -> Iterator[None]:
    """Commits wait for a synchronous standby that is not there."""
    postgres.psql("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    postgres.psql("SELECT pg_reload_conf()")
    yield
    postgres.psql("ALTER SYSTEM RESET synchronous_standby_names")
    postgres.psql("SELECT pg_reload_conf()")


def until_it_waits(postgres: Postgres) -> str:
    """The server process that waits for the standby."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if found := postgres.psql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
            return found.splitlines()[0]
    raise AssertionError("no commit waits for the standby")


def test_a_commit_that_was_not_waited_for_is_not_called_stored(
    database: Database, postgres: Postgres, no_standby: None
) -> None:
    future = database.write_many(queue.put, entry())
    waiting = until_it_waits(postgres)
    assert not future.done()
    postgres.psql(f"SELECT pg_cancel_backend({waiting})")  # COMMIT now succeeds, with a warning
    with pytest.raises(StoreBusy) as caught:
        future.result(20)
    assert "standby" in caught.value.detail


def test_a_commit_that_waits_without_end_is_ended(
    postgresql_url: str, no_standby: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "DEADLINE_SECONDS", 0.3)
    database = Database(postgresql_url)
    with pytest.raises(StoreBusy):
        database.write_many(queue.put, entry()).result(20)
    database.close()


def test_who_waits_behind_a_commit_without_end_does_not_wait_as_long_again(
    postgresql_url: str, postgres: Postgres, no_standby: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10: 451 within thirty seconds, and one deadline is twenty."""
    monkeypatch.setattr(databases, "DEADLINE_SECONDS", 1.0)
    commits: list[object] = []

    def counted(connection: Connection) -> None:
        commits.append(connection)
        commit(connection)

    monkeypatch.setattr(writer, "commit", counted)
    database = Database(postgresql_url)
    first = database.write_many(queue.put, entry())
    until_it_waits(postgres)
    behind = [database.write_many(queue.put, entry()) for _ in range(3)]
    for future in (first, *behind):
        with pytest.raises(StoreBusy):
            future.result(20)
    assert len(commits) == 1
    database.close()


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_server_that_does_not_answer_is_left(postgresql_url: str, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(60)"))

    monkeypatch.setattr(databases, "DEADLINE_SECONDS", 1.0)  # what follows must not run into it on a slow machine
    database = Database(postgresql_url)
    future: Future[None] = database.read(sleep) if way == "read" else database.write(sleep)
    with pytest.raises(StoreBusy):
        future.result(20)
    database.write(settings.put, "a", 1).result(20)  # over a new connection
    database.close()


@pytest.mark.parametrize("way", ["read", "write"])
@pytest.mark.parametrize(("soon", "tries"), [(60.0, 2), (0.2, 1)])
def test_d10_nobody_waits_for_two_deadlines(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, way: str, soon: float, tries: int
) -> None:
    """A connection that was lost at once is replaced; one that a deadline has ended is not."""
    monkeypatch.setattr(databases, "DEADLINE_SECONDS", 0.4)
    monkeypatch.setattr(deadline, "SOON", soon)
    tried: list[object] = []

    def sleep(connection: Connection) -> None:
        tried.append(connection)
        connection.execute(text("SELECT pg_sleep(60)"))

    database = Database(postgresql_url)
    future: Future[None] = database.read(sleep) if way == "read" else database.write(sleep)
    with pytest.raises(StoreBusy):
        future.result(20)
    assert len(tried) == tries
    database.close()


def test_a_restarted_server_is_not_noticed(database: Database, postgres: Postgres) -> None:
    database.write(settings.put, "a", 1).result()
    database.read(settings.everything).result()
    name = database.url.database
    for number in (2, 3):
        postgres.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        database.write(settings.put, "a", number).result()
        assert database.read(settings.get, "a").result() == number


def test_a_server_that_is_away_is_a_busy_store() -> None:
    database = Database("postgresql+psycopg://postgres@/securegw?host=/nonexistent")
    waiting = [database.write(settings.put, "a", 1), database.write(settings.put, "b", 1)]
    waiting.append(database.read(settings.everything))  # type: ignore[arg-type]
    assert [type(future.exception(20)) for future in waiting] == [StoreBusy] * 3
    database.close()


def test_bodies_are_stored_as_they_are(database: Database) -> None:
    question = text("SELECT attstorage FROM pg_attribute WHERE attrelid = 'body'::regclass AND attname = 'bytes'")
    assert database.read(lambda conn: conn.scalar(question)).result() in ("e", b"e")  # EXTERNAL: never compressed


def test_a_commit_is_on_the_disk_whatever_the_server_says(database: Database) -> None:
    found = database.write(lambda conn: conn.scalar(text("SHOW synchronous_commit"))).result()
    assert found == "on"


# --- D10 e: transactions in each other's way --------------------------------------------------------------------------


def hold(postgres: Postgres, database: Database, key: str) -> psycopg.Connection[object]:
    """Somebody else who has this row and will never be the one who finds out about a deadlock."""
    other = psycopg.connect(f"host={postgres.folder} user=postgres dbname={database.url.database}")
    other.execute("SET deadlock_timeout = '60s'")
    other.execute("SELECT 1 FROM setting WHERE key = %s FOR UPDATE", [key])
    return other


def test_d10_a_deadlock_is_gone_through_once_more_and_nobody_hears_of_it(
    database: Database, postgres: Postgres
) -> None:
    for name in ("a", "b"):
        database.write(settings.put, name, 0).result(20)
    tries: list[int] = []
    has_a = threading.Event()

    def first_a_then_b(connection: Connection) -> None:
        tries.append(len(tries) + 1)
        settings.put(connection, "a", tries[-1])
        has_a.set()
        settings.put(connection, "b", tries[-1])

    with hold(postgres, database, "b") as other:
        future = database.write(first_a_then_b)
        assert has_a.wait(20)
        other.execute("UPDATE setting SET value = '7' WHERE key = 'a'")  # waits, until the server has undone our step
        other.commit()
        future.result(20)
    assert len(tries) > 1
    assert database.read(settings.everything).result() == {"a": tries[-1], "b": tries[-1]}


UNDONE = """
CREATE SEQUENCE turn;
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('turn') % {every} = 0 THEN RAISE EXCEPTION 'undone' USING ERRCODE = '40001'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER undo AFTER INSERT OR UPDATE ON setting DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION undo();
"""


@pytest.fixture
def undone(database: Database, postgres: Postgres) -> Iterator[Callable[[int], None]]:
    """From now on every so-manieth transaction that writes a setting is undone at its COMMIT."""
    name = str(database.url.database)
    yield lambda every: postgres.psql(UNDONE.format(every=every), name) and None
    postgres.psql("DROP FUNCTION undo CASCADE; DROP SEQUENCE turn", name)


def test_d10_a_commit_that_the_server_has_undone_is_not_unknown(
    database: Database, undone: Callable[[int], None]
) -> None:
    undone(2)
    waiting = [database.write(settings.put, f"name-{number}", number) for number in range(20)]
    for future in waiting:
        future.result(20)
    assert len(database.read(settings.everything).result()) == 20


def test_d10_what_is_undone_without_end_is_later_and_harms_no_neighbour(
    database: Database, undone: Callable[[int], None]
) -> None:
    undone(1)
    bad, good = database.write(settings.put, "a", 1), database.write_many(queue.put, entry())
    with pytest.raises(StoreBusy):
        bad.result(20)
    good.result(20)
