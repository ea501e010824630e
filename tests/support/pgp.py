"""OpenPGP public keys for tests, made of packets by hand: no signature in them is good, and nobody asks for that."""

from __future__ import annotations

import hashlib


def packet(tag: int, body: bytes) -> bytes:
    return bytes((0xC0 | tag, 0xFF)) + len(body).to_bytes(4, "big") + body


def public(created: int = 1_700_000_000, seed: int = 1) -> bytes:
    """The body of a version 4 RSA key of 2048 bits."""
    number = hashlib.shake_128(bytes((seed,))).digest(256)
    number = bytes((number[0] | 0x80,)) + number[1:]
    return b"\x04" + created.to_bytes(4, "big") + b"\x01" + (2048).to_bytes(2, "big") + number + b"\x00\x11\x01\x00\x01"


def signature(kind: int, lifetime: int = 0) -> bytes:
    hashed = b"\x05\x09" + lifetime.to_bytes(4, "big") if lifetime else b""
    size = len(hashed).to_bytes(2, "big")
    return packet(2, b"\x04" + bytes((kind, 1, 8)) + size + hashed + b"\0\0\0\0\0\x08\xff")


def key(*user_ids: str, seed: int = 1, lifetime: int = 0, revoked: bool = False) -> bytes:
    """A key with a subkey."""
    parts = [packet(6, public(seed=seed)), signature(0x20) if revoked else b""]
    for user_id in user_ids:
        parts += [packet(13, user_id.encode()), signature(0x13, lifetime)]
    return b"".join([*parts, packet(14, public(seed=seed + 100)), signature(0x18, 60)])


def fingerprint(seed: int = 1) -> str:
    body = public(seed=seed)
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
