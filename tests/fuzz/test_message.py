"""Mails from anywhere: never a crash, never a byte lost."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securegw.mail.errors import BareLine, NotExamined
from securegw.mail.message import WireCheck, check_wire, prepend, read, with_field, without
from securegw.mail.mime import Part, bodies, parse

LINES = st.sampled_from(
    [b"From: a@b.test", b"Subject: x", b" folded", b"\t", b"", b"no field", b"X_Own: 1", b"x-own-b : 2", b":", b"--b",
     b"--b--", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: message/rfc822", b"\xff\xfe: \0",
     b"Content-Type: multipart/digest; boundary=c", b"--c", b"Content-Transfer-Encoding: base64", b"=", b"\r"]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b""])
LIKELY = st.lists(st.tuples(LINES, ENDS), max_size=25).map(lambda found: b"".join(a + b for a, b in found))
MAILS = LIKELY | st.binary(max_size=200)

PIECES = st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\r", b"\n", b"a", b".", b"\0"]), max_size=5).map(b"".join)
LONE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")


def is_bad(check: WireCheck) -> bool:
    try:
        check.end()
    except BareLine:
        return True
    return False


@settings(max_examples=1000, deadline=None)
@given(st.lists(PIECES, max_size=6))
def test_a_text_in_pieces_is_judged_like_the_whole(pieces: list[bytes]) -> None:
    whole, check = b"".join(pieces), WireCheck()
    for piece in pieces:
        check.add(piece)
    assert is_bad(check) == bool(LONE.search(whole))
    with contextlib.nullcontext() if not LONE.search(whole) else pytest.raises(BareLine):
        check_wire(whole)


@settings(max_examples=400, deadline=None)
@given(MAILS)
def test_fields_and_body_join_to_the_whole(raw: bytes) -> None:
    message = read(raw)
    between = raw[message.header_end : message.body_at]
    assert between in (b"", b"\n", b"\r\n")
    assert b"".join(field.raw for field in message.fields) + between + message.body == raw
    assert without(message, ["none-of-these"]) == raw


@settings(max_examples=300, deadline=None)
@given(MAILS)
def test_what_is_cut_out_is_gone_and_the_rest_stays(raw: bytes) -> None:
    message = read(raw)
    kept = without(message, ["x-own*", "from"])
    assert len(kept) == len(raw) - sum(len(field.raw) for field in message.fields) + sum(
        len(field.raw) for field in message.fields if not is_cut(field.name)
    )
    assert kept.endswith(message.body)


def is_cut(name: bytes) -> bool:
    return name.lower() == b"from" or name.lower().replace(b"_", b"-").startswith(b"x-own")


@settings(max_examples=300, deadline=None)
@given(MAILS)
def test_fields_are_added_to_the_header_only(raw: bytes) -> None:
    before = read(raw)
    on_top = read(prepend(raw, b"Trace: 1\r\n"))
    assert on_top.fields[0].raw == b"Trace: 1\r\n"
    assert on_top.body == before.body
    changed = read(with_field(before, "Subject", "new"))
    assert changed.first("subject") == "new"
    assert changed.body == before.body
    assert len(changed.fields) == max(len(before.fields), 1) + (before.count("subject") == 0 and before.fields != ())


@settings(max_examples=300, deadline=None)
@given(MAILS)
def test_parts_never_crash_and_lie_inside_each_other(raw: bytes) -> None:
    with contextlib.suppress(NotExamined):
        root = parse(raw)
        assert_inside(root)
        found = bodies(root)
        assert found.text or found.html or found.attachments


def assert_inside(part: Part) -> None:
    part.content()
    part.text()
    at = part.body_at
    for child in part.children:
        assert at <= child.start <= child.body_at <= child.end <= part.end
        at = child.end
        assert_inside(child)
