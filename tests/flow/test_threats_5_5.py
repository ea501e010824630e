"""MIME, S/MIME and what a stranger may try with them, on the whole road (threats 5.5.29, 35, 36, 38)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from securegw.crypto import authority, smime
from securegw.crypto.keyfile import load_key
from securegw.keys import harvest
from securegw.mail import mime
from securegw.mail.address import parse_path
from securegw.mail.envelope import Source
from securegw.store import events, keystore
from tests.support.world import INSIDE, OUTSIDE, START, Person, World, person
from tests.support.world import authority as authority_named

ANN, CAROL, BOB = "ann@inside.test", "carol@partner.test", "bob@outside.test"
HEAD = b"From: Carol <carol@partner.test>\r\nTo: ann@inside.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
MAIL = HEAD + b"Content-Type: text/plain\r\n\r\nyes, at nine\r\n"


@pytest.fixture
def carol(world: World) -> Person:
    carol = person(CAROL)
    world.trust(carol.root)
    return carol


def receive(world: World, raw: bytes) -> Any:
    world.hand_in(CAROL, [ANN], raw, OUTSIDE)
    return world.sent_to(ANN)[-1]


def mixed(*parts: bytes) -> bytes:
    body = b"".join(b"--m\r\n" + part + b"\r\n" for part in parts) + b"--m--\r\n"
    return HEAD + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n" + body


def entity(raw: bytes) -> bytes:
    """A mail as a part: its content fields and its body."""
    at = raw.lower().index(b"content-type:")
    return raw[at:]


def ann_key(world: World) -> keystore.Held:
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    return world.read(keystore.with_private, ANN)[0]


# --- 29: only a whole mail is opened --------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", [b"mixed", b"related", b"alternative"])
def test_threat_5_5_29_a_sealed_part_between_others_stays_closed(
    world: World, carol: Person, subtype: bytes
) -> None:
    sealed = entity(smime.encrypt(MAIL, [ann_key(world).der]))
    html = b'Content-Type: text/html\r\n\r\n<img src="http://evil.test/'
    raw = mixed(html, sealed, b'Content-Type: text/html\r\n\r\n">').replace(b"multipart/mixed", b"multipart/" + subtype)
    got = receive(world, raw)
    assert b"yes, at nine" not in got.raw
    assert b"[secure]" not in got.raw and b"X-Securegw-Verdict" not in got.raw


# --- 35: what is signed is the whole mail, or it is not signed ------------------------------------------------------


def test_threat_5_5_35_a_signature_inside_of_something_else_says_nothing(world: World, carol: Person) -> None:
    signed = entity(carol.sign(MAIL))
    footer = b"Content-Type: text/plain\r\n\r\nPay to another account."
    attached = b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + carol.sign(MAIL)
    for raw in (mixed(signed, footer), mixed(footer, signed), mixed(footer, attached), mixed(attached)):
        got = receive(world, raw)
        assert got.subject == "x"
        assert b"X-Securegw-Verdict" not in got.raw and b"smime=" not in got.raw


def test_threat_5_5_35_a_third_part_beside_what_is_signed_is_invalid(world: World, carol: Person) -> None:
    raw = carol.sign(MAIL)
    boundary = mime.parse(raw).parameters["boundary"].encode()
    more = b"--" + boundary + b"\r\nContent-Type: text/plain\r\n\r\nPay to another account.\r\n--" + boundary + b"--"
    got = receive(world, raw.replace(b"--" + boundary + b"--", more))
    assert got.subject == "[signed INVALID] x"
    opens = b"--" + boundary + b"\r\n"
    first = raw.replace(opens, more.removesuffix(b"--" + boundary + b"--") + opens, 1)
    assert receive(world, first).subject == "[signed INVALID] x"


def test_threat_5_5_35_signed_in_signed_counts_the_outer_one_alone(world: World, carol: Person) -> None:
    eve = person("eve@partner.test")
    assert receive(world, eve.sign(carol.sign(MAIL))).subject == "[signed INVALID] x"
    assert receive(world, carol.sign(eve.sign(MAIL))).subject == "[signed OK] x"


def test_threat_5_5_35_triple_wrap(world: World, carol: Person) -> None:
    """What is signed outside of a seal is nobody's word about the text; what is signed inside is."""
    ann, eve = ann_key(world), person("eve@partner.test")
    whole = receive(world, carol.sign(smime.encrypt(carol.sign(MAIL), [ann.der])))
    assert whole.subject == "[secure] [signed OK] x"
    taken_over = receive(world, carol.sign(smime.encrypt(eve.sign(MAIL), [ann.der])))
    assert "[signed INVALID]" in taken_over.subject
    outside_only = receive(world, carol.sign(smime.encrypt(MAIL, [ann.der])))
    assert outside_only.subject == "[secure] x"


