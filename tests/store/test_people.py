from __future__ import annotations

import attrs
import pytest

from securegw.store import events, letters, people, queue, schema, websessions
from securegw.store.database import Database
from securegw.store.events import Event
from securegw.store.letters import Letter
from securegw.store.people import Account, User
from securegw.store.queue import Treated
from securegw.store.troubles import AlreadyThere
from securegw.store.websessions import WebSession
from tests.store.samples import NOW, claimed, entry, rows, tenant


def account(address: str = "Bob@outside.test", id: str = "b" * 32, **changed: object) -> Account:
    made = Account(id=id, address=address, public=b"public", wrapped=b"wrapped by the code", created=NOW)
    return attrs.evolve(made, **changed)


# users


def test_a_user_is_found_in_any_case_and_keeps_the_spelling(database: Database) -> None:
    ann = User("Ann@inside.test", "Ann Ä", may_encrypt=False, created=NOW)
    database.write(people.add_user, ann).result()
    assert database.read(people.get_user, "ann@INSIDE.test").result() == ann
    with pytest.raises(AlreadyThere):
        database.write(people.add_user, User("ann@inside.test")).result()


def test_ensure_adds_once_and_then_finds(database: Database) -> None:
    first = database.write(people.ensure_user, User("ann@inside.test", "Ann", created=1.0)).result()
    again = database.write(people.ensure_user, User("Ann@inside.test", "Other", created=2.0)).result()
    assert first == again == User("ann@inside.test", "Ann", created=1.0)


def test_a_user_is_changed_and_removed(database: Database) -> None:
    ann = User("ann@inside.test", "Ann")
    assert database.write(people.change_user, ann).result() is False
    database.write(people.add_user, ann).result()
    without = attrs.evolve(ann, may_sign=False)
    assert database.write(people.change_user, without).result() is True
    assert database.read(people.get_user, ann.address).result() == without
    assert database.write(people.remove_user, "ANN@inside.test").result() is True
    assert database.write(people.remove_user, "ann@inside.test").result() is False


def test_users_are_listed_by_address(database: Database) -> None:
    for address, name in (("c@inside.test", "Carl_1"), ("A@inside.test", "Ann"), ("b@inside.test", "Bea%")):
        database.write(people.add_user, User(address, name)).result()

    def listed(**asked: object) -> list[str]:
        return [user.address for user in database.read(people.list_users, **asked).result()]

    assert listed() == ["A@inside.test", "b@inside.test", "c@inside.test"]
    assert listed(after="A@inside.test", limit=1) == ["b@inside.test"]
    assert listed(like="%") == ["b@inside.test"]
    assert listed(like="_") == ["c@inside.test"]
    assert listed(like="aNN") == ["A@inside.test"]
    assert listed(like="B@") == ["b@inside.test"]


def test_users_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    theirs = User("ann@inside.test", tenant=other)
    database.write(people.add_user, theirs).result()
    assert database.read(people.get_user, theirs.address).result() is None
    assert database.read(people.list_users).result() == []
    assert database.write(people.remove_user, theirs.address).result() is False
    assert database.write(people.change_user, attrs.evolve(theirs, tenant=1)).result() is False
    assert database.read(people.get_user, theirs.address, other).result() == theirs


# accounts


def test_an_account_is_found_by_address_and_id(database: Database) -> None:
    bob = account(name="Bob", language="de", terms=NOW)
    database.write(people.add_account, bob).result()
    assert database.read(people.account_by_address, "BOB@outside.test").result() == bob
    assert database.read(people.account_by_id, bob.id).result() == bob
    assert database.read(people.account_by_id, "c" * 32).result() is None


def test_a_second_account_of_an_address_undoes_the_whole_treatment(database: Database) -> None:
    database.write(people.add_account, account()).result()
    item, session = claimed(database)
    second = account("bob@OUTSIDE.test", "c" * 32)
    also = ((people.add_account, second), (events.record, Event(time=NOW, kind="account")))
    done = Treated(id=item.id, session=session, entries=(entry(kind="ready"),), also=also, now=NOW)
    with pytest.raises(AlreadyThere) as caught:
        database.write(queue.treated, done).result()
    assert caught.value.temporary
    assert [rows(database, table) for table in (schema.account, schema.item, schema.event)] == [1, 1, 0]


def test_of_two_who_register_one_wins(database: Database) -> None:
    before = account()
    database.write(people.add_account, before).result()
    first = attrs.evolve(before, wrapped=b"first", registered=True, name="Bob", terms=NOW)
    second = attrs.evolve(before, wrapped=b"second", registered=True)
    assert database.write(people.update_account, first, was=before.wrapped).result() is True
    assert database.write(people.update_account, second, was=before.wrapped).result() is False
    assert database.read(people.account_by_id, before.id).result() == first


def test_an_update_does_not_change_who_it_is(database: Database) -> None:
    database.write(people.add_account, account()).result()
    other = account("eve@outside.test", public=b"eve's", created=0.0, name="Bob")
    assert database.write(people.update_account, other).result() is True
    assert database.read(people.account_by_id, other.id).result() == account(name="Bob")


def test_counting_tries_touches_nothing_else(database: Database) -> None:
    database.write(people.add_account, account()).result()
    assert database.write(people.note_tries, "b" * 32, 5, NOW + 60).result() is True
    assert database.read(people.account_by_id, "b" * 32).result() == account(tries=5, locked_until=NOW + 60)


def test_new_keys_end_the_registration(database: Database) -> None:
    database.write(people.add_account, account(registered=True)).result()
    renewed = account(public=b"new", wrapped=b"by a new code")
    assert database.write(people.renew_keys, renewed).result() is True
    assert database.read(people.account_by_id, renewed.id).result() == renewed


def test_with_the_account_go_its_letters_and_sessions(database: Database) -> None:
    bob = account()
    database.write(people.add_account, bob).result()
    database.write(letters.add, Letter("1" * 32, bob.id, "ann@inside.test", "<1@x>", NOW)).result()
    session = WebSession(token_hash=b"h", account=bob.id, sealed=b"s", created=NOW, seen=NOW)
    database.write(websessions.add, session).result()
    assert database.write(people.remove_account, bob.id).result() is True
    assert [rows(database, table) for table in (schema.account, schema.letter, schema.websession)] == [0, 0, 0]


def test_accounts_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    theirs = account(tenant=other)
    database.write(people.add_account, theirs).result()
    assert database.read(people.account_by_address, theirs.address).result() is None
    assert database.read(people.account_by_id, theirs.id).result() is None
    assert database.read(people.list_accounts).result() == []
    as_mine = attrs.evolve(theirs, tenant=1, wrapped=b"mine", public=b"mine")
    assert database.write(people.update_account, as_mine).result() is False
    assert database.write(people.renew_keys, as_mine).result() is False
    assert database.write(people.note_tries, theirs.id, 1, 0.0).result() is False
    assert database.write(people.remove_account, theirs.id).result() is False
    database.write(people.add_account, account(id="c" * 32)).result()  # the same address, in another house
    assert database.read(people.account_by_id, theirs.id, other).result() == theirs
