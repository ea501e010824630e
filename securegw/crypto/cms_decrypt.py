"""Opens encrypted CMS with the private keys that we hold.

Not a judge of what comes out (``smime``), and not the algorithms: ``key_transport``, ``key_agreement`` and
``content_ciphers`` hold them. RFC 5652 6 (EnvelopedData), RFC 5083 (AuthEnvelopedData).

All failures behind the choice of the key look the same (RFC 3218; threats 31).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from securegw.crypto import ber, der, key_agreement, key_transport
from securegw.crypto.algorithms import algorithm
from securegw.crypto.cms_read import content_info, names
from securegw.crypto.content_ciphers import CIPHERS, Sealed
from securegw.crypto.keyfile import load_key
from securegw.mail.errors import BadKey, NotExamined

MOST_RECIPIENTS = 1_000

Keys = Sequence[tuple[bytes, bytes]]


@attrs.frozen
class Decrypted:
    content: bytes = attrs.field(repr=False)
    cipher: str
    authenticated: bool


def decrypt(data: bytes, keys: Keys) -> Decrypted:
    """The content, by the first of our (private key, certificate) pairs that is among the recipients.

    Raises BadKey if it is not for us, SealBroken if it cannot be opened, NotExamined if we do not know its form.
    """
    recipients, sealed = _read(data)
    cipher = CIPHERS.get(sealed.cipher.kind)
    # A code that is there must be checked, and a cipher that has one never goes without (RFC 5083 2.1).
    if cipher is None or cipher.authenticated is not bool(sealed.mac):
        raise NotExamined(detail="CMS: unknown cipher")
    key = _content_key(recipients, keys, cipher.length)
    return Decrypted(cipher.open(key, sealed), cipher.name, cipher.authenticated)


def _read(data: bytes) -> tuple[ber.Element, Sealed]:
    kind, content = content_info(data)
    if kind not in ("enveloped", "auth-enveloped"):
        raise NotExamined(detail="CMS: not encrypted")
    _version, *fields = content.parts(3)
    if fields[0].tag == 0xA0:  # OriginatorInfo: certificates that nobody needs here
        fields = fields[1:]
    if len(fields) < 2:
        raise NotExamined(detail="CMS: no encrypted content")
    recipients, encrypted, *others = fields
    _content_type, cipher, text = encrypted.expect(der.SEQUENCE).parts(3, 3)
    if text.tag not in (0x80, 0xA0):
        raise NotExamined(detail="CMS: no encrypted content")
    sealed = Sealed(algorithm(cipher), text.octets())
    if kind == "auth-enveloped":
        sealed = _with_code(sealed, others)
    return recipients.expect(der.SET), sealed


def _with_code(sealed: Sealed, others: Sequence[ber.Element]) -> Sealed:
    bound = others[0] if others and others[0].tag == 0xA1 else None
    mac = next((one for one in others if one.tag in (0x04, 0x24)), None)
    if mac is None or (bound is not None and not bound.definite):
        raise NotExamined(detail="CMS: no authentication code")
    # What is authenticated beside the text is the SET, not the [1] that is sent (RFC 5083 2.2).
    return attrs.evolve(sealed, bound=b"\x31" + bound.raw[1:] if bound else b"", mac=mac.octets())


def _content_key(recipients: ber.Element, keys: Keys, length: int) -> bytes:
    """The key that one of ours unlocks; one meant for us in an unknown way is told only if there is no other."""
    problem: NotExamined | None = None
    for number, info in enumerate(recipients.children()):
        if number == MOST_RECIPIENTS:
            break
        read = {der.SEQUENCE: _transported, 0xA1: _agreed}.get(info.tag)
        try:
            key = read(info, keys, length) if read else None
        except NotExamined as odd:
            problem = problem or odd
            continue
        if key is not None:
            return key
    raise problem or BadKey("None of our keys opens this.", detail="not among the recipients")


def _transported(info: ber.Element, keys: Keys, length: int) -> bytes | None:
    identifier = info.parts(4, 4)[1]
    ours = next((key for key, certificate in keys if names(identifier, certificate)), None)
    return None if ours is None else key_transport.transported(info, load_key(ours), length)


def _agreed(info: ber.Element, keys: Keys, length: int) -> bytes | None:
    agreed = key_agreement.read_agreed(info)
    for number, sealed_key in enumerate(agreed.sealed_keys.children()):
        if number == MOST_RECIPIENTS:
            break
        identifier, wrapped = sealed_key.parts(2, 2)
        ours = next((key for key, certificate in keys if _names_agreed(identifier, certificate)), None)
        if ours is not None:
            return key_agreement.unwrap(agreed, wrapped.octets(), load_key(ours), length)
    return None


def _names_agreed(identifier: ber.Element, certificate: bytes) -> bool:
    """KeyAgreeRecipientIdentifier: here the key identifier is wrapped once more (RFC 5652 6.2.2)."""
    if identifier.tag != 0xA0:
        return names(identifier, certificate)
    inner = identifier.parts(1, 3)[0].expect(der.OCTETS)
    return names(inner._replace(tag=0x80), certificate)
