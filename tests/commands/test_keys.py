"""Keys come in, are judged, go out again; a private key only under a password and with an event."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto.certificate import read_certificate, read_certificates
from securegw.crypto.keyfile import read_pkcs12
from tests.commands.conftest import Run
from tests.commands.keys_of_two import PASSWORD, person, root, write_p12, write_pem
from tests.crypto import test_rfc9216 as rfc9216

ANN, BOB = "ann@inside.test", "bob@outside.test"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


def listed(run: Run, config: Path, *words: object) -> Any:
    ran = run("keys", "list", "--json", "--config", config, *words)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def imported(run: Run, config: Path, address: str) -> dict[str, Any]:
    [row] = listed(run, config, "--address", address)
    return dict(row)


def test_a_pkcs12_of_ours_comes_in_sealed(run: Run, config: Path, tmp_path: Path, password: Path) -> None:
    file = write_p12(tmp_path / "ann.p12", person(ANN))
    ran = run("keys", "import", file, "--password-file", password, "--config", config)
    assert (ran.code, ran.err) == (0, "")
    row = imported(run, config, ANN)
    assert (row["source"], row["trust"], row["private"]) == ("imported", "trusted", True)
    database = b"".join(part.read_bytes() for part in config.parent.glob("securegw.db*"))
    assert person(ANN).key not in database
    authority = next(each for each in listed(run, config) if each["subject"] == "CN=Test authority")
    assert (authority["address"], authority["trust"], authority["private"]) == ("", "unknown", False)


def test_both_keys_of_a_pkcs12_come_in(run: Run, config: Path, tmp_path: Path) -> None:
    """As RFC 9216 has them: one to sign, one to read. None of them is lost in silence."""
    lines = (rfc9216.FOLDER / "alice.p12.pem").read_text().splitlines()[1:-1]
    (tmp_path / "alice.p12").write_bytes(base64.b64decode("".join(lines)))
    (tmp_path / "word").write_text("alice")
    words = ("keys", "import", tmp_path / "alice.p12", "--password-file", tmp_path / "word", "--config", config)
    assert "smime.example is no domain of ours" in run(*words).err
    assert listed(run, config, "--address", "alice@smime.example") == []
    run("domains", "add", "smime.example", "--route", "[192.0.2.9]", "--config", config)
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    rows = listed(run, config, "--address", "alice@smime.example")
    assert [row["private"] for row in rows] == [True, True]
    wanted = {rfc9216.certificate(f"alice.{use}").fingerprint for use in ("sign", "encrypt")}
    assert {row["fingerprint"] for row in rows} == wanted
    inspected = run("inspect", tmp_path / "alice.p12", "--password-file", tmp_path / "word", "--json")
    [found] = json.loads(inspected.out) if inspected.out.startswith("[") else [json.loads(inspected.out)]
    assert {found["private_key"]["fits"], found["more_private_keys"][0]["fits"]} == wanted


def test_a_pkcs12_without_the_right_password(run: Run, config: Path, tmp_path: Path) -> None:
    file = write_p12(tmp_path / "ann.p12", person(ANN))
    ran = run("keys", "import", file, "--config", config)
    assert (ran.code, "--password-file" in ran.err) == (1, True)
    (tmp_path / "wrong").write_text("wrong")
    ran = run("keys", "import", file, "--password-file", tmp_path / "wrong", "--config", config)
    assert ran.code == 1
    assert "another password" in ran.err
    assert listed(run, config, "--address", ANN) == []


def test_a_private_key_of_a_stranger_is_refused(run: Run, config: Path, tmp_path: Path) -> None:
    file = write_pem(tmp_path / "bob.pem", person(BOB), private=True)
    ran = run("keys", "import", file, "--config", config)
    assert ran.code == 1
    assert "no domain of ours" in ran.err
    file = write_pem(tmp_path / "root.pem", root(), private=True)
    assert "authority" in run("keys", "import", file, "--config", config).err
    assert len(listed(run, config)) == 1


def test_a_partner_is_usable_once_the_authority_is_trusted(run: Run, config: Path, tmp_path: Path) -> None:
    ran = run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    assert "may not be encrypted to (unknown-issuer)" in ran.out
    ran = run("keys", "import", write_pem(tmp_path / "root.pem", root()), "--trust", "--config", config)
    assert "a root from now on" in ran.out
    fingerprint = imported(run, config, BOB)["fingerprint"]
    shown = json.loads(run("keys", "show", fingerprint[:8], "--json", "--config", config).out)
    assert shown["may_encrypt_to"] == [{"address": BOB, "good": True, "why": "good"}]
    assert (shown["announced"], shown["announced_at"], shown["sealed_with"]["cipher"]) == ([], None, "aes-256-cbc")
    assert run("keys", "distrust", fingerprint, "--config", config).code == 0
    assert "refused by the administrator" in run("keys", "show", fingerprint, "--config", config).out
    again = run("keys", "import", tmp_path / "bob.pem", "--trust", "--config", config)
    assert "may not" in again.out
    assert run("keys", "trust", fingerprint, "--config", config).code == 0
    assert imported(run, config, BOB)["trust"] == "trusted"
    assert run("keys", "remove", fingerprint, "--config", config).code == 0
    assert listed(run, config, "--address", BOB) == []


def test_an_address_that_the_certificate_does_not_name(run: Run, config: Path, tmp_path: Path) -> None:
    file = write_pem(tmp_path / "bob.pem", person(BOB))
    ran = run("keys", "import", file, "--address", "eve@outside.test", "--config", config)
    assert ran.code == 1
    assert "does not name the address eve@outside.test" in ran.err


def test_export_of_a_certificate(run: Run, config: Path, tmp_path: Path) -> None:
    run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    fingerprint = imported(run, config, BOB)["fingerprint"]
    [read] = read_certificates(run("keys", "export", fingerprint, "--config", config).out.encode())
    assert read.der == person(BOB).certificate
    out = tmp_path / "out.pem"
    assert run("keys", "export", fingerprint, "--out", out, "--config", config).code == 0
    ran = run("keys", "export", fingerprint, "--out", out, "--config", config)
    assert (ran.code, ran.err) == (1, f"securegw: {out}: File exists\n")


def test_export_of_a_private_key(run: Run, config: Path, tmp_path: Path, password: Path) -> None:
    run("keys", "import", write_pem(tmp_path / "ann.pem", person(ANN), private=True), "--config", config)
    fingerprint, out = imported(run, config, ANN)["fingerprint"], tmp_path / "out.p12"
    words = ("keys", "export", fingerprint, "--private", "--config", config)
    assert "--out" in run(*words).err
    assert "--password-file" in run(*words, "--out", out).err
    assert run(*words, "--out", out, "--password-file", password).code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    key, read, _others = read_pkcs12(out.read_bytes(), PASSWORD)
    assert (key, read.der) == (person(ANN).key, person(ANN).certificate)
    events = json.loads(run("history", "--address", ANN, "--json", "--config", config).out)
    assert [event["kind"] for event in events] == ["key-imported", "private-key-exported"]
    ran = run(*words, "--out", out, "--password-file", password)
    assert (ran.code, ran.err) == (1, f"securegw: {out}: is there already\n")


def test_a_private_key_that_is_not_here(run: Run, config: Path, tmp_path: Path, password: Path) -> None:
    run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    fingerprint = imported(run, config, BOB)["fingerprint"]
    words = ("keys", "export", fingerprint, "--private", "--out", tmp_path / "x", "--password-file", password)
    assert "no private key" in run(*words, "--config", config).err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["0" * 64, "00000000", "abc", "no digits"])
def test_unknown_fingerprints_are_refused(run: Run, config: Path, name: str) -> None:
    for word in ("show", "export", "trust", "distrust", "remove"):
        ran = run("keys", word, name, "--config", config)
        assert ran.code == 1
        assert ran.err.startswith(f"securegw: {name}: ")
        assert len(ran.err.splitlines()) == 1


def test_issue_to_a_user_once(run: Run, config: Path) -> None:
    first = run("keys", "issue", ANN, "--name", "Ann Keller", "--config", config)
    assert (first.code, first.err) == (0, "")
    assert run("keys", "issue", ANN, "--config", config).out == first.out
    row = imported(run, config, ANN)
    assert (row["source"], row["private"], row["subject"]) == ("issued", True, "CN=Ann Keller")
    ran = run("keys", "issue", BOB, "--config", config)
    assert (ran.code, "no domain of ours" in ran.err) == (1, True)


def test_a_second_authority_only_on_purpose(run: Run, config: Path) -> None:
    words = ("keys", "authority", "Another", "--config", config)
    assert "there is an authority already" in run(*words).err
    assert run(*words, "--replace").code == 0
    run("keys", "issue", ANN, "--config", config)
    fingerprint = imported(run, config, ANN)["fingerprint"]
    shown = json.loads(run("keys", "show", fingerprint, "--json", "--config", config).out)
    assert shown["issuer"] == "CN=Another"


def test_files_that_are_no_keys(run: Run, config: Path, tmp_path: Path) -> None:
    for content in (b"", b"words", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x30\x82\x01"):
        file = tmp_path / "file"
        file.write_bytes(content)
        ran = run("keys", "import", file, "--config", config)
        assert ran.code == 1
        assert "Traceback" not in ran.err
    assert run("keys", "import", tmp_path / "none", "--config", config).code == 1


def test_a_key_without_its_certificate(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "mixed.pem"
    key = write_pem(tmp_path / "key.pem", person(ANN), private=True).read_bytes().partition(b"-----BEGIN CERT")[0]
    file.write_bytes(key + write_pem(tmp_path / "c.pem", person(BOB)).read_bytes())
    assert "belongs to none" in run("keys", "import", file, "--config", config).err
    file.write_bytes(key)
    assert "holds no certificate" in run("keys", "import", file, "--config", config).err


def test_fingerprints_are_those_of_openssl(run: Run, config: Path, tmp_path: Path) -> None:
    run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    assert imported(run, config, BOB)["fingerprint"] == read_certificate(person(BOB).certificate).fingerprint
