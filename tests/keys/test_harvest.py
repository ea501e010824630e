"""What is learned from a signature, what is not, and for whom a kept certificate may be used."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from securegw.crypto import authority, der, oids, smime
from securegw.crypto.certificate import read_certificate
from securegw.keys import harvest
from securegw.keys.trust import may_encrypt_to
from securegw.mail.address import parse_path
from securegw.store import events, keystore
from tests.crypto import der_shapes as shapes
from tests.support.world import OUTSIDE, START, World, person

CAROL = "carol@partner.test"
MAIL = b"From: carol@partner.test\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhi\r\n"


def below(root_key: bytes, root: bytes) -> tuple[bytes, bytes]:
    """An authority between the root and its people: (key, certificate)."""
    issuer = x509.load_der_x509_certificate(root)
    key = ec.generate_private_key(ec.SECP256R1())
    at = dt.datetime.fromtimestamp(START - 86400, dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Partner Sub CA")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at)
        .not_valid_after(at + dt.timedelta(days=900))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
        .sign(serialization.load_der_private_key(root_key, None), hashes.SHA256())
    )
    pkcs8 = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*pkcs8), built.public_bytes(serialization.Encoding.DER)


def root_with_room() -> tuple[bytes, bytes]:
    """A root that may have authorities below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Partner Root")])
    at = dt.datetime.fromtimestamp(START - 86400, dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at)
        .not_valid_after(at + dt.timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pkcs8 = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*pkcs8), built.public_bytes(serialization.Encoding.DER)


def test_a_learned_certificate_is_usable_though_its_authority_hangs_below_the_root(world: World) -> None:
    root_key, root = root_with_room()
    sub_key, sub = below(root_key, root)
    key, der = authority.issue(sub_key, sub, address=CAROL, name="Carol", days=100, now=START)
    world.trust(root)
    world.hand_in(CAROL, ["ann@inside.test"], smime.sign(MAIL, key, der, (sub,), START), OUTSIDE)
    [link] = world.read(keystore.intermediates)
    assert link.der == sub
    world.later(2)
    world.send("ann@inside.test", CAROL, "secret", subject="[confidential] x")
    assert smime.recognise(world.sent_to(CAROL)[0].message) == "encrypted"


def test_only_a_few_links_are_learned() -> None:
    carol = person(CAROL)
    heap = tuple(authority.make_authority(f"CA {n}", years=1, now=START, kind="p-256")[1] for n in range(20))
    raw = smime.sign(MAIL, carol.key, carol.certificate, (carol.root, *heap), START)
    opened = smime.open(raw, (), (carol.root,), START, parse_path(CAROL))
    assert opened.verdict.signed_ok
    assert opened.links == ()


def test_a_new_key_is_told_and_replaces_nothing(world: World) -> None:
    carol = person(CAROL)
    world.know(carol)
    key, der = authority.issue(
        *_authority_of(world), address=CAROL, name="Carol", days=10, now=START
    )
    world.hand_in(CAROL, ["ann@inside.test"], smime.sign(MAIL, key, der, (), START), OUTSIDE)
    assert len(world.read(keystore.find, CAROL)) == 2
    [event] = world.read(lambda c: events.find(c, kind="certificate-quarantined"))
    assert event.detail["known_before"] == 1
    assert len(world.wait(world.house.keyring.usable([parse_path(CAROL)]))[CAROL].certificates) == 1


def _authority_of(world: World) -> tuple[bytes, bytes]:
    ours = world.read(keystore.authority)
    return world.master.open("private-key", ours.fingerprint, ours.private), ours.der


def test_a_bad_verdict_teaches_nothing() -> None:
    carol = person(CAROL)
    opened = smime.open(carol.sign(MAIL), (), (), START, parse_path(CAROL))
    assert [row.trust for row in harvest.learn(opened, parse_path(CAROL), START)] == ["quarantined"]
    changed = smime.open(carol.sign(MAIL).replace(b"hi", b"ho"), (), (carol.root,), START, parse_path(CAROL))
    assert harvest.learn(changed, parse_path(CAROL), START) == ()
    good = smime.open(carol.sign(MAIL), (), (carol.root,), START, parse_path(CAROL))
    assert len(harvest.learn(good, parse_path(CAROL), START)) == 1
    assert harvest.learn(good, parse_path("eve@partner.test"), START) == ()
    assert harvest.learn(good, None, START) == ()


