"""Incoming mail: opened, verified, marked; what strangers write in our name is removed."""

from __future__ import annotations

import attrs
import pytest

from securegw.crypto import methods, smime
from securegw.flow import claims
from securegw.keys.issue import held
from securegw.mail.address import parse_path
from securegw.mail.errors import StoreBusy
from securegw.store import keystore, queue
from tests.support.world import OUTSIDE, START, Person, World, person

ANN, CAROL = "ann@inside.test", "carol@partner.test"
MAIL = (
    b"From: Carol <carol@partner.test>\r\nTo: ann@inside.test\r\nSubject: answer\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\n\r\nyes, at nine\r\n"
)


@pytest.fixture
def carol(world: World) -> Person:
    carol = person(CAROL)
    world.trust(carol.root)
    return carol


def receive(world: World, raw: bytes, sender: str = CAROL) -> bytes:
    world.hand_in(sender, [ANN], raw, OUTSIDE)
    [mail] = world.sent_to(ANN)
    return mail.raw


def test_a_signed_mail_is_marked_and_kept(world: World, carol: Person) -> None:
    got = receive(world, carol.sign(MAIL))
    assert b"X-Securegw-Verdict: encrypted=none; integrity=good; trust=good; identity=good" in got
    assert b"Authentication-Results: gw.inside.test;\r\n\tsmime=pass" in got
    assert b"Subject: [signed OK] answer" in got
    assert b"multipart/signed" in got


def test_an_encrypted_answer_is_opened(world: World, carol: Person) -> None:
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    ann = world.read(keystore.with_private, ANN)[0]
    got = receive(world, smime.encrypt(carol.sign(MAIL), [ann.der]))
    assert b"yes, at nine" in got
    assert b"[secure]" in got
    assert b"encrypted=opened; integrity=good; trust=good; identity=good" in got


def test_what_cannot_be_opened_is_delivered_as_it_came_and_says_so(world: World, carol: Person) -> None:
    sealed = smime.encrypt(MAIL, [carol.certificate])
    got = receive(world, sealed)
    assert b"encrypted=failed" in got
    assert got.endswith(sealed[sealed.index(b"\r\n\r\n") :])
    assert b"[secure]" not in got


def test_a_changed_mail_is_invalid(world: World, carol: Person) -> None:
    got = receive(world, carol.sign(MAIL).replace(b"at nine", b"at ten!"))
    assert b"[signed INVALID]" in got
    assert b"integrity=bad" in got
    assert b"smime=fail" in got


def test_an_untrusted_signer_is_invalid_and_put_into_quarantine(world: World) -> None:
    stranger = person(CAROL, "Nobody knows this CA")
    got = receive(world, stranger.sign(MAIL))
    assert b"trust=good" not in got
    assert b"[signed INVALID]" in got
    assert [row.trust for row in world.read(keystore.find, CAROL)] == ["quarantined"]
    world.later(2)
    world.send(ANN, CAROL, "secret", subject="[confidential] back")
    assert smime.recognise(world.sent_to(CAROL)[0].message) is None  # by the portal: nobody vouches for the key


def test_a_certificate_for_somebody_else_is_no_identity(world: World, carol: Person) -> None:
    eve = attrs.evolve(person("eve@partner.test"))
    got = receive(world, eve.sign(MAIL))
    assert b"identity=bad" in got
    assert b"[signed OK]" not in got
    assert world.read(keystore.find, CAROL) == []


def test_a_good_signature_teaches_the_certificate_for_the_way_back(world: World, carol: Person) -> None:
    receive(world, carol.sign(MAIL))
    [row] = world.read(keystore.find, CAROL)
    assert row.source == "harvested"
    world.later(2)
    world.send(ANN, CAROL, "secret", subject="[confidential] back")
    assert smime.recognise(world.sent_to(CAROL)[0].message) == "encrypted"


