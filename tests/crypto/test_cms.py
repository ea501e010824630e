from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from securegw.crypto import ber, der, oids
from securegw.crypto.choice import Choice
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_verify import verify
from securegw.crypto.cms_write import attribute, encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.identifiers import issuer_and_serial, key_identifier
from securegw.crypto.key_transport import OAEP_IDENTIFIER
from securegw.crypto.keyfile import load_key
from securegw.crypto.signatures import Scheme
from securegw.mail.errors import BadKey, MailError, NotExamined, SealBroken
from tests.crypto.people import NOW, Authority, Person
from tests.support.steps import Work, counted

Seal = Callable[..., bytes]
CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
SHA256 = der.algorithm(oids.SHA256)


# DER and BER


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (256, "02020100"),
        (2**64, "0209010000000000000000"),
    ],
)
def test_integers(value: int, encoded: str) -> None:
    assert der.integer(value).hex() == encoded
    assert ber.whole(bytes.fromhex(encoded)).number() == value


def test_lengths_and_object_identifiers() -> None:
    for size, head in ((0, "0400"), (127, "047f"), (128, "048180"), (65_536, "0483010000")):
        encoded = der.octets(bytes(size))
        assert encoded.hex().startswith(head) and ber.whole(encoded).content == bytes(size)
    assert oids.RSA_SHA256.hex() == "06092a864886f70d01010b"
    assert oids.SHA256.hex() == "0609608648016503040201"


def test_times_turn_over_in_2050() -> None:
    assert der.time(2_524_607_999) == b"\x17\x0d491231235959Z"
    assert der.time(2_524_608_000) == b"\x18\x0f20500101000000Z"


def test_strings_in_pieces() -> None:
    pieces = b"\x24\x80\x04\x02ab\x24\x80\x04\x01c\x00\x00\x24\x05\x04\x01d\x04\x00\x04\x01e\x00\x00"
    assert ber.whole(pieces).octets() == b"abcde"
    assert ber.whole(b"\x24\x80\x00\x00").octets() == b""
    with pytest.raises(NotExamined):
        ber.whole(b"\x24\x80\x02\x01a\x00\x00").octets()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x05\x00",
        b"\x30\x80",
        b"\x30\x80\x00",
        b"\x04\x80\x00\x00",
        b"\x1f\x01\x00",
        b"\x30\x86\x01\x00\x00\x00\x00\x00",
        b"\x30\xff" + b"\xff" * 127,
        b"\x30\x84\x7f\xff\xff\xff",
        b"\x30\x00junk",
    ],
)
def test_broken_ber(data: bytes) -> None:
    with pytest.raises(NotExamined):
        ber.whole(data)


def open_form(content: bytes, size: int) -> bytes:
    """An implicit OCTET STRING [0] of indefinite length, in pieces."""
    pieces = [der.octets(content[at : at + size]) for at in range(0, len(content), size)]
    return b"\xa0\x80" + b"".join(pieces) + b"\0\0"


def undetermined(sealed: bytes, size: int = 1000) -> bytes:
    """EnvelopedData as Outlook and BouncyCastle write it: nothing on the way to the content says how long it is."""
    kind, wrapped = ber.whole(sealed).parts(2)
    version, recipients, encrypted = wrapped.parts(1)[0].parts(3)
    inner = b"".join(one.raw for one in encrypted.parts(3)[:2]) + open_form(encrypted.parts(3)[2].content, size)
    layers = version.raw + recipients.raw + b"\x30\x80" + inner + b"\0\0"
    return b"\x30\x80" + kind.raw + b"\xa0\x80\x30\x80" + layers + b"\0\0" * 3


def test_a_sealed_content_that_is_not_there(bob: Person) -> None:
    """Certificates of a sender, recipients and nothing behind them; found by fuzzing."""
    kind, wrapped = ber.whole(encrypt_cbc(CONTENT, [bob.der])).parts(2)
    version, recipients, _encrypted = wrapped.parts(1)[0].parts(3)
    body = der.sequence(version.raw, der.tlv(0xA0, der.tlv(0xA0, bob.der)), recipients.raw)
    with pytest.raises(NotExamined):
        decrypt(der.sequence(kind.raw, der.tlv(0xA0, body)), [bob.pair])


def test_indefinite_lengths_are_read(bob: Person) -> None:
    for size in (1, 7, 1000):
        assert decrypt(undetermined(encrypt_cbc(CONTENT, [bob.der]), size), [bob.pair]).content == CONTENT


def cost_of_opening(size: int, reader: Person) -> Work:
    sealed = undetermined(encrypt_cbc(bytes(size), [reader.der]))
    with counted() as work:
        assert decrypt(sealed, [reader.pair]).content == bytes(size)
    return work


