"""Writes DER, the one encoding of a value (X.690 10), by hand: this is most of the speed of signing.

Not a reader (``ber``) and not a compiler of ASN.1: the little that CMS needs. The object identifiers of CMS stand here.
"""

from __future__ import annotations

from datetime import UTC, datetime

SEQUENCE, SET, INTEGER, OCTETS, BITS, OID = 0x30, 0x31, 0x02, 0x04, 0x03, 0x06
NULL = b"\x05\x00"


def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, length, and the parts one behind the other."""
    length = sum(map(len, parts))
    if length < 0x80:
        return b"".join((bytes((tag, length)), *parts))
    size = (length.bit_length() + 7) // 8
    return b"".join((bytes((tag, 0x80 | size)), length.to_bytes(size, "big"), *parts))


def sequence(*parts: bytes) -> bytes:
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """DER sorts the members of a SET OF (X.690 11.6)."""
    return tlv(SET, *sorted(parts))


def integer(value: int) -> bytes:
    """A number that is not negative."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    return tlv(OCTETS, content)


def oid(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    encoded = bytearray()
    for number in (first * 40 + second, *others):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        encoded += bytes(reversed(groups))
    return tlv(OID, bytes(encoded))


def algorithm(identifier: bytes, *parameters: bytes) -> bytes:
    return sequence(identifier, *parameters)


def time(at: float) -> bytes:
    """UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5652 11.3)."""
    when = datetime.fromtimestamp(int(at), UTC)
    if 1950 <= when.year < 2050:
        return tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())


# RFC 5652 4-8, RFC 5083 2.1: kinds of content
DATA = oid("1.2.840.113549.1.7.1")
SIGNED_DATA = oid("1.2.840.113549.1.7.2")
ENVELOPED_DATA = oid("1.2.840.113549.1.7.3")
AUTH_ENVELOPED_DATA = oid("1.2.840.113549.1.9.16.1.23")

# RFC 5652 11, RFC 8551 2.5, RFC 5035 4: signed attributes
CONTENT_TYPE = oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = oid("1.2.840.113549.1.9.4")
SIGNING_TIME = oid("1.2.840.113549.1.9.5")
CAPABILITIES = oid("1.2.840.113549.1.9.15")
SIGNING_CERTIFICATE = oid("1.2.840.113549.1.9.16.2.47")

# RFC 8017, RFC 5754: digests and signatures
SHA1 = oid("1.3.14.3.2.26")
SHA256 = oid("2.16.840.1.101.3.4.2.1")
SHA384 = oid("2.16.840.1.101.3.4.2.2")
SHA512 = oid("2.16.840.1.101.3.4.2.3")
RSA = oid("1.2.840.113549.1.1.1")
RSA_OAEP = oid("1.2.840.113549.1.1.7")
MGF1 = oid("1.2.840.113549.1.1.8")
RSA_PSS = oid("1.2.840.113549.1.1.10")
RSA_SHA256 = oid("1.2.840.113549.1.1.11")
RSA_SHA384 = oid("1.2.840.113549.1.1.12")
RSA_SHA512 = oid("1.2.840.113549.1.1.13")
EC_KEY = oid("1.2.840.10045.2.1")
ECDSA_SHA256 = oid("1.2.840.10045.4.3.2")
ECDSA_SHA384 = oid("1.2.840.10045.4.3.3")
ECDSA_SHA512 = oid("1.2.840.10045.4.3.4")
ED25519 = oid("1.3.101.112")

# RFC 3565, RFC 5084, RFC 3370: ciphers and key wraps
AES128_CBC = oid("2.16.840.1.101.3.4.1.2")
AES192_CBC = oid("2.16.840.1.101.3.4.1.22")
AES256_CBC = oid("2.16.840.1.101.3.4.1.42")
AES128_GCM = oid("2.16.840.1.101.3.4.1.6")
AES192_GCM = oid("2.16.840.1.101.3.4.1.26")
AES256_GCM = oid("2.16.840.1.101.3.4.1.46")
DES3_CBC = oid("1.2.840.113549.3.7")
AES128_WRAP = oid("2.16.840.1.101.3.4.1.5")
AES192_WRAP = oid("2.16.840.1.101.3.4.1.25")
AES256_WRAP = oid("2.16.840.1.101.3.4.1.45")

# RFC 5753 7.1.4: agreement on a key by elliptic curves
ECDH_SHA1 = oid("1.3.133.16.840.63.0.2")
ECDH_SHA256 = oid("1.3.132.1.11.1")
ECDH_SHA384 = oid("1.3.132.1.11.2")
ECDH_SHA512 = oid("1.3.132.1.11.3")
