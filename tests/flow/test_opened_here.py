"""What came encrypted does not leave in clear: by no forward, no answer, no server inside (5.5.32, 5.5.33)."""

from __future__ import annotations

import base64

import pytest

from securegw.crypto import smime
from securegw.flow.proofs import Proofs, marks_in
from securegw.mail import message as messages
from securegw.mail.envelope import Source
from securegw.store import desk, keystore, opened
from securegw.store.items import Chosen
from tests.support.files import with_file, zipped
from tests.support.rules import load
from tests.support.world import INSIDE, OUTSIDE, START, World, person

ANN, BOB, CAROL = "ann@inside.test", "bob@outside.test", "carol@partner.test"
SECRET = b"the result is positive"
MAIL = (
    b"From: Carol <carol@partner.test>\r\nTo: ann@inside.test\r\nSubject: result\r\nMessage-ID: <one@partner.test>\r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + SECRET + b"\r\n"
)


@pytest.fixture
def delivered(world: World) -> bytes:
    """A mail that came encrypted, as it lies in Ann's mailbox."""
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    ann = world.read(keystore.with_private, ANN)[0]
    world.hand_in(CAROL, [ANN], smime.encrypt(MAIL, [ann.der]), OUTSIDE)
    [mail] = world.sent_to(ANN)
    assert SECRET in mail.raw
    return mail.raw


def outer(subject: str, *fields: str, body: bytes) -> bytes:
    own = "".join(f"{field}\r\n" for field in fields)
    head = f"From: {ANN}\r\nTo: {BOB}\r\nSubject: {subject}\r\nMessage-ID: <new@inside.test>\r\nMIME-Version: 1.0\r\n"
    return f"{head}{own}\r\n".encode() + body


