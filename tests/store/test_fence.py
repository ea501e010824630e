"""The fence: a demoted, an older or another database server is refused (nodes: two primaries)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from securegw.mail.errors import StoreBusy
from securegw.store import settings
from securegw.store.database import Database
from securegw.store.fence import Fence, OldServer, Server
from tests.support.postgres import Postgres
from tests.support.standby import Standby, primary_and_standby

OLD, NEW, OTHER = Server("7", 2), Server("7", 3), Server("8", 9)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "database-server.json"


def test_a_newer_server_is_remembered_and_an_older_refused(file: Path) -> None:
    fence = Fence(file)
    fence.admit(OLD)
    fence.admit(NEW)
    with pytest.raises(OldServer) as caught:
        fence.admit(OLD)
    assert "timeline is 2, and we have seen 3" in caught.value.detail
    assert str(file) in caught.value.detail
    assert caught.value.code == 451
    assert json.loads(file.read_text()) == {"system": "7", "timeline": 3}


def test_another_process_knows_what_this_one_has_seen(file: Path) -> None:
    here, there = Fence(file), Fence(file)
    here.admit(OLD)
    there.admit(NEW)
    assert not here.is_newest(OLD)
    with pytest.raises(OldServer):
        here.admit(OLD)
    with pytest.raises(OldServer):
        Fence(file).admit(OLD)


def test_another_system_is_refused_until_the_operator_says_so(file: Path) -> None:
    fence = Fence(file)
    fence.admit(NEW)
    with pytest.raises(OldServer):
        fence.admit(OTHER)
    file.unlink()
    fence.admit(OTHER)
    assert fence.is_newest(OTHER)


def test_without_a_file_the_process_remembers(file: Path) -> None:
    fence = Fence()
    fence.admit(NEW)
    assert fence.is_newest(NEW)
    with pytest.raises(OldServer):
        fence.admit(OLD)
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"system": "7"', '{"system": "7", "timeline": 1, "more": 1}'])
def test_a_spoiled_file_refuses_everything(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(OldServer):
        Fence(file).admit(NEW)


def test_what_cannot_be_kept_is_not_admitted(tmp_path: Path) -> None:
    with pytest.raises(StoreBusy) as caught:
        Fence(tmp_path / "nowhere" / "file").admit(NEW)
    assert "cannot be written" in caught.value.detail


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Standby]]:
    with primary_and_standby() as both:
        yield both


def test_a_demoted_primary_that_comes_back_is_refused(servers: tuple[Postgres, Standby], file: Path) -> None:
    old, new = servers
    before = Database(old.url("postgres"), fence=file)
    before.migrate()
    before.read(settings.everything).result(20)

    waiting = Database(new.url("postgres"), fence=file)
    with pytest.raises(OldServer) as caught:
        waiting.read(settings.everything).result(20)
    assert "standby" in caught.value.detail

    new.promote()
    waiting.write(settings.put, "a", 1).result(20)
    assert json.loads(file.read_text())["timeline"] == 2

    # The old one was never stopped, its connections are open, and it would take everything.
    with pytest.raises(OldServer):
        before.write(settings.put, "a", 2).result(20)
    with pytest.raises(OldServer):
        before.read(settings.everything).result(20)
    old.stop()
    old.serve()
    returned = Database(old.url("postgres"), fence=file)
    with pytest.raises(OldServer):
        returned.write(settings.put, "a", 3).result(20)
    assert waiting.read(settings.get, "a").result(20) == 1
    for database in (before, waiting, returned):
        database.close()


def test_another_cluster_is_refused(servers: tuple[Postgres, Standby], postgresql_url: str, file: Path) -> None:
    first, second = Database(postgresql_url, fence=file), Database(servers[0].url("postgres"), fence=file)
    first.read(settings.everything).result(20)
    with pytest.raises(OldServer) as caught:
        second.read(settings.everything).result(20)
    assert "the one we know is" in caught.value.detail
    first.close()
    second.close()


# --- an address with several hosts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "servers", "chosen"),
    [
        (None, [OLD, NEW], 1),
        (None, [NEW, OLD], 0),
        (None, [None, OLD], 1),  # a standby comes after every primary
        (None, [None, None], 0),
        (None, [OLD, OTHER], 0),  # another system's timeline says nothing
        (NEW, [OTHER, OLD], 1),  # which is then refused
        (OLD, [OTHER, None, NEW], 2),
    ],
)
def test_the_newest_of_several_servers_is_chosen(
    known: Server | None, servers: list[Server | None], chosen: int
) -> None:
    fence = Fence()
    if known:
        fence.admit(known)
    assert fence.choose(servers) == chosen


@pytest.fixture
def promoted(servers: tuple[Postgres, Standby]) -> tuple[Postgres, Standby]:
    """The standby has been promoted, and the old primary is there as if nothing had happened."""
    old, new = servers
    if new.psql("SELECT pg_is_in_recovery()") == "t":
        before = Database(old.url("postgres"))
        before.migrate()
        before.close()
        new.promote()
    return old, new


@pytest.mark.parametrize("first", ["old", "new"])
def test_who_has_met_no_server_yet_takes_the_newest(
    promoted: tuple[Postgres, Standby], first: str, file: Path
) -> None:
    old, new = promoted
    one, other = (old, new) if first == "old" else (new, old)
    both = Database(f"{one.url('postgres')}&host={other.folder}", fence=file)
    both.write(settings.put, "met", first).result(20)
    assert both.read(settings.get, "met").result(20) == first
    assert json.loads(file.read_text())["timeline"] == 2
    both.close()
    assert first in new.psql("SELECT value FROM setting WHERE key = 'met'")
    assert first not in old.psql("SELECT value FROM setting WHERE key = 'met'")


def test_one_of_several_servers_may_be_away(promoted: tuple[Postgres, Standby], file: Path) -> None:
    _, new = promoted
    both = Database(f"postgresql+psycopg://postgres@/postgres?host=/nonexistent&host={new.folder}", fence=file)
    both.write(settings.put, "alone", 1).result(20)
    both.close()
    none = Database("postgresql+psycopg://postgres@/postgres?host=/nonexistent&host=/nowhere", fence=file)
    with pytest.raises(StoreBusy):
        none.write(settings.put, "alone", 2).result(20)
    none.close()
