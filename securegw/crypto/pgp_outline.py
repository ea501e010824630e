"""The outline of an OpenPGP public key: fingerprints, user IDs, kind, until when it is meant to be valid.

Not cryptography: no signature is checked here, so whoever brings a key in vouches for it. Enough to keep a key and to
find it again. RFC 9580 4.2 (packet headers), 5.2.3 (signatures), 5.5 (keys), 5.11 (user IDs), 6 (armor).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

import attrs

from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress, BadKey

MOST_BYTES = 1 << 20
MOST_USER_IDS = 100
SIGNATURE, SECRET, PUBLIC, SECRET_SUBKEY, USER_ID, SUBKEY = 2, 5, 6, 7, 13, 14
KEY_REVOCATION, CERTIFICATIONS, DIRECT = 0x20, range(0x10, 0x14), 0x1F
KEY_EXPIRES = 9

_KINDS = {1: "RSA", 2: "RSA", 3: "RSA", 16: "ElGamal", 17: "DSA", 18: "ECDH", 19: "ECDSA", 22: "EdDSA", 25: "X25519",
          26: "X448", 27: "Ed25519", 28: "Ed448"}
_ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)


@attrs.frozen
class Outline:
    """Fingerprints are hexadecimal in capitals; times are Unix seconds, ``expires`` is None for never."""

    key: bytes = attrs.field(repr=False)
    fingerprint: str
    subkeys: tuple[str, ...]
    user_ids: tuple[str, ...]
    addresses: tuple[str, ...]
    kind: str
    bits: int
    created: float
    expires: float | None
    revoked: bool

    @property
    def names(self) -> tuple[str, ...]:
        """By what it is looked for: address keys, and 0xNUMBER in its three lengths."""
        numbers = [number for print_ in (self.fingerprint, *self.subkeys) for number in _numbers(print_)]
        return (*dict.fromkeys((*self.addresses, *numbers)),)


def key_id(fingerprint: str) -> str:
    """RFC 9580 5.5.4: the last eight bytes of a version 4 fingerprint, the first eight of a later one."""
    return fingerprint[-16:] if len(fingerprint) == 40 else fingerprint[:16]


def _numbers(fingerprint: str) -> tuple[str, ...]:
    number = key_id(fingerprint)
    return f"0x{fingerprint}", f"0x{number}", f"0x{number[-8:]}"


def read_keys(content: bytes) -> list[Outline]:
    """All public keys of a file, armored or not; raises BadKey."""
    if len(content) > MOST_BYTES:
        raise BadKey(detail="OpenPGP: too large")
    blocks = [_unarmor(match[1]) for match in _ARMOR.finditer(content)] or [content]
    try:
        return [_outline(packets) for block in blocks for packets in _each_key(block)]
    except (IndexError, ValueError) as problem:
        raise BadKey(detail=f"OpenPGP: {problem}") from None


def _unarmor(text: bytes) -> bytes:
    """What stands between the lines; the checksum is of no use (RFC 9580 6.1)."""
    lines = text.replace(b"\r\n", b"\n").strip(b" \t\n").split(b"\n")
    if b"" in lines:
        lines = lines[lines.index(b"") + 1 :]
    joined = b"".join(line for line in lines if not line.startswith(b"="))
    try:
        return base64.b64decode(joined, validate=True)
    except binascii.Error:
        raise BadKey(detail="OpenPGP: broken armor") from None


@attrs.frozen
class _Packet:
    tag: int
    body: bytes
    raw: bytes


def _packets(data: bytes) -> Iterator[_Packet]:
    at = 0
    while at < len(data):
        first, start = data[at], at + 1
        if not first & 0x80:
            raise ValueError("not a packet")
        tag, length, start = _new_length(data, start, first) if first & 0x40 else _old_length(data, start, first)
        if start + length > len(data):
            raise ValueError("a packet that does not end")
        yield _Packet(tag, data[start : start + length], data[at : start + length])
        at = start + length


def _new_length(data: bytes, at: int, first: int) -> tuple[int, int, int]:
    tag, length = first & 0x3F, data[at]
    if length < 192:
        return tag, length, at + 1
    if length < 224:
        return tag, ((length - 192) << 8) + data[at + 1] + 192, at + 2
    if length != 255:
        raise ValueError("a packet in pieces")
    return tag, int.from_bytes(data[at + 1 : at + 5], "big"), at + 5


def _old_length(data: bytes, at: int, first: int) -> tuple[int, int, int]:
    if first & 3 == 3:
        raise ValueError("a packet without length")
    size = 1 << (first & 3)
    return (first >> 2) & 0x0F, int.from_bytes(data[at : at + size], "big"), at + size


def _each_key(data: bytes) -> Iterator[list[_Packet]]:
    """The packets of each key (RFC 9580 10.1)."""
    found: list[_Packet] = []
    for packet in _packets(data):
        if packet.tag in (SECRET, SECRET_SUBKEY):
            raise BadKey("This is a secret key; only public keys are kept.")
        if packet.tag == PUBLIC and found:
            yield found
            found = []
        if not found and packet.tag != PUBLIC:
            raise ValueError("does not begin with a public key")
        found.append(packet)
    if not found:
        raise ValueError("no key in it")
    yield found


def _outline(packets: list[_Packet]) -> Outline:
    first = packets[0].body
    user_ids = [packet.body.decode("utf-8", "replace") for packet in packets if packet.tag == USER_ID]
    created = int.from_bytes(first[1:5], "big")
    lives = _lifetime(packets)
    if len(user_ids) > MOST_USER_IDS:
        raise ValueError("too many user IDs")
    return Outline(
        key=b"".join(packet.raw for packet in packets),
        fingerprint=_fingerprint(first),
        subkeys=tuple(_fingerprint(packet.body) for packet in packets if packet.tag == SUBKEY),
        user_ids=tuple(each for each in user_ids if each.isprintable()),
        addresses=tuple(dict.fromkeys(key for each in user_ids if (key := _address(each)))),
        kind=_KINDS.get(first[5], "unknown"),
        bits=_bits(first),
        created=float(created),
        expires=float(created + lives) if lives else None,
        revoked=any(packet.tag == SIGNATURE and packet.body[1:2] == bytes((KEY_REVOCATION,)) for packet in packets),
    )


def _fingerprint(body: bytes) -> str:
    """RFC 9580 5.5.4."""
    if body[0] == 4:
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()
    if body[0] == 6:
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise ValueError("a key of an unknown version")


def _bits(body: bytes) -> int:
    """The length of the first number of a version 4 key; of a curve nobody asks."""
    return int.from_bytes(body[6:8], "big") if body[0] == 4 and body[5] in (1, 2, 3, 16, 17) else 256


def _address(user_id: str) -> str | None:
    bare = user_id[user_id.rfind("<") + 1 : -1] if user_id.endswith(">") else user_id
    try:
        return parse_address(bare.strip()).key
    except BadAddress:
        return None


def _lifetime(packets: list[_Packet]) -> int:
    """Seconds, from the last self-signature that says so; 0 for ever."""
    found = 0
    for packet in packets:
        if packet.tag == SUBKEY:
            break
        if packet.tag == SIGNATURE and packet.body[:1] == b"\x04":
            kind, size = packet.body[1], int.from_bytes(packet.body[4:6], "big")
            if kind in CERTIFICATIONS or kind == DIRECT:
                found = _subpackets(packet.body[6 : 6 + size]).get(KEY_EXPIRES, found)
    return found


def _subpackets(area: bytes) -> dict[int, int]:
    """The hashed ones whose value is a number of four bytes (RFC 9580 5.2.3.7)."""
    found, at = {}, 0
    while at < len(area):
        _, length, start = _new_length(area, at, 0)
        if length == 5:
            found[area[start] & 0x7F] = int.from_bytes(area[start + 1 : start + 5], "big")
        at = start + max(length, 1)
    return found


def to_armor(key: bytes) -> bytes:
    """The text form, with the checksum of RFC 4880 6.1: GnuPG 2.2 reads on behind the end without it."""
    text = base64.b64encode(key)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    checksum = b"=" + base64.b64encode(_checksum(key).to_bytes(3, "big"))
    head, foot = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"
    return b"\n".join([head, b"", *lines, checksum, foot, b""])


def _steps(value: int) -> int:
    for _ in range(8):
        value = value << 1 ^ (0x1864CFB if value & 0x800000 else 0)
    return value


_CHECKSUMS = tuple(_steps(first << 16) for first in range(256))


def _checksum(data: bytes) -> int:
    value = 0xB704CE
    for byte in data:
        value = (value << 8 & 0xFFFFFF) ^ _CHECKSUMS[value >> 16 ^ byte]
    return value
