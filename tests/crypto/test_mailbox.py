"""A mail sealed for a mailbox: in parts that open alone, and nowhere else than where they belong."""

from __future__ import annotations

import os
from itertools import permutations

import attrs
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from securegw.crypto import seal
from securegw.crypto.ladder import Ladder
from securegw.crypto.mailbox import Label, MailboxKey, SealedMail, seal_mail
from securegw.crypto.seal import PART
from securegw.mail.errors import SealBroken

PRIVATE, PUBLIC = seal.generate()
BOX, MAIL = "a" * 32, "b" * 32
KEY = MailboxKey(PRIVATE, BOX)
LADDER = Ladder(PUBLIC, BOX)


def sealed_mail(raw: bytes, part: int = PART) -> SealedMail:
    global LADDER
    if LADDER.is_climbed:
        LADDER = Ladder(PUBLIC, BOX)
    return seal_mail(LADDER.step(), BOX, MAIL, raw, part)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 64))
def test_what_is_sealed_comes_back_part_by_part(raw: bytes, part: int) -> None:
    sealed = sealed_mail(raw, part)
    key = KEY.open_key(sealed.label, sealed.key)
    texts = [key.open_part(number, each) for number, each in enumerate(sealed.parts)]
    assert b"".join(texts) == raw
    assert all(len(text) <= part for text in texts)
    assert len(sealed.parts) == sealed.label.parts == max(1, -(-len(raw) // part))


def test_parts_have_a_quarter_of_a_megabyte() -> None:
    sealed = sealed_mail(bytes(PART * 2 + 1))
    assert [len(part) for part in sealed.parts] == [PART + 16, PART + 16, 17]


def test_nothing_of_the_mail_is_in_what_is_kept() -> None:
    raw = b"marker-of-a-mail " * 1000
    sealed = sealed_mail(raw)
    assert b"marker" not in b"".join((sealed.key, *sealed.parts))


def test_the_same_mail_twice_is_two_texts() -> None:
    one, two = (sealed_mail(b"mail") for _ in range(2))
    assert one.parts != two.parts and one.key != two.key


def test_parts_cannot_be_swapped_or_changed() -> None:
    sealed = sealed_mail(os.urandom(48), 16)
    key = KEY.open_key(sealed.label, sealed.key)
    for one, other in permutations(range(3), 2):
        with pytest.raises(SealBroken):
            key.open_part(one, sealed.parts[other])
    with pytest.raises(SealBroken):
        key.open_part(0, sealed.parts[0][:-1] + bytes([sealed.parts[0][-1] ^ 1]))
    for number in (-1, 3):
        with pytest.raises(SealBroken):
            key.open_part(number, sealed.parts[0])


@pytest.mark.parametrize("change", [{"mailbox": "c" * 32}, {"mail": "c" * 32}, {"parts": 2}, {"size": 47}], ids=str)
def test_a_key_is_bound_to_its_mail(change: dict[str, object]) -> None:
    sealed = sealed_mail(bytes(48), 16)
    with pytest.raises(SealBroken):
        KEY.open_key(attrs.evolve(sealed.label, **change), sealed.key).open_part(0, sealed.parts[0])


def test_a_mail_whose_key_was_sealed_for_it_alone_is_opened() -> None:
    """As they were kept before there were ladders."""
    label, key = Label(BOX, MAIL, 1, 4), os.urandom(32)
    alone = seal.seal(PUBLIC, label.bound(), key)
    part = AESGCM(key).encrypt(bytes(12), b"mail", label.bound())
    assert KEY.open_key(label, alone).open_part(0, part) == b"mail"
    with pytest.raises(SealBroken):
        KEY.open_key(attrs.evolve(label, mail="c" * 32), alone)


def test_parts_of_two_mails_cannot_be_mixed() -> None:
    one, two = sealed_mail(b"one"), sealed_mail(b"two")
    with pytest.raises(SealBroken):
        KEY.open_key(one.label, one.key).open_part(0, two.parts[0])


def test_only_the_mailbox_opens_it() -> None:
    sealed = sealed_mail(b"mail")
    with pytest.raises(SealBroken):
        MailboxKey(seal.generate()[0], BOX).open_key(sealed.label, sealed.key)
    with pytest.raises(SealBroken):
        KEY.open_key(sealed.label, sealed.key[:40])


def test_a_key_is_in_no_repr() -> None:
    sealed = sealed_mail(b"mail")
    key = KEY.open_key(sealed.label, sealed.key)
    assert repr(key.secret) not in repr(key)
    assert repr(key) == f"MailKey(label={Label(BOX, MAIL, 1, 4)!r})"
