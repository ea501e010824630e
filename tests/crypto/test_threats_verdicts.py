"""CMS in odd shapes: each has its row of answers in ``tests/vectors/cms/verdicts.json`` (threats 5.5.34).

Each case is built here by hand around keys made for this run; the table says what must come out: integrity, trust,
identity and the reasons. Nothing may crash, and nothing but the first rows may be a good signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import attrs
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from securegw.crypto import ber, der, oids, smime
from securegw.crypto.authority import key_bytes
from securegw.crypto.keyfile import load_key
from securegw.mail.address import parse_address
from tests.crypto import der_shapes as shapes
from tests.crypto.der_shapes import ENTITY, attribute, signed_data, signer_info, undetermined
from tests.crypto.people import NOW, Authority, Person

TABLE = json.loads((Path(__file__).parent.parent / "vectors" / "cms" / "verdicts.json").read_text())
ANN = parse_address("ann@inside.test")
NAME = shapes.mailbox(b"ann@inside.test")
KIND, DIGEST = shapes.usual_attributes()


@attrs.frozen
class Cast:
    """Who plays: Ann with a good certificate, Eve with one of her own, the authority over both, and nobody's."""

    ann: Person
    eve: Person
    authority: Authority
    stranger: Authority

    @property
    def spki(self) -> bytes:
        return shapes.spki_of(self.ann.der)

    def info(self, *attributes: bytes, **more: bytes) -> bytes:
        return signer_info(self.ann.key, self.ann.der, *(attributes or (KIND, DIGEST)), **more)

    def signed(self, *infos: bytes) -> bytes:
        return shapes.beside(signed_data(*(infos or (self.info(),)), certificates=[self.ann.der]))

    def by(self, certificate: bytes, *others: bytes) -> bytes:
        """Ann's key under another certificate."""
        info = signer_info(self.ann.key, certificate, KIND, DIGEST)
        return shapes.beside(signed_data(info, certificates=[certificate, *others]))


@pytest.fixture(scope="module")
def cast(ann: Person, authority: Authority, stranger: Authority) -> Cast:
    return Cast(ann, authority.person("eve@evil.test"), authority, stranger)


CASES: dict[str, Callable[[Cast], bytes]] = {}


def case(build: Callable[[Cast], bytes]) -> Callable[[Cast], bytes]:
    CASES[build.__name__.replace("_", "-")] = build
    return build


# Signers


@case
def good(cast: Cast) -> bytes:
    return cast.signed()


@case
def good_ber_indefinite(cast: Cast) -> bytes:
    return shapes.beside(loosened(signed_data(cast.info(), certificates=[cast.ann.der])))


@case
def good_opaque_in_pieces(cast: Cast) -> bytes:
    return shapes.cms_mail(loosened(signed_data(cast.info(), certificates=[cast.ann.der], content=ENTITY)))


@case
def good_empty_digest_set(cast: Cast) -> bytes:
    """Programs that stream cannot know it; what counts stands at the signer."""
    return shapes.beside(signed_data(cast.info(), certificates=[cast.ann.der], digests=b""))


@case
def good_two_signers(cast: Cast) -> bytes:
    infos = (signer_info(cast.eve.key, cast.eve.der, KIND, DIGEST), cast.info())
    return shapes.beside(signed_data(*infos, certificates=[cast.ann.der, cast.eve.der]))


@case
def good_beside_one_of_unknown_kind(cast: Cast) -> bytes:
    return cast.signed(cast.info(how=der.algorithm(der.oid("1.2.3.4"))), cast.info())


@case
def zero_signers(cast: Cast) -> bytes:
    return shapes.beside(signed_data(certificates=[cast.ann.der]))


@case
def eleven_signers(cast: Cast) -> bytes:
    return cast.signed(*[cast.info()] * 11)


@case
def two_signers_one_bad(cast: Cast) -> bytes:
    return cast.signed(cast.info(), cast.info(value=bytes(256)))


@case
def another_signer(cast: Cast) -> bytes:
    info = signer_info(cast.eve.key, cast.eve.der, KIND, DIGEST)
    return shapes.beside(signed_data(info, certificates=[cast.eve.der, cast.ann.der]))


