"""What can go wrong with a PostgreSQL server: each of these once looked like success, or hung without end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from sqlalchemy import Connection, text

from securegw.mail.errors import StoreBusy
from securegw.store import database as databases
from securegw.store import queue, settings, writer
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
