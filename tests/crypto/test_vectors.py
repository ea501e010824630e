"""CMS written once by OpenSSL and kept: the same answers on every machine, with or without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from securegw.crypto import smime
from securegw.crypto.certificate import read_certificates
from securegw.crypto.keyfile import read_private_key
from securegw.mail.address import parse_address

FOLDER = Path(__file__).parent.parent / "vectors" / "cms"
ROOT = read_certificates((FOLDER / "root.pem").read_bytes())[0].der
AT = 1_900_000_000.0
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe blood count is fine.\r\n"


def pair(name: str) -> tuple[bytes, bytes]:
    data = (FOLDER / f"{name}.pem").read_bytes()
    return read_private_key(data), read_certificates(data)[0].der


def opened(name: str, reader: str = "ann", author: str = "ann@inside.test") -> smime.Opened:
    raw = (FOLDER / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")
    return smime.open(raw, [pair(reader)], [ROOT], AT, parse_address(author))


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("cbc-indefinite", "ann eve"),
        ("gcm", "ann eve"),
        ("oaep-sha256", "ann"),
        ("3des-keyid", "ann"),
        ("ecdh-sha512", "eve"),
    ],
)
def test_encrypted(name: str, readers: str) -> None:
    for reader in ("ann", "eve"):
        found = opened(name, reader)
        assert found.verdict.encrypted == ("opened" if reader in readers.split() else "failed")
        assert found.raw.endswith(PLAIN) is (reader in readers.split())


@pytest.mark.parametrize(
    ("name", "author", "good"),
    [
        ("pss-detached", "ann@inside.test", True),
        ("pss-detached", "eve@evil.test", False),
        ("ecdsa-opaque-indefinite", "eve@evil.test", True),
        ("two-signers", "ann@inside.test", True),
        ("two-signers", "eve@evil.test", True),
        ("sha1", "ann@inside.test", False),
    ],
)
def test_signed(name: str, author: str, good: bool) -> None:
    found = opened(name, author=author)
    assert found.verdict.signed_ok is good
    assert (found.verdict.integrity == "bad") is (name == "sha1")
