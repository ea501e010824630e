"""Threats 5.3: addresses and headers that two readers understand differently, and those that cost one of them dearly.

What each parser does with its own odd input is tested beside it; here stand the numbered threats, each by its name.
"""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import time
import tracemalloc

import pytest

from securegw.mail.address import Address, author, header_mailboxes, parse_path
from securegw.mail.errors import BadAddress, HeaderTooLarge, MailError
from securegw.mail.message import read, without
from securegw.mail.mime import content_type, parse
from securegw.mail.words import decode_words

ALICE = Address("alice", "corp.test")
SECONDS = 2.0


def written(header: str | bytes) -> bytes:
    raw = header if isinstance(header, bytes) else header.encode()
    return raw + b"\r\nTo: x@y.test\r\n\r\nbody\r\n"


# --- 20: who wrote it ----------------------------------------------------------------------------------------------

AMBIGUOUS = {
    "two From fields": "From: alice@corp.test\r\nFrom: eve@evil.test",
    "two addresses": "From: alice@corp.test, eve@evil.test",
    "two addresses and a Sender": "From: alice@corp.test, eve@evil.test\r\nSender: alice@corp.test",
    "a group": "From: All: alice@corp.test;",
    "a comment between": "From: alice@corp.test (x) <eve@evil.test>",
    "a name that is an address": 'From: "alice@corp.test" <eve@evil.test>',
    "a bare name that is an address": "From: alice@corp.test <eve@evil.test>",
    "a word with an angle bracket": "From: =?utf-8?q?alice=40corp=2Etest_=3C?= <eve@evil.test>",
    "a word with a comma": "From: =?utf-8?q?alice=40corp=2Etest=2C?= <eve@evil.test>",
    "a word with an at sign": "From: =?utf-8?b?YWxpY2VAY29ycC50ZXN0?= <eve@evil.test>",
    "a space before the colon": "From : alice@corp.test",
    "a tab before the colon": "From\t: alice@corp.test",
    "folded after the colon, with an empty line": "From:\r\n \r\n alice@corp.test",
    "8 bits that are no text": b"From: \xe4 <alice@corp.test>",
    "UTF-7": "From: +AGUAdgBlAEAAZQB2AGkAbA-@corp.test <alice@corp.test>",
    "NUL": b"From: A\0 <alice@corp.test>",
    "no space after the comma": "From: alice@corp.test,eve@evil.test",
    "two in brackets": "From: <alice@corp.test><eve@evil.test>",
    "a quoted local part": 'From: "alice@corp.test "@evil.test',
    "a source route": "From: <@evil.test:alice@corp.test>",
    "text behind": "From: <alice@corp.test> eve@evil.test",
    "no From": "Subject: x",
    "an empty From": "From:",
    "a line that is no field": "From: alice@corp.test\r\nthis is no field\r\nFrom: eve@evil.test",
    "ten thousand addresses": "From: " + ",\r\n ".join(f"a{n}@corp.test" for n in range(10_000)),
}


@pytest.mark.parametrize("header", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_threat_5_3_20_where_readers_could_differ_nobody_wrote_it(header: str | bytes) -> None:
    assert author(read(written(header))) is None


@pytest.mark.parametrize(
    "header",
    [
        "From: alice@corp.test",
        "From:\r\n alice@corp.test",
        "from: Alice <alice@CORP.test>",
        "From: Alice <alice@corp.test>\r\nSender: eve@evil.test\r\nReply-To: eve@evil.test",
        'From: "Alice <the boss>" <alice@corp.test>',
    ],
)
def test_threat_5_3_20_one_plain_author_is_the_author(header: str) -> None:
    assert author(read(written(header))) == ALICE


PIECES = (
    "alice@corp.test", "<alice@corp.test>", "eve@evil.test", "<eve@evil.test>", "Alice", '"Eve, <eve@evil.test>"',
    "(eve@evil.test)", ",", ";", ":", '"', "(", ")", "<", ">", "=?utf-8?q?eve=40evil.test?=", "@", "\\",
)  # fmt: skip


def test_threat_5_3_20_whom_we_name_a_loose_reader_names_too() -> None:
    """All fields of up to three pieces, read by the library of Python."""
    named = 0
    for words in itertools.chain.from_iterable(itertools.product(PIECES, repeat=count) for count in (1, 2, 3)):
        value = " ".join(words)
        ours = author(read(written(f"From: {value}")))
        if ours is not None:
            named += 1
            theirs = {address for _, address in email.utils.getaddresses([value]) if "@" in address}
            assert theirs == {str(ours)}, value
    assert named > 10


@pytest.mark.parametrize(
    "path",
    [
        "@r.test:v@x.test", "alice@corp.test.", " alice@corp.test", "alice@corp.test\0", "a" * 65 + "@x.test",
        "alice@" + "b." * 130 + "test", "alice@corp.test\r\nRCPT TO:<eve@evil.test>", "", "a@" + "x" * 5000,
        "\u0430lice@corp.test", "alice@c\u043erp.test",
    ],
)  # fmt: skip
def test_threat_5_1_8_a_path_is_read_strictly_or_refused(path: str) -> None:
    with pytest.raises(BadAddress):
        parse_path(path)


@pytest.mark.parametrize("path", ["v%x@gw.test", "x!v@gw.test", '"v@x.test"@gw.test'])
def test_threat_5_1_8_old_ways_of_relaying_are_letters_like_others(path: str) -> None:
    """Who is meant is somebody at gw.test, and nobody else's mail server will ever be asked."""
    assert parse_path(path).domain == "gw.test"


# --- 21: linear time ----------------------------------------------------------------------------------------------

COSTLY = {
    "nested comments": "(" * 100_000,
    "nested comments that end": "(" * 50_000 + ")" * 50_000,
    "quotes": '"' * 100_000,
    "backslashes in quotes": '"' + "\\" * 100_001,
    "encoded words": "=?utf-8?q?x?= " * 15_000,
    "beginnings of encoded words": "=?" * 100_000,
    "brackets": "<" * 100_000,
    "an unknown charset": "=?x-none?q?x?= " * 15_000,
}


@pytest.mark.parametrize("value", COSTLY.values(), ids=COSTLY)
def test_threat_5_3_21_every_reader_of_a_field_takes_linear_time(value: str) -> None:
    began = time.process_time()
    message = read(written(f"From: {value}"))
    author(message)
    decode_words(value)
    content_type(value)
    with contextlib.suppress(BadAddress):
        header_mailboxes(value.encode())
    with contextlib.suppress(BadAddress):
        parse_path(value)
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "piece", ["; name*{n}*=x", "; name*{n}=x", "; name*0*=utf-8''x", '; name="{n}', "; name*{n}*=%41", ";" * 30]
)
def test_threat_5_3_21_parameters_in_ten_thousand_pieces(piece: str) -> None:
    value = "text/plain" + "".join(piece.format(n=n) for n in range(10_000))
    began = time.process_time()
    kind, _ = content_type(value)
    with contextlib.suppress(MailError):
        parse(f"Content-Type: {value}\r\nContent-Disposition: attachment; file{value}\r\n\r\nx".encode())
    assert kind.startswith("text/") or kind == "application/octet-stream"
    assert time.process_time() - began < SECONDS


