from __future__ import annotations

import pytest
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import Type, verify_secret

from securegw.crypto.passwords import (
    CODE_LETTERS,
    HASH,
    Cost,
    check_password,
    check_strength,
    fold_code,
    hash_of_nobody,
    hash_password,
    new_code,
    unwrap,
    wrap,
    wrapped_of_nobody,
)
from securegw.mail.errors import SealBroken, WeakPassword, WrongPassword

QUICK = Cost(memory=64, time=1, lanes=1)
ANN = "ann.keller@example.org"


def test_the_password_opens_and_no_other() -> None:
    wrapped = wrap("a long enough password", b"secret", QUICK)
    assert b"secret" not in wrapped
    assert unwrap("a long enough password", wrapped) == b"secret"
    for wrong in ("a long enough passworD", "", " a long enough password", "a long enough password" + "x" * 10_000):
        with pytest.raises(WrongPassword):
            unwrap(wrong, wrapped)


def test_the_same_words_from_two_keyboards_are_the_same_password() -> None:
    wrapped = wrap("gr\u00fc\u00dfe aus \u00a0bern", b"secret", QUICK)
    assert unwrap("gru\u0308\u00dfe aus \u3000bern", wrapped) == b"secret"


@pytest.mark.parametrize("password", ["'; id #", "$(id)", "a\nb", "-", "\0", "\ud800", "x" * 256])
def test_no_password_is_special(password: str) -> None:
    assert unwrap(password, wrap(password, b"secret", QUICK)) == b"secret"


@pytest.mark.parametrize("password", ["", "x" * 257])
def test_empty_and_endless_passwords_are_not_set(password: str) -> None:
    with pytest.raises(WeakPassword):
        wrap(password, b"secret", QUICK)


def test_nobody_has_a_password_that_opens_and_trying_one_costs_the_same() -> None:
    wrapped, real = wrapped_of_nobody(6, QUICK), wrap("pass", b"secret", QUICK)
    assert (len(wrapped), wrapped[:7]) == (len(real), real[:7])  # version and cost
    with pytest.raises(WrongPassword):  # not SealBroken: it was weighed
        unwrap("pass", wrapped)


def test_nobody_has_a_hash_and_it_is_weighed_as_any_other() -> None:
    nobody, real = hash_of_nobody(QUICK), hash_password("pass", QUICK)
    assert HASH.fullmatch(nobody)
    assert (len(nobody), nobody.split("$")[:4]) == (len(real), real.split("$")[:4])
    assert check_password("pass", real) and not check_password("pass", nobody)
    with pytest.raises(VerifyMismatchError):  # not refused for its form
        verify_secret(nobody.encode(), b"pass", Type.ID)


def test_every_byte_of_the_wrapping_counts() -> None:
    wrapped = wrap("pass", b"secret", QUICK)
    for at in range(len(wrapped)):
        # The top bits of the cost would only make this test slow: they are refused below.
        changed = wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
        with pytest.raises((WrongPassword, SealBroken)):
            unwrap("pass", changed)
        with pytest.raises((WrongPassword, SealBroken)):
            unwrap("pass", wrapped[:at])


def test_a_monstrous_cost_is_refused_before_it_is_paid() -> None:
    wrapped = wrap("pass", b"secret", QUICK)
    for forged in (
        wrapped[:1] + b"\xff\xff\xff\xff" + wrapped[5:],
        wrapped[:5] + b"\xff" + wrapped[6:],
        wrapped[:6] + b"\0" + wrapped[7:],
    ):
        with pytest.raises(SealBroken):
            unwrap("pass", forged)


def test_codes_are_readable_and_differ() -> None:
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    for code in codes:
        assert [len(group) for group in code.split("-")] == [4, 4, 2]
        assert set(code) <= set(CODE_LETTERS) | {"-"}
    assert not set("0O1ILU") & set(CODE_LETTERS)


@pytest.mark.parametrize("typed", ["k7q4m2xb9t", " K7Q4 M2XB 9T ", "k7q4\u2011m2xb\u20139t", "K7Q4-M2XB-9T\r\n"])
def test_a_code_is_read_however_it_is_typed(typed: str) -> None:
    assert fold_code(typed) == "K7Q4M2XB9T"


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("fourteen chars", "short"),
        ("x" * 257, "long"),
        ("four words with a\ttab", "control"),
        ("aaaaaaaaaaaaaaaaaaaa", "simple"),
        ("               ", "simple"),
        ("passwordpassword", "known"),
        ("P@ssw0rdP@ssw0rd", "known"),
        ("123456789012345", "known"),
        ("abcdefghijklmnop", "known"),
        ("qwertzuiopasdfghjkl", "known"),
        ("ann.keller@example.org", "address"),
        ("AnnKellerExample1", "address"),
        ("four words are good here", None),
        ("vier W\u00f6rter sind gut", None),
        ("kx93 pq27 ab54 mn", None),
    ],
)
def test_strength(password: str, problem: str | None) -> None:
    assert check_strength(password, ANN) == problem