# Content


@case
def detached_with_content(cast: Cast) -> bytes:
    return shapes.beside(signed_data(cast.info(), certificates=[cast.ann.der], content=ENTITY))


@case
def detached_with_another_content(cast: Cast) -> bytes:
    data = signed_data(cast.info(), certificates=[cast.ann.der], content=ENTITY)
    return shapes.beside(data, ENTITY.replace(b"fine", b"grim"))


@case
def opaque_without_content(cast: Cast) -> bytes:
    return shapes.cms_mail(signed_data(cast.info(), certificates=[cast.ann.der]))


@case
def content_of_another_kind(cast: Cast) -> bytes:
    """A signature over a time stamp, or anything that is no mail, is none over a mail."""
    stamp = der.oid("1.2.840.113549.1.9.16.1.4")
    info = cast.info(attribute(oids.CONTENT_TYPE, stamp), DIGEST)
    return shapes.cms_mail(signed_data(info, certificates=[cast.ann.der], content=ENTITY, kind=stamp))


@case
def changed_content(cast: Cast) -> bytes:
    return cast.signed().replace(b"fine", b"grim")


# Attributes


@case
def good_without_attributes(cast: Cast) -> bytes:
    info = signer_info(cast.ann.key, cast.ann.der, over=ENTITY)
    return shapes.beside(signed_data(info, certificates=[cast.ann.der]))


@case
def no_content_type(cast: Cast) -> bytes:
    return cast.signed(cast.info(DIGEST))


@case
def no_message_digest(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND))


@case
def content_type_twice(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, KIND, DIGEST))


@case
def message_digest_twice(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, DIGEST, attribute(oids.MESSAGE_DIGEST, der.octets(bytes(32)))))


@case
def message_digest_with_two_values(cast: Cast) -> bytes:
    right = der.octets(hashlib.sha256(ENTITY).digest())
    return cast.signed(cast.info(KIND, attribute(oids.MESSAGE_DIGEST, right, der.octets(bytes(32)))))


@case
def message_digest_without_value(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, attribute(oids.MESSAGE_DIGEST)))


@case
def message_digest_cut_short(cast: Cast) -> bytes:
    short = der.octets(hashlib.sha256(ENTITY).digest()[:8])
    return cast.signed(cast.info(KIND, attribute(oids.MESSAGE_DIGEST, short)))


@case
def attributes_shown_as_content(cast: Cast) -> bytes:
    """The signature over the attributes of one mail is not one over a mail of the same bytes (RFC 5652 5.4)."""
    content = der.tlv(der.SET, KIND, DIGEST)
    info = signer_info(cast.ann.key, cast.ann.der, over=content)
    return shapes.beside(signed_data(info, certificates=[cast.ann.der]), content)


@case
def certificate_named_otherwise_inside(cast: Cast) -> bytes:
    """The attribute signingCertificateV2 means another certificate (RFC 5035 5.4)."""
    other = der.sequence(der.octets(hashlib.sha256(cast.eve.der).digest()))
    inside = attribute(oids.SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(other)))
    return cast.signed(cast.info(KIND, DIGEST, inside))


def _protection(digest: bytes, how: bytes) -> bytes:
    both = der.sequence(der.algorithm(digest), b"\xa1" + der.algorithm(how, der.NULL)[1:])
    return attribute(oids.ALGORITHM_PROTECTION, both)


@case
def good_with_algorithms_named_inside(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, DIGEST, _protection(oids.SHA256, oids.RSA_SHA256)))


@case
def digest_named_otherwise_inside(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, DIGEST, _protection(oids.SHA512, oids.RSA_SHA256)))


@case
def signature_named_otherwise_inside(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, DIGEST, _protection(oids.SHA256, oids.RSA_SHA512)))


@case
def signed_in_the_future(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, DIGEST, attribute(oids.SIGNING_TIME, der.time(NOW + 7_200))))