# --- 22: monstrous headers ----------------------------------------------------------------------------------------

MONSTERS = {
    "a million lines": b"a:\r\n" * 1_000_000 + b"\r\n",
    "a million folded lines": b"a: 1\r\n" + b" x\r\n" * 1_000_000 + b"\r\n",
    "one header of 10 MB": b"Subject: " + b"x" * 10_000_000 + b"\r\n\r\nbody",
    "100,000 Subjects": b"Subject: x\r\n" * 100_000 + b"\r\nbody",
}


@pytest.mark.parametrize("raw", MONSTERS.values(), ids=MONSTERS)
def test_threat_5_3_22_a_monstrous_header_is_refused_in_little_time_and_memory(raw: bytes) -> None:
    tracemalloc.start()
    try:
        began = time.process_time()
        with pytest.raises(HeaderTooLarge) as caught:
            read(raw)
        assert time.process_time() - began < SECONDS
        assert tracemalloc.get_traced_memory()[1] < 10 * len(raw)
    finally:
        tracemalloc.stop()
    assert (caught.value.code, caught.value.status) == (552, "5.3.4")


ODD = {
    "no blank line": b"Subject: x\r\nTo: y\r\n",
    "only headers": b"Subject: x\r\n\r\n",
    "nothing": b"",
    "a body that begins with a space": b"Subject: x\r\n\r\n body",
    "a header that begins with a space": b" Subject: x\r\n\r\nbody",
    "a line without a colon": b"Subject: x\r\nwhat is this\r\nTo: y\r\n\r\nbody",
    "no header at all": b"\r\nbody",
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_threat_5_3_22_odd_mail_passes_without_losing_a_byte(raw: bytes) -> None:
    message = read(raw)
    assert without(message, ["x-securegw-*"]) == raw
    assert raw.endswith(message.body)


# --- 23: said twice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Content-Disposition"]
)
@pytest.mark.parametrize("values", [("a", "b"), ("a", "a")])
def test_threat_5_3_23_what_is_said_twice_is_ambiguous(name: str, values: tuple[str, str]) -> None:
    good = {"Content-Type": ("text/plain", "multipart/signed; boundary=b; protocol=x"),
            "Content-Transfer-Encoding": ("7bit", "base64"), "MIME-Version": ("1.0", "1.1"),
            "Content-Disposition": ("inline", "attachment; filename=x")}[name]  # fmt: skip
    first, second = (good[0], good[1]) if values[0] != values[1] else (good[0], good[0])
    raw = f"{name}: {first}\r\nX: y\r\n{name.lower()}: {second}\r\n\r\nbody\r\n".encode()
    assert parse(raw).ambiguous


def test_threat_5_3_23_said_once_is_not() -> None:
    raw = b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nbody\r\n"
    assert not parse(raw).ambiguous


@pytest.mark.parametrize(
    "second", ['multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=c', "text/plain"]
)
def test_threat_5_3_23_a_signature_said_twice_is_no_signature(second: str) -> None:
    """No crypto status for what two readers would take apart in two ways."""
    from securegw.crypto import methods

    raw = (
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n'
        f"Content-Type: {second}\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\n"
        "AAAA\r\n--b--\r\n"
    ).encode()
    assert methods.recognise(read(raw)) is None
