"""The list of what changed among keys: every change once, and who has missed some is told so."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from securegw.store import keychanges, keystore, people
from securegw.store.database import Database
from securegw.store.keychanges import NEVER


def ask(database: Database, before: keychanges.Changes) -> keychanges.Changes:
    return database.read(keychanges.since, before).result()


def note(database: Database, *addresses: str) -> None:
    for address in addresses:
        database.write(keychanges.note, address).result()


def test_who_begins_knows_nothing(database: Database) -> None:
    first = ask(database, NEVER)
    assert first.addresses is None
    assert ask(database, first).addresses == frozenset()


def test_each_change_is_told_once(database: Database) -> None:
    place = ask(database, NEVER)
    note(database, "a@x.test", "b@x.test")
    place = ask(database, place)
    assert place.addresses == {"a@x.test", "b@x.test"}
    place = ask(database, place)
    assert place.addresses == frozenset()
    note(database, "a@x.test")
    assert ask(database, place).addresses == {"a@x.test"}


def test_a_number_that_becomes_visible_late_is_still_seen(database: Database) -> None:
    """Of two transactions the later number may come first."""
    note(database, "first@x.test")
    place = ask(database, ask(database, NEVER))
    seen = attrs.evolve(place, last=place.last + 1, numbers=place.numbers | {place.last + 1})
    note(database, "own@x.test", "late@x.test")
    assert ask(database, seen).addresses == {"late@x.test"}


def test_who_was_away_too_long_starts_afresh(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keychanges, "KEPT", 10)
    note(database, "a@x.test")
    place = ask(database, ask(database, NEVER))
    note(database, *["b@x.test"] * 250)
    assert ask(database, place).addresses is None


def test_many_at_once_are_all(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    place = ask(database, NEVER)
    note(database, "z@x.test")
    place = ask(database, place)

    def many(connection: Any) -> None:
        for number in range(keychanges.MOST + 5):
            keychanges.note(connection, f"p{number}@x.test")

    database.write(many).result()
    place = ask(database, place)
    assert place.addresses is None
    note(database, "c@x.test")
    assert "c@x.test" in (ask(database, place).addresses or ())


def test_everything_that_changes_a_certificate_is_noted(database: Database) -> None:
    place = ask(database, NEVER)
    row = keystore.Held(
        address="Carol@Partner.test", der=b"x", fingerprint="f", source="imported", trust="unknown",
        not_before=0.0, not_after=1.0, created=0.0,
    )  # fmt: skip
    number = database.write(keystore.add, row).result()
    for step, arguments in ((keystore.set_trust, (number, "trusted")), (keystore.remove, (number,))):
        place = ask(database, place)
        assert place.addresses in ({"carol@partner.test"}, None)
        assert database.write(step, *arguments).result() is True  # type: ignore[arg-type]
    place = ask(database, place)
    assert place.addresses == {"carol@partner.test"}
    assert database.write(keystore.remove, number).result() is False
    assert ask(database, place).addresses == frozenset()


def test_addresses_by_a_part_of_address_or_name(database: Database) -> None:
    for address in ("carol@partner.test", "bob_x@partner.test", "ann@inside.test", ""):
        row = keystore.Held(
            address=address, der=b"x", fingerprint=f"f{address}", source="imported", trust="trusted",
            not_before=0.0, not_after=1.0, created=0.0,
        )  # fmt: skip
        database.write(keystore.add, row).result()
        database.write(keystore.add, attrs.evolve(row, fingerprint=f"second {address}")).result()
    database.write(people.add_user, people.User(address="ann@inside.test", name="Zoë Keller")).result()

    def ask(text: str, after: str = "", limit: int = 10) -> list[str]:
        return database.read(keystore.addresses_with, text, after=after, limit=limit).result()

    assert ask("") == ["ann@inside.test", "bob_x@partner.test", "carol@partner.test"]
    assert ask("", limit=2) == ["ann@inside.test", "bob_x@partner.test"]
    assert ask("", after="bob_x@partner.test") == ["carol@partner.test"]
    assert ask("PARTNER", limit=1) == ["bob_x@partner.test"]
    assert ask("keller") == ["ann@inside.test"]
    assert ask("b_x") == ["bob_x@partner.test"]
    assert ask("%") == ask("o_x") == []
