"""Against OpenSSL's own CMS, in both directions."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from securegw.crypto import smime
from securegw.crypto.authority import key_bytes, key_to_pem, to_pem
from securegw.crypto.choice import CIPHERS, Choice, CipherName
from securegw.mail.address import parse_address
from securegw.mail.message import read
from tests.crypto import der_shapes as shapes
from tests.crypto.people import NOW, Authority, Person

ANN = parse_address("ann@inside.test")
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe blood count is fine.\r\n"
HEADER = b"From: ann@inside.test\r\nTo: bob@outside.test\r\nSubject: outer\r\n"
KINDS = ("rsa-2048", "rsa-3072", "p-256", "p-384", "p-521")
CLOCK = ["-attime", str(int(NOW))]


@pytest.fixture(autouse=True, scope="module")
def _peer() -> None:
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is missing")
        pytest.skip("openssl is not installed")


class Peer:
    """The openssl command, in a folder with everybody's files."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.root = self.put("root.pem", to_pem(authority.der))

    def put(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def person(self, person: Person) -> list[str]:
        name = person.address
        return [
            self.put(f"{name}.crt", to_pem(person.der)),
            "-inkey",
            self.put(f"{name}.key", key_to_pem(person.key)),
        ]

    def cms(self, *arguments: str, given: bytes, fails: bool = False) -> bytes:
        command = ["openssl", "cms", arguments[0], "-in", self.put("in", given), *arguments[1:]]
        done = subprocess.run(command, capture_output=True, check=False, timeout=20)
        assert (done.returncode != 0) is fails, done.stderr.decode()
        return done.stdout

    def encrypt(self, *arguments: str, given: bytes = ENTITY) -> bytes:
        return HEADER + self.cms("-encrypt", *arguments, given=given).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.fixture
def peer(tmp_path: Path, authority: Authority) -> Peer:
    return Peer(tmp_path, authority)


def verify(peer: Peer, mail: bytes, *, fails: bool = False) -> bytes:
    return peer.cms("-verify", "-CAfile", peer.root, "-purpose", "smimesign", *CLOCK, given=mail, fails=fails)


@pytest.fixture(scope="module")
def people(authority: Authority) -> dict[str, Person]:
    """One person for each kind of key that this OpenSSL can do."""
    return {kind: authority.person("ann@inside.test", kind=kind) for kind in KINDS}


@pytest.mark.parametrize("form", ["detached", "opaque"])
@pytest.mark.parametrize("kind", [*KINDS, "pss"])
def test_openssl_verifies_what_we_sign(
    peer: Peer, authority: Authority, people: dict[str, Person], mail: bytes, kind: str, form: smime.Form
) -> None:
    person = people.get(kind, people["rsa-2048"])
    scheme: smime.Scheme = "pss" if kind == "pss" else "pkcs1"
    signed = smime.sign(mail, person.key, person.der, [authority.der], NOW, form=form, scheme=scheme)
    assert (b"fine" in signed) is (form == "detached")
    text = verify(peer, signed)
    assert text.endswith(b"The blood count is fine.\r\n.\r\nFrom here on regards\r\n")
    if form == "detached":
        verify(peer, signed.replace(b"fine", b"fins"), fails=True)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("reader", [*KINDS, "oaep"])
def test_openssl_opens_what_we_encrypt(
    peer: Peer, people: dict[str, Person], bob: Person, mail: bytes, cipher: CipherName, reader: str
) -> None:
    """To all at once; each of them opens it."""
    person = bob if reader == "oaep" else people[reader]
    everybody = [bob.der, *(one.der for one in people.values())]
    sealed = smime.encrypt(mail, everybody, Choice(cipher, {bob.der: "rsa-oaep"}))
    plain = peer.cms("-decrypt", "-recip", *peer.person(person), given=sealed)
    assert plain.startswith(b"Content-Type: text/plain; charset=utf-8\r\n")
    assert plain.endswith(b"From here on regards\r\n")


@pytest.mark.parametrize(
    "options",
    [
        ["-aes256"],
        ["-aes128"],
        ["-aes-192-cbc"],
        ["-aes-256-gcm"],
        ["-aes-128-gcm"],
        ["-aes256", "-stream"],
        ["-aes-256-gcm", "-stream"],
        ["-aes256", "-keyid"],
    ],
    ids=" ".join,
)
def test_we_open_what_openssl_encrypts(
    peer: Peer, people: dict[str, Person], options: list[str]
) -> None:
    """To all kinds of key at once; each of them opens it."""
    certificates = [peer.put(f"{kind}.crt", to_pem(person.der)) for kind, person in people.items()]
    sealed = peer.encrypt(*options, *certificates)
    for person in people.values():
        opened = smime.open(sealed, [person.pair], [], NOW, ANN)
        assert opened.verdict.encrypted == "opened"
        assert opened.raw.endswith(ENTITY)
        assert ("unauthenticated-cipher" in opened.verdict.reasons) is ("gcm" not in options[0])


def test_3des_is_still_read(peer: Peer, ann: Person) -> None:
    opened = smime.open(peer.encrypt("-des3", peer.person(ann)[0]), [ann.pair], [], NOW, ANN)
    assert opened.verdict.encrypted == "opened" and opened.raw.endswith(ENTITY)


OTHER_CURVES = (ec.BrainpoolP256R1(), ec.BrainpoolP512R1(), ec.SECP256K1())


@pytest.mark.parametrize("curve", OTHER_CURVES, ids=lambda one: one.name)
def test_curves_of_other_authorities(peer: Peer, authority: Authority, mail: bytes, curve: ec.EllipticCurve) -> None:
    """German authorities issue Brainpool keys; both directions, signed and sealed."""
    key = ec.generate_private_key(curve)
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    name = shapes.mailbox(b"ann@inside.test")
    person = Person("ann@inside.test", key_bytes(key), shapes.certificate(authority, spki, name, key_usage=0b10001000))
    signed = smime.sign(mail, person.key, person.der, [], NOW)
    verify(peer, signed)
    sealed = smime.encrypt(signed, [person.der], Choice("aes-256-gcm"))
    assert peer.cms("-decrypt", "-recip", *peer.person(person), given=sealed).count(b"blood") == 1
    assert smime.open(sealed, [person.pair], [authority.der], NOW, ANN).verdict.signed_ok
    theirs = peer.encrypt("-aes256", peer.person(person)[0])
    assert smime.open(theirs, [person.pair], [], NOW, ANN).raw.endswith(ENTITY)
    assert smime.open(sign(peer, person, "-md", "sha256"), [], [authority.der], NOW, ANN).verdict.integrity == "good"


@pytest.mark.parametrize("digest", [None, "sha1", "sha256", "sha512"])
def test_oaep(peer: Peer, ann: Person, digest: str | None) -> None:
    options = ["-recip", peer.person(ann)[0], "-keyopt", "rsa_padding_mode:oaep"]
    if digest:
        options += ["-keyopt", f"rsa_oaep_md:{digest}"]
    sealed = peer.encrypt("-aes256", *options)
    assert smime.open(sealed, [ann.pair], [], NOW, ANN).raw.endswith(ENTITY)


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_agreement_by_elliptic_curve(peer: Peer, eve: Person, digest: str) -> None:
    options = ["-recip", peer.person(eve)[0], "-keyopt", f"ecdh_kdf_md:{digest}"]
    sealed = peer.encrypt("-aes256", *options)
    assert smime.open(sealed, [eve.pair], [], NOW, ANN).raw.endswith(ENTITY)


def sign(peer: Peer, person: Person, *options: str, given: bytes = ENTITY) -> bytes:
    signed = peer.cms("-sign", "-signer", *peer.person(person), *options, given=given)
    return HEADER + signed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-md", "sha384"],
        ["-md", "sha512"],
        ["-keyid"],
        ["-stream"],
        ["-nodetach"],
        ["-nodetach", "-stream"],
        ["-noattr"],
        ["-keyopt", "rsa_padding_mode:pss"],
        ["-keyopt", "rsa_padding_mode:pss", "-md", "sha512", "-keyopt", "rsa_pss_saltlen:10"],
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_we_verify_what_openssl_signs(peer: Peer, ann: Person, authority: Authority, options: list[str]) -> None:
    # The command cannot be told the time: what it writes is judged at the certificate's, signing time included.
    signed = sign(peer, ann, *options)
    opened = smime.open(signed, [], [authority.der], NOW + 86_400 * 200, ANN)
    assert (opened.verdict.integrity, opened.verdict.identity) == ("good", "good")
    assert opened.layers == (("opaque",) if "-nodetach" in options else ("signed",))
    assert opened.raw.endswith(ENTITY) is ("-nodetach" in options)
    assert smime.open(signed.replace(b"fine", b"fins"), [], [authority.der], NOW, ANN).verdict.integrity == (
        "good" if "-nodetach" in options else "bad"
    )


@pytest.mark.parametrize("form", [(), ("-nodetach",), ("-nodetach", "-stream")], ids=["detached", "opaque", "stream"])
@pytest.mark.parametrize(("kind", "digest"), [("p-256", "sha256"), ("p-384", "sha384"), ("p-521", "sha512")])
def test_ecdsa_by_openssl(
    peer: Peer, people: dict[str, Person], authority: Authority, kind: str, digest: str, form: tuple[str, ...]
) -> None:
    signed = sign(peer, people[kind], "-md", digest, *form)
    assert smime.open(signed, [], [authority.der], NOW, ANN).verdict.integrity == "good"


def test_ecdsa_and_several_signers(peer: Peer, ann: Person, eve: Person, authority: Authority) -> None:
    both = sign(peer, eve, "-signer", *peer.person(ann))
    for author in ("ann@inside.test", "eve@evil.test"):
        opened = smime.open(both, [], [authority.der], NOW, parse_address(author))
        assert (opened.verdict.integrity, opened.verdict.identity) == ("good", "good")


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_weak_digests_are_never_good(peer: Peer, ann: Person, authority: Authority, digest: str) -> None:
    opened = smime.open(sign(peer, ann, "-md", digest), [], [authority.der], NOW, ANN)
    assert opened.verdict.integrity == "bad"
    assert opened.verdict.reasons == ("weak-digest",)


def test_a_certificate_that_did_not_come_along(peer: Peer, ann: Person, authority: Authority) -> None:
    opened = smime.open(sign(peer, ann, "-nocerts"), [], [authority.der], NOW, ANN)
    assert opened.verdict.reasons == ("no-certificate",)
    assert not opened.verdict.signed_ok


@pytest.mark.parametrize("form", ["detached", "opaque"])
def test_openssl_opens_our_triple_wrap(
    peer: Peer, ann: Person, bob: Person, authority: Authority, mail: bytes, form: smime.Form
) -> None:
    inner = smime.sign(mail, ann.key, ann.der, [authority.der], NOW, form=form)
    whole = smime.sign(smime.encrypt(inner, [bob.der]), ann.key, ann.der, [authority.der], NOW, form=form)
    sealed = verify(peer, whole)
    signed = peer.cms("-decrypt", "-recip", *peer.person(bob), given=sealed)
    assert verify(peer, signed).endswith(b"From here on regards\r\n")
    assert smime.open(whole, [bob.pair], [authority.der], NOW, ANN).verdict.signed_ok


def test_signed_then_encrypted_and_the_other_way_round(
    peer: Peer, ann: Person, bob: Person, authority: Authority
) -> None:
    signed = peer.cms("-sign", "-signer", *peer.person(ann), given=ENTITY)
    whole = peer.encrypt("-aes256", peer.person(bob)[0], given=signed)
    opened = smime.open(whole, [bob.pair], [authority.der], NOW, ANN)
    assert (opened.layers, opened.verdict.integrity) == (("encrypted", "signed"), "good")
    sealed = peer.cms("-encrypt", "-aes256", peer.person(bob)[0], given=ENTITY)
    around = sign(peer, ann, given=sealed)
    opened = smime.open(around, [bob.pair], [authority.der], NOW, ANN)
    assert opened.layers == ("signed", "encrypted")
    assert opened.verdict.integrity == "none"
    assert opened.raw.endswith(ENTITY)
    assert read(opened.raw).first("Subject") == "outer"
