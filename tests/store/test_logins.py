from __future__ import annotations

import pytest

from securegw.store import logins
from securegw.store.database import Database
from securegw.store.logins import Login
from securegw.store.troubles import AlreadyThere
from tests.store.samples import NOW, tenant

SCANNER = Login("Scanner-3", "$argon2id$...", ("scanner@inside.test", "@radiology.inside.test"), NOW)


def test_a_login_is_found_in_any_case(database: Database) -> None:
    database.write(logins.add, SCANNER).result()
    assert SCANNER.name == "scanner-3"
    assert database.read(logins.get, "SCANNER-3").result() == SCANNER
    assert database.read(logins.get, "scanner-4").result() is None
    assert database.read(logins.list_logins).result() == [SCANNER]


def test_a_name_belongs_to_one_tenant(database: Database) -> None:
    other = tenant(database)
    database.write(logins.add, SCANNER).result()
    with pytest.raises(AlreadyThere, match="scanner-3"):
        database.write(logins.add, Login("SCANNER-3", "other", tenant=other)).result()
    assert database.read(logins.list_logins, other).result() == []
    assert database.write(logins.remove, "scanner-3", other).result() is False
    assert database.write(logins.remove, "SCANNER-3").result() is True
    assert database.read(logins.get, "scanner-3").result() is None


def test_the_hash_is_not_shown() -> None:
    assert "argon2" not in repr(SCANNER)
