"""Mail for mailboxes: sealed on arrival, readable with the password alone, and nothing left under the master key."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from securegw.crypto import passwords, seal
from securegw.crypto.mailbox import Label, MailboxKey
from securegw.crypto.seal import PART
from securegw.flow.archive import LADDER_SECONDS
from securegw.flow.claims import BODY
from securegw.mail.errors import MailboxSuspended, SealBroken, StoreBusy
from securegw.store import domains, events, mailboxes, rulebook, schema
from securegw.store.mailboxes import Mailbox
from tests.mail.test_journal import ORIGINAL, report
from tests.support.world import OUTSIDE, QUICK, START, World

ARCHIVE, PASSWORD = "archive@inside.test", "EERM4-886FH-STSEP-5GTJ6-XXHN3-MFGSV"
MARKER = "marker-of-the-text-4711"


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def make_box(world: World, address: str = ARCHIVE, **more: Any) -> Mailbox:
    """A mailbox, as the command makes it."""
    private, public = seal.generate()
    box = Mailbox(
        id=secrets.token_hex(16),
        address=address,
        key=address.lower(),
        public=public,
        wrapped=passwords.wrap(PASSWORD, private, QUICK),
        created=START,
        **more,
    )
    world.write(mailboxes.add, box)
    world.wait(world.house.places.refresh())
    return box


def read_all(world: World, box: Mailbox) -> list[bytes]:
    """What the password opens, without the pick-up."""
    key, texts = MailboxKey(passwords.unwrap(PASSWORD, box.wrapped), box.id), []
    for kept in world.read(mailboxes.contents, box.id):
        label = Label(box.id, kept.id, kept.parts, kept.size)
        mail = key.open_key(label, world.read(mailboxes.sealed_key, kept.id))
        parts = [mail.open_part(n, world.read(mailboxes.part, kept.id, n)) for n in range(kept.parts)]
        texts.append(b"".join(parts))
        assert len(texts[-1]) == kept.size
    return texts


def test_a_mail_is_kept_as_it_came_and_goes_nowhere_else(world: World) -> None:
    box = make_box(world)
    world.send("ann@inside.test", "Archive@Inside.test", MARKER, subject="news of today")
    [text] = read_all(world, box)
    assert text.startswith(b"Return-Path: <ann@inside.test>\r\nReceived: ")
    assert text.endswith(f"\r\n{MARKER}\r\n".encode())
    assert world.relay.taken == []
    assert world.rows("item") == world.rows("body") == 0


def test_the_return_path_is_that_of_the_envelope(world: World) -> None:
    box = make_box(world)
    world.send("", ARCHIVE, fields="Return-Path: <forged@outside.test>\r\n")
    [text] = read_all(world, box)
    assert text.startswith(b"Return-Path: <>\r\n") and text.lower().count(b"return-path") == 1


def test_strangers_may_write_to_it(world: World) -> None:
    box = make_box(world)
    world.send("bob@outside.test", ARCHIVE, source=OUTSIDE)
    assert len(read_all(world, box)) == 1


def test_other_recipients_get_their_mail(world: World) -> None:
    box, second = make_box(world), make_box(world, "second@inside.test")
    world.send("bob@outside.test", ["ann@inside.test", ARCHIVE, "second@inside.test"], MARKER, source=OUTSIDE)
    [mail] = world.sent_to("ann@inside.test")
    assert mail.recipients == ("ann@inside.test",)
    assert [len(read_all(world, each)) for each in (box, second)] == [1, 1]


def test_a_thief_and_the_administrator_find_nothing(world: World) -> None:
    """Threats 5.9.66: neither bytes nor anything that the master key opens."""
    make_box(world)
    world.send("ann@inside.test", ARCHIVE, MARKER, subject="subject-marker-0815")
    dump = world.dump()
    for marker in (MARKER, "subject-marker-0815", PASSWORD, PASSWORD.replace("-", "")):
        for form in (marker.encode(), marker.encode("utf-16-le"), marker.encode().hex().encode()):
            assert form not in dump
    for value in all_bytes(world):
        for purpose in (BODY, "private-key", "web-session", "mailbox"):
            for binding in ("", *world_ids(world)):
                with pytest.raises(SealBroken):
                    world.master.open(purpose, binding, value)


def all_bytes(world: World) -> list[bytes]:
    tables = ("kept", "kept_part", "mailbox", "body")
    found = [schema.metadata.tables[name].select() for name in tables]
    rows = [row for select in found for row in world.read(lambda conn, select=select: conn.execute(select).all())]
    return [value for row in rows for value in row if isinstance(value, bytes)]


def world_ids(world: World) -> list[str]:
    return [kept.id for box in world.read(mailboxes.list_mailboxes) for kept in world.read(mailboxes.contents, box.id)]


def test_a_long_mail_is_kept_in_parts(world: World) -> None:
    box = make_box(world)
    world.send("ann@inside.test", ARCHIVE, "x" * 76 + ("\r\n" + "y" * 76) * 20_000)
    [kept] = world.read(mailboxes.contents, box.id)
    assert kept.parts == -(-kept.size // PART) > 5
    assert read_all(world, box)[0].count(b"y" * 76) == 20_000


def test_a_suspended_mailbox_refuses_mail(world: World) -> None:
    box = make_box(world)
    world.send("ann@inside.test", ARCHIVE)
    world.write(mailboxes.set_active, box.id, False)
    world.later(1)
    with pytest.raises(MailboxSuspended) as refusal:
        world.send("ann@inside.test", ARCHIVE)
    assert (refusal.value.code, refusal.value.status) == (550, "5.2.1")
    world.write(mailboxes.set_active, box.id, True)
    world.later(1)
    world.send("ann@inside.test", ARCHIVE)
    assert len(read_all(world, box)) == 2


def test_a_mailbox_exists_where_recipients_are_a_list(world: World) -> None:
    [domain] = world.read(domains.list_domains)
    world.write(domains.change_domain, attrs.evolve(domain, recipients="list"))
    make_box(world)
    world.send("bob@outside.test", ARCHIVE, source=OUTSIDE)


def test_what_happened_is_told_without_a_subject(world: World) -> None:
    box = make_box(world)
    trace = world.send("ann@inside.test", ARCHIVE, subject="secret-subject")
    told = world.read(lambda conn: events.find(conn, trace=trace))
    assert [event.kind for event in told] == ["accepted", "kept"]
    assert told[1].address == ARCHIVE and told[1].detail == {"mailbox": box.id}


def test_what_is_for_mailboxes_alone_is_never_in_the_queue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So its text was at no time under the master key, not even in pages that a database has freed."""
    make_box(world)
    monkeypatch.setattr("securegw.flow.intake.queue.put", None)
    world.send("ann@inside.test", ARCHIVE, MARKER)
    with pytest.raises(AttributeError):
        world.send("ann@inside.test", [ARCHIVE, "bob@outside.test"], MARKER)