def test_what_a_mail_teaches_is_learned_though_its_first_treatment_was_not_written_down(
    world: World, carol: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ill(*args: object) -> list[None]:
        raise StoreBusy

    world.clock.advance(claims.LEASE / 2)  # then the treatment is a step by itself
    with monkeypatch.context() as store:
        store.setattr(queue, "treated_many", ill)
        world.hand_in(CAROL, [ANN], carol.sign(MAIL), OUTSIDE)
    assert world.sent_to(ANN) == []
    world.later(4)
    assert len(world.sent_to(ANN)) == 1
    assert [row.source for row in world.read(keystore.find, CAROL)] == ["harvested"]


def test_a_mail_without_anything_passes_byte_identical(world: World) -> None:
    assert receive(world, MAIL).endswith(MAIL)


@pytest.mark.parametrize(
    "forged",
    [
        b"X-Securegw-Verdict: integrity=good\r\n",
        b"x_securegw_verdict: integrity=good\r\n",
        b"X-SM-Decrypted: yes\r\n",
        b"Authentication-Results: gw.inside.test; smime=pass\r\n",
    ],
)
def test_forged_fields_are_removed(world: World, forged: bytes) -> None:
    got = receive(world, forged + MAIL)
    assert forged not in got
    assert got.endswith(MAIL)


@pytest.mark.parametrize("subject", ["[signed OK] pay", "[SECURE] pay", "=?utf-8?q?=5Bsigned_OK=5D_pay?="])
def test_forged_tags_are_removed(world: World, subject: str) -> None:
    receive(world, MAIL.replace(b"Subject: answer", b"Subject: " + subject.encode()))
    [mail] = world.sent_to(ANN)
    assert mail.subject == "pay"


def test_a_keyword_of_a_stranger_cannot_come_back_as_a_wish(world: World) -> None:
    receive(world, MAIL.replace(b"Subject: answer", b"Subject: [plain] answer"))
    [mail] = world.sent_to(ANN)
    assert mail.subject == "answer"


@pytest.mark.parametrize(
    "name", [b'"[signed OK] Boss" <carol@partner.test>', b"=?utf-8?q?=5Bsecure=5D_Boss?= <carol@partner.test>"]
)
def test_forged_tags_in_names_are_removed(world: World, name: bytes) -> None:
    got = receive(world, MAIL.replace(b"Carol <carol@partner.test>", name))
    assert b"From: Boss <carol@partner.test>\r\n" in got


def test_other_peoples_results_stay(world: World) -> None:
    theirs = b"Authentication-Results: mx.outside.test; dkim=pass\r\n"
    assert theirs in receive(world, theirs + MAIL)


def test_inner_headers_never_win(world: World, carol: Person) -> None:
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    ann = world.read(keystore.with_private, ANN)[0]
    sealed = smime.encrypt(MAIL, [ann.der]).replace(b"Subject: answer", b"Subject: outer")
    got = receive(world, sealed)
    assert b"outer" in got
    assert b"Subject: answer" not in got


def test_an_unknown_root_becomes_good_once_trusted(world: World) -> None:
    late = person(CAROL, "Late CA")
    receive(world, late.sign(MAIL))
    world.relay.taken.clear()
    row = held(world.master, None, late.root, source="imported", trust="trusted", now=START)
    world.write(keystore.add, row)
    world.clock.advance(1)  # what was known a moment ago is taken as true for a second
    assert b"[signed OK]" in receive(world, late.sign(MAIL))
    assert parse_path(CAROL).domain == "partner.test"


def test_a_broken_worker_parks_the_mail_and_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from securegw.mail.errors import WorkerLost
    from securegw.store import desk

    def bomb(*args: object) -> object:
        raise WorkerLost

    ill = attrs.evolve(methods.METHODS["smime"], open=bomb)
    monkeypatch.setattr(methods, "METHODS", {"smime": ill})
    world.hand_in(CAROL, [ANN], person(CAROL).sign(MAIL), OUTSIDE)
    for _ in range(10):
        world.later(3600)
    [item] = world.read(lambda c: desk.list_items(c))
    assert item.state == "parked"
    assert world.sent_to(ANN) == []
