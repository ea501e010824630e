"""Addresses from anywhere: never a crash, never two meanings."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from securegw.mail.address import author, header_mailboxes, parse_path
from securegw.mail.errors import BadAddress
from securegw.mail.message import read
from securegw.mail.words import decode_words, encode_words

PIECES = st.sampled_from(
    ["alice", "@", "corp.test", "evil.test", "<", ">", '"', "\\", "(", ")", ",", ";", ":", " ", "\t", ".", "[1.2.3.4]",
     "=?utf-8?q?a=40b?=", "=?utf-8?b?YUBi?=", "ä", "\0", "\r\n ", "alice@corp.test", "<alice@corp.test>"]
)  # fmt: skip
LIKELY = st.lists(PIECES, max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(LIKELY | st.text(max_size=80), st.booleans())
def test_what_is_read_reads_the_same_again(text: str, utf8: bool) -> None:
    with contextlib.suppress(BadAddress):
        address = parse_path(text, utf8=utf8)
        assert parse_path(str(address), utf8=utf8) == address
        assert parse_path(address.key, utf8=utf8).key == address.key
        assert not {"\r", "\n", "\0"} & set(str(address))


@settings(max_examples=300, deadline=None)
@given(LIKELY | st.text(max_size=80))
def test_header_fields_never_crash_and_the_author_is_plain_to_see(value: str) -> None:
    raw = value.encode("utf-8", "replace")
    with contextlib.suppress(BadAddress):
        header_mailboxes(raw)
    writer = author(read(b"From: " + raw + b"\r\nTo: x@y.test\r\n\r\n"))
    if writer is not None:
        assert str(writer).lower() in value.lower()
        assert len({word for word in ("corp.test", "evil.test") if f"@{word}" in decode_words(value)}) <= 1


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_words_never_crash_and_come_back(text: str) -> None:
    decode_words(text)
    value = encode_words(text)
    assert value.isascii()
    assert all(len(line) <= 76 for line in value.split("\r\n"))
    kept = text.encode("utf-8", "replace").decode()
    if kept.isprintable():
        assert decode_words(value.replace("\r\n ", " ")) == kept.strip()
