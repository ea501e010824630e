"""``gpgsm`` as the other side: another reading of CMS than OpenSSL's, in both directions.

What GnuPG 2.2 cannot do is left out: it reads no AES-GCM, no OAEP and no Ed25519, its P-521 is broken, and it takes in
no private keys on curves. It runs under a folder of its own with an agent of its own, which is ended by its id.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from securegw.crypto import smime
from securegw.crypto.authority import issue, make_authority, to_pem
from securegw.crypto.certificate import load
from securegw.crypto.cms_parts import decoded, two_halves
from securegw.crypto.entity import base64_lines
from securegw.crypto.keyfile import load_key
from securegw.crypto.signatures import Scheme
from securegw.mail.address import parse_address
from securegw.mail.message import read
from tests.crypto.people import Authority, Person
from tests.peers.conftest import demand

ANN = "ann@inside.test"
HEADER = f"From: {ANN}\r\nTo: bob@outside.test\r\nSubject: outer\r\nMIME-Version: 1.0\r\n".encode()
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe blood count is fine.\r\n"
SECRET = "only for this test"
SETTINGS = "disable-crl-checks\ndisable-dirmngr\nbatch\nno-tty\nyes\npinentry-mode loopback\npassphrase-fd 0\n"


class Peer:
    """gpgsm in its own home; Ann's certificates of all kinds are known to it, and her RSA key too."""

    def __init__(self, home: Path, authority: Authority) -> None:
        self.home = home
        self.env = {**os.environ, "GNUPGHOME": str(home)}
        (home / "gpgsm.conf").write_text(SETTINGS)
        (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        # Trusted, and with the shell model's looser demands on roots (S relax).
        root = hashlib.sha1(authority.der, usedforsecurity=False).hexdigest().upper()
        (home / "trustlist.txt").write_text(f"{root} S relax\n")
        self.run("--import", self.put("ca.pem", to_pem(authority.der)))

    def put(self, name: str, data: bytes) -> Path:
        path = self.home / name
        path.write_bytes(data)
        return path

    def run(self, *words: object, fails: bool = False) -> bytes:
        done = subprocess.run(
            ["gpgsm", *map(str, words)],
            input=SECRET.encode() + b"\n",
            capture_output=True,
            env=self.env,
            timeout=30,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stderr.decode()
        return done.stdout

    def knows(self, person: Person) -> None:
        self.run("--import", self.put("certificate", to_pem(person.der)))

    def owns(self, person: Person) -> None:
        """Its reader of PKCS #12 knows the old encryption only."""
        old = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(2048)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())
            .build(SECRET.encode())
        )
        pair = pkcs12.serialize_key_and_certificates(b"x", load_key(person.key), load(person.der), None, old)
        self.run("--import", self.put("key.p12", pair))

    def end(self) -> None:
        """Its agent ends when it is told to, by its id."""
        ask = ["gpg-connect-agent", "--no-autostart", "getinfo pid", "/bye"]
        told = subprocess.run(ask, capture_output=True, env=self.env, text=True, timeout=30, check=False).stdout
        words = told.split()
        if words[:1] == ["D"]:
            os.kill(int(words[1]), signal.SIGTERM)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(*make_authority("Peer people", years=3, now=time.time(), kind="rsa-2048"))


@pytest.fixture(scope="module")
def people(authority: Authority) -> dict[str, Person]:
    kinds = ("rsa-2048", "p-256", "p-384")
    return {
        kind: Person(
            ANN,
            *issue(authority.key, authority.der, address=ANN, name=kind, kind=kind, days=90, now=time.time()),
        )
        for kind in kinds
    }


@pytest.fixture(scope="module")
def peer(authority: Authority, people: dict[str, Person]) -> Iterator[Peer]:
    demand(None if shutil.which("gpgsm") else "gpgsm is not installed")
    demand(None if shutil.which("gpg-connect-agent") else "gpg-connect-agent is not installed")
    home = Path(tempfile.mkdtemp(prefix="gpgsm"))  # a socket lies in it, whose path must be short
    found = None
    try:
        found = Peer(home, authority)
        for person in people.values():
            found.knows(person)
        found.owns(people["rsa-2048"])
        yield found
    finally:
        if found is not None:
            found.end()
        shutil.rmtree(home, ignore_errors=True)


def opened(mail: bytes, person: Person, authority: Authority) -> smime.Opened:
    return smime.open(mail, [person.pair], [authority.der], time.time(), parse_address(ANN))


def carried(der: bytes) -> bytes:
    kind = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return HEADER + kind + base64_lines(der)


@pytest.mark.parametrize("form", ["detached", "opaque"])
@pytest.mark.parametrize(
    ("kind", "scheme"), [("rsa-2048", "pkcs1"), ("rsa-2048", "pss"), ("p-256", "pkcs1"), ("p-384", "pkcs1")]
)
def test_gpgsm_verifies_what_we_sign(
    peer: Peer, people: dict[str, Person], authority: Authority, kind: str, scheme: Scheme, form: smime.Form
) -> None:
    person = people[kind]
    signed = smime.sign(
        HEADER + ENTITY, person.key, person.der, [authority.der], time.time(), form=form, scheme=scheme
    )
    if form == "opaque":
        file = peer.put("signed", decoded(read(signed)))
        peer.run("--verify", file)
        peer.run("--verify", peer.put("bad", file.read_bytes().replace(b"fine", b"fins")), fails=True)
        return
    content, signature = two_halves(read(signed))
    beside = peer.put("signature", decoded(signature))
    peer.run("--verify", beside, peer.put("content", content))
    peer.run("--verify", beside, peer.put("content", content + b" "), fails=True)


def test_gpgsm_opens_what_we_encrypt(peer: Peer, people: dict[str, Person]) -> None:
    sealed = smime.encrypt(HEADER + ENTITY, [one.der for one in people.values()])
    assert peer.run("--decrypt", peer.put("sealed", decoded(read(sealed)))) == ENTITY


@pytest.mark.parametrize("form", ["--detach-sign", "--sign"])
def test_we_verify_what_gpgsm_signs(
    peer: Peer, people: dict[str, Person], authority: Authority, form: str
) -> None:
    """It writes lengths that are not told."""
    person = people["rsa-2048"]
    der = peer.run("--local-user", named(person), form, peer.put("text", ENTITY))
    assert der.startswith(b"\x30\x80")
    mail = carried(der) if form == "--sign" else beside(der)
    verdict = opened(mail, person, authority).verdict
    assert verdict.signed_ok, verdict
    if form == "--detach-sign":
        assert opened(mail.replace(b"fine", b"fins"), person, authority).verdict.reasons == ("changed",)


def named(person: Person) -> str:
    """How gpgsm is told which certificate is meant."""
    return f"0x{load(person.der).fingerprint(hashes.SHA1()).hex()}"


def beside(der: bytes) -> bytes:
    return (
        HEADER
        + b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n\r\n'
        + b"--b\r\n"
        + ENTITY
        + b"\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64_lines(der)
        + b"--b--\r\n"
    )


@pytest.mark.parametrize("cipher", ["AES256", "AES192", "AES", "3DES"])
def test_we_open_what_gpgsm_encrypts(
    peer: Peer, people: dict[str, Person], authority: Authority, cipher: str
) -> None:
    person = people["rsa-2048"]
    der = peer.run("--recipient", named(person), "--cipher-algo", cipher, "--encrypt", peer.put("text", ENTITY))
    found = opened(carried(der), person, authority)
    assert found.verdict.encrypted == "opened"
    assert found.raw == HEADER + ENTITY
