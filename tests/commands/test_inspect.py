"""Verdicts on files: the same judges as in the gateway, without a database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto import smime
from securegw.crypto.choice import Choice
from tests.commands.conftest import Run
from tests.commands.keys_of_two import PASSWORD, person, root, write_p12, write_pem

ANN = "ann@inside.test"
MAIL = (
    b"From: Ann <ann@inside.test>\r\nTo: bob@outside.test\r\nSubject: hi\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\n\r\nA private word.\r\n"
)


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return write_pem(tmp_path / "roots.pem", root())


def signed() -> bytes:
    import time

    ann = person(ANN)
    return smime.sign(MAIL, ann.key, ann.certificate, [root().certificate], time.time())


def inspected(run: Run, *words: object) -> Any:
    ran = run("inspect", "--json", *words)
    assert (ran.code, ran.err) == (0, "")
    [report] = json.loads(ran.out)
    return report


def file_of(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "mail.eml"
    file.write_bytes(content)
    return file


def test_a_certificate_with_and_without_its_root(run: Run, tmp_path: Path, roots: Path) -> None:
    file = write_pem(tmp_path / "ann.pem", person(ANN))
    alone = inspected(run, file)
    assert alone["kind"] == "certificate"
    [certificate] = alone["certificates"]
    assert certificate["addresses"] == [ANN]
    assert certificate["verdicts"]["sign"] == {"good": False, "why": "unknown-issuer"}
    [certificate] = inspected(run, file, "--roots", roots)["certificates"]
    assert certificate["verdicts"] == {use: {"good": True, "why": "good"} for use in ("sign", "encrypt")}


@pytest.mark.parametrize(("time", "why"), [("2001-01-01", "not-yet-valid"), ("2199-01-01T00:00:00Z", "expired")])
def test_another_time(run: Run, tmp_path: Path, roots: Path, time: str, why: str) -> None:
    file = write_pem(tmp_path / "ann.pem", person(ANN))
    report = inspected(run, file, "--roots", roots, "--at", time)
    assert report["at"].startswith(time[:10])
    assert report["certificates"][0]["verdicts"]["encrypt"] == {"good": False, "why": why}


def test_a_pkcs12_with_its_password(run: Run, tmp_path: Path) -> None:
    file = write_p12(tmp_path / "ann.p12", person(ANN))
    ran = run("inspect", file)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    (tmp_path / "password").write_text(PASSWORD)
    report = inspected(run, file, "--password-file", tmp_path / "password")
    assert report["kind"] == "pkcs12"
    assert report["private_key"] == {"kind": "rsa-2048", "fits": report["certificates"][0]["fingerprint"]}
    assert len(report["certificates"]) == 2


def test_no_private_key_is_ever_printed(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", write_pem(tmp_path / "ann.pem", person(ANN), private=True))
    assert "rsa-2048" in ran.out
    assert "PRIVATE KEY" not in ran.out


def test_a_signed_mail(run: Run, tmp_path: Path, roots: Path) -> None:
    file = file_of(tmp_path, signed())
    report = inspected(run, file, "--roots", roots)
    assert (report["author"], report["protection"], report["layers"]) == (ANN, "signed", ["signed"])
    assert report["verdicts"] == {
        "encrypted": "none", "integrity": "good", "trust": "good", "identity": "good", "signed_ok": True,
    }
    unknown = inspected(run, file)
    assert (unknown["verdicts"]["trust"], unknown["reasons"]) == ("unknown", ["unknown-issuer"])
    text = run("inspect", file, "--roots", roots)
    assert text.code == 0
    assert "integrity" in text.out


def test_one_changed_letter_is_seen(run: Run, tmp_path: Path, roots: Path) -> None:
    report = inspected(run, file_of(tmp_path, signed().replace(b"private word", b"public word!")), "--roots", roots)
    assert report["verdicts"]["integrity"] == "bad"
    assert report["verdicts"]["signed_ok"] is False
    assert report["reasons"]


def test_a_signature_of_somebody_else(run: Run, tmp_path: Path, roots: Path) -> None:
    forged = signed().replace(b"From: Ann <ann@", b"From: Eve <eve@")
    report = inspected(run, file_of(tmp_path, forged), "--roots", roots)
    assert (report["verdicts"]["integrity"], report["verdicts"]["identity"]) == ("good", "bad")
    assert "other-address" in report["reasons"]


def test_a_file_with_lf_line_ends_is_read_as_it_was_sent(run: Run, tmp_path: Path, roots: Path) -> None:
    report = inspected(run, file_of(tmp_path, signed().replace(b"\r\n", b"\n")), "--roots", roots)
    assert report["verdicts"]["signed_ok"] is True
    assert "LF" in report["note"]


def test_an_encrypted_mail_with_and_without_the_key(run: Run, tmp_path: Path) -> None:
    file = file_of(tmp_path, smime.encrypt(MAIL, [person(ANN).certificate], Choice("aes-256-gcm")))
    closed = inspected(run, file)
    assert (closed["protection"], closed["verdicts"]["encrypted"]) == ("encrypted", "failed")
    assert closed["reasons"]
    key = write_pem(tmp_path / "ann.pem", person(ANN), private=True)
    opened = inspected(run, file, "--keys", key)
    assert (opened["layers"], opened["verdicts"]["encrypted"]) == (["encrypted"], "opened")
    assert opened["parts"] == ["text/plain"]
    assert "A private word" not in run("inspect", file, "--keys", key).out


def test_a_plain_mail_has_no_verdicts(run: Run, tmp_path: Path) -> None:
    report = inspected(run, file_of(tmp_path, MAIL))
    assert report["protection"] is None
    assert set(report["verdicts"].values()) == {"none", False}


def test_a_key_without_certificate_opens_nothing(run: Run, tmp_path: Path) -> None:
    pem = write_pem(tmp_path / "ann.pem", person(ANN), private=True)
    pem.write_bytes(pem.read_bytes().partition(b"-----BEGIN CERT")[0])
    ran = run("inspect", file_of(tmp_path, MAIL), "--keys", pem)
    assert (ran.code, "together with its certificate" in ran.err) == (1, True)


@pytest.mark.parametrize(
    "content", [b"", b"words", b"\x00\xff" * 50, b"\x30\x82\x00\x00", b"-----BEGIN CERTIFICATE-----\n"]
)
def test_files_that_are_nothing(run: Run, tmp_path: Path, content: bytes) -> None:
    ran = run("inspect", file_of(tmp_path, content))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "Traceback" not in ran.err


def test_several_files_and_a_missing_one(run: Run, tmp_path: Path) -> None:
    mail, pem = file_of(tmp_path, MAIL), write_pem(tmp_path / "ann.pem", person(ANN))
    ran = run("inspect", "--json", mail, pem)
    assert [report["kind"] for report in json.loads(ran.out)] == ["mail", "certificate"]
    ran = run("inspect", mail, tmp_path / "none")
    assert (ran.code, ran.err) == (1, f"securegw: {tmp_path}/none: No such file or directory\n")
    assert run("inspect").code == 2
    assert run("inspect", mail, "--at", "yesterday").code == 2
