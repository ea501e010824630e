from __future__ import annotations

from securegw.store import rulebook
from securegw.store.database import Database
from securegw.store.rulebook import Version
from tests.store.samples import NOW, tenant


def test_the_last_saved_version_is_in_force_and_none_is_lost(database: Database) -> None:
    assert database.read(rulebook.current).result() is None
    assert database.write(rulebook.save, "one", "ann", NOW).result() == 1
    assert database.write(rulebook.save, "zwei ü", "bea", NOW + 1, note="why").result() == 2
    one, two = Version(1, 1, "one", "ann", "", NOW), Version(1, 2, "zwei ü", "bea", "why", NOW + 1)
    assert database.read(rulebook.current).result() == two
    assert database.read(rulebook.get, 1).result() == one
    assert database.read(rulebook.get, 3).result() is None
    assert database.read(rulebook.history).result() == [two, one]
    assert database.read(rulebook.history, limit=1).result() == [two]


def test_each_tenant_has_its_own_versions(database: Database) -> None:
    other = tenant(database)
    database.write(rulebook.save, "mine", "ann", NOW).result()
    assert database.write(rulebook.save, "theirs", "eve", NOW, tenant=other).result() == 1
    current = database.read(rulebook.current).result()
    assert current is not None
    assert current.text == "mine"
    assert [version.text for version in database.read(rulebook.history, tenant=other).result()] == ["theirs"]
