"""What could not be opened comes back opened once the key is there, by ``reprocess@`` (R10)."""

from __future__ import annotations

import base64

import attrs
import pytest

from securegw.crypto import smime
from securegw.flow.proofs import Proofs, marks_in
from securegw.keys.issue import held
from securegw.mail import message as messages
from securegw.mail.errors import UnknownRecipient
from securegw.store import domains, keystore, recipients
from tests.support.world import INSIDE, OUTSIDE, START, World, person

ANN, OTTO, CAROL, AGAIN = "ann@inside.test", "otto@inside.test", "carol@partner.test", "Reprocess@inside.test"
SECRET = b"the result is positive"
MAIL = (
    b"From: Carol <carol@partner.test>\r\nTo: ann@inside.test\r\nSubject: result\r\nMessage-ID: <one@partner.test>\r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + SECRET + b"\r\n"
)


@pytest.fixture
def closed(world: World) -> bytes:
    """A mail for Ann, sealed for a key that is not here, as it was delivered."""
    carol = person(CAROL)
    world.trust(carol.root)
    world.hand_in(CAROL, [ANN], smime.encrypt(carol.sign(MAIL), [person(ANN).certificate]), OUTSIDE)
    [mail] = world.sent_to(ANN)
    assert b"encrypted=failed" in mail.raw
    world.relay.taken.clear()
    return mail.raw


def get_the_key(world: World) -> None:
    ann = person(ANN)
    row = held(world.master, ann.key, ann.certificate, source="imported", trust="trusted", now=START, address=ANN)
    world.write(keystore.add, row)


def bring(world: World, *parts: bytes, sender: str = ANN, whole: bytes = b"") -> None:
    head = f"From: {sender}\r\nTo: {AGAIN}\r\nSubject: please\r\nMIME-Version: 1.0\r\n".encode()
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    mixed = head + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body
    world.hand_in(sender, [AGAIN], whole or mixed, INSIDE)


def forms(closed: bytes) -> dict[str, tuple[bytes, ...]]:
    coded = base64.encodebytes(closed).replace(b"\n", b"\r\n")
    file = b'Content-Type: application/octet-stream; name="mail.eml"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    seal = b'Content-Type: application/pkcs7-mime; name="smime.p7m"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    return {
        "attached": (b"Content-Type: message/rfc822\r\n\r\n" + closed,),
        "file": (b"Content-Type: text/plain\r\n\r\nsee below", file + coded),
        "seal": (b"Content-Type: text/plain\r\n\r\nsee below", seal + messages.read(closed).body),
    }


@pytest.mark.parametrize("form", ["attached", "file", "seal", "as it is"])
def test_r10_it_comes_back_opened_once_the_key_is_there(world: World, closed: bytes, form: str) -> None:
    get_the_key(world)
    if form == "as it is":
        bring(world, whole=closed)
    else:
        bring(world, *forms(closed)[form])
    [mail] = world.sent_to(ANN)
    assert SECRET in mail.raw
    assert mail.sender == ""
    assert Proofs(world.master).any_opened(marks_in(mail.raw))
    assert Proofs(world.master).check(mail.message).mark == "ours"
    assert mail.message.count("X-Securegw-Verdict") == 1
    if form != "seal":
        assert b"identity=good" in mail.raw and b"Message-ID: <one@partner.test>" in mail.raw


def test_r10_without_a_key_its_reader_is_told(world: World, closed: bytes) -> None:
    bring(world, *forms(closed)["attached"])
    [notice] = world.sent_to(ANN)
    assert b"could still not be opened" in notice.raw.replace(b"\r\n", b" ")


def test_r10_nothing_to_open_is_told_too(world: World) -> None:
    bring(world, b"Content-Type: text/plain\r\n\r\nhello")
    [notice] = world.sent_to(ANN)
    assert b"no sealed or signed message" in notice.raw.replace(b"\r\n", b" ")


def test_r10_only_with_ones_own_keys(world: World, closed: bytes) -> None:
    get_the_key(world)
    bring(world, *forms(closed)["attached"], sender=OTTO)
    assert SECRET not in world.sent_to(OTTO)[0].raw


def test_r10_several_at_once_and_other_recipients(world: World, closed: bytes) -> None:
    get_the_key(world)
    part = b"Content-Type: message/rfc822\r\n\r\n" + closed
    head = f"From: {ANN}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".encode()
    raw = head + b"--b\r\n" + part + b"\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    world.hand_in(ANN, [AGAIN, OTTO], raw, INSIDE)
    assert [SECRET in mail.raw for mail in world.sent_to(ANN)] == [True, True]
    assert [SECRET in mail.raw for mail in world.sent_to(OTTO)] == [False]


def test_r10_the_address_is_there_for_ours_alone(world: World, closed: bytes) -> None:
    get_the_key(world)
    domain = world.read(domains.find_domain, "inside.test")
    world.write(domains.change_domain, attrs.evolve(domain, recipients="list"))
    world.write(recipients.add, [ANN])
    world.later(2)
    bring(world, *forms(closed)["attached"])
    assert SECRET in world.sent_to(ANN)[0].raw
    with pytest.raises(UnknownRecipient):
        world.hand_in(CAROL, [AGAIN], closed, OUTSIDE)
    assert world.sent_to("reprocess@inside.test") == []
