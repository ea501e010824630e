"""The authority by command: a root, or below another one; what it revoked stands on its list."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from securegw.crypto import authority
from securegw.crypto.keyfile import load_key
from tests.commands.conftest import Run
from tests.commands.keys_of_two import person, root, write_pem

ANN, BOB = "ann@inside.test", "bob@outside.test"


def shown(run: Run, config: Path) -> Any:
    ran = run("authority", "show", "--json", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def answer(request: Path, file: Path, *, ca: bool = True) -> Path:
    """What another authority makes of a request."""
    csr = x509.load_pem_x509_csr(request.read_bytes())
    key, der = authority.make_authority("Ministry Root", years=5, now=time.time(), kind="p-256")
    issuer = x509.load_der_x509_certificate(der)
    builder = (
        x509.CertificateBuilder().subject_name(csr.subject).issuer_name(issuer.subject).public_key(csr.public_key())
        .serial_number(7).not_valid_before(issuer.not_valid_before_utc).not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(csr.extensions.get_extension_for_class(x509.KeyUsage).value, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key()), critical=False)
    )  # fmt: skip
    made = builder.sign(load_key(key), hashes.SHA256())  # type: ignore[arg-type]
    file.write_bytes(made.public_bytes(Encoding.PEM) + authority.to_pem(der))
    return file


def test_below_another_authority(run: Run, config: Path, tmp_path: Path) -> None:
    csr = tmp_path / "sub.csr"
    assert run("authority", "request", "Inside Sub CA", "--out", csr, "--config", config).code == 0
    assert shown(run, config)["request"]["name"] == "Inside Sub CA"
    assert "--replace" in run("authority", "request", "Again", "--config", config).err
    pem = answer(csr, tmp_path / "sub.pem")
    ran = run("authority", "import", pem, "--trust-root", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    now = shown(run, config)
    assert "request" not in now
    assert [one["subject"] for one in now["authorities"] if one["issues"]] == ["CN=Inside Sub CA"]
    run("keys", "issue", ANN, "--config", config)
    [row] = [r for r in json.loads(run("keys", "list", "--json", "--config", config).out) if r["address"] == ANN]
    told = json.loads(run("keys", "show", row["fingerprint"], "--json", "--config", config).out)
    assert told["issuer"] == "CN=Inside Sub CA"
    database = b"".join(part.read_bytes() for part in config.parent.glob("securegw.db*"))
    assert b"PRIVATE KEY" not in database


def test_answers_that_do_not_fit(run: Run, config: Path, tmp_path: Path) -> None:
    assert "no request waits" in run("authority", "import", tmp_path / "x", "--config", config).err
    csr = tmp_path / "sub.csr"
    run("authority", "request", "Inside Sub CA", "--out", csr, "--config", config)
    other = write_pem(tmp_path / "other.pem", root())
    assert "no certificate for the key" in run("authority", "import", other, "--config", config).err
    person_only = answer(csr, tmp_path / "person.pem", ca=False)
    assert "does not make an authority" in run("authority", "import", person_only, "--config", config).err
    assert shown(run, config)["request"]


def test_what_was_revoked_stands_on_the_list(run: Run, config: Path, tmp_path: Path) -> None:
    run("keys", "issue", ANN, "--config", config)
    [row] = [r for r in json.loads(run("keys", "list", "--json", "--config", config).out) if r["address"] == ANN]
    ran = run("keys", "revoke", row["fingerprint"], "--reason", "key-compromise", "--config", config)
    assert (ran.code, ran.err) == (0, "")
    crl = tmp_path / "list.crl"
    assert run("authority", "crl", "--out", crl, "--config", config).code == 0
    [line] = x509.load_der_x509_crl(crl.read_bytes())
    told = json.loads(run("keys", "show", row["fingerprint"], "--json", "--config", config).out)
    assert format(line.serial_number, "x") == told["serial"]
    assert told["trust"] == "revoked"
    assert told["may_encrypt_to"][0]["good"] is False
    events = json.loads(run("history", "--address", ANN, "--json", "--config", config).out)
    assert events[-1]["kind"] == "key-revoked"
    assert shown(run, config)["authorities"][0]["revoked"] == 1
    run("keys", "issue", ANN, "--config", config)
    rows = [r for r in json.loads(run("keys", "list", "--json", "--config", config).out) if r["address"] == ANN]
    assert [r["trust"] for r in rows] == ["revoked", "trusted"]


def test_only_what_we_have_issued_is_revoked(run: Run, config: Path, tmp_path: Path) -> None:
    run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    [row] = [r for r in json.loads(run("keys", "list", "--json", "--config", config).out) if r["address"] == BOB]
    ran = run("keys", "revoke", row["fingerprint"], "--config", config)
    assert (ran.code, "not issued by us" in ran.err) == (1, True)
    own = shown(run, config)["authorities"][0]["fingerprint"]
    assert run("keys", "revoke", own, "--config", config).code == 1


def test_tidy_says_what_would_go(run: Run, config: Path) -> None:
    for words in (("--dry-run",), ()):
        ran = run("keys", "tidy", *words, "--json", "--config", config)
        assert (ran.code, ran.out) == (0, "[]\n")


@pytest.mark.parametrize("words", [("make", "X"), ("crl",), ("nonsense",)])
def test_wrong_words(run: Run, config: Path, words: tuple[str, ...]) -> None:
    assert run("authority", *words, "--config", config).code != 0