def test_threat_5_5_34_pieces_cost_linear_time(bob: Person) -> None:
    """Counted, not timed: no more steps for a piece than there are values around it, each octet once, at any size."""
    small, half, full = (cost_of_opening(size, bob) for size in (250_000, 12_500_000, 25_000_000))
    assert full.steps < 9 * 25_000
    assert full.steps - half.steps == pytest.approx(half.steps - small.steps, rel=0.05)
    assert full.octets - half.octets == pytest.approx(12_500_000, rel=0.01)
    assert full.octets < 25_100_000


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x80" * 2_000_000,
        b"\x30\x80" * 1_000_000 + b"\0\0" * 1_000_000,
        b"\x30\x80" + b"\x05\x00" * 2_000_000 + b"\0\0",
        b"\xa0\x84\x00\x3d\x09\x00" + b"\x05\x00" * 2_000_000,
    ],
)
def test_bombs_are_refused_at_once(data: bytes, bob: Person) -> None:
    for read in (lambda: decrypt(data, [bob.pair]), lambda: verify(data, None), lambda: ber.whole(data).octets()):
        with counted() as work, pytest.raises(MailError):
            read()
        assert work.steps <= 2 * ber.MOST_ELEMENTS + 100
        assert work.octets <= len(data)


# Encrypted


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 15, b"x" * 16, b"x" * 17, bytes(100_000)])
def test_any_length(bob: Person, eve: Person, content: bytes) -> None:
    for seal in (encrypt_cbc, encrypt_gcm):
        sealed = seal(content, [bob.der, eve.der])
        for person in (bob, eve):
            found = decrypt(sealed, [person.pair])
            assert (found.content, found.authenticated) == (content, seal is encrypt_gcm)


def test_the_right_key_is_found_among_many(ann: Person, bob: Person, eve: Person) -> None:
    sealed = encrypt_cbc(CONTENT, [bob.der])
    assert decrypt(sealed, [ann.pair, eve.pair, bob.pair]).content == CONTENT
    for keys in ([], [ann.pair, eve.pair]):
        with pytest.raises(BadKey):
            decrypt(sealed, keys)


def test_a_short_or_moved_authentication_code_is_refused(bob: Person) -> None:
    sealed = encrypt_gcm(CONTENT, [bob.der])
    _kind, wrapped = ber.whole(sealed).parts(2)
    version, recipients, encrypted, mac = wrapped.parts(1)[0].parts(4)
    for code in (b"", mac.content[:4], mac.content[:11], mac.content + b"\0", bytes(16)):
        body = der.sequence(version.raw, recipients.raw, encrypted.raw, der.octets(code))
        with pytest.raises((SealBroken, NotExamined)):
            decrypt(der.sequence(oids.AUTH_ENVELOPED_DATA, der.tlv(0xA0, body)), [bob.pair])
    # The known way round the code: the same text passed off as CBC, where nothing is checked.
    body = der.sequence(version.raw, recipients.raw, encrypted.raw)
    with pytest.raises(NotExamined):
        decrypt(der.sequence(oids.ENVELOPED_DATA, der.tlv(0xA0, body)), [bob.pair])


def test_changed_elliptic_key_agreement_is_refused(eve: Person) -> None:
    sealed = encrypt_gcm(CONTENT, [eve.der])
    for at in range(40, len(sealed), 3):
        try:
            found = decrypt(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], [eve.pair])
        except MailError:
            continue
        assert found.content == CONTENT


# Signed


def signed_data(*infos: bytes, certificates: tuple[bytes, ...], content: bytes | None = None) -> bytes:
    inside = [der.tlv(0xA0, der.octets(content))] if content is not None else []
    body = der.sequence(
        der.integer(1),
        der.set_of(SHA256),
        der.sequence(oids.DATA, *inside),
        der.tlv(0xA0, *certificates),
        der.tlv(der.SET, *infos),
    )
    return der.sequence(oids.SIGNED_DATA, der.tlv(0xA0, body))


RIGHT = (
    attribute(oids.CONTENT_TYPE, oids.DATA),
    attribute(oids.MESSAGE_DIGEST, der.octets(hashlib.sha256(CONTENT).digest())),
)


def info(person: Person, *attributes: bytes, content: bytes = CONTENT, how: bytes = b"", by_key: bool = False) -> bytes:
    """A SignerInfo with these attributes, or without any over the content, its signature always right."""
    over = der.tlv(der.SET, *attributes) if attributes else content
    value = load_key(person.key).sign(over, padding.PKCS1v15(), hashes.SHA256())
    who = der.tlv(0x80, key_identifier(person.der)) if by_key else issuer_and_serial(person.der)
    return der.sequence(
        der.integer(3 if by_key else 1),
        who,
        SHA256,
        *([der.tlv(0xA0, *attributes)] if attributes else []),
        how or der.algorithm(oids.RSA_SHA256, der.NULL),
        der.octets(value),
    )


