from __future__ import annotations

from securegw.store import queue, sessions
from securegw.store.database import Database
from tests.store.samples import NOW, claim, claimed, entry, node, put


def test_sessions_have_numbers_of_their_own(database: Database) -> None:
    one, two = node(database, "one"), node(database, "two")
    assert one != two
    found = database.read(sessions.list_sessions, NOW).result()
    assert [(session.id, session.node, session.alive_until) for session in found] == [
        (one, "one", NOW + 15.0),
        (two, "two", NOW + 15.0),
    ]


def test_the_number_of_a_closed_session_never_comes_back(database: Database) -> None:
    first = node(database)
    database.write(sessions.close_session, first).result()
    assert node(database) != first


def test_a_renewed_session_lives_on(database: Database) -> None:
    item, session = claimed(database)
    assert database.write(sessions.renew, session, NOW + 14, 15.0).result() is True
    other = node(database, "other", NOW + 20)
    assert claim(database, other, now=NOW + 20) == []
    database.write(queue.treated, queue.Treated(id=item.id, session=session, now=NOW + 20)).result()


def test_a_dead_session_is_not_revived(database: Database) -> None:
    session = node(database)
    assert database.write(sessions.renew, session, NOW + 15, 15.0).result() is False
    assert database.write(sessions.renew, session, NOW + 14, 15.0).result() is True
    assert database.write(sessions.renew, 4711, NOW, 15.0).result() is False


def test_a_closed_session_gives_its_items_back(database: Database) -> None:
    item, session = claimed(database)
    assert database.write(sessions.close_session, session).result() == 1
    assert [found.id for found in claim(database, node(database))] == [item.id]


def test_the_dead_are_reaped_and_the_living_are_not(database: Database) -> None:
    claimed(database)
    living = node(database, "living", NOW + 10)
    put(database, entry(session=living), entry(session=4711))
    assert database.write(sessions.reap, NOW + 20).result() == 1
    assert [session.node for session in database.read(sessions.list_sessions, NOW + 20).result()] == ["living"]
    assert len(claim(database, node(database, now=NOW + 20), now=NOW + 20)) == 2  # of the reaped, of the unknown


def test_a_session_by_the_clock_of_the_database(database: Database) -> None:
    session = node(database, now=None, seconds=30.0)
    assert database.write(sessions.renew, session, None, 30.0).result() is True
    [found] = database.read(sessions.list_sessions).result()
    assert 29.0 < found.alive_until - found.opened < 31.0
    assert found.opened > NOW