# --- 36: whose certificate is learned -------------------------------------------------------------------------------


def made(names: list[str] | None, *, common_name: str = "Carol", own: bool = False) -> Person:
    """Somebody with odd names, under the partner's authority or signed by himself."""
    root_key, root = authority_named("Partner CA")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer = x509.load_der_x509_certificate(root)
    at = dt.datetime.fromtimestamp(START - 86400, dt.UTC)
    usage = x509.KeyUsage(True, False, False, False, True, False, False, False, False)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject if own else issuer.subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(at).not_valid_after(at + dt.timedelta(days=900))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )  # fmt: skip
    if names is not None:
        sans = x509.SubjectAlternativeName([x509.RFC822Name(name) for name in names])
        builder = builder.add_extension(sans, critical=False)
    signer: Any = key if own else load_key(root_key)
    der = builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)
    return Person(CAROL, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), der, root)


@pytest.mark.parametrize(
    "odd",
    [
        lambda: made(["eve@partner.test"]),
        lambda: made(["*@partner.test"]),
        lambda: made([f"c{number}@partner.test" for number in range(600)] + [CAROL]),
        lambda: made(None, common_name=CAROL),
        lambda: made([f" {CAROL}"]),
        lambda: made([f"{CAROL}."]),
    ],
    ids=["another's", "all", "too many", "name only", "blank", "dot"],
)
def test_threat_5_5_36_who_is_not_named_exactly_teaches_nothing(world: World, carol: Person, odd: Any) -> None:
    got = receive(world, odd().sign(MAIL))
    assert got.subject == "[signed INVALID] x"
    assert world.read(keystore.find, CAROL) == []


def test_threat_5_5_36_who_vouches_for_himself_is_in_quarantine(world: World, carol: Person) -> None:
    receive(world, made([CAROL], own=True).sign(MAIL))
    [row] = world.read(keystore.find, CAROL)
    assert row.trust == "quarantined"
    usable = world.wait(world.house.keyring.usable([parse_path(CAROL)]))[CAROL]
    assert usable.certificates == () and "waits for the administrator" in usable.reasons[0]
    [event] = world.read(lambda c: events.find(c, kind="certificate-quarantined"))
    assert (event.address, event.detail["fingerprint"]) == (CAROL, row.fingerprint)


def test_threat_5_5_36_quarantine_is_not_flooded(world: World, carol: Person) -> None:
    for _ in range(9):
        receive(world, made([CAROL], own=True).sign(MAIL))
    assert len(world.read(keystore.find, CAROL)) == harvest.MOST_QUARANTINED


def test_threat_5_5_36_it_is_learned_once_somebody_vouches(world: World) -> None:
    late = person(CAROL, "Late CA")
    receive(world, late.sign(MAIL))
    assert [row.trust for row in world.read(keystore.find, CAROL)] == ["quarantined"]
    world.trust(late.root)
    world.later(2)
    receive(world, late.sign(MAIL))
    assert [row.trust for row in world.read(keystore.find, CAROL)] == ["unknown"]
    world.later(2)
    assert world.wait(world.house.keyring.usable([parse_path(CAROL)]))[CAROL].certificates


