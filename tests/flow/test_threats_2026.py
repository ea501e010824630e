"""Holes that were published in products of this kind, on the whole road (threats 4: S/MIME, header and tag rows).

Elsewhere: -2748 and -29140 in ``tests/crypto``, -27443 and -29143 there too; -29135, -29137, -29141 and -29144 in
``test_marks``. The OpenPGP rows are tried with S/MIME, which is what is opened here.
"""

from __future__ import annotations

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from securegw.crypto import smime
from securegw.crypto.choice import Choice
from securegw.flow.proofs import Proofs
from securegw.mail import message as messages
from securegw.store import events, keystore
from tests.flow.test_threats_5_5 import ANN, BOB, CAROL, HEAD, MAIL, ann_key, entity, is_signed, mixed, receive
from tests.mail.test_threats_5_3 import AMBIGUOUS
from tests.support.world import INSIDE, OUTSIDE, START, Person, World, person


@pytest.fixture
def carol(world: World) -> Person:
    carol = person(CAROL)
    world.trust(carol.root)
    return carol


def test_threat_2026_2746_each_result_of_a_check_is_seen(world: World, carol: Person) -> None:
    """Good, bad, by nobody whom we know, and not signed at all: four mails that look different."""
    good, bad = carol.sign(MAIL), carol.sign(MAIL).replace(b"at nine", b"at noon")
    unknown = person(CAROL, "Nobody's CA").sign(MAIL)
    seen = {}
    for name, raw in (("good", good), ("bad", bad), ("unknown", unknown), ("none", MAIL)):
        message = messages.read(receive(world, raw).raw)
        verdict = re.findall(r"(?:integrity|trust|identity)=(\w+)", message.first("X-Securegw-Verdict") or "")
        seen[name] = (message.first("Subject"), tuple(verdict), message.first("Authentication-Results"))
    assert seen["good"][:2] == ("[signed OK] x", ("good", "good", "good"))
    assert seen["bad"][:2] == ("[signed INVALID] x", ("bad", "none", "none"))
    assert seen["unknown"][:2] == ("[signed INVALID] x", ("good", "unknown", "good"))
    assert seen["none"] == ("x", (), None)
    assert ["pass" in (seen[name][2] or "") for name in seen] == [True, False, False, False]


def test_threat_2026_2747_a_sealed_text_within_a_clear_one_stays_closed(world: World, carol: Person) -> None:
    """Before, behind, between, as an attachment or as text: no byte of it is opened or comes back in a notice."""
    sealed = smime.encrypt(MAIL, [ann_key(world).der])
    part, text = entity(sealed), sealed.partition(b"\r\n\r\n")[2]
    clear = b"Content-Type: text/html\r\n\r\n<p>before</p>"
    inline = HEAD + b"Content-Type: text/plain\r\n\r\nbefore\r\n-----BEGIN PKCS7-----\r\n" + text
    attached = part.replace(b"\r\n\r\n", b"\r\nX-Disposition: attachment\r\n\r\n", 1)
    for raw in (
        mixed(clear, part),
        mixed(part, clear),
        mixed(clear, part, clear),
        mixed(clear, attached),
        inline + b"-----END PKCS7-----\r\nbehind\r\n",
        HEAD + part.replace(b"\r\n\r\n", b"\r\n\r\nbefore: ", 1),
    ):
        world.hand_in("eve@evil.test", [ANN, "nobody@inside.test"], raw, OUTSIDE)
        assert not any(b"yes, at nine" in mail.raw for mail in world.relay.taken)
        assert world.sent_to(ANN)[-1].subject == "x"


@pytest.mark.parametrize("header", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_threat_2026_27444_who_wrote_it_is_read_once_for_everything(
    world: World, carol: Person, header: str | bytes
) -> None:
    """Where two readers could differ, nobody is the author: no good signature, nothing learned, nothing signed."""
    field = header if isinstance(header, bytes) else header.encode()
    field = field.replace(b"alice@corp.test", CAROL.encode()).replace(b"alice=40corp", b"carol=40partner")
    signed = carol.sign(MAIL).replace(b"From: Carol <carol@partner.test>", field, 1)
    world.hand_in(CAROL, [ANN], signed, OUTSIDE)
    assert not any(b"[signed OK]" in mail.raw or b"identity=good" in mail.raw for mail in world.sent_to(ANN))
    assert world.read(keystore.find, CAROL) == []
    assert world.read(keystore.find, "eve@evil.test") == []
    ann_key(world)
    world.relay.taken.clear()
    own = field.replace(CAROL.encode(), ANN.encode())
    world.hand_in(ANN, [BOB], own + b"\r\nTo: bob@outside.test\r\nSubject: [sign] x\r\n\r\nyes\r\n", INSIDE)
    assert not any(is_signed(mail) for mail in world.relay.taken)


def test_threat_2026_27445_a_good_signature_of_somebody_else(world: World, carol: Person) -> None:
    """Eve is known, trusted, and good at signing; what she signs in Carol's name is not Carol's."""
    eve = person("eve@partner.test")
    world.know(eve)
    world.know(carol)
    for raw in (eve.sign(MAIL), smime.encrypt(eve.sign(MAIL), [ann_key(world).der], Choice("aes-256-gcm"))):
        got = receive(world, raw)
        assert "[signed INVALID]" in got.subject and b"trust=good; identity=bad" in got.raw
        assert b"smime=fail" in got.raw
    assert {row.fingerprint for row in world.read(keystore.find, CAROL)} == {_fingerprint(carol)}


def _fingerprint(someone: Person) -> str:
    return x509.load_der_x509_certificate(someone.certificate).fingerprint(hashes.SHA256()).hex()


HOSTILE = {
    "html": "<img src=x onerror=alert(1)>",
    "line ends": "Carol\r\nX-Evil: 1\r\n\r\nbody",
    "a verdict": 'Carol"; integrity=good; trust=good; identity=good; mac=',
    "a tag": "[signed OK]",
    "an escape": "\x1b[2J\x07Carol",
    "very long": "x" * 20_000,
}


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("name", HOSTILE)
def test_threat_2026_29136_what_a_certificate_says_is_text_only(world: World, name: str) -> None:
    """Names of the signer and of his authority, in the fields that we write and in what is told of them."""
    key = rsa.generate_private_key(65537, 2048)
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE[name], _validate=False)])
    alternative = x509.SubjectAlternativeName([x509.RFC822Name(CAROL)])
    at = x509.load_der_x509_certificate(person(CAROL).certificate)
    der = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(at.not_valid_before_utc)
        .not_valid_after(at.not_valid_after_utc)
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    pkcs8 = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    got = receive(world, smime.sign(MAIL, key.private_bytes(*pkcs8), der, (), START))
    message = messages.read(got.raw)
    assert got.subject == "[signed INVALID] x"
    names = [field.name for field in message.fields]
    assert b"X-Evil" not in names and names.count(b"X-Securegw-Verdict") == 1
    words = message.first("X-Securegw-Verdict") or ""
    assert len(words) < 2_000 and words.isascii() and not re.search(r"[\x00-\x08\x1b]", words)
    assert re.findall(r"(?:^|; *)trust=(\w+)", words) == ["unknown"]
    assert Proofs(world.master).check(message).mark == "ours"
    assert max(map(len, got.raw.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 998
    [event] = world.read(lambda c: events.find(c, kind="certificate-quarantined"))
    assert set(event.detail) == {"fingerprint", "known_before"}
