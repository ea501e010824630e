"""Any bytes to the CMS reader: as CMS, as a certificate, and as a mail that is opened, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_cms [seconds] [folder]``; what was found is kept in the folder. Without
atheris (it is optional) bent copies of good mails take its place for a few seconds, and it says so. What once went
wrong lies in ``tests/vectors/cms/crashes`` and is tried in each run of the tests.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

from securegw.crypto import ber, oids, smime
from securegw.crypto.capabilities import AGREEMENT_WORDS, announcement
from securegw.crypto.certificate import read_certificates
from securegw.crypto.choice import way_of_key
from securegw.crypto.cms_compressed import decompress
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_read import named
from securegw.crypto.cms_verify import Signature, Signed, verify
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.entity import base64_lines
from securegw.crypto.identifiers import key_identifier
from securegw.crypto.key_bags import keys_in
from securegw.crypto.keyfile import read_private_key
from securegw.crypto.verdict import weigh
from securegw.mail.address import parse_address
from securegw.mail.errors import MailError
from tests.crypto.der_shapes import compressed
from tests.fuzz.driver import drive
from tests.fuzz.reshape import reshaped

NOW = 1_900_000_000.0
ANN = parse_address("ann@inside.test")
CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
HEAD = b"From: ann@inside.test\r\nMIME-Version: 1.0\r\n"
CMS = HEAD + b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
# Keys that stay the same, so that what was found can be shown again.
VECTORS = Path(__file__).parent.parent / "vectors" / "smime"
CA = read_certificates((VECTORS / "root.pem").read_bytes())[0].der


def pair(name: str) -> tuple[bytes, bytes]:
    data = (VECTORS / f"{name}.pem").read_bytes()
    return read_private_key(data), read_certificates(data)[0].der


PAIRS = [pair(name) for name in ("rsa", "p384", "x25519", "ed25519")]
RSA, CURVE, X25519, ED25519 = PAIRS


def seeds() -> list[bytes]:
    """One of each form that we write, for the fuzzer to bend."""
    signed = [sign(CONTENT, *pair, [CA], NOW, detached=False)[0] for pair in (RSA, CURVE, ED25519)]
    closed = [seal(CONTENT, [der]) for seal in (encrypt_cbc, encrypt_gcm) for _key, der in (RSA, CURVE, X25519)]
    return [
        *signed,
        *closed,
        sign(CONTENT, *RSA, [CA], NOW, scheme="pss")[0],
        compressed(CONTENT),
        *(der for _key, der in PAIRS),
        *(member.der for member in read_certificates((VECTORS.parent / "rfc9216" / "ca.25519.cross.crt").read_bytes())),
        CA,
        b"\x24\x80\x04\x02ab\x24\x80\x04\x01c\0\0\0\0",
    ]


def words() -> list[bytes]:
    """The identifiers that we know, and how BER begins what has no length and ends it."""
    known = (value for name, value in sorted(vars(oids).items()) if name.isupper() and isinstance(value, bytes))
    return [*known, b"\x30\x80", b"\xa0\x80", b"\x24\x80", b"\0\0"]


def try_one(data: bytes) -> None:
    """Whatever comes: an answer or one of our errors, and nothing that could not be delivered."""
    for work in (
        lambda: list(keys_in(data, "alice")),
        lambda: decrypt(data, PAIRS),
        lambda: verify(data, CONTENT),
        lambda: verify(data, None),
        lambda: decompress(data),
        lambda: ber.whole(data).octets(),
        lambda: read_certificates(data),
        lambda: as_signer(data),
    ):
        with contextlib.suppress(MailError):
            work()
    opened = smime.open(CMS + base64_lines(data), PAIRS, [CA], NOW, ANN)
    assert opened.raw.startswith(HEAD)


def as_signer(data: bytes) -> None:
    """Whoever makes a certificate has its key: the signature is good, whatever the certificate is."""
    for author in (ANN, None):
        for chain in ((data,), (data, CA), (RSA[1], data)):
            signature = Signature("good", "", chain[0])
            weigh(Signed(CONTENT, (signature,), chain), [CA], NOW, author)
    named(ber.whole(RSA[1]), (data,))
    key_identifier(data)
    announcement(data)
    way_of_key(data, tuple(AGREEMENT_WORDS))


def bent(source: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(source.randrange(6)):
        at, size = source.randrange(len(changed) + 1), source.randrange(20)
        changed[at : at + size] = source.choice((source.randbytes(size), bytes(changed[at : at + 2 * size]), b""))
    return bytes(changed)


def main() -> None:
    good = seeds()
    drive(try_one, lambda source: bent(source, source.choice(good)), good, words(), reshaped)


if __name__ == "__main__":
    main()
