from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from securegw.mail.errors import DiskFull, LostClaim, StoreBusy
from securegw.store import desk, queue, schema
from securegw.store.database import Database
from securegw.store.items import Chosen, Entry
from securegw.store.queue import Failed, Treated
from tests.store.samples import NOW, claim, claimed, entry, node, put, rows

LARGE = (b"first part", b"second part")


@pytest.fixture
def database(sqlite_url: str) -> Database:
    return Database(sqlite_url, inline=True)


@pytest.fixture
def folder(database: Database) -> Path:
    return Path(f"{database.url.database}.bodies")


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_large_body_is_a_file_and_comes_back(database: Database, folder: Path) -> None:
    [small, large] = put(database, entry(), entry(body=LARGE))

    assert files(folder) == [large.id]
    assert database.read(queue.body, large.id).result() == list(LARGE)
    found = database.read(queue.bodies, [small.id, large.id]).result()
    assert found == {small.id: [b"sealed"], large.id: list(LARGE)}
    assert (folder.stat().st_mode & 0o777, (folder / large.id).stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_large_body_and_all_that_leads_to_it_is_on_the_disk(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), sync(file)))

    [first] = put(database, entry(body=LARGE))
    assert sorted(synced) == sorted(map(str, (folder.parent, folder, folder / first.id)))


def test_on_a_server_every_body_is_rows(postgresql_url: str) -> None:
    database = Database(postgresql_url, inline=True)
    try:
        put(database, large := entry(body=LARGE))
        assert rows(database, schema.body) == 2
        assert database.read(queue.body, large.id).result() == list(LARGE)
    finally:
        database.close()


def test_a_body_that_came_in_a_file_becomes_rows_on_a_server(postgresql_url: str, tmp_path: Path) -> None:
    database = Database(postgresql_url, inline=True, coming=tmp_path)
    try:
        file = database.bodies.begin("0" * 16)
        for part in LARGE:
            file.add(part)
        put(database, entry(id="0" * 16, body=file.end(b"top")))
        file.drop()
        assert database.read(queue.body, "0" * 16).result() == [b"top", *LARGE]
        assert os.listdir(tmp_path) == []
    finally:
        database.close()


def treated(database: Database, one: Entry, session: int) -> None:
    database.write(queue.treated, Treated(id=one.id, session=session, now=NOW)).result()


def deleted(database: Database, one: Entry, session: int) -> None:
    database.write(desk.delete_items, Chosen((one.id,))).result()


@pytest.mark.parametrize("end", [treated, deleted])
def test_the_file_goes_with_its_item(
    database: Database, folder: Path, end: Callable[[Database, Entry, int], None]
) -> None:
    one, other = put(database, entry(body=LARGE), entry(body=LARGE))
    session = node(database)
    claim(database, session)

    end(database, one, session)

    assert files(folder) == [other.id]


def test_the_file_stays_while_its_item_does(database: Database, folder: Path) -> None:
    item, session = claimed(database, body=LARGE)

    failed = Failed(id=item.id, session=session, note="later", next_try=NOW, now=NOW)
    database.write(queue.failed_treatment, failed).result()

    assert files(folder) == [item.id]


def test_a_step_that_is_rolled_back_drops_nothing(database: Database, folder: Path) -> None:
    item, session = claimed(database, body=LARGE)

    def fail(_connection: object, _words: str) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        database.write(queue.treated, Treated(id=item.id, session=session, also=((fail, ""),), now=NOW)).result()

    assert database.read(queue.body, item.id).result() == list(LARGE)


def test_what_a_crash_has_left_is_tidied_by_who_is_alone(database: Database, folder: Path) -> None:
    [kept] = put(database, entry(body=LARGE))
    (folder / "0123456789abcdef").write_bytes(b"nobody's")
    database.close()
    again = Database(str(database.url), inline=True)

    assert again.tidy() == 0, "not without the lock"
    again.lock()
    assert again.tidy() == 1
    again.close()

    assert files(folder) == [kept.id]


def test_a_file_that_has_gone_is_a_lost_claim(database: Database, folder: Path) -> None:
    [large] = put(database, entry(body=LARGE))
    (folder / large.id).unlink()

    with pytest.raises(LostClaim):
        database.read(queue.body, large.id).result()


@pytest.mark.parametrize(("number", "error"), [(28, DiskFull), (122, DiskFull), (5, StoreBusy)])
def test_a_disk_in_trouble_takes_no_mail(
    database: Database, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def sync(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)

    with pytest.raises(error):
        put(database, entry(body=LARGE))
    assert rows(database, schema.item) == 0