def outcome(ann: Person, *infos: bytes) -> list[tuple[str, str]]:
    found = verify(signed_data(*infos, certificates=(ann.der,)), CONTENT)
    return [(one.state, one.reason) for one in found.signatures]


def test_signer_forms(ann: Person) -> None:
    infos = [info(ann, *RIGHT), info(ann), info(ann, *RIGHT, by_key=True)]
    assert outcome(ann, *infos) == [("good", "")] * 3
    assert outcome(ann) == []


def test_attributes_that_are_missing_wrong_or_twice(ann: Person) -> None:
    kind, digest = RIGHT
    zero = attribute(oids.MESSAGE_DIGEST, der.octets(bytes(32)))
    other = attribute(oids.CONTENT_TYPE, oids.SIGNED_DATA)
    empty = der.sequence(oids.MESSAGE_DIGEST, der.tlv(der.SET))
    for attributes, reason in (
        ((kind,), "changed"),
        ((digest,), "content-type"),
        ((other, digest), "content-type"),
        ((kind, zero), "changed"),
        ((kind, digest, digest), "malformed"),
        ((kind, digest, zero), "malformed"),
    ):
        assert outcome(ann, info(ann, *attributes)) == [("bad", reason)]
    assert outcome(ann, info(ann, kind, empty)) == [("unknown", "not-understood")]


def test_attributes_of_one_mail_are_not_the_content_of_another(ann: Person) -> None:
    """A signature over attributes, shown without them, would be good over their bytes (RFC 5652 5.4)."""
    content = der.tlv(der.SET, *RIGHT)
    data = signed_data(info(ann, content=content), certificates=(ann.der,), content=content)
    assert [one.reason for one in verify(data, None).signatures] == ["no-attributes"]


def test_weak_digests_and_contradictions(ann: Person) -> None:
    weak = der.sequence(ber.whole(info(ann, *RIGHT)).content.replace(SHA256, der.algorithm(oids.SHA1), 1))
    assert outcome(ann, weak) == [("bad", "weak-digest")]
    two = info(ann, *RIGHT, how=der.algorithm(oids.RSA_SHA512, der.NULL))
    assert outcome(ann, two) == [("bad", "two-digests")]
    odd = info(ann, *RIGHT, how=der.algorithm(der.oid("1.2.3.4")))
    assert outcome(ann, odd) == [("unknown", "unknown-algorithm")]
    mixed = info(ann, *RIGHT, how=der.algorithm(oids.ECDSA_SHA256))
    assert outcome(ann, mixed) == [("unknown", "unknown-algorithm")]


def test_pss_with_sha1_or_without_parameters_is_bad(ann: Person) -> None:
    for how in (der.algorithm(oids.RSA_PSS), der.algorithm(oids.RSA_PSS, der.sequence())):
        assert outcome(ann, info(ann, *RIGHT, how=how)) == [("bad", "wrong-signature")]


def test_the_signers_certificate_must_be_there(ann: Person, bob: Person) -> None:
    data = signed_data(info(ann, *RIGHT), certificates=(bob.der,))
    [one] = verify(data, CONTENT).signatures
    assert (one.state, one.reason, one.certificate) == ("unknown", "no-certificate", None)
    data = signed_data(info(bob, *RIGHT), certificates=(ann.der, b"\x30\x03\x02\x01\x01", bob.der))
    [one] = verify(data, CONTENT).signatures
    assert (one.state, one.certificate) == ("good", bob.der)


def test_a_certificate_of_more_than_64_kib_is_not_looked_at(ann: Person) -> None:
    large = der.sequence(ann.der, der.octets(bytes(65_536)))
    assert len(large) > 65_536
    assert verify(signed_data(info(ann, *RIGHT), certificates=(large, ann.der)), CONTENT).certificates == (ann.der,)


def test_ten_thousand_certificates_are_not_looked_at(ann: Person) -> None:
    few, many = (signed_data(info(ann, *RIGHT), certificates=(ann.der,) * number) for number in (51, 10_000))
    with counted() as least:
        verify(few, CONTENT)
    with counted() as work:
        found = verify(many, CONTENT)
    assert len(found.certificates) == 50
    assert (work.steps, work.octets) == (least.steps, least.octets)
    with pytest.raises(NotExamined):
        verify(signed_data(*[info(ann)] * 11, certificates=(ann.der,)), CONTENT)


