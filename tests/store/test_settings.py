from securegw.store import settings
from securegw.store.database import Database
from tests.store.samples import tenant


def test_a_value_comes_back_as_it_was(database: Database) -> None:
    value = {"name": "Klinik Süd", "days": [1, 2.5, None, True]}
    database.write(settings.put, "brand", value).result()
    assert database.read(settings.get, "brand").result() == value


def test_put_replaces(database: Database) -> None:
    database.write(settings.put, "days", 3).result()
    database.write(settings.put, "days", 4).result()
    assert database.read(settings.everything).result() == {"days": 4}


def test_what_was_never_put_is_the_default(database: Database) -> None:
    assert database.read(settings.get, "days", 7).result() == 7


def test_none_is_a_value_too(database: Database) -> None:
    database.write(settings.put, "days", None).result()
    assert database.read(settings.get, "days", 7).result() is None


def test_remove(database: Database) -> None:
    database.write(settings.put, "days", 3).result()
    assert database.write(settings.remove, "days").result() is True
    assert database.write(settings.remove, "days").result() is False


def test_settings_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    database.write(settings.put, "days", 3, tenant=other).result()
    assert database.read(settings.everything).result() == {}
    assert database.write(settings.remove, "days").result() is False
    assert database.read(settings.get, "days", tenant=other).result() == 3
