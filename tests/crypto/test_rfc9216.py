"""The example people of RFC 9216: Alice and Bob with RSA, Carlos and Dana with Ed25519 and X25519.

Each has a certificate that only signs and one that only takes keys, under two authorities that vouch for each other.
"""

from __future__ import annotations

import base64
import hashlib
from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from securegw.crypto import smime
from securegw.crypto.certificate import Certificate, read_certificates
from securegw.crypto.chain import judge
from securegw.crypto.choice import Choice, CipherName
from securegw.crypto.key_bags import keys_in
from securegw.crypto.keyfile import fits, load_key, pairs_in_pkcs12, read_private_key
from securegw.mail.address import parse_address
from securegw.mail.errors import BadKey
from tests.crypto.people import NOW

FOLDER = Path(__file__).parent.parent / "vectors" / "rfc9216"
RSA, CURVES = ("alice", "bob"), ("carlos", "dana")
EVERYBODY = (*RSA, *CURVES)


def certificate(name: str) -> Certificate:
    [found] = read_certificates((FOLDER / f"{name}.crt").read_bytes())
    return found


def key(name: str) -> bytes:
    return read_private_key((FOLDER / f"{name}.key").read_bytes())


def root_of(name: str) -> Certificate:
    return certificate("ca.rsa" if name in RSA else "ca.25519")


def cross_of(name: str) -> Certificate:
    """The certificate of the same authority by the other one."""
    return certificate("ca.rsa.cross" if name in RSA else "ca.25519.cross")


def other_root(name: str) -> Certificate:
    return certificate("ca.25519" if name in RSA else "ca.rsa")


@pytest.mark.parametrize("name", EVERYBODY)
def test_one_certificate_signs_and_one_takes_keys(name: str) -> None:
    signer, reader = certificate(f"{name}.sign"), certificate(f"{name}.encrypt")
    assert (signer.may_sign, signer.may_encrypt) == (True, False)
    assert (reader.may_sign, reader.may_encrypt) == (False, True)
    assert signer.addresses == reader.addresses == (f"{name}@smime.example",)
    assert fits(key(f"{name}.sign"), signer.der) and fits(key(f"{name}.encrypt"), reader.der)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("ca.25519", "draft-lamps-sample-certs-keygen.ca.25519.seed"),
        ("carlos.sign", "draft-lamps-sample-certs-keygen.carlos.sign.25519.seed"),
        ("carlos.encrypt", "draft-lamps-sample-certs-keygen.carlos.encrypt.25519.seed"),
        ("dana.sign", "draft-lamps-sample-certs-keygen.dana.sign.25519.seed"),
        ("dana.encrypt", "draft-lamps-sample-certs-keygen.dana.encrypt.25519.seed"),
    ],
)
def test_the_keys_come_from_where_the_document_says(name: str, origin: str) -> None:
    """So these are the very keys, and not others of the same kind."""
    raw = load_key(key(name)).private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    assert raw == hashlib.sha256(origin.encode()).digest()


@pytest.mark.parametrize("name", EVERYBODY)
def test_both_keys_of_a_pkcs12_file_are_found(name: str) -> None:
    lines = (FOLDER / f"{name}.p12.pem").read_text().splitlines()[1:-1]
    pairs = pairs_in_pkcs12(base64.b64decode("".join(lines)), name)
    assert pairs == {certificate(f"{name}.{use}").der: key(f"{name}.{use}") for use in ("sign", "encrypt")}


@pytest.mark.parametrize("name", EVERYBODY)
def test_certificates_lead_to_either_root(name: str) -> None:
    """RFC 9216 2.5: directly, and from the other root by way of the cross-signed certificate; else not at all."""
    for use in ("sign", "encrypt"):
        one = certificate(f"{name}.{use}")
        assert judge(one, (), (root_of(name).der,), NOW, use=use).good
        crossed = judge(one, (cross_of(name).der,), (other_root(name).der,), NOW, use=use)
        assert crossed.good and crossed.links == (cross_of(name).der,)
        assert judge(one, (), (other_root(name).der,), NOW, use=use).reason == "unknown-issuer"
        assert judge(one, (), (root_of(name).der,), NOW + 40 * 365 * 86_400, use=use).reason == "expired"


@pytest.mark.parametrize(("author", "reader"), list(permutations(EVERYBODY, 2)))
@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_everybody_writes_to_everybody(author: str, reader: str, cipher: CipherName, mail: bytes) -> None:
    mail = mail.replace(b"ann@inside.test", f"{author}@smime.example".encode())
    signer, own = certificate(f"{author}.sign"), certificate(f"{author}.encrypt")
    signed = smime.sign(mail, key(f"{author}.sign"), signer.der, (own.der, cross_of(author).der), NOW)
    sealed = smime.encrypt(signed, [certificate(f"{reader}.encrypt").der, own.der], Choice(cipher))
    for person in (author, reader):
        pair = (key(f"{person}.encrypt"), certificate(f"{person}.encrypt").der)
        for root in (root_of(author), other_root(author)):
            found = smime.open(sealed, [pair], [root.der], NOW, parse_address(f"{author}@smime.example"))
            assert (found.raw, found.verdict.encrypted, found.verdict.signed_ok) == (signed, "opened", True)
            # The one that signs takes no keys: kept is the one that came along.
            assert found.certificates == (own.der,)
            assert ("rsa-oaep" if author in RSA else "hkdf-sha256") in found.announced
    stranger = next(one for one in EVERYBODY if one not in (author, reader))
    closed = smime.open(sealed, [(key(f"{stranger}.encrypt"), certificate(f"{stranger}.encrypt").der)], [], NOW, None)
    assert closed.raw == sealed and closed.verdict.encrypted == "failed"


def test_a_key_in_a_pkcs12_file_that_stays_closed_is_told() -> None:
    """One of two: losing it in silence would mean mail that nobody opens."""
    lines = (FOLDER / "bob.p12.pem").read_text().splitlines()[1:-1]
    data = base64.b64decode("".join(lines))
    with pytest.raises(BadKey, match="cannot be opened"):
        list(keys_in(data, "another"))
    assert list(keys_in(b"\x30\x00", "")) == list(keys_in(b"no pkcs12", "")) == []
