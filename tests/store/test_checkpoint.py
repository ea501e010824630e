"""SQLite's log is brought home beside the writer, and does not grow without end while somebody writes."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from securegw.store import checkpoint
from securegw.store.database import Database

MB = 1 << 20


def keep(connection: Connection, size: int) -> None:
    connection.exec_driver_sql("INSERT INTO heap VALUES (zeroblob(?))", (size,))


def count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM heap").scalar_one())


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "PAUSE_SECONDS", 0)
    opened = Database(f"sqlite:///{tmp_path / 'heap.db'}")
    opened.write(lambda connection: connection.exec_driver_sql("CREATE TABLE heap (body BLOB)") and None).result()
    yield opened
    opened.close()


def test_the_log_begins_anew_while_the_writer_goes_on(database: Database, tmp_path: Path):
    for _ in range(300):
        database.write(keep, MB).result()
    assert (tmp_path / "heap.db-wal").stat().st_size < 150 * MB  # without checkpoints more than 300 MB
    assert (tmp_path / "heap.db").stat().st_size > 150 * MB
    assert database.read(count).result() == 300


def test_a_checkpoint_that_fails_costs_no_commit(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "_PASSIVE", "PRAGMA no such thing (")
    monkeypatch.setattr(checkpoint, "LONG_LOG", 0)
    for _ in range(20):
        database.write(keep, 10).result()
    assert database.read(count).result() == 20


def test_all_is_at_home_after_closing(database: Database, tmp_path: Path):
    database.write(keep, MB).result()
    database.close()
    assert not (tmp_path / "heap.db-wal").exists()
    assert (tmp_path / "heap.db").stat().st_size > MB


def test_whoever_closes_it_in_the_wrong_moment_does_not_wait_for_ever(tmp_path: Path, monkeypatch) -> None:
    """The end is announced just before the thread forgets what it has heard: a gateway hung so on SIGTERM."""
    monkeypatch.setattr(checkpoint, "PAUSE_SECONDS", 0)
    checkpointer = checkpoint.Checkpointer(str(tmp_path / "heap.db"))
    forget = checkpointer._news.clear

    def announce_and_forget() -> None:
        checkpointer._closing.set()
        checkpointer._news.set()
        forget()

    checkpointer._news.clear = announce_and_forget
    checkpointer._news.set()

    checkpointer._thread.join(5)
    assert not checkpointer._thread.is_alive()
    checkpointer.close()