def test_our_own_signature_tells_time_and_capabilities(ann: Person) -> None:
    [one] = verify(sign(CONTENT, ann.key, ann.der, [], NOW)[0], CONTENT).signatures
    assert (one.state, one.signed_at) == ("good", NOW)
    [old] = verify(sign(CONTENT, ann.key, ann.der, [], -500_000_000)[0], CONTENT).signatures
    assert old.signed_at == -500_000_000


@pytest.mark.parametrize(
    ("kind", "scheme", "micalg"),
    [
        ("rsa-2048", "pkcs1", "sha-256"),
        ("rsa-2048", "pss", "sha-256"),
        ("p-256", "pkcs1", "sha-256"),
        ("p-384", "pkcs1", "sha-384"),
        ("p-521", "pkcs1", "sha-512"),
        ("ed25519", "pkcs1", "sha-512"),
        ("ed448", "pkcs1", "unknown"),
    ],
)
@pytest.mark.parametrize("detached", [True, False])
def test_every_kind_of_key_signs_with_the_digest_that_fits(
    authority: Authority, kind: str, scheme: Scheme, micalg: str, detached: bool
) -> None:
    person = authority.person("ed@inside.test", kind=kind)
    signed, named = sign(CONTENT, person.key, person.der, [], NOW, detached=detached, scheme=scheme)
    assert named == micalg
    assert (CONTENT in signed) is not detached
    [one] = verify(signed, CONTENT if detached else None).signatures
    assert (one.state, one.reason, one.certificate) == ("good", "", person.der)
    changed = signed.replace(b"hello", b"hallo")
    assert [one.state for one in verify(changed, CONTENT + b" " if detached else None).signatures] == ["bad"]


def _seen(sealed: bytes, key: bytes, certificate: bytes) -> bytes | None:
    """What a key makes of it; None if it does not open."""
    try:
        return decrypt(sealed, [(key, certificate)]).content
    except SealBroken:
        return None


@pytest.mark.parametrize("kind", ["rsa-2048", "p-256", "p-384", "p-521", "x25519", "x448"])
@pytest.mark.parametrize("seal", [encrypt_cbc, encrypt_gcm])
def test_every_kind_of_key_opens(authority: Authority, bob: Person, kind: str, seal: Seal) -> None:
    person = authority.person("ed@inside.test", kind=kind)
    sealed = seal(CONTENT, [bob.der, person.der], Choice(ways={person.der: "rsa-oaep"}))
    for one in (bob, person):
        assert decrypt(sealed, [one.pair]).content == CONTENT
    stranger = authority.person("ed@inside.test", kind=kind)
    if (seal, kind) == (encrypt_cbc, "rsa-2048"):
        # A wrong block gives a random key, and CBC knows no wrong one: of 256 texts of garbage one ends like a text.
        seen = [_seen(sealed, stranger.key, person.der) for _ in range(16)]
        assert None in seen and CONTENT not in seen
    else:
        with pytest.raises(SealBroken):
            decrypt(sealed, [(stranger.key, person.der)])
    assert (OAEP_IDENTIFIER in sealed) is (kind == "rsa-2048")
    fitting = {"p-256": oids.ECDH_SHA256, "p-384": oids.ECDH_SHA384, "p-521": oids.ECDH_SHA512}
    assert kind not in fitting or fitting[kind] in sealed


def test_what_is_announced_is_what_the_key_can_do(authority: Authority) -> None:
    def announced(kind: str) -> tuple[str, ...]:
        person = authority.person("ed@inside.test", kind=kind)
        [one] = verify(sign(CONTENT, person.key, person.der, [], NOW)[0], CONTENT).signatures
        return one.announced

    ciphers = ("aes-256-gcm", "aes-128-gcm", "chacha20-poly1305", "aes-256-cbc", "aes-128-cbc")
    assert announced("rsa-2048") == (*ciphers, "rsa-oaep")
    assert announced("p-256") == (*ciphers, "ecdh-sha256")
    assert announced("p-384") == (*ciphers, "ecdh-sha384")
    assert announced("p-521") == (*ciphers, "ecdh-sha512")
    assert announced("ed25519") == ciphers


def test_keys_that_cannot_sign_or_be_encrypted_to_say_so(ann: Person, authority: Authority) -> None:
    signer, reader = (authority.person("ed@inside.test", kind=kind) for kind in ("ed25519", "x25519"))
    with pytest.raises(BadKey):
        sign(CONTENT, reader.key, reader.der, [], NOW)
    with pytest.raises(BadKey):
        encrypt_cbc(CONTENT, [ann.der, signer.der])