@case
def signed_before_the_certificate(cast: Cast) -> bytes:
    return cast.signed(cast.info(KIND, DIGEST, attribute(oids.SIGNING_TIME, der.time(NOW - 9 * 365 * 86_400))))


# Digests and algorithms


def _weak(cast: Cast, kind: str, name: str) -> bytes:
    digest = hashlib.new(name, ENTITY, usedforsecurity=False).digest()
    attributes = (KIND, attribute(oids.MESSAGE_DIGEST, der.octets(digest)))
    return cast.signed(cast.info(*attributes, digest=der.algorithm(der.oid(kind))))


@case
def digest_sha1(cast: Cast) -> bytes:
    return _weak(cast, "1.3.14.3.2.26", "sha1")


@case
def digest_md5(cast: Cast) -> bytes:
    return _weak(cast, "1.2.840.113549.2.5", "md5")


@case
def digest_md4(cast: Cast) -> bytes:
    zero = attribute(oids.MESSAGE_DIGEST, der.octets(bytes(16)))
    return cast.signed(cast.info(KIND, zero, digest=der.algorithm(der.oid("1.2.840.113549.2.4"))))


@case
def digest_sha224(cast: Cast) -> bytes:
    return _weak(cast, "2.16.840.1.101.3.4.2.4", "sha224")


@case
def sha1_in_the_signature_alone(cast: Cast) -> bytes:
    key = load_key(cast.ann.key)
    assert isinstance(key, rsa.RSAPrivateKey)
    value = key.sign(der.tlv(der.SET, KIND, DIGEST), padding.PKCS1v15(), hashes.SHA1())
    old = der.algorithm(der.oid("1.2.840.113549.1.1.5"), der.NULL)
    return cast.signed(cast.info(how=old, value=value))


@case
def two_digests(cast: Cast) -> bytes:
    return cast.signed(cast.info(how=der.algorithm(oids.RSA_SHA512, der.NULL)))


@case
def pss_with_sha1(cast: Cast) -> bytes:
    key = load_key(cast.ann.key)
    assert isinstance(key, rsa.RSAPrivateKey)
    old = padding.PSS(padding.MGF1(hashes.SHA1()), 20)
    value = key.sign(der.tlv(der.SET, KIND, DIGEST), old, hashes.SHA1())
    return cast.signed(cast.info(how=der.algorithm(oids.RSA_PSS, der.sequence()), value=value))


@case
def unknown_algorithm(cast: Cast) -> bytes:
    return cast.signed(cast.info(how=der.algorithm(der.oid("1.2.3.4"))))


@case
def algorithm_of_another_kind_of_key(cast: Cast) -> bytes:
    return cast.signed(cast.info(how=der.algorithm(oids.ECDSA_SHA256)))


# Keys


@cache
def _small_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@case
def rsa_1024(cast: Cast) -> bytes:
    key = key_bytes(_small_key(1024))
    numbers = _small_key(1024).public_key().public_numbers()
    certificate = shapes.certificate(cast.authority, shapes.rsa_spki(numbers.n, numbers.e), NAME)
    return shapes.beside(signed_data(signer_info(key, certificate, KIND, DIGEST), certificates=[certificate]))


# 512 bits: two primes of 256 bits, written down because no library makes such a key any more.
P = 2**256 - 189
Q = 2**255 - 19


@case
def rsa_512(cast: Cast) -> bytes:
    private = pow(65537, -1, (P - 1) * (Q - 1))
    value = pow(_padded(64), private, P * Q).to_bytes(64, "big")
    return _by_numbers(cast, P * Q, 65537, value)


@case
def rsa_exponent_1(cast: Cast) -> bytes:
    """With e = 1 everybody can write a signature: it is the padded digest itself."""
    modulus = _small_key(2048).public_key().public_numbers().n
    return _by_numbers(cast, modulus, 1, _padded(256).to_bytes(256, "big"))


def _padded(size: int) -> int:
    """PKCS #1 v1.5 around the digest of the attributes (RFC 8017 9.2)."""
    digest = hashlib.sha256(der.tlv(der.SET, KIND, DIGEST)).digest()
    info = der.sequence(der.algorithm(oids.SHA256, der.NULL), der.octets(digest))
    return int.from_bytes(b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info, "big")