def announcing(*kinds: bytes, at: float, address: str = CAROL) -> bytes:
    """A signed mail of somebody whose program announces these ciphers."""
    carol = person(address)
    entity = b"Content-Type: text/plain\r\n\r\nhi\r\n"
    info = shapes.signer_info(
        carol.key,
        carol.certificate,
        *shapes.usual_attributes(entity),
        shapes.attribute(oids.CAPABILITIES, der.sequence(*(der.algorithm(kind) for kind in kinds))),
        shapes.attribute(oids.SIGNING_TIME, der.time(at)),
    )
    signed = shapes.signed_data(info, certificates=[carol.certificate])
    return shapes.beside(signed, entity, header=f"From: {address}\r\nMIME-Version: 1.0\r\n".encode())


def test_what_a_program_announces_is_kept_with_its_owners_certificate(world: World) -> None:
    world.trust(person(CAROL).root)

    def known() -> keystore.Held:
        world.later(120)
        [row] = world.read(keystore.find, CAROL)
        return row

    def arrives(*kinds: bytes, at: float) -> None:
        world.hand_in(CAROL, ["ann@inside.test"], announcing(*kinds, at=at), OUTSIDE)

    arrives(oids.DES3_CBC, oids.AES256_CBC, at=START - 5000)
    assert known().announced == "3des-cbc aes-256-cbc"
    arrives(oids.AES128_GCM, oids.AES256_CBC, at=START - 1000)
    assert known().announced == "aes-128-gcm aes-256-cbc"
    arrives(oids.DES3_CBC, at=START - 4000)  # an old mail, sent once more
    assert known().announced == "aes-128-gcm aes-256-cbc"
    arrives(oids.AES256_GCM, at=START - 900)
    assert known() == attrs.evolve(known(), announced="aes-256-gcm", announced_at=START - 900)
    arrives(at=START - 10)  # an empty list says nothing
    assert known().announced == "aes-256-gcm"
    arrives(oids.AES256_GCM, at=START - 1)  # the same once more is not written down each time
    assert known().announced_at == START - 900


def test_what_a_stranger_announces_for_somebody_else_changes_nothing(world: World) -> None:
    world.know(person(CAROL))
    mail = announcing(oids.AES128_GCM, at=START, address="eve@partner.test").replace(
        b"From: eve@partner.test", b"From: carol@partner.test"
    )
    world.hand_in("eve@partner.test", ["ann@inside.test"], mail, OUTSIDE)
    [row] = world.read(keystore.find, CAROL)
    assert row.announced == ""


def test_the_time_of_an_announcement_is_never_ahead(world: World) -> None:
    """Who says that he signs tomorrow could else decide today what counts tomorrow."""
    raw = announcing(oids.AES256_GCM, at=START + 3000)
    opened = smime.open(raw, (), (person(CAROL).root,), START, parse_path(CAROL))
    [row] = harvest.learn(opened, parse_path(CAROL), START)
    assert (row.announced, row.announced_at) == ("aes-256-gcm", START)


@pytest.mark.parametrize(
    ("changed", "address", "at", "reason"),
    [
        ({"trust": "refused"}, CAROL, START, "refused"),
        ({}, "dave@partner.test", START, "another address"),
        ({}, CAROL, START + 4000 * 86400, "expired"),
        ({}, CAROL, START - 4000 * 86400, "expired or not yet"),
        ({"trust": "unknown"}, CAROL, START, "unknown-issuer"),
    ],
)
def test_for_whom_a_certificate_may_not_be_used(
    changed: dict[str, str], address: str, at: float, reason: str
) -> None:
    read = read_certificate(person(CAROL).certificate)
    row = keystore.Held(
        address=CAROL, der=read.der, fingerprint=read.fingerprint, source="imported", trust="trusted",
        not_before=read.not_before, not_after=read.not_after, created=START,
    )  # fmt: skip
    assert may_encrypt_to(row, parse_path(CAROL), (), (), START)[0]
    may, why = may_encrypt_to(attrs.evolve(row, **changed), parse_path(address), (), (), at)
    assert not may
    assert reason in why