def in_mixed(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def without_marks(raw: bytes) -> bytes:
    """As an inside server hands it on that drops fields it does not know."""
    return messages.without(messages.read(raw), ["x-securegw*"])


MIXED = "Content-Type: multipart/mixed; boundary=b"


def forwards(delivered: bytes) -> dict[str, bytes]:
    attached = b"Content-Type: message/rfc822\r\n\r\n"
    file = b'Content-Type: application/octet-stream; name="mail.eml"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    outlook = b'Content-Type: application/vnd.ms-outlook; name="mail.msg"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    inner = b"--c\r\n" + attached + delivered + b"\r\n--c--\r\n"
    within = outer("Fwd", "Content-Type: multipart/mixed; boundary=c", body=inner)
    wide = delivered.decode("latin-1").encode("utf-16-le")
    return {
        "sent on as it is": delivered,
        "as an attached mail": outer("Fwd", MIXED, body=in_mixed(attached + delivered)),
        "as an attached mail without marks": outer("Fwd", MIXED, body=in_mixed(attached + without_marks(delivered))),
        "as a file": outer("Fwd", MIXED, body=in_mixed(file + base64.encodebytes(delivered).replace(b"\n", b"\r\n"))),
        "as a file without marks": outer(
            "Fwd", MIXED, body=in_mixed(file + base64.encodebytes(without_marks(delivered)).replace(b"\n", b"\r\n"))
        ),
        "as a file of Outlook": outer(
            "Fwd", MIXED, body=in_mixed(outlook + base64.encodebytes(wide).replace(b"\n", b"\r\n"))
        ),
        "in a mail in a mail": outer("Fwd", MIXED, body=in_mixed(attached + within)),
        "quoted in an answer": outer("Re: result", "In-Reply-To: <one@partner.test>", body=b"> " + SECRET + b"\r\n"),
        "quoted far down a thread": outer(
            "Re: result", "References: <one@partner.test>\r\n <two@x.test> <three@x.test>", body=b"> " + SECRET
        ),
    }  # fmt: skip


FORMS = [
    "sent on as it is", "as an attached mail", "as an attached mail without marks", "as a file",
    "as a file without marks", "as a file of Outlook", "in a mail in a mail", "quoted in an answer",
    "quoted far down a thread",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subject", ["", "[plain] ", "[noenc] "])
def test_threat_5_5_33_what_was_opened_here_leaves_encrypted(
    world: World, delivered: bytes, form: str, subject: str
) -> None:
    raw = forwards(delivered)[form].replace(b"Subject: ", b"Subject: " + subject.encode(), 1)
    world.hand_in(ANN, [BOB], raw)
    [mail] = world.sent_to(BOB)
    assert b"secure-email.html" in mail.raw
    assert SECRET not in mail.raw
    assert b"securegw-opened" not in mail.raw.lower()


def test_threat_5_5_33_by_a_rule_of_the_inside_server_it_is_held(world: World, delivered: bytes) -> None:
    """It keeps the sender outside as the envelope's: nobody of ours sends it, and no notice shall go there."""
    world.relay.taken.clear()
    for form in (delivered, without_marks(delivered)):
        world.hand_in(CAROL, [BOB], form, INSIDE)
    for _ in range(5):
        world.later(3600)
    assert world.relay.taken == []
    held = world.read(lambda c: desk.list_items(c))
    assert [item.state for item in held] == ["held", "held"]
    world.know(person(BOB, "Partner CA"))
    world.write(desk.unhold, Chosen(tuple(item.id for item in held)))
    world.later(60)
    for mail in world.sent_to(BOB):
        assert smime.recognise(mail.message) == "encrypted"
    assert len(world.sent_to(BOB)) == 2


def test_threat_5_5_32_an_automatic_answer_that_quotes_does_not_leave_in_clear(world: World, delivered: bytes) -> None:
    raw = outer("Away", "In-Reply-To: <one@partner.test>", "Auto-Submitted: auto-replied", body=b"> " + SECRET)
    world.hand_in("", [CAROL], raw, INSIDE)
    assert all(SECRET not in mail.raw for mail in world.sent_to(CAROL))
    assert [item.state for item in world.read(lambda c: desk.list_items(c))] == ["held"]


def test_an_answer_from_the_portal_stays_sealed_too(world: World) -> None:
    raw = MAIL.replace(b"carol@partner.test", b"bob@outside.test")
    world.hand_in(BOB, [ANN], raw, Source("portal", "192.0.2.9", tls="TLS", person=BOB))
    [mail] = world.sent_to(ANN)
    assert Proofs(world.master).any_opened(marks_in(mail.raw))
    world.send(ANN, BOB, "as you said", subject="Re: result", fields="In-Reply-To: <one@outside.test>\r\n")
    message_id = mail.message.first("Message-ID")
    world.send(ANN, BOB, "as you said", subject="Re: result", fields=f"In-Reply-To: {message_id}\r\n")
    last = world.sent_to(BOB)[-1]
    assert b"secure-email.html" in last.raw
    assert b"as you said" in world.sent_to(BOB)[0].raw


def test_a_mark_of_a_stranger_or_another_gateway_forces_nothing(world: World) -> None:
    other = World()
    mark = Proofs(other.master).opened("0123456789abcdef")
    other.close()
    world.send(ANN, BOB, "hello", fields=f"X-Securegw-Opened: {mark}\r\n")
    [mail] = world.sent_to(BOB)
    assert b"hello" in mail.raw


def test_in_the_longest_thread_its_beginning_is_still_known(world: World, delivered: bytes) -> None:
    later = "".join(f"\r\n <m{number}@x.test>" for number in range(300))
    world.send(ANN, BOB, "see below", subject="Re: x", fields=f"References: <one@partner.test>{later}\r\n")
    assert b"secure-email.html" in world.sent_to(BOB)[0].raw


def test_ordinary_answers_leave_as_ever(world: World, delivered: bytes) -> None:
    world.send(ANN, BOB, "hello", subject="Re: x", fields="In-Reply-To: <other@partner.test>\r\n")
    assert b"hello" in world.sent_to(BOB)[0].raw


def test_an_administrator_may_decide_otherwise(world: World, delivered: bytes) -> None:
    load(world, '[[rule]]\nname = "open"\nwhen = { direction = "outgoing", opened_here = true }\nencrypt = "never"\n')
    world.hand_in(ANN, [BOB], forwards(delivered)["as an attached mail"])
    assert SECRET in world.sent_to(BOB)[0].raw


def test_what_cannot_be_examined_leaves_encrypted(world: World) -> None:
    deep = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    for number in range(60):
        kind = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n" % number
        deep = kind + b"--b%d\r\n%b\r\n--b%d--\r\n" % (number, deep, number)
    raw = f"From: {ANN}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Description: message/rfc822\r\n".encode() + deep
    world.hand_in(ANN, [BOB], raw)
    assert b"secure-email.html" in world.sent_to(BOB)[0].raw


def test_the_store_keeps_no_message_ids_and_forgets(world: World, delivered: bytes) -> None:
    assert world.rows("opened") == 1
    assert world.read(opened.any_known, ["<one@partner.test>"])
    assert b"<one@partner.test>" not in repr(world.read(lambda c: c.execute(opened._opened.select()).all())).encode()
    assert world.write(opened.prune, START + 1) == 1
    assert not world.read(opened.any_known, ["<one@partner.test>"])


def in_zip(delivered: bytes) -> dict[str, bytes]:
    mixed = outer("Fwd", MIXED, body=in_mixed(b"Content-Type: message/rfc822\r\n\r\n" + delivered))
    return {
        "mail.eml": zipped({"mail.eml": delivered}),
        "without marks": zipped({"mail.eml": without_marks(delivered)}),
        "by another name": zipped({"mail.txt": without_marks(delivered)}),
        "of Outlook": zipped({"mail.msg": delivered.decode("latin-1").encode("utf-16-le")}),
        "among others": zipped({"a.txt": "hello", "folder/b.eml": without_marks(delivered)}),
        "in a mail": zipped({"forward.eml": mixed}),
        "in an archive in it": zipped({"inner.zip": zipped({"mail.eml": without_marks(delivered)})}),
    }


@pytest.mark.parametrize("name", ["mails.zip", "mails.dat"])
def test_threat_5_5_33_in_an_archive_too(world: World, delivered: bytes, name: str) -> None:
    for form, archive in in_zip(delivered).items():
        world.relay.taken.clear()
        kind = "application/zip" if name.endswith("dat") else "application/octet-stream"
        raw = with_file(name, archive, sender=ANN, recipient=BOB, kind=kind)
        world.hand_in(ANN, [BOB], raw.replace(b"Subject: ", b"Subject: [plain] ", 1))
        assert b"secure-email.html" in world.sent_to(BOB)[0].raw, form


def test_an_archive_with_other_mails_leaves_as_ever(world: World, delivered: bytes) -> None:
    other = MAIL.replace(b"one@partner", b"other@partner")
    world.hand_in(ANN, [BOB], with_file("a.zip", zipped({"a.eml": other}), sender=ANN, recipient=BOB))
    assert b"secure-email.html" not in world.sent_to(BOB)[0].raw