def _by_numbers(cast: Cast, modulus: int, exponent: int, value: bytes) -> bytes:
    certificate = shapes.certificate(cast.authority, shapes.rsa_spki(modulus, exponent), NAME)
    info = signer_info(b"", certificate, KIND, DIGEST, value=value)
    return shapes.beside(signed_data(info, certificates=[certificate]))


# Certificates


@case
def expired(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, until=NOW - 1))


@case
def not_yet_valid(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, since=NOW + 3_600))


@case
def for_servers_only(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, uses=(shapes.SERVER_USE,)))


@case
def good_without_extended_uses(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, uses=()))


@case
def for_encryption_only(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, key_usage=0b00100000))


@case
def good_for_non_repudiation(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, key_usage=0b01000000))


@case
def signed_by_an_authority(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, authority=shapes.ANY_DEPTH))


@case
def unknown_critical_extension(cast: Cast) -> bytes:
    odd = shapes.extension("1.2.3.4.5", der.NULL, critical=True)
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME, more=[odd]))


@case
def issuer_unknown(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.stranger, cast.spki, NAME))


@case
def issuer_unknown_among_broken_names(cast: Cast) -> bytes:
    """A name that the library reads only when it is asked for, and then cannot read."""
    broken = der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), der.tlv(0xA6, b""))))
    odd = shapes.certificate(cast.stranger, cast.spki, NAME, subject=broken, authority=shapes.ANY_DEPTH)
    odd_issuer = shapes.certificate(cast.stranger, cast.spki, NAME, issuer_name=broken)
    return cast.by(shapes.certificate(cast.stranger, cast.spki, NAME), odd, odd_issuer)


@case
def issuer_of_the_same_name(cast: Cast) -> bytes:
    """Another key under the name of our authority, its certificate along with it."""
    fake = _namesake(cast)
    return cast.by(shapes.certificate(fake, cast.spki, NAME), fake.der)


@case
def good_beside_an_issuer_of_the_same_name(cast: Cast) -> bytes:
    return cast.by(shapes.certificate(cast.authority, cast.spki, NAME), _namesake(cast).der)


def _namesake(cast: Cast) -> Authority:
    made = shapes.root("x")
    name = shapes.subject_of(cast.authority.der)
    own = shapes.certificate(
        made,
        shapes.spki_of(made.der),
        subject=name,
        issuer_name=name,
        uses=(),
        key_usage=shapes.CERTIFIES,
        authority=shapes.ANY_DEPTH,
    )
    return Authority(made.key, own)


@case
def below_an_authority_that_allows_none(cast: Cast) -> bytes:
    """Our authority has a path length of zero."""
    deep = shapes.below(cast.authority, "Deep")
    return cast.by(shapes.certificate(deep, cast.spki, NAME), deep.der)


@case
def below_an_end_certificate(cast: Cast) -> bytes:
    """Eve has a good certificate on a curve, and plays authority with it."""
    person = cast.authority.person("eve@evil.test", kind="p-256")
    return cast.by(shapes.certificate(Authority(person.key, person.der), cast.spki, NAME), person.der)


@case
def self_made(cast: Cast) -> bytes:
    """A certificate for Ann by Eve's own authority of the moment, everything along with it."""
    maker = shapes.root("Eve's")
    return cast.by(shapes.certificate(maker, cast.spki, NAME), maker.der)


@case
def no_certificates(cast: Cast) -> bytes:
    return shapes.beside(signed_data(cast.info()))


@case
def only_another_certificate(cast: Cast) -> bytes:
    return shapes.beside(signed_data(cast.info(), certificates=[cast.eve.der]))


@case
def good_among_garbage_certificates(cast: Cast) -> bytes:
    odd = (b"\x30\x03\x02\x01\x01", b"\x30\x00", b"\xa1\x02\x05\x00", b"\x30\x80\x00\x00")
    return shapes.beside(signed_data(cast.info(), certificates=[*odd, cast.ann.der]))


