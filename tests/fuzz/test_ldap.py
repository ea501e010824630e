"""LDAP under any input, cut anywhere: no exception, bounded, and the same conversation."""

from __future__ import annotations

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from securegw.servers.ldap_ber import LARGEST, Broken, Frames, TooDeep, check
from securegw.servers.ldap_quick import cut
from tests.fuzz.atheris_ldap import ADDRESS, SEEDS, changed, dialogue, talk
from tests.support import ldap_client as client

PIECES = st.lists(st.one_of(st.sampled_from(SEEDS), st.binary(max_size=40)), max_size=5).map(b"".join)
CHANGED = st.integers(0, 2**32).map(lambda seed: changed(random.Random(seed))[1:])
DATA = st.one_of(PIECES, CHANGED)


QUESTIONS = [seed for seed in SEEDS if client.read_tag(seed) in (0x63, 0x6E, 0x66)]


@settings(max_examples=200, deadline=None)
@given(DATA, st.integers(1, 50))
def test_any_bytes_cut_anywhere(data: bytes, size: int) -> None:
    talk(data, size)
    talk(data, len(data) or 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(QUESTIONS), max_size=6), st.integers(1, 80))
def test_questions_cut_anywhere_are_answered_alike(questions: list[bytes], size: int) -> None:
    """What was asked is answered in any cut; only the order may differ, as what is prepared comes first."""
    asked = b"".join(with_number(question, number) for number, question in enumerate(questions, 1))
    whole, pieces = talk(asked, len(asked) or 1), talk(asked, size)
    assert sorted(client.read(whole[0]), key=repr) == sorted(client.read(pieces[0]), key=repr)
    assert not whole[1] and not pieces[1]


def with_number(question: bytes, number: int) -> bytes:
    [(_, body)] = client.elements(question)
    (_, _), *rest = client.elements(body)
    return client.tlv(0x30, client.integer(number), *(client.tlv(tag, content) for tag, content in rest))


@settings(max_examples=300, deadline=None)
@given(DATA)
def test_frames_hold_no_more_than_one_message(data: bytes) -> None:
    frames = Frames()
    try:
        found = frames.feed(data)
    except Broken:
        return
    assert data.startswith(b"".join(found))
    assert all(len(message) <= LARGEST for message in found)
    assert frames.waiting == (len(b"".join(found)) < len(data))


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=200), CHANGED))
@example(b"\x30\x80")
@example(b"\x30\x02\x30\x00")
def test_the_inside_is_sound_or_broken(data: bytes) -> None:
    try:
        check(data)
    except (Broken, TooDeep):
        return
    list(client.elements(data))  # a second reader finds the same lengths


@settings(max_examples=500, deadline=None)
@given(CHANGED)
def test_what_is_answered_from_its_bytes_would_be_answered_so_the_long_way(data: bytes) -> None:
    """A changed request is either cut like the true one, with an address that is really in it, or not at all."""
    one = dialogue()
    seed = client.search(f"(mail={ADDRESS})", wanted=["userCertificate;binary"], number=300)
    one.receive(seed)
    try:
        messages = Frames().feed(data)
    except Broken:
        return
    for message in messages:
        quick = one._quick.answer(message, 0.0)
        if quick is not None:
            check(message)
            parts = cut(message)
            assert parts is not None and parts[2].lower() in (ADDRESS.encode(), b"no@partner.test")
            assert client.read(quick)[-1].number == int.from_bytes(parts[0][2:], "big")
