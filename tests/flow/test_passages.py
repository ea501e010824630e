"""Text that is copied out of a mail that came sealed into a new one without any reference (5.5.33)."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs
import pytest
from sqlalchemy import select

from securegw.crypto import smime
from securegw.flow.passages import MOST, Marks, in_a_row, leaves_of, own_text, texts
from securegw.mail.envelope import Source
from securegw.store import keystore, passages
from tests.support.files import with_file
from tests.support.world import OUTSIDE, START, World

ANN, OTTO, BOB, CAROL = "ann@inside.test", "otto@inside.test", "bob@outside.test", "carol@partner.test"
TEXT = (
    "Dear Ann,\r\n\r\nthe examination of the fourteenth has shown what we feared: the left kidney has a growth of\r\n"
    "three centimetres, and the samples that were taken in the theatre on Monday leave little doubt of what it is.\r\n"
    "We propose an operation within the next two weeks; please tell the family before the patient is told.\r\n\r\nCarol"
)
PASSAGE = "three centimetres, and the samples that were taken in the theatre on Monday leave little doubt of what it is"
MARKS = Marks(b"k" * 32)
Deliver = Callable[..., None]


@pytest.fixture
def deliver(world: World) -> Deliver:
    """Carol writes to somebody of ours, encrypted."""
    world.house.issuer.settings = attrs.evolve(world.house.issuer.settings, kind="p-256")
    for user in (ANN, OTTO):
        world.send(user, "x@y.test", subject="[sign] makes a key")

    def go(text: str = TEXT, to: str = ANN, number: int = 1) -> None:
        raw = (
            f"From: {CAROL}\r\nTo: {to}\r\nSubject: result\r\nMessage-ID: <m{number}@partner.test>\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        ).encode()
        key = world.read(keystore.with_private, to)[0].der
        world.hand_in(CAROL, [to], smime.encrypt(raw, [key]), OUTSIDE)

    return go


def is_sealed(world: World, text: str, sender: str = ANN, **more: str) -> bool:
    before = len(world.sent_to(BOB))
    world.send(sender, BOB, text, **more)
    [mail] = world.sent_to(BOB)[before:]
    return b"secure-email.html" in mail.raw


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"FYI, she writes that {PASSAGE}. Bye",
        "> " + PASSAGE.replace(" taken", "\r\n> taken"),
        PASSAGE.upper().replace(" ", ",  "),
        "hello\r\n" * 2000 + PASSAGE,
    ],
)
def test_threat_5_5_33_a_copied_passage_leaves_encrypted(world: World, deliver: Deliver, text: str) -> None:
    deliver()
    assert is_sealed(world, text, subject="[plain] new")
    assert not is_sealed(world, "We meet on Monday in the theatre; I have little doubt that it will be a fine play.")


def test_in_html_too(world: World, deliver: Deliver) -> None:
    deliver()
    fields = "MIME-Version: 1.0\r\nContent-Type: text/html\r\n"
    assert is_sealed(world, f"<p>She <b>writes</b> that {PASSAGE.replace(' ', '&nbsp;')}</p>", fields=fields)


def test_only_who_has_read_it(world: World, deliver: Deliver) -> None:
    deliver()
    assert not is_sealed(world, PASSAGE, OTTO)
    deliver(to=OTTO, number=2)
    assert is_sealed(world, PASSAGE, OTTO)


def test_who_has_read_nothing_costs_no_look_at_his_text(
    world: World, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver()
    monkeypatch.setattr(Marks, "of_written", None)
    assert not is_sealed(world, PASSAGE, OTTO)


def test_a_file_of_a_sealed_mail_that_is_attached_anew(world: World) -> None:
    picture = random.Random(5).randbytes(5000)
    raw = with_file("scan.jpg", picture, sender=BOB, recipient=ANN).replace(b"<file@inside", b"<p@outside")
    world.hand_in(BOB, [ANN], raw, Source("portal", "192.0.2.9", tls="TLS", person=BOB))
    for content, sealed in ((picture, True), (picture[:-1], False)):
        new = with_file("other name.png", content, sender=ANN, recipient=BOB, kind="image/png")
        world.hand_in(ANN, [BOB], new)
        assert (b"secure-email.html" in world.sent_to(BOB)[-1].raw) is sealed


def test_small_files_and_those_of_many_mails_are_anybodys(world: World) -> None:
    logo, small = random.Random(6).randbytes(5000), random.Random(6).randbytes(500)
    for number in range(4):
        for content in (logo, small):
            raw = with_file("logo.png", content, sender=BOB, recipient=ANN).replace(b"<file@", b"<f%d@" % number)
            world.hand_in(BOB, [ANN], raw, Source("portal", "192.0.2.9", tls="TLS", person=BOB))
    for content in (logo, small):
        world.hand_in(ANN, [BOB], with_file("logo.png", content, sender=ANN, recipient=BOB))
        assert b"secure-email.html" not in world.sent_to(BOB)[-1].raw


def test_a_large_mail_is_looked_at_too(world: World, deliver: Deliver) -> None:
    deliver()
    raw = with_file("large.bin", b"x" * (2 << 20), sender=ANN, recipient=BOB)
    world.hand_in(ANN, [BOB], raw.replace(b"see the file", PASSAGE.encode()))
    assert b"secure-email.html" in world.sent_to(BOB)[-1].raw


def test_what_many_mails_have_tells_nothing(world: World, deliver: Deliver) -> None:
    """A disclaimer of a partner comes with each of his mails."""
    for number in range(4):
        deliver(f"Number {number}.\r\n\r\n{PASSAGE}.", number=number)
    assert not is_sealed(world, PASSAGE)


def test_what_the_sealed_mail_quotes_is_not_its_own(world: World, deliver: Deliver) -> None:
    below = f"-----Original Message-----\r\n{PASSAGE}"
    for number, text in enumerate((f"> {PASSAGE}", f"Yes.\r\n\r\n{below}", f"Yes\r\n-- \r\n{PASSAGE}")):
        deliver(text, number=number)
    assert world.rows("passage") == 0
    assert not is_sealed(world, PASSAGE)


def test_short_phrases_are_anybodys(world: World, deliver: Deliver) -> None:
    deliver("Please do not hesitate to call me. " + TEXT)
    assert not is_sealed(world, "Please do not hesitate to call me.")
    assert not is_sealed(world, "He told me that the left kidney has a growth of")


def test_from_the_portal_too(world: World) -> None:
    raw = f"From: {BOB}\r\nTo: {ANN}\r\nSubject: x\r\nMessage-ID: <p@outside.test>\r\n\r\n{TEXT}\r\n".encode()
    world.hand_in(BOB, [ANN], raw, Source("portal", "192.0.2.9", tls="TLS", person=BOB))
    assert is_sealed(world, PASSAGE)


def test_it_can_be_turned_off(world: World, deliver: Deliver) -> None:
    world.house.incoming.passages.wanted = False
    deliver()
    assert world.rows("passage") == world.rows("reading") == 0
    assert not is_sealed(world, PASSAGE)


def test_it_is_forgotten(world: World, deliver: Deliver) -> None:
    deliver()
    world.clock.advance(91 * 86400)
    world.wait(world.house.retention.tick())
    world.later(60)
    assert world.rows("passage") == world.rows("reading") == 0
    assert not is_sealed(world, PASSAGE)


def test_the_store_reveals_no_text_and_is_bounded(world: World, deliver: Deliver) -> None:
    deliver("".join(f"word{number} " for number in range(20_000)))
    assert world.rows("passage") == MOST
    other = Marks(b"o" * 32)
    known = set(world.read(lambda c: c.scalars(select(passages._passage.c.mark)).all()))
    assert known & {mark for _, mark in other.of_text(TEXT)} == set()


def test_a_copy_of_much_of_a_long_mail_is_known(world: World, deliver: Deliver) -> None:
    words = [f"w{random.Random(7).random()}{number}" for number in range(3000)]
    deliver(" ".join(words))
    assert is_sealed(world, "see: " + " ".join(words[1000:2000]))


def test_every_copy_of_twenty_words_shares_marks_that_are_far_enough_apart() -> None:
    chance = random.Random(11)
    words = [f"w{chance.randrange(10**6)}" for _ in range(150)]
    raw = b"Subject: x\r\n\r\n" + " ".join(words).encode()
    kept = set(MARKS.of_opened(raw))
    for at in range(len(words) - 20):
        copied = list(MARKS.of_text("before it " + " ".join(words[at : at + 20]) + " behind it"))
        assert in_a_row(copied, frozenset(kept))


def test_texts_of_odd_mails() -> None:
    assert texts(leaves_of(b"Subject: x\r\n\r\nhello")) == "hello"
    assert texts(leaves_of(b"")) == ""
    deep = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" * 60
    assert texts(leaves_of(deep)) == ""
    assert own_text("a\nAm 1. Mai schrieb Ann:\nb") == "a\n"
    assert own_text("a\nVon: Ann\nGesendet: heute\nb") == "a\n"


def test_who_reads_much_is_asked_once_a_minute(world: World, deliver: Deliver) -> None:
    found = world.house.incoming.passages
    assert not world.wait(found.are_in(b"\r\n" + PASSAGE.encode(), OTTO))
    assert found.readers.knows(OTTO)
    deliver(to=OTTO)
    assert found.readers[OTTO]
    assert world.clock.seconds() >= START