@case
def ten_thousand_certificates(cast: Cast) -> bytes:
    """The signer's is the last one: nobody looks that far."""
    return shapes.beside(signed_data(cast.info(), certificates=[*[cast.eve.der] * 10_000, cast.ann.der]))


@case
def good_before_ten_thousand_certificates(cast: Cast) -> bytes:
    return shapes.beside(signed_data(cast.info(), certificates=[cast.ann.der, *[cast.eve.der] * 10_000]))


# Encodings


@case
def attributes_in_indefinite_length(cast: Cast) -> bytes:
    """What is signed is DER (RFC 5652 5.4); what can be read in two ways is not compared with it."""
    info = ber.whole(cast.info()).parts(6)
    loose = der.sequence(*(one.raw for one in info[:3]), undetermined(0xA0, KIND, DIGEST), info[4].raw, info[5].raw)
    return cast.signed(loose)


@case
def version_of_another_kind(cast: Cast) -> bytes:
    info = ber.whole(cast.info()).parts(6)
    return cast.signed(der.sequence(der.integer(2), *(one.raw for one in info[1:])))


@case
def no_signature_behind_the_attributes(cast: Cast) -> bytes:
    """A value too few for a signer with attributes; found by fuzzing."""
    parts = ber.whole(cast.info()).parts(6)
    return cast.signed(der.sequence(*(one.raw for one in parts[:-1])))


@case
def cut_off(cast: Cast) -> bytes:
    return shapes.beside(signed_data(cast.info(), certificates=[cast.ann.der])[:-1])


@case
def no_cms_at_all(cast: Cast) -> bytes:
    return shapes.beside(b"not CMS")


@case
def signature_that_is_encrypted_data(cast: Cast) -> bytes:
    return shapes.beside(shapes.content_info(oids.ENVELOPED_DATA, der.sequence()))


@case
def signature_with_something_behind_it(cast: Cast) -> bytes:
    return shapes.beside(signed_data(cast.info(), certificates=[cast.ann.der]) + b"\x04\x03abc")


@case
def good_with_preamble_and_epilogue(cast: Cast) -> bytes:
    """What stands around the parts is signed by nobody and shown by nobody; many programs write a preamble."""
    return cast.signed().replace(b"\r\n\r\n--b\r\n", b"\r\n\r\nsee here\r\n--b\r\n", 1) + b"and here\r\n"


def loosened(data: bytes) -> bytes:
    """The same SignedData as streaming programs write it: outer lengths not told, the content in pieces."""
    kind, wrapped = ber.whole(data).parts(2)
    version, digests, content, *others = wrapped.parts(1)[0].parts(4)
    kind_of_content, *inside = content.parts(1)
    pieces = [undetermined(0xA0, shapes.in_pieces(0x24, one.parts(1)[0].octets(), 7)) for one in inside]
    loose = undetermined(der.SEQUENCE, kind_of_content.raw, *pieces)
    signers = undetermined(der.SET, *(one.raw for one in others[-1].children()))
    body = (version.raw, digests.raw, loose, *(one.raw for one in others[:-1]), signers)
    return undetermined(der.SEQUENCE, kind.raw, undetermined(0xA0, undetermined(der.SEQUENCE, *body)))


def test_threat_5_5_34_every_case_has_its_row() -> None:
    assert list(TABLE) == list(CASES)


@pytest.mark.parametrize("name", TABLE)
def test_threat_5_5_34_as_the_table_says(name: str, cast: Cast) -> None:
    mail = CASES[name](cast)
    opened = smime.open(mail, [], [cast.authority.der], NOW, ANN)
    verdict = opened.verdict
    found = {
        "integrity": verdict.integrity,
        "trust": verdict.trust,
        "identity": verdict.identity,
        "reasons": list(verdict.reasons),
    }
    assert found == TABLE[name]
    assert verdict.signed_ok is name.startswith("good")
    assert verdict.signed_ok or not (opened.certificates and verdict.trust == "bad")
    if not verdict.signed_ok:
        assert opened.raw == mail
