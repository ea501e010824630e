"""What was opened and what was revoked is kept by both databases alike."""

from __future__ import annotations

import attrs

from securegw.store import opened, revocations
from securegw.store.database import Database
from securegw.store.opened import Seen

NOW = 1_800_000_000.0
LINE = revocations.Revocation(authority="a" * 64, serial="1f", reason="superseded", not_after=NOW + 9, time=NOW)


def test_a_mail_is_known_by_any_of_its_ids_until_it_is_forgotten(database: Database) -> None:
    database.write(opened.note, [Seen(("<a@b>", " <c@d> ", ""), NOW), Seen(("<a@b>",), NOW)]).result()
    database.write(opened.note, [Seen(("<a@b>",), NOW + 10)]).result()
    assert database.read(opened.any_known, ["<x@y>", "<a@b>"]).result()
    assert database.read(opened.any_known, ["<c@d>"]).result()
    assert not database.read(opened.any_known, ["<x@y>"]).result()
    assert not database.read(opened.any_known, []).result()
    assert database.write(opened.prune, NOW + 5).result() == 1
    assert database.read(opened.any_known, ["<a@b>"]).result()
    assert not database.read(opened.any_known, ["<c@d>"]).result()


def test_a_revocation_is_never_taken_back(database: Database) -> None:
    database.write(revocations.revoke, LINE).result()
    database.write(revocations.revoke, attrs.evolve(LINE, reason="unspecified", time=NOW + 5)).result()
    assert database.read(revocations.of_authority, LINE.authority).result() == [LINE]
    assert database.read(revocations.of_authority, "b" * 64).result() == []


def test_only_a_newer_list_replaces_one(database: Database) -> None:
    first = revocations.Published(authority="a" * 64, number=2, der=b"two", made=NOW, next_update=NOW + 9)
    for number, der, kept in ((2, b"two", b"two"), (1, b"one", b"two"), (2, b"again", b"two"), (3, b"three", b"three")):
        database.write(revocations.publish, attrs.evolve(first, number=number, der=der)).result()
        found = database.read(revocations.published, first.authority).result()
        assert found is not None and found.der == kept
