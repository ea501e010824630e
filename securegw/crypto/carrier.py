"""Packs a letter into the sealed text that a carrier takes to an outside person, checks it and opens it again.

Not the page around it (a web template) and not the account (``accounts``). The gateway keeps no copy: the text
holds the whole letter, sealed for the account's key pair (HPKE, RFC 9180), under a MAC (RFC 2104) that says "made
here", which is checked before any key is touched.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import attrs

from securegw.crypto import seal
from securegw.mail.errors import BrokenCarrier
from securegw.mail.gathering import Piece, steps

VERSION = 1
HEAD = struct.Struct(">BH")
MAC = 32
COLUMNS = 76
LINE = COLUMNS // 4 * 3  # the bytes of a line
WHITE = b" \t\r\n"
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Bits of the last letter that stand for nothing, by the number of letters over: they must be zero.
LOOSE_BITS = {0: 0, 2: 0x0F, 3: 0x03}
TO_PLAIN = bytes.maketrans(b"-_", b"+/")


@attrs.frozen
class Sealing:
    """For whom a letter is sealed: ``host`` is the portal's name, ``account`` and ``letter`` are opaque ids."""

    host: str
    account: str
    letter: str
    public: bytes
    mac_key: bytes = attrs.field(repr=False)


@attrs.frozen
class Packed:
    """A carrier's text whose MAC was good. ``length`` is the letter's size in bytes."""

    host: str
    account: str
    letter: str
    length: int
    sealed: bytes = attrs.field(repr=False)


def pack(sealing: Sealing, letter_raw: bytes) -> str:
    """The text of a carrier."""
    return b"".join(packed_lines(sealing, letter_raw, b"")).decode("ascii")


def packed_lines(sealing: Sealing, letter_raw: bytes, end: bytes) -> Iterator[bytes]:
    """The same folded, with this line end between two lines; a large letter is never there as a whole in text."""
    header = json.dumps(
        {
            "host": sealing.host,
            "account": sealing.account,
            "letter": sealing.letter,
            "length": len(letter_raw),
        },
        separators=(",", ":"),
    ).encode()
    info = _info(sealing.host, sealing.account, sealing.letter)
    sealed = seal.seal(sealing.public, info, letter_raw)
    return _folded(_with_mac(sealing.mac_key, HEAD.pack(VERSION, len(header)) + header, sealed), end)


def _with_mac(key: bytes, head: bytes, sealed: bytes) -> Iterator[Piece]:
    mac = hmac.new(key, head, "sha256")
    mac.update(sealed)
    yield head
    yield from steps(sealed)
    yield mac.digest()


def _folded(pieces: Iterable[Piece], end: bytes) -> Iterator[bytes]:
    """Base64url without padding (RFC 4648 5), in lines."""
    rest, between = b"", b""
    for piece in pieces:
        data = b"".join((rest, piece))
        whole = len(data) // LINE * LINE
        if whole:
            yield between + end.join(_lines(data[:whole]))
            between = end
        rest = data[whole:]
    if rest:
        yield between + base64.urlsafe_b64encode(rest).rstrip(b"=")


def _lines(data: bytes) -> list[bytes]:
    text = base64.urlsafe_b64encode(data)
    return [text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS)]


def check(mac_key: bytes, host_names: Collection[str], text: str) -> Packed:
    """What the text says about itself, once it is certain that this gateway wrote every byte of it."""
    packed = _decode(text)
    if len(packed) < HEAD.size + MAC:
        raise BrokenCarrier(detail="too short")
    body, mac = memoryview(packed)[:-MAC], packed[-MAC:]
    if not hmac.compare_digest(hmac.digest(mac_key, body, "sha256"), mac):
        raise BrokenCarrier(detail="wrong MAC")
    version, length = HEAD.unpack_from(packed)
    if version != VERSION:
        raise BrokenCarrier(detail=f"version {version}")
    header = _header(bytes(body[HEAD.size : HEAD.size + length]))
    if header["host"] not in host_names:
        raise BrokenCarrier(detail="made for another host")
    return Packed(
        host=header["host"],
        account=header["account"],
        letter=header["letter"],
        length=header["length"],
        sealed=bytes(body[HEAD.size + length :]),
    )


def unpack(packed: Packed, private: bytes) -> bytes:
    """The letter. Raises SealBroken if the private key is not that of the account."""
    letter = seal.open_sealed(private, _info(packed.host, packed.account, packed.letter), packed.sealed)
    if len(letter) != packed.length:
        raise BrokenCarrier(detail="wrong length")
    return letter


def _info(host: str, account: str, letter: str) -> bytes:
    return json.dumps(["securegw carrier", VERSION, host, account, letter]).encode()


def _header(text: bytes) -> dict[str, Any]:
    """The MAC was good, so this is ours; it is read strictly all the same."""
    try:
        header = json.loads(text)
        words = [header[name] for name in ("host", "account", "letter")]
    except (ValueError, KeyError, TypeError):
        raise BrokenCarrier(detail="header") from None
    if not all(isinstance(word, str) for word in words) or type(header.get("length")) is not int:
        raise BrokenCarrier(detail="header")
    return dict(header)


def _decode(text: str) -> bytes:
    """Strict base64url without padding (RFC 4648 5): one text for one content, white space apart.

    Forms and mail programs fold long values, so white space is dropped; the stock decoder would drop everything it
    does not know.
    """
    try:
        given = text.encode("ascii").translate(None, WHITE)
    except UnicodeEncodeError:
        raise BrokenCarrier(detail="not base64url") from None
    over = len(given) % 4
    if not given or given.translate(None, LETTERS) or over == 1:
        raise BrokenCarrier(detail="not base64url")
    if LETTERS.index(given[-1]) & LOOSE_BITS[over]:
        raise BrokenCarrier(detail="loose bits at the end")
    return binascii.a2b_base64(given.translate(TO_PLAIN) + b"=" * (-over % 4))