def test_threat_5_5_36_beside_what_was_decided_another_issuer_waits_and_the_same_does_not(world: World) -> None:
    carol = person(CAROL)
    world.know(carol)
    other_root_key, other_root = authority_named("Other CA")
    key, der = authority.issue(
        other_root_key, other_root, address=CAROL, name="C", days=900, now=START - 3600, kind="rsa-2048"
    )
    world.trust(other_root)
    receive(world, smime.sign(MAIL, key, der, (), START))
    receive(world, made([CAROL]).sign(MAIL))
    trust = {row.trust for row in world.read(keystore.find, CAROL)}
    assert trust == {"trusted", "quarantined", "unknown"}
    kinds = [event.kind for event in world.read(lambda c: events.find(c, address=CAROL))]
    assert kinds.count("certificate-quarantined") == kinds.count("certificate-learned") == 1
    world.later(2)
    found = world.wait(world.house.keyring.usable([parse_path(CAROL)]))[CAROL]
    assert len(found.certificates) == 2 and der not in found.certificates


def test_threat_5_5_36_a_refused_authority_vouches_for_nobody(world: World) -> None:
    carol = person(CAROL)
    world.trust(carol.root)
    [root] = [row for row in world.roots() if row.der == carol.root]
    world.write(keystore.set_trust, root.id, "refused")
    receive(world, carol.sign(MAIL))
    assert [row.trust for row in world.read(keystore.find, CAROL)] == ["quarantined"]


# --- 38: nobody makes us sign his words in another's name -----------------------------------------------------------


def is_signed(mail: Any) -> bool:
    return smime.recognise(mail.message) == "signed" or b"pkcs7-signature" in mail.raw


def forged(sender: str = ANN, author: str = ANN, more: str = "") -> bytes:
    return f"From: {author}\r\nTo: {BOB}\r\nSubject: [sign] x\r\n{more}\r\nI owe you money.\r\n".encode()


def test_threat_5_5_38_a_stranger_in_our_name_is_not_signed(world: World) -> None:
    ann_key(world)
    world.relay.taken.clear()
    world.hand_in(ANN, ["otto@inside.test"], forged(), OUTSIDE)
    assert [is_signed(mail) for mail in world.sent_to("otto@inside.test")] == [False]


@pytest.mark.parametrize(
    ("sender", "author", "more"),
    [
        ("", ANN, "Auto-Submitted: auto-replied\r\n"),
        (CAROL, ANN, ""),
        (ANN, CAROL, ""),
        (ANN, f"{ANN}, {CAROL}", ""),
        (ANN, "otto@inside.test", f"Sender: {ANN}\r\n"),
        (ANN, ANN, "From: carol@partner.test\r\n"),
        (ANN, f'"{ANN}" <{CAROL}>', ""),
    ],
    ids=["nobody", "from outside", "for outside", "two", "for a colleague", "two fields", "by name"],
)
def test_threat_5_5_38_only_the_author_who_sends_signs(world: World, sender: str, author: str, more: str) -> None:
    ann_key(world)
    world.relay.taken.clear()
    world.hand_in(sender, [BOB], forged(sender, author, more), INSIDE)
    assert not any(is_signed(mail) for mail in world.relay.taken)


def test_threat_5_5_38_answers_of_the_portal_and_notices_are_not_signed(world: World) -> None:
    ann_key(world)
    world.relay.taken.clear()
    world.hand_in(BOB, [ANN], forged(BOB, ANN), Source("portal", "192.0.2.9", tls="TLS", person=BOB))
    world.send(ANN, BOB, subject="[plain] [sign] contradiction")
    assert len(world.sent_to(ANN)) == 2
    assert not any(is_signed(mail) for mail in world.sent_to(ANN))
