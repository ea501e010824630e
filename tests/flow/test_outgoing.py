"""Outgoing mail: each recipient by its own best way, and never in clear what must be protected."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred

from securegw.crypto import authority, oids, smime
from securegw.crypto.choice import choose
from securegw.crypto.cms_parts import decoded
from securegw.crypto.key_transport import OAEP_IDENTIFIER, PKCS1_IDENTIFIER
from securegw.mail import message as messages
from securegw.mail import mime
from securegw.mail.bodies import bodies
from securegw.store import desk, events, keystore, people
from securegw.workers.work import InlineWorkers
from tests.support.world import INSIDE, OUTSIDE, START, Person, World, person
from tests.support.world import authority as authority_of

ANN, BOB, CAROL = "ann@inside.test", "bob@outside.test", "carol@partner.test"
SECRET = "the secret of the letter"


def test_a_plain_mail_passes_byte_identical_below_the_trace_field(world: World) -> None:
    raw = (
        b"From: <ann@inside.test>\r\nTo: bob@outside.test\r\nSubject:   odd   spacing\r\nX-a:1\r\n\r\n.dot\r\n\r\n\r\n"
    )
    world.hand_in(ANN, [BOB], raw)
    [mail] = world.sent_to(BOB)
    assert mail.raw.endswith(raw)
    assert mail.raw[: -len(raw)].startswith(b"Received: ")
    assert mail.raw[: -len(raw)].count(b"\r\nReceived") == 0


def test_a_confidential_mail_without_a_key_leaves_as_a_carrier(world: World) -> None:
    world.send(ANN, BOB, SECRET, subject="[confidential] results of Mr Smith")
    [carrier] = world.sent_to(BOB)
    assert SECRET.encode() not in carrier.raw
    assert "Smith" not in carrier.raw.decode()
    [attachment] = bodies(mime.parse(carrier.raw)).attachments
    assert attachment.filename == "secure-email.html"
    page = attachment.content().decode()
    assert "<script" not in page.lower()
    assert re.search(r'action="https://portal\.test/open"', page)


def test_the_code_goes_to_the_sender_alone(world: World) -> None:
    world.send(ANN, BOB, SECRET, subject="[confidential] news")
    [code_mail] = world.sent_to(ANN)
    found = re.search(rb"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}\b", code_mail.raw)
    assert found is not None
    assert code_mail.sender == ""
    [carrier] = world.sent_to(BOB)
    assert found[0] not in carrier.raw


def test_a_second_letter_brings_no_second_code(world: World) -> None:
    world.send(ANN, BOB, SECRET, subject="[confidential] one")
    world.send(ANN, BOB, SECRET, subject="[confidential] two")
    assert len(world.sent_to(BOB)) == 2
    assert len(world.sent_to(ANN)) == 1


def test_a_correspondent_with_a_certificate_gets_signed_and_encrypted_smime(world: World) -> None:
    carol = person(CAROL)
    world.know(carol)
    world.send(ANN, CAROL, SECRET, subject="[confidential] news")
    [mail] = world.sent_to(CAROL)
    assert SECRET.encode() not in mail.raw
    assert mail.subject == "news"
    roots = [row.der for row in world.roots()]
    opened = smime.open(mail.raw, [(carol.key, carol.certificate)], roots, START, world.author_of(ANN))
    assert SECRET.encode() in opened.raw
    assert opened.verdict.encrypted == "opened"
    assert opened.verdict.signed_ok, opened.verdict


@pytest.mark.parametrize("form", ["detached", "opaque"])
@pytest.mark.parametrize("scheme", ["pkcs1", "pss"])
def test_a_signature_is_made_as_the_settings_say(world: World, form: str, scheme: str) -> None:
    keyring = world.house.keyring
    keyring.settings = attrs.evolve(keyring.settings, signature=form, rsa_signature=scheme)
    world.send(ANN, BOB, "for all to see", subject="[sign] news")
    [mail] = world.sent_to(BOB)
    assert smime.recognise(mail.message) == ("signed" if form == "detached" else "opaque")
    assert (b"for all to see" in mail.raw) is (form == "detached")
    if form == "opaque":
        assert (oids.RSA_PSS in decoded(mail.message)) is (scheme == "pss")
    opened = smime.open(mail.raw, (), [row.der for row in world.roots()], START, world.author_of(ANN))
    assert opened.verdict.signed_ok and b"for all to see" in opened.raw


def announce(world: World, someone: Person, words: str) -> None:
    """As if her program had said so in a signed mail."""
    world.know(someone)
    [row] = world.read(keystore.find, someone.address)
    world.write(keystore.add, attrs.evolve(row, announced=words, announced_at=START))
    world.later(2)


@pytest.mark.parametrize(
    ("words", "cipher", "way"),
    [
        ("", oids.AES256_CBC, PKCS1_IDENTIFIER),
        ("aes-128-cbc 3des-cbc", oids.AES256_CBC, PKCS1_IDENTIFIER),
        ("aes-256-gcm aes-128-gcm", oids.AES256_GCM, PKCS1_IDENTIFIER),
        ("aes-128-gcm aes-256-cbc rsa-oaep", oids.AES128_GCM, OAEP_IDENTIFIER),
        ("aes-256-cbc rsa-oaep", oids.AES256_CBC, OAEP_IDENTIFIER),
    ],
)
def test_a_correspondent_gets_what_her_program_announced(world: World, words: str, cipher: bytes, way: bytes) -> None:
    carol = person(CAROL)
    announce(world, carol, words)
    world.send(ANN, CAROL, SECRET, subject="[confidential] news")
    [mail] = world.sent_to(CAROL)
    cms = decoded(mail.message)
    assert cipher in cms
    assert [one for one in (PKCS1_IDENTIFIER, OAEP_IDENTIFIER) if one in cms] == [way]
    kind = b"authEnveloped-data" if cipher in (oids.AES256_GCM, oids.AES128_GCM) else b"enveloped-data"
    assert b"smime-type=" + kind + b";" in mail.raw
    opened = smime.open(mail.raw, [(carol.key, carol.certificate)], (), START, world.author_of(ANN))
    assert SECRET.encode() in opened.raw


def test_what_one_recipient_cannot_open_costs_the_others_nothing(world: World) -> None:
    """Each recipient has a mail of his own, so nobody gets a weaker cipher because of somebody else."""
    dora = person("dora@partner.test")
    announce(world, person(CAROL), "aes-256-gcm rsa-oaep")
    announce(world, dora, "3des-cbc")
    world.send(ANN, [CAROL, dora.address], SECRET, subject="[confidential] news")
    assert oids.AES256_GCM in decoded(world.sent_to(CAROL)[0].message)
    assert oids.AES256_CBC in decoded(world.sent_to(dora.address)[0].message)


def test_several_certificates_of_one_recipient_get_one_cipher_and_each_its_way(world: World) -> None:
    """One mail that is read by each of her programs."""
    carol = person(CAROL)
    announce(world, carol, "aes-256-gcm rsa-oaep")
    key, der = authority.issue(
        *authority_of("Partner CA"), address=CAROL, name="Carol", days=100, now=START, kind="p-256"
    )
    world.know(attrs.evolve(carol, key=key, certificate=der))
    world.send(ANN, CAROL, SECRET, subject="[confidential] news")
    [mail] = world.sent_to(CAROL)
    cms = decoded(mail.message)
    assert oids.AES256_CBC in cms and OAEP_IDENTIFIER in cms and oids.ECDH_SHA256 in cms
    for pair in ((carol.key, carol.certificate), (key, der)):
        assert SECRET.encode() in smime.open(mail.raw, [pair], (), START, None).raw


def test_an_answer_by_what_we_announce_ourselves(world: World) -> None:
    """Her program reads our list from our signature, and what it then writes is opened here."""
    carol = person(CAROL)
    world.know(carol)
    world.send(ANN, CAROL, SECRET, subject="[confidential] news")
    opened = smime.open(
        world.sent_to(CAROL)[0].raw,
        [(carol.key, carol.certificate)],
        [row.der for row in world.roots()],
        START,
        world.author_of(ANN),
    )
    choice = choose({opened.certificates[0]: opened.announced})
    assert choice.cipher == "aes-256-gcm"
    answer = b"From: carol@partner.test\r\nSubject: Re\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nyes\r\n"
    world.hand_in(CAROL, [ANN], smime.encrypt(carol.sign(answer), opened.certificates, choice), OUTSIDE)
    [got] = world.sent_to(ANN)
    assert got.raw.count(b"yes\r\n") == 1 and b"unauthenticated" not in got.raw


def test_mixed_recipients_get_each_its_own(world: World) -> None:
    world.know(person(CAROL))
    world.send(ANN, [BOB, CAROL, "otto@inside.test"], SECRET, subject="[confidential] to all")
    assert smime.recognise(world.sent_to(CAROL)[0].message) == "encrypted"
    assert b"secure-email.html" in world.sent_to(BOB)[0].raw
    assert SECRET.encode() in world.sent_to("otto@inside.test")[0].raw
    assert SECRET.encode() not in world.sent_to(BOB)[0].raw + world.sent_to(CAROL)[0].raw


def test_priv_takes_the_portal_though_there_is_a_certificate(world: World) -> None:
    world.know(person(CAROL))
    world.send(ANN, CAROL, SECRET, subject="[priv] news")
    assert b"secure-email.html" in world.sent_to(CAROL)[0].raw


def test_plain_leaves_the_body_as_it_is(world: World) -> None:
    world.know(person(CAROL))
    world.send(ANN, CAROL, SECRET, subject="[plain] news")
    [mail] = world.sent_to(CAROL)
    assert mail.subject == "news"
    assert mail.message.body == (SECRET + "\r\n").encode()


@pytest.mark.parametrize("field", ["X-SMENC: yes", "Sensitivity: company-confidential"])
def test_control_fields_work_like_keywords(world: World, field: str) -> None:
    world.send(ANN, BOB, SECRET, fields=field + "\r\n")
    [mail] = world.sent_to(BOB)
    assert SECRET.encode() not in mail.raw
    assert b"x-smenc" not in mail.raw.lower()


def test_sign_makes_the_user_and_his_key_on_demand(world: World) -> None:
    world.send(ANN, BOB, "hello", subject="[sign] news")
    [mail] = world.sent_to(BOB)
    assert smime.recognise(mail.message) == "signed"
    assert world.read(people.get_user, ANN) is not None
    opened = smime.open(mail.raw, [], [row.der for row in world.roots()], START, world.author_of(ANN))
    assert opened.verdict.signed_ok


def test_nobody_signs_in_another_name(world: World) -> None:
    raw = b"From: otto@inside.test\r\nTo: bob@outside.test\r\nSubject: [sign] x\r\n\r\nhello\r\n"
    world.hand_in(ANN, [BOB], raw)
    assert world.sent_to(BOB) == []
    [notice] = world.sent_to(ANN)
    assert b"has to be signed" in notice.raw


def test_a_contradiction_goes_back_to_the_sender(world: World) -> None:
    world.send(ANN, BOB, SECRET, subject="[plain] [confidential] what now")
    assert world.sent_to(BOB) == []
    [notice] = world.sent_to(ANN)
    assert notice.sender == ""
    assert SECRET.encode() not in notice.raw


def test_keywords_of_strangers_steer_nothing(world: World) -> None:
    world.send(BOB, ANN, "hello", subject="[confidential] you", source=OUTSIDE)
    [mail] = world.sent_to(ANN)
    assert b"hello" in mail.raw


def test_every_decision_is_kept_with_its_reason(world: World) -> None:
    trace = world.send(ANN, BOB, SECRET, subject="[confidential] secret subject")
    kept = world.read(lambda c: events.find(c, trace=trace, kind="decision"))
    assert [event.detail["method"] for event in kept] == ["carrier"]
    assert kept[0].detail["rule"]
    assert "secret subject" not in str(kept)


def test_a_user_who_may_not_encrypt_is_told(world: World) -> None:
    world.write(people.add_user, people.User(ANN, may_encrypt=False, created=START))
    world.send(ANN, BOB, SECRET, subject="[confidential] news")
    assert world.sent_to(BOB) == []
    assert len(world.sent_to(ANN)) == 1


def test_an_exception_while_protecting_never_lets_the_mail_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **named: object) -> bytes:
        raise RuntimeError("crypto is ill")

    world.know(person(CAROL))
    monkeypatch.setattr(smime, "encrypt", broken)
    world.send(ANN, CAROL, SECRET, subject="[confidential] news")
    for _ in range(10):
        world.later(3600)
    assert world.sent_to(CAROL) == []
    [item] = world.read(lambda c: desk.list_items(c))
    assert item.state == "parked"
    assert "crypto is ill" in item.note


def test_the_store_holds_nothing_readable(world: World) -> None:
    world.relay.hold(BOB)
    world.send(ANN, BOB, SECRET, subject="[confidential] news")
    world.send(ANN, BOB, SECRET + " plainly", subject="open")
    dump = world.dump()
    assert SECRET.encode() not in dump
    assert len(dump) > 1000


def test_nothing_of_the_letter_stays_after_delivery(world: World) -> None:
    world.send(ANN, BOB, SECRET, subject="[confidential] news")
    assert world.read(lambda c: desk.list_items(c)) == []
    assert world.rows("body") == 0


def test_strangers_cannot_relay(world: World) -> None:
    from securegw.mail.errors import RelayDenied

    with pytest.raises(RelayDenied):
        world.send("eve@evil.test", BOB, source=OUTSIDE)


def test_a_mail_without_header_passes(world: World) -> None:
    world.hand_in(ANN, [BOB], b"just text\r\n")
    [mail] = world.sent_to(BOB)
    assert mail.raw.endswith(b"\r\n\r\njust text\r\n")
    assert messages.read(mail.raw).fields
    assert INSIDE.inside


class SlowHands(InlineWorkers):
    """The making of a key takes until the test lets it end."""

    def __init__(self) -> None:
        self.making: list[tuple[Deferred[Any], Any]] = []

    def thread(self, function: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        if getattr(function, "__name__", "") != "_make":
            return super().thread(function, *args, **kwargs)
        done: Deferred[Any] = Deferred()
        self.making.append((done, lambda: function(*args, **kwargs)))
        return done

    def let_go(self) -> None:
        for done, work in self.making:
            done.callback(work())
        self.making.clear()


def test_s23_mails_wait_while_a_key_is_being_made_and_leave_signed() -> None:
    hands = SlowHands()
    world = World(hands)
    for to in (BOB, CAROL):
        world.send(ANN, to, subject="[sign] x")
    world.send("otto@inside.test", BOB, "passes meanwhile", subject="[nosign] x")
    assert len(hands.making) == 1
    assert [mail.sender for mail in world.sent_to(BOB)] == ["otto@inside.test"]
    assert world.sent_to(CAROL) == []
    hands.let_go()
    world.later(1)
    for mail in (world.sent_to(BOB)[-1], *world.sent_to(CAROL)):
        opened = smime.open(mail.raw, [], [row.der for row in world.roots()], START, world.author_of(ANN))
        assert opened.verdict.signed_ok
    assert len(world.read(keystore.with_private, ANN)) == 1
    world.close()


def test_s23_without_an_authority_what_must_be_signed_waits_and_the_rest_leaves(world: World) -> None:
    [authority] = world.read(keystore.own_authorities)
    world.write(keystore.remove, authority.id)
    world.send(ANN, BOB, subject="[sign] x")
    world.send(ANN, CAROL, subject="x")
    assert world.sent_to(BOB) == []
    assert len(world.sent_to(CAROL)) == 1
    world.write(keystore.add, attrs.evolve(authority, id=0))
    world.later(3600)
    [mail] = world.sent_to(BOB)
    assert smime.recognise(mail.message) == "signed"
