from __future__ import annotations

import base64
import hmac

import attrs
import pytest

from securegw.crypto import seal
from securegw.crypto.carrier import Packed, Sealing, check, pack, unpack
from securegw.mail.errors import BrokenCarrier, SealBroken

PRIVATE, PUBLIC = seal.generate()
MAC_KEY = b"m" * 32
SEALING = Sealing("letters.test", "account1", "letter1", PUBLIC, MAC_KEY)
HOSTS = ["letters.test", "old.test"]
TEXT = pack(SEALING, b"Subject: x\r\n\r\nthe letter")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_there_and_back() -> None:
    packed = check(MAC_KEY, HOSTS, TEXT)
    assert (packed.host, packed.account, packed.letter, packed.length) == ("letters.test", "account1", "letter1", 24)
    assert unpack(packed, PRIVATE) == b"Subject: x\r\n\r\nthe letter"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 100_000])
def test_any_size(size: int) -> None:
    letter = bytes(size)
    assert unpack(check(MAC_KEY, HOSTS, pack(SEALING, letter)), PRIVATE) == letter


def test_the_text_is_base64url_and_says_nothing() -> None:
    assert set(TEXT) <= set(LETTERS)
    assert b"the letter" not in base64.urlsafe_b64decode(TEXT + "==")


def test_folded_text_is_read() -> None:
    folded = "\r\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76))
    assert check(MAC_KEY, HOSTS, f" {folded}\r\n") == check(MAC_KEY, HOSTS, TEXT)


def test_every_single_changed_byte_is_refused() -> None:
    for at, letter in enumerate(TEXT):
        index = LETTERS.index(letter)
        # The neighbours differ in the lowest bit, the opposite in the highest; the rest is no letter at all.
        for other in (LETTERS[index ^ 1], LETTERS[index ^ 32], "+", "=", " ", "\xe9", ""):
            with pytest.raises(BrokenCarrier):
                check(MAC_KEY, HOSTS, TEXT[:at] + other + TEXT[at + 1 :])


def test_every_truncation_and_every_addition_is_refused() -> None:
    for at in range(len(TEXT)):
        with pytest.raises(BrokenCarrier):
            check(MAC_KEY, HOSTS, TEXT[:at])
    for more in ("A", "AA", "AAAA", "=", "==", TEXT):
        with pytest.raises(BrokenCarrier):
            check(MAC_KEY, HOSTS, TEXT + more)


def test_another_gateway_and_another_host_are_refused() -> None:
    with pytest.raises(BrokenCarrier):
        check(b"n" * 32, HOSTS, TEXT)
    with pytest.raises(BrokenCarrier):
        check(MAC_KEY, ["other.test"], TEXT)
    assert check(MAC_KEY, HOSTS, pack(attrs.evolve(SEALING, host="old.test"), b"")).host == "old.test"


def test_the_key_of_another_account_opens_nothing() -> None:
    with pytest.raises(SealBroken):
        unpack(check(MAC_KEY, HOSTS, TEXT), seal.generate()[0])


@pytest.mark.parametrize("name", ["host", "account", "letter"])
def test_the_seal_itself_is_bound_to_host_account_and_letter(name: str) -> None:
    """Even somebody who has the MAC key cannot pass a letter off as another one."""
    packed = check(MAC_KEY, HOSTS, TEXT)
    with pytest.raises(SealBroken):
        unpack(attrs.evolve(packed, **{name: "other"}), PRIVATE)


def test_a_wrong_length_is_noticed() -> None:
    packed = check(MAC_KEY, HOSTS, TEXT)
    with pytest.raises(BrokenCarrier):
        unpack(attrs.evolve(packed, length=23), PRIVATE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x02\0\x02{}",
        b"\x01\0\x02{}",
        b"\x01\xff\xff{}",
        b"\x01\0\x02[]",
        b"\x01\0\x04null",
        b'\x01\0\x33{"host":"letters.test","account":1,"letter":"","length":0}',
    ],
)
def test_even_under_a_good_mac_the_form_is_checked(body: bytes) -> None:
    whole = body + hmac.digest(MAC_KEY, body, "sha256")
    with pytest.raises(BrokenCarrier):
        check(MAC_KEY, HOSTS, base64.urlsafe_b64encode(whole).decode().rstrip("="))


@pytest.mark.parametrize("text", ["", "A", "!!!!", "\0" * 100, "gAN9cQAu", "-" * 10_000, "\u2028", "é"])
def test_garbage(text: str) -> None:
    with pytest.raises(BrokenCarrier):
        check(MAC_KEY, HOSTS, text)


def test_what_is_packed_is_not_shown() -> None:
    shown = repr(check(MAC_KEY, HOSTS, TEXT)) + repr(SEALING)
    assert "sealed" not in shown and "mac_key" not in shown
    assert isinstance(check(MAC_KEY, HOSTS, TEXT), Packed)
