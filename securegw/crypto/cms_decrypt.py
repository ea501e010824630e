"""Opens encrypted CMS with the private keys that we hold.

Not a judge of what comes out (``smime``). RFC 5652 6 (EnvelopedData), RFC 5083 and 5084 (AuthEnvelopedData with
AES-GCM), RFC 3560 (RSA-OAEP), RFC 5753 (elliptic curves), RFC 3370 (3DES, to read only).

All failures behind the choice of the key look the same, and a wrong RSA block gives a random key that fails only at
the content: whoever changes a mail and watches learns nothing (RFC 3218; threats 31).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.utils import CryptographyDeprecationWarning

from securegw.crypto import ber, der
from securegw.crypto.cms_read import Algorithm, algorithm, content_info, digest_of, names
from securegw.crypto.cms_write import agreed_key
from securegw.crypto.keyfile import PrivateKey, load_key
from securegw.mail.errors import BadKey, NotExamined, SealBroken

with warnings.catch_warnings():
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

MOST_RECIPIENTS = 1_000


@attrs.frozen
class Cipherkind:
    """A content cipher: its name, key length in bytes, and whether a change is noticed."""

    name: str
    length: int
    authenticated: bool = False


CIPHERS = {
    der.AES128_CBC: Cipherkind("aes-128-cbc", 16),
    der.AES192_CBC: Cipherkind("aes-192-cbc", 24),
    der.AES256_CBC: Cipherkind("aes-256-cbc", 32),
    der.DES3_CBC: Cipherkind("3des-cbc", 24),
    der.AES128_GCM: Cipherkind("aes-128-gcm", 16, True),
    der.AES192_GCM: Cipherkind("aes-192-gcm", 24, True),
    der.AES256_GCM: Cipherkind("aes-256-gcm", 32, True),
}
WRAPS = {der.AES128_WRAP: 16, der.AES192_WRAP: 24, der.AES256_WRAP: 32}
AGREEMENTS: dict[bytes, hashes.HashAlgorithm] = {
    der.ECDH_SHA1: hashes.SHA1(),  # noqa: S303 - only to derive a key, where collisions do not matter
    der.ECDH_SHA256: hashes.SHA256(),
    der.ECDH_SHA384: hashes.SHA384(),
    der.ECDH_SHA512: hashes.SHA512(),
}


@attrs.frozen
class Decrypted:
    content: bytes = attrs.field(repr=False)
    cipher: str
    authenticated: bool


@attrs.frozen
class _Sealed:
    """The parts of EnvelopedData or AuthEnvelopedData that matter."""

    recipients: ber.Element
    cipher: Algorithm
    text: ber.Element
    bound: bytes | None = None
    mac: bytes = b""


def decrypt(data: bytes, keys: Sequence[tuple[bytes, bytes]]) -> Decrypted:
    """The content, by the first of our (private key, certificate) pairs that is among the recipients.

    Raises BadKey if it is not for us, SealBroken if it cannot be opened, NotExamined if we do not know its form.
    """
    sealed = _read(data)
    kind = CIPHERS.get(sealed.cipher.kind)
    if kind is None or kind.authenticated is not bool(sealed.mac):
        raise NotExamined(detail="CMS: unknown cipher")
    key = _content_key(sealed.recipients, keys, kind.length)
    open_text = _open_gcm if kind.authenticated else _open_cbc
    return Decrypted(open_text(key, sealed, kind), kind.name, kind.authenticated)


def _read(data: bytes) -> _Sealed:
    kind, content = content_info(data)
    if kind not in ("enveloped", "auth-enveloped"):
        raise NotExamined(detail="CMS: not encrypted")
    _version, *fields = content.parts(3)
    if fields[0].tag == 0xA0:  # OriginatorInfo: certificates that nobody needs here
        fields = fields[1:]
    recipients, encrypted, *others = fields
    _content_type, cipher, text = encrypted.expect(der.SEQUENCE).parts(3, 3)
    if text.tag not in (0x80, 0xA0):
        raise NotExamined(detail="CMS: no encrypted content")
    if kind == "enveloped":
        return _Sealed(recipients.expect(der.SET), algorithm(cipher), text)
    bound = others[0] if others and others[0].tag == 0xA1 else None
    mac = next((one for one in others if one.tag in (0x04, 0x24)), None)
    if mac is None or (bound is not None and not bound.definite):
        raise NotExamined(detail="CMS: no authentication code")
    # What is authenticated beside the text is the SET, not the [1] that is sent (RFC 5083 2.2).
    return _Sealed(
        recipients.expect(der.SET),
        algorithm(cipher),
        text,
        b"\x31" + bound.raw[1:] if bound else None,
        mac.octets(),
    )


def _open_cbc(key: bytes, sealed: _Sealed, kind: Cipherkind) -> bytes:
    iv, text = sealed.cipher.needed(der.OCTETS).content, sealed.text.octets()
    block = 8 if kind.name == "3des-cbc" else 16
    if len(iv) != block or not text or len(text) % block:
        raise SealBroken
    chosen = TripleDES(key) if kind.name == "3des-cbc" else algorithms.AES(key)
    plain = Cipher(chosen, modes.CBC(iv)).decryptor().update(text)
    fill = plain[-1]
    if not 0 < fill <= block or plain[-fill:] != bytes((fill,)) * fill:
        raise SealBroken
    return plain[:-fill]


def _open_gcm(key: bytes, sealed: _Sealed, _kind: Cipherkind) -> bytes:
    nonce = sealed.cipher.needed(der.SEQUENCE).parts(1, 2)[0].expect(der.OCTETS).content
    # A short code can be guessed; RFC 5084 3.2 allows 12 to 16 bytes.
    if not 12 <= len(sealed.mac) <= 16 or not 8 <= len(nonce) <= 64:
        raise SealBroken
    mode = modes.GCM(nonce, sealed.mac, min_tag_length=12)
    cipher = Cipher(algorithms.AES(key), mode).decryptor()
    if sealed.bound is not None:
        cipher.authenticate_additional_data(sealed.bound)
    plain = cipher.update(sealed.text.octets())
    try:
        return plain + cipher.finalize()
    except InvalidTag:
        raise SealBroken from None


def _content_key(recipients: ber.Element, keys: Sequence[tuple[bytes, bytes]], length: int) -> bytes:
    for number, info in enumerate(recipients.children()):
        if number == MOST_RECIPIENTS:
            break
        read = {der.SEQUENCE: _transported, 0xA1: _agreed}.get(info.tag)
        key = read(info, keys, length) if read else None
        if key is not None:
            return key
    raise BadKey("None of our keys opens this.", detail="not among the recipients")


def _transported(info: ber.Element, keys: Sequence[tuple[bytes, bytes]], length: int) -> bytes | None:
    """KeyTransRecipientInfo (RFC 5652 6.2.1). Every failure gives a random key of the right length."""
    _version, identifier, how, sealed = info.parts(4, 4)
    ours = next((key for key, certificate in keys if names(identifier, certificate)), None)
    if ours is None:
        return None
    private = load_key(ours)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise BadKey("None of our keys opens this.", detail="another kind of key")
    scheme, instead = _padding(algorithm(how)), os.urandom(length)
    try:
        key = private.decrypt(sealed.octets(), scheme)
    except ValueError:
        return instead
    return key if len(key) == length else instead


def _padding(how: Algorithm) -> padding.AsymmetricPadding:
    if how.kind == der.RSA:
        return padding.PKCS1v15()
    if how.kind != der.RSA_OAEP:
        raise NotExamined(detail="CMS: unknown key transport")
    return padding.OAEP(
        mgf=padding.MGF1(digest_of(how.parameters, 0xA1, inside=True)),
        algorithm=digest_of(how.parameters, 0xA0),
        label=None,
    )


def _agreed(info: ber.Element, keys: Sequence[tuple[bytes, bytes]], length: int) -> bytes | None:
    """KeyAgreeRecipientInfo (RFC 5652 6.2.2, RFC 5753 3.1)."""
    _version, originator, *others = info.parts(4, 5)
    ukm = others[0].parts(1, 1)[0].octets() if others[0].tag == 0xA1 else None
    how, sealed_keys = others[-2:]
    for sealed_key in sealed_keys.parts(1, MOST_RECIPIENTS):
        identifier, wrapped = sealed_key.parts(2, 2)
        ours = next((key for key, certificate in keys if _names_agreed(identifier, certificate)), None)
        if ours is not None:
            wrapping = _wrapping_key(load_key(ours), originator, algorithm(how), ukm)
            return _unwrap(wrapping, wrapped.octets(), length)
    return None


def _names_agreed(identifier: ber.Element, certificate: bytes) -> bool:
    """KeyAgreeRecipientIdentifier: here the key identifier is wrapped once more (RFC 5652 6.2.2)."""
    if identifier.tag != 0xA0:
        return names(identifier, certificate)
    inner = identifier.parts(1, 3)[0].expect(der.OCTETS)
    return names(attrs.evolve(inner, tag=0x80), certificate)


def _wrapping_key(private: PrivateKey, originator: ber.Element, how: Algorithm, ukm: bytes | None) -> bytes:
    wrap = how.needed(der.SEQUENCE)
    size, digest = WRAPS.get(algorithm(wrap).kind), AGREEMENTS.get(how.kind)
    if size is None or digest is None or not isinstance(private, ec.EllipticCurvePrivateKey):
        raise NotExamined(detail="CMS: unknown key agreement")
    point = _sender_point(originator)
    try:
        sender = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, point)
        shared = private.exchange(ec.ECDH(), sender)
    except ValueError:  # not on our curve
        raise SealBroken from None
    return agreed_key(shared, wrap.raw, size, digest, ukm)


def _sender_point(originator: ber.Element) -> bytes:
    """The sender's public key for this mail alone (OriginatorPublicKey)."""
    [key] = originator.expect(0xA0).parts(1, 1)
    _algorithm, bits = key.expect(0xA1).parts(2, 2)
    return bits.expect(der.BITS).content[1:]


def _unwrap(wrapping: bytes, wrapped: bytes, length: int) -> bytes:
    try:
        key = keywrap.aes_key_unwrap(wrapping, wrapped)
    except (ValueError, keywrap.InvalidUnwrap):
        raise SealBroken from None
    if len(key) != length:
        raise SealBroken
    return key
