"""The outline of OpenPGP keys, also of one that GnuPG has made."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securegw.crypto.pgp_outline import key_id, read_keys, to_armor
from securegw.mail.errors import BadKey
from tests.support import pgp

CAROL = "Carol Meier <carol@partner.test>"
# Made by GnuPG 2.2.40: Ed25519 with a Cv25519 subkey, for "Erna <Erna@Partner.test>", valid for two years.
GNUPG = """
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawjLQBYJKwYBBAHaRw8BAQdAlBLzM9fSUW1BL8I8bj5NGvupR139GakHS6Ec
6Vy/Ewy0GEVybmEgPEVybmFAUGFydG5lci50ZXN0PoiWBBMWCAA+FiEEKHD0k03G
xs9lWKPjGQO7ZRDfgWYFAmsIy0ACGwMFCQPCZwAFCwkIBwIGFQoJCAsCBBYCAwEC
HgECF4AACgkQGQO7ZRDfgWbTgQEAm7OyNGxEAx/0k5licHWYT+k1scZzd+P6H2vH
uq3zVyoA/RKLri+xwjuAmz+KQmeUk8ITOct8Bv+T7pSxTrkQtDYGuDgEawjLQBIK
KwYBBAGXVQEFAQEHQFCmEG6Zc7ii8l4VhacarMXYAv+TZPVgVPYvHPfZLWJpAwEI
B4h4BBgWCAAgFiEEKHD0k03Gxs9lWKPjGQO7ZRDfgWYFAmsIy0ACGwwACgkQGQO7
ZRDfgWY67AEA10eK/bh5XC6ell/9/fX93UcAgVpR7qnkBBqXHZphZ6oBALyP/Rho
DH1wp9jvoOXn0pmBMt+SWJ4y3Fsxicpw5+YO
=SeIZ
-----END PGP PUBLIC KEY BLOCK-----
"""
GNUPG_FINGERPRINT = "2870F4934DC6C6CF6558A3E31903BB6510DF8166"


def test_what_a_key_says_of_itself() -> None:
    [found] = read_keys(pgp.key(CAROL, "no address", "other@partner.test", lifetime=86400))
    assert found.fingerprint == pgp.fingerprint()
    assert found.subkeys == (pgp.fingerprint(101),)
    assert found.user_ids == (CAROL, "no address", "other@partner.test")
    assert found.addresses == ("carol@partner.test", "other@partner.test")
    assert (found.kind, found.bits, found.created) == ("RSA", 2048, 1_700_000_000)
    assert found.expires == 1_700_086_400
    assert not found.revoked
    number = found.fingerprint[-16:]
    assert {f"0x{found.fingerprint}", f"0x{number}", f"0x{number[-8:]}", f"0x{found.subkeys[0]}"} <= set(found.names)


def test_a_key_of_gnupg() -> None:
    [found] = read_keys(GNUPG.encode())
    assert found.fingerprint == GNUPG_FINGERPRINT
    assert found.addresses == ("erna@partner.test",)
    assert (found.kind, len(found.subkeys)) == ("EdDSA", 1)
    assert found.expires is not None and found.expires - found.created == 2 * 365 * 86400


def test_armor_goes_round() -> None:
    key = pgp.key(CAROL)
    text = to_armor(key)
    assert read_keys(b"words before\n" + text + b"\nand behind")[0].key == key
    # CRC-24 of nothing and of "123456789", as everybody computes it
    assert b"\n=twTO\n" in to_armor(b"")
    assert b"\n=" + base64.b64encode(bytes.fromhex("21cf02")) + b"\n" in to_armor(b"123456789")


def test_several_keys_in_a_file() -> None:
    assert len(read_keys(pgp.key(CAROL) + pgp.key("a@b.test", seed=2))) == 2
    assert len(read_keys(to_armor(pgp.key(CAROL)) + to_armor(pgp.key("a@b.test", seed=2)))) == 2


def test_revoked_and_for_ever() -> None:
    [found] = read_keys(pgp.key(CAROL, revoked=True))
    assert found.revoked
    assert found.expires is None


def test_later_versions_have_their_number_in_front() -> None:
    assert key_id("AB" * 20) == "AB" * 8
    assert key_id("00112233445566778899" + "AB" * 22) == "0011223344556677"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", pgp.packet(13, b"a@b.test"), pgp.packet(5, b"\x04secret"),
        pgp.key(CAROL) + pgp.packet(7, b"\x04"), pgp.key(CAROL)[:-1], b"\x99",
        pgp.packet(6, b"\x03123456"), b"\xc6\xe1abc",
        bytes(2 << 20),
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END PGP PUBLIC KEY BLOCK-----",
    ],
)  # fmt: skip
def test_what_is_no_public_key(content: bytes) -> None:
    with pytest.raises(BadKey):
        read_keys(content)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 600))
def test_any_bytes_are_a_key_or_none(junk: bytes, at: int) -> None:
    key = pgp.key(CAROL)
    for content in (junk, key[:at] + junk + key[at:]):
        try:
            read_keys(content)
        except BadKey:
            continue