def test_a_store_in_trouble_takes_no_mail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    box = make_box(world)

    def fail(*_arguments: object) -> None:
        raise StoreBusy

    world.database.crosses = False
    monkeypatch.setattr("securegw.flow.archive.mailboxes.deposit", fail)
    with pytest.raises(StoreBusy):
        world.send("ann@inside.test", ARCHIVE)
    assert world.rows("item") == world.rows("event") == 0 and read_all(world, box) == []


def test_a_store_in_trouble_keeps_the_mail_in_the_queue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail is in the queue or in the mailbox, never in neither."""
    box = make_box(world)

    def fail(*_arguments: object) -> None:
        raise StoreBusy

    monkeypatch.setattr("securegw.flow.archive.mailboxes.deposit", fail)
    world.send("ann@inside.test", [ARCHIVE, "bob@outside.test"])
    assert world.rows("item") == 1 and read_all(world, box) == [] and world.relay.taken == []
    monkeypatch.undo()
    world.later(120)
    assert world.rows("item") == 0 and len(read_all(world, box)) == len(world.sent_to("bob@outside.test")) == 1


# --- keys of many mails from one sealing ------------------------------------------------------------------------------


def feet(world: World, box: Mailbox) -> list[bytes]:
    """The sealed feet of the ladders on which the mails of a mailbox were kept."""
    keys = [world.read(mailboxes.sealed_key, kept.id) for kept in world.read(mailboxes.contents, box.id)]
    return [key[4:] for key in keys if key is not None]


def test_mails_of_a_mailbox_share_a_ladder_for_a_while(world: World) -> None:
    box, other = make_box(world), make_box(world, "other@inside.test")
    for _ in range(3):
        world.send("ann@inside.test", [ARCHIVE, "other@inside.test"])
    world.later(LADDER_SECONDS)
    world.send("ann@inside.test", ARCHIVE, "late")
    first, second, third, late = feet(world, box)
    assert first == second == third != late
    assert set(feet(world, other)).isdisjoint({first, late})
    assert list(world.house.intake.archive.ladders) == [box.id]  # what is over is forgotten
    assert b"late" in read_all(world, box)[3]


def test_a_ladder_that_is_climbed_is_followed_by_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    box = make_box(world)
    monkeypatch.setattr("securegw.crypto.ladder.RUNGS", 2)
    for number in range(5):
        world.send("ann@inside.test", ARCHIVE, f"mail number {number}")
    assert len(set(feet(world, box))) == 3
    assert [f"number {number}".encode() in text for number, text in enumerate(read_all(world, box))] == [True] * 5


def test_a_mail_that_could_not_be_kept_costs_a_rung_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = make_box(world)
    world.send("ann@inside.test", ARCHIVE, "one")
    world.database.crosses = False
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr("securegw.flow.archive.mailboxes.deposit", lambda *_: 1 / 0)
        world.send("ann@inside.test", ARCHIVE, "two")
    world.send("ann@inside.test", ARCHIVE, "three")
    assert [b"three" in text for text in read_all(world, box)] == [False, True]


# --- journal reports --------------------------------------------------------------------------------------------------


def test_a_journal_report_is_kept_with_its_envelope(world: World) -> None:
    box = make_box(world)
    world.hand_in("", [ARCHIVE], report())
    [text] = read_all(world, box)
    assert text.endswith(report())


def test_a_journal_report_is_unpacked_where_that_is_wanted(world: World) -> None:
    box = make_box(world, unpack=True)
    world.hand_in("", [ARCHIVE], report())
    world.send("ann@inside.test", ARCHIVE, "no report")
    unpacked, plain = read_all(world, box)
    assert unpacked.startswith(b"X-Securegw-Journal-Sender: ann@inside.test\r\n") and unpacked.endswith(ORIGINAL)
    assert b"X-Securegw-Journal-Bcc: secret@outside.test\r\n" in unpacked
    assert b"no report" in plain


def test_what_cannot_be_unpacked_is_kept_as_it_came(world: World) -> None:
    box = make_box(world, unpack=True)
    raw = report("Sender: ann@inside.test\nNonsense\n")
    world.hand_in("", [ARCHIVE], raw)
    assert read_all(world, box)[0].endswith(raw)


def test_a_text_without_a_last_line_end_gets_one(world: World) -> None:
    box = make_box(world)
    world.hand_in("ann@inside.test", [ARCHIVE], b"Subject: x\r\n\r\nno line end")
    assert read_all(world, box)[0].endswith(b"\r\nno line end\r\n")


# --- copies by rule ---------------------------------------------------------------------------------------------------

RULES = """
[[rule]]
name = "all of it"
copy = "Archive@inside.test"
encrypt = "never"
sign = "never"
"""


def obey(world: World, rules: str = RULES) -> None:
    world.write(rulebook.save, rules, "test", START)
    world.later(1)


def test_a_rule_keeps_a_copy(world: World) -> None:
    box = make_box(world)
    obey(world)
    world.send("ann@inside.test", ["bob@outside.test", "carol@outside.test"], MARKER)
    world.send("bob@outside.test", "ann@inside.test", "incoming", source=OUTSIDE)
    first, second = read_all(world, box)
    assert MARKER.encode() in first and b"incoming" in second
    assert len(world.sent_to("bob@outside.test")) == len(world.sent_to("ann@inside.test")) == 1


def test_a_copy_is_not_made_of_what_is_refused(world: World) -> None:
    box = make_box(world)
    obey(world, RULES + 'refuse = "No."\n')
    world.send("ann@inside.test", "bob@outside.test", MARKER)
    assert read_all(world, box) == []


@pytest.mark.parametrize("active", [None, False])
def test_without_the_mailbox_the_mail_waits(world: World, active: bool | None) -> None:
    """No gap in an archive is silent: the mail leaves when its copy is kept."""
    if active is not None:
        box = make_box(world, active=active)
    obey(world)
    world.send("ann@inside.test", "bob@outside.test", MARKER)
    assert world.sent_to("bob@outside.test") == [] and world.rows("item") == 1
    if active is None:
        box = make_box(world)
    world.write(mailboxes.set_active, box.id, True)
    world.later(3600)
    assert len(world.sent_to("bob@outside.test")) == len(read_all(world, box)) == 1
