"""Mails written once by others and kept: the same answers on every machine, with or without those programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from securegw.crypto import smime
from securegw.crypto.certificate import read_certificates
from securegw.crypto.keyfile import read_private_key
from securegw.mail import mime
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


SMIME = Path(__file__).parent.parent / "vectors" / "smime"
EXPECTED = json.loads((SMIME / "expected.json").read_text())
VERDICTS = json.loads((FOLDER / "verdicts.json").read_text())
PEOPLE = sorted(file.stem for file in SMIME.glob("*.pem") if file.stem != "root")


def smime_pair(name: str) -> tuple[bytes, bytes]:
    data = (SMIME / f"{name}.pem").read_bytes()
    return read_private_key(data), read_certificates(data)[0].der


@pytest.fixture(scope="module")
def smime_root() -> bytes:
    return read_certificates((SMIME / "root.pem").read_bytes())[0].der


def test_every_mail_has_its_answers() -> None:
    assert sorted(EXPECTED) == sorted(file.stem for file in SMIME.glob("*.eml"))


@pytest.mark.parametrize("name", EXPECTED)
def test_what_programs_write(name: str, smime_root: bytes) -> None:
    """Each reader by himself: he opens it or he does not, and whoever opens it sees the same."""
    raw, wanted = (SMIME / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n"), dict(EXPECTED[name])
    openers = wanted.pop("openers")
    for person in PEOPLE:
        found = smime.open(raw, [smime_pair(person)], [smime_root], AT, parse_address("ann@inside.test"))
        if openers and person not in openers:
            assert (found.raw, found.verdict.encrypted) == (raw, "failed")
            continue
        verdict = found.verdict
        assert wanted == {
            "layers": list(found.layers),
            "encrypted": verdict.encrypted,
            "integrity": verdict.integrity,
            "trust": verdict.trust,
            "identity": verdict.identity,
            "reasons": list(verdict.reasons),
            "announced": list(found.announced),
        }
        texts = [part.text() for part in _leaves(mime.parse(found.raw)) if part.kind == "text/plain"]
        assert [text.strip() for text in texts] == ["The blood count is fine."]


def _leaves(part: mime.Part) -> Iterator[mime.Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)


def test_every_reason_is_explained() -> None:
    """An administrator finds each word that can stand in a verdict."""
    told = {reason for row in EXPECTED.values() for reason in row["reasons"]}
    told |= {reason for row in VERDICTS.values() for reason in row["reasons"]}
    page = (FOLDER.parent.parent.parent / "docs" / "smime.rst").read_text("utf-8")
    assert {reason for reason in told if f"``{reason}``" not in page} == set()
