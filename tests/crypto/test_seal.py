from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.crypto.seal import MasterKey, generate, load_master_key, open_sealed, seal
from securegw.mail.errors import BadKey, SealBroken

PRIVATE, PUBLIC = generate()
MASTER = MasterKey(bytes(range(32)))


def test_only_the_private_half_opens() -> None:
    sealed = seal(PUBLIC, b"info", b"letter")
    assert b"letter" not in sealed
    assert open_sealed(PRIVATE, b"info", sealed) == b"letter"
    with pytest.raises(SealBroken):
        open_sealed(generate()[0], b"info", sealed)
    with pytest.raises(SealBroken):
        open_sealed(PRIVATE, b"other", sealed)


def test_every_changed_byte_is_noticed() -> None:
    sealed = seal(PUBLIC, b"", b"letter")
    for at in range(0, len(sealed), 7):
        with pytest.raises(SealBroken):
            open_sealed(PRIVATE, b"", sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
    for cut in (0, 1, 1119, 1120, len(sealed) - 1):
        with pytest.raises(SealBroken):
            open_sealed(PRIVATE, b"", sealed[:cut])


@pytest.mark.parametrize("private", [b"", PRIVATE[:-1], PRIVATE + b"x"], ids=["none", "short", "long"])
def test_a_private_key_of_another_length_is_refused(private: bytes) -> None:
    with pytest.raises(BadKey):
        open_sealed(private, b"", b"x" * 2000)


@pytest.mark.parametrize("public", [b"", PUBLIC[:-1], PUBLIC + b"x"], ids=["none", "short", "long"])
def test_a_public_key_of_another_length_is_refused(public: bytes) -> None:
    with pytest.raises(BadKey):
        seal(public, b"", b"x")


@given(st.binary(max_size=300))
def test_the_master_key_gives_back_what_it_sealed(plain: bytes) -> None:
    assert MASTER.open("body", "1", MASTER.seal("body", "1", plain)) == plain


def test_a_sealed_text_is_bound_to_its_purpose_and_place() -> None:
    sealed = MASTER.seal("body", "1", b"plain")
    wrong = [("body", "2"), ("key", "1"), ("bod", "y1"), ("body1", "")]
    for purpose, binding in wrong:
        with pytest.raises(SealBroken):
            MASTER.open(purpose, binding, sealed)
    with pytest.raises(SealBroken):
        MasterKey(bytes(32)).open("body", "1", sealed)


def test_every_byte_of_a_sealed_text_counts() -> None:
    sealed = MASTER.seal("body", "1", b"plain")
    for at in range(len(sealed)):
        with pytest.raises(SealBroken):
            MASTER.open("body", "1", sealed[:at] + bytes([sealed[at] ^ 0x80]) + sealed[at + 1 :])
        with pytest.raises(SealBroken):
            MASTER.open("body", "1", sealed[:at])


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 35])
def test_parts_come_back_in_order(size: int) -> None:
    raw = bytes(range(size))
    parts = MASTER.seal_parts("body", "1", raw, part=10)
    assert len(parts) == max(1, -(-size // 10))
    assert MASTER.open_parts("body", "1", parts) == raw


def test_parts_cannot_be_dropped_doubled_swapped_or_mixed() -> None:
    one = MASTER.seal_parts("body", "1", b"0123456789" * 3, part=10)
    two = MASTER.seal_parts("body", "2", b"0123456789" * 3, part=10)
    for forged in ([], one[:2], one[1:], [one[1], one[0], one[2]], [*one, one[2]], [one[0], two[1], one[2]]):
        with pytest.raises(SealBroken):
            MASTER.open_parts("body", "1", forged)


def flow(binding: str, *plain: bytes) -> list[bytes]:
    sealing = MASTER.flow("body", binding)
    parts = [sealing.next(each, last=number == len(plain)) for number, each in enumerate(plain, 1)]
    return [sealing.top(b"Top: 1\r\n"), *parts]


def test_what_is_sealed_while_it_comes_comes_back() -> None:
    parts = flow("1", b"first ", b"second ", b"last")
    assert MASTER.open_parts("body", "1", parts) == b"Top: 1\r\nfirst second last"
    assert list(MASTER.open_each("body", "1", flow("1", b""))) == [b"Top: 1\r\n", b""]


def test_what_is_sealed_while_it_comes_cannot_be_cut_doubled_swapped_or_mixed() -> None:
    one, two = flow("1", b"a", b"b", b"c"), flow("2", b"a", b"b", b"c")
    counted = MASTER.seal_parts("body", "1", b"abc", part=1)
    for forged in (
        one[:1],
        one[:3],
        one[1:],
        [*one[:2], one[3]],
        [one[0], one[2], one[1], one[3]],
        [*one, one[3]],
        [two[0], *one[1:]],
        [*one[:2], two[2], one[3]],
        [one[0], *counted],
        [*counted, *one],
    ):
        with pytest.raises(SealBroken):
            MASTER.open_parts("body", "1", forged)


def test_derived_keys_differ_and_last() -> None:
    assert MASTER.derive("carrier") == MASTER.derive("carrier") != MASTER.derive("name")
    assert len(MASTER.derive("carrier")) == 32
    assert MASTER.name != MasterKey(bytes(32)).name


def test_the_secret_is_not_shown() -> None:
    assert repr(MASTER) == "MasterKey()"


def test_master_key_text_goes_round_and_notices_slips() -> None:
    text = MasterKey.new_text()
    key = MasterKey.from_text(text + "\n")
    assert len(key.secret) == 32
    at = len("securegw-master-1:") + 5
    slip = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    for wrong in (slip, text[:-4], "", "secret", text.replace("securegw", "other"), text + "é"):
        with pytest.raises(BadKey):
            MasterKey.from_text(wrong)


def test_the_master_key_file_must_be_private(tmp_path) -> None:
    path = tmp_path / "key"
    path.write_text(MasterKey.new_text())
    path.chmod(0o640)
    with pytest.raises(BadKey, match="0600"):
        load_master_key(path, {})
    path.chmod(0o600)
    assert load_master_key(path, {}) == MasterKey.from_text(path.read_text())


def test_where_the_master_key_is_looked_for(tmp_path) -> None:
    credential, variable = MasterKey.new_text(), MasterKey.new_text()
    (tmp_path / "securegw-master-key").write_text(credential)
    both = {"CREDENTIALS_DIRECTORY": str(tmp_path), "SECUREGW_MASTER_KEY": variable}
    assert load_master_key(None, both) == MasterKey.from_text(credential)
    assert load_master_key(None, {"SECUREGW_MASTER_KEY": variable}) == MasterKey.from_text(variable)
    with pytest.raises(BadKey, match="no master key"):
        load_master_key(None, {})
    with pytest.raises(BadKey, match="cannot be read"):
        load_master_key(tmp_path / "absent", both)
