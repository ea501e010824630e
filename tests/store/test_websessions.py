from __future__ import annotations

import attrs

from securegw.store import people, websessions
from securegw.store.database import Database
from securegw.store.websessions import WebSession
from tests.store.samples import NOW, tenant
from tests.store.test_letters import BOB


def sign_in(database: Database, token_hash: bytes = b"\x00\xff", **changed: object) -> WebSession:
    made = WebSession(token_hash=token_hash, account=BOB.id, sealed=b"sealed", created=NOW, seen=NOW, language="de")
    session = attrs.evolve(made, **changed)
    database.write(websessions.add, session).result()
    return session


def test_a_session_is_found_by_the_hash_of_its_token(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    session = sign_in(database)
    assert database.read(websessions.get, session.token_hash).result() == session
    assert database.read(websessions.get, b"\x00").result() is None


def test_use_is_noted_and_the_end_is_final(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    session = sign_in(database)
    assert database.write(websessions.touch, session.token_hash, NOW + 5).result() is True
    assert database.read(websessions.get, session.token_hash).result() == attrs.evolve(session, seen=NOW + 5)
    assert database.write(websessions.remove, session.token_hash).result() is True
    assert database.write(websessions.touch, session.token_hash, NOW + 6).result() is False
    assert database.read(websessions.get, session.token_hash).result() is None


def test_everywhere_else_is_signed_out(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    here, _, _ = (sign_in(database, bytes([number])) for number in range(3))
    assert database.write(websessions.remove_all, BOB.id, here.token_hash).result() == 2
    assert database.read(websessions.get, here.token_hash).result() == here
    assert database.write(websessions.remove_all, BOB.id).result() == 1


def test_old_and_unused_sessions_are_pruned(database: Database) -> None:
    database.write(people.add_account, BOB).result()
    sign_in(database, b"old", created=NOW - 100)
    sign_in(database, b"unused", seen=NOW - 50)
    fresh = sign_in(database, b"fresh")
    gone = database.write(websessions.prune, created_before=NOW - 99, seen_before=NOW - 49).result()
    assert gone == 2
    assert database.read(websessions.get, b"fresh").result() == fresh


def test_a_session_opens_nothing_at_another_tenant(database: Database) -> None:
    other = tenant(database)
    database.write(people.add_account, BOB).result()
    session = sign_in(database)
    assert database.read(websessions.get, session.token_hash, other).result() is None
