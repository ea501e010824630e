"""Ann's and Bob's keys under one authority, as files that an administrator could have."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import attrs

from securegw.crypto import authority, keyfile

PASSWORD = "correct horse battery staple"


@attrs.frozen
class Pair:
    """A private key and its certificate (DER)."""

    key: bytes
    certificate: bytes


@functools.cache
def root() -> Pair:
    return Pair(*authority.make_authority("Test authority", years=10, now=time.time(), kind="p-256"))


@functools.cache
def person(address: str) -> Pair:
    made = authority.issue(
        root().key, root().certificate, address=address, name="A Person", days=100, now=time.time(), kind="rsa-2048"
    )
    return Pair(*made)


def write_pem(file: Path, *parts: Pair, private: bool = False) -> Path:
    """Certificates as PEM, and the private key of the first."""
    key = authority.key_to_pem(parts[0].key) if private else b""
    file.write_bytes(key + b"".join(authority.to_pem(part.certificate) for part in parts))
    return file


def write_p12(file: Path, pair: Pair) -> Path:
    content = keyfile.write_pkcs12(pair.key, pair.certificate, [root().certificate], name="a", password=PASSWORD)
    file.write_bytes(content)
    return file
