from __future__ import annotations

import attrs

from securegw.store import keystore
from securegw.store.database import Database
from securegw.store.keystore import Held
from tests.store.samples import NOW, tenant


def held(fingerprint: str = "f1", address: str = "bob@outside.test", **changed: object) -> Held:
    made = Held(
        address=address,
        der=b"der of " + fingerprint.encode(),
        fingerprint=fingerprint,
        source="harvested",
        trust="unknown",
        not_before=NOW,
        not_after=NOW + 1000,
        created=NOW,
    )
    return attrs.evolve(made, **changed)


def add(database: Database, *new: Held) -> list[int]:
    return [database.write(keystore.add, one).result() for one in new]


def test_certificates_of_an_address_newest_first(database: Database) -> None:
    old, new, _ = held("old", not_before=NOW - 9), held("new"), held("x", "eve@outside.test")
    numbers = add(database, old, new, _)
    found = database.read(keystore.find, "BOB@outside.test").result()
    assert found == [attrs.evolve(new, id=numbers[1]), attrs.evolve(old, id=numbers[0])]


def test_private_keys_are_found_only_when_asked_for(database: Database) -> None:
    own, other = held("own", private=b"sealed key"), held("other")
    numbers = add(database, own, other)
    assert {found.private for found in database.read(keystore.find, own.address).result()} == {None}
    assert database.read(keystore.with_private, own.address).result() == [attrs.evolve(own, id=numbers[0])]
    one = database.read(keystore.get, numbers[0]).result()
    assert one is not None
    assert one.private is None


def test_what_comes_again_does_not_change_what_was_decided(database: Database) -> None:
    [number] = add(database, held(trust="refused", source="imported"))
    assert add(database, held(trust="trusted", source="harvested", private=b"key")) == [number]
    [found] = database.read(keystore.with_private, "bob@outside.test").result()
    assert (found.trust, found.source, found.private) == ("refused", "imported", b"key")


def test_what_was_announced_later_counts(database: Database) -> None:
    """An old mail that comes once more, or comes late, brings no weaker cipher back."""
    add(database, held())
    for words, at in (("aes-256-cbc", NOW), ("aes-256-gcm rsa-oaep", NOW + 9), ("aes-128-cbc", NOW + 5), ("", 0.0)):
        add(database, held(announced=words, announced_at=at))
    [found] = database.read(keystore.find, "bob@outside.test").result()
    assert (found.announced, found.announced_at) == ("aes-256-gcm rsa-oaep", NOW + 9)


def test_a_private_key_is_not_replaced(database: Database) -> None:
    add(database, held(private=b"first"), held(private=b"second"), held(private=None))
    [found] = database.read(keystore.with_private, "bob@outside.test").result()
    assert found.private == b"first"


def test_one_certificate_can_speak_for_several_addresses(database: Database) -> None:
    add(database, held("f", "b@x.test"), held("f", "a@x.test"))
    found = database.read(keystore.by_fingerprint, "f").result()
    assert [one.address for one in found] == ["a@x.test", "b@x.test"]


def test_roots_are_trusted_and_intermediates_only_known(database: Database) -> None:
    add(
        database,
        held("root", "", trust="trusted", source="imported"),
        held("between", "", trust="unknown"),
        held("bad", "", trust="refused"),
        held("person", trust="trusted"),
    )
    assert [one.fingerprint for one in database.read(keystore.roots).result()] == ["root"]
    assert [one.fingerprint for one in database.read(keystore.intermediates).result()] == ["between"]


def test_our_authority_is_the_newest_of_ours(database: Database) -> None:
    assert database.read(keystore.authority).result() is None
    own = held("own", "", source="authority", trust="trusted", private=b"key")
    older = attrs.evolve(own, fingerprint="older", not_before=NOW - 9)
    imported = attrs.evolve(own, fingerprint="imported", source="imported", not_before=NOW + 9)
    add(database, own, older, imported)
    found = database.read(keystore.authority).result()
    assert found is not None
    assert (found.fingerprint, found.private) == ("own", b"key")


def test_trust_is_set_and_certificates_are_removed(database: Database) -> None:
    [number] = add(database, held())
    assert database.write(keystore.set_trust, number, "trusted").result() is True
    assert [one.trust for one in database.read(keystore.find, "bob@outside.test").result()] == ["trusted"]
    assert database.write(keystore.remove, number).result() is True
    assert database.write(keystore.remove, number).result() is False


def test_certificates_are_listed(database: Database) -> None:
    numbers = add(database, held("a", "a@x.test"), held("b", "b_c@x.test", source="imported"), held("c", "c@x.test"))

    def listed(**asked: object) -> list[str]:
        return [one.fingerprint for one in database.read(keystore.list_held, **asked).result()]

    assert listed() == ["a", "b", "c"]
    assert listed(after=numbers[0], limit=1) == ["b"]
    assert listed(like="B_C") == ["b"]
    assert listed(source="imported") == ["b"]


def test_certificates_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    own = held("own", "", source="authority", trust="trusted", private=b"key", tenant=other)
    person, number = held(tenant=other, private=b"key"), 0
    number, _ = add(database, person, own)
    assert database.read(keystore.find, person.address).result() == []
    assert database.read(keystore.with_private, person.address).result() == []
    assert database.read(keystore.by_fingerprint, person.fingerprint).result() == []
    assert database.read(keystore.get, number).result() is None
    assert database.read(keystore.roots).result() == []
    assert database.read(keystore.authority).result() is None
    assert database.read(keystore.list_held).result() == []
    assert database.write(keystore.set_trust, number, "trusted").result() is False
    assert database.write(keystore.remove, number).result() is False
    add(database, held())  # the same certificate, in another house
    assert len(database.read(keystore.find, person.address, other).result()) == 1
