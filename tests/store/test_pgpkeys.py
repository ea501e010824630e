"""OpenPGP keys in the store: found by each of their names."""

from __future__ import annotations

from securegw.store import pgpkeys
from securegw.store.database import Database

KEY = pgpkeys.PgpKey(
    fingerprint="AB" * 20, key=b"key", subkeys=("CD" * 20,), user_ids=("Carol Meier <carol@partner.test>",),
    addresses=("carol@partner.test",), kind="RSA", bits=2048, created=1.0, expires=None, added=2.0,
)  # fmt: skip
NAMES = ("carol@partner.test", "0x" + "AB" * 20, "0x" + "AB" * 8)


def find(database: Database, *names: str) -> list[pgpkeys.PgpKey]:
    return database.read(pgpkeys.find, names).result()


def test_a_key_is_found_by_its_names_and_once(database: Database) -> None:
    database.write(pgpkeys.put, KEY, NAMES).result()
    assert find(database, *NAMES) == [KEY]
    assert find(database, NAMES[2]) == [KEY]
    assert find(database, "bob@partner.test") == []


def test_a_newer_form_takes_the_place(database: Database) -> None:
    database.write(pgpkeys.put, KEY, NAMES).result()
    database.write(pgpkeys.put, KEY, ("0x1",)).result()
    assert find(database, NAMES[0]) == []
    assert find(database, "0x1") == [KEY]


def test_search_by_a_text_and_remove(database: Database) -> None:
    database.write(pgpkeys.put, KEY, NAMES).result()
    for text in ("meier", "PARTNER", "abab", ""):
        assert database.read(pgpkeys.search, text).result() == [KEY], text
    assert database.read(pgpkeys.search, "me%er").result() == []
    assert database.write(pgpkeys.remove, KEY.fingerprint).result()
    assert not database.write(pgpkeys.remove, KEY.fingerprint).result()
    assert database.read(pgpkeys.search, "").result() == []
