from __future__ import annotations

import contextlib
import time

import pytest

from securegw.mail.address import Address, author, header_mailboxes, parse_address, parse_path
from securegw.mail.errors import BadAddress
from securegw.mail.message import read

CORP = Address("alice", "corp.test")


def mail_from(*values: str | bytes, name: str = "From:") -> bytes:
    lines = [name.encode() + (value if isinstance(value, bytes) else value.encode()) for value in values]
    return b"\r\n".join([*lines, b"To: x@y.test", b"", b"body\r\n"])


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("ann@inside.test", "ann", "inside.test"),
        ("Ann@INSIDE.Test", "Ann", "inside.test"),
        ("v%x@gw.test", "v%x", "gw.test"),
        ("x!v@gw.test", "x!v", "gw.test"),
        ('"a b"@x.test', "a b", "x.test"),
        ('"a\\"b"@x.test', 'a"b', "x.test"),
        ('"v@x"@gw.test', "v@x", "gw.test"),
        ('"ann"@x.test', "ann", "x.test"),
        ("a@[127.0.0.1]", "a", "[127.0.0.1]"),
        ("a@[ipv6:2001:DB8::1]", "a", "[IPv6:2001:db8::1]"),
        ("a@localhost", "a", "localhost"),
        ("a@xn--bcher-kva.test", "a", "xn--bcher-kva.test"),
    ],
)
def test_reads_what_rfc_5321_allows(text: str, local: str, domain: str) -> None:
    assert parse_path(text) == Address(local, domain)
    assert parse_path(str(parse_path(text))) == parse_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@b.test",
        "a",
        "a b@x.test",
        " boss@corp.test",
        "boss@corp.test ",
        "bo ss@corp.test",
        "boss@corp.test\0.evil",
        "boss@corp.test\t",
        "boss\u00a0@corp.test",
        "boss@corp.test.",
        "boss@.corp.test",
        "boss@corp..test",
        "boss@-corp.test",
        "boss@corp-.test",
        "boss@co_rp.test",
        ".a@x.test",
        "a.@x.test",
        "a..b@x.test",
        "@r.test:v@x.test",
        "a@b@c.test",
        '"a@x.test',
        'a"b@x.test',
        '""@x.test',
        '"a\tb"@x.test',
        '"a\r\nb"@x.test',
        "a\r\nRCPT TO:<b@c.test>",
        "a@x.test\n",
        "a@[127.0.0.1",
        "a@[127.0.0.256]",
        "a@[::1]",
        "a@[IPv6:fe80::1%eth0]",
        "a@[",
        "a@1.2.3.4",
        "<a@x.test>",
        "Ann <a@x.test>",
        "a,b@x.test",
        "a@x.test,b@y.test",
        "a" * 65 + "@x.test",
        '"' + " " * 63 + '"@x.test',
        "a@" + "b" * 64 + ".test",
        "a" * 60 + "@" + "b.c" * 66 + ".test",
        "a@" + "x." * 5000 + "test",
        "ä@x.test",
        "a@bücher.test",
    ],
)
def test_refuses_everything_else(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_path(text)
    with pytest.raises(BadAddress):
        parse_address(text)


def test_limits_count_octets_up_to_the_last_allowed_one() -> None:
    parse_path("a" * 64 + "@x.test")
    longest = "a" * 64 + "@" + ".".join(["b" * 62] * 2) + "." + "c" * 63
    assert len(str(parse_path(longest))) == 254
    with pytest.raises(BadAddress):
        parse_path(longest[1:] + ".d")
    with pytest.raises(BadAddress):
        parse_path("ä" * 33 + "@x.test", utf8=True)


def test_utf8_makes_one_form_of_an_internationalised_domain() -> None:
    address = parse_path("jürgen@bücher.test", utf8=True)
    assert address == parse_path("jürgen@xn--bcher-kva.test", utf8=True)
    assert str(address) == "jürgen@xn--bcher-kva.test"


@pytest.mark.parametrize(
    "text",
    [
        "a\u200b@x.test",
        "a\u202etest@x.test",
        "a@x\u200d.test",
        "u\u0308@x.test",
        "\u212aarl@x.test",
        "\ud800@x.test",
        "a@\uff45vil.test",
        "a@x\u3002test",
        "a@ban\u212a.test",
        "a\u00a0b@x.test",
        '"a\u2028b"@x.test',
    ],
)
def test_utf8_refuses_invisible_and_second_forms(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_path(text, utf8=True)


def test_equal_is_exact_local_and_folded_domain() -> None:
    assert parse_path("boss@CORP.test") == parse_path("boss@corp.test")
    assert parse_path("Boss@corp.test") != parse_path("boss@corp.test")
    assert parse_path("Boss@corp.test").key == parse_path("boss@corp.test").key == "boss@corp.test"


def test_a_key_never_names_another_mailbox() -> None:
    tricky = parse_path('"\\"a\\""@x.test')
    assert parse_path(tricky.key) == tricky
    assert tricky.key != parse_path("a@x.test").key


def test_header_mailboxes_reads_names_groups_comments_and_words() -> None:
    value = (
        '"Doe, John" <john@x.test>, =?utf-8?q?J=C3=BCrg?= Kern <jk@x.test>,'
        " plain@x.test (Plain (nested \\) one)), Friends: a@x.test, B <b@x.test>;, J. R. Ewing <jr@x.test>"
    )
    boxes = header_mailboxes(value.encode())
    assert [(box.name, str(box.address)) for box in boxes] == [
        ("Doe, John", "john@x.test"),
        ("Jürg Kern", "jk@x.test"),
        ("", "plain@x.test"),
        ("", "a@x.test"),
        ("B", "b@x.test"),
        ("J. R. Ewing", "jr@x.test"),
    ]
    assert header_mailboxes(b"undisclosed-recipients:;") == ()


@pytest.mark.parametrize(
    "value",
    [
        "alice@corp.test <eve@evil.test>",
        "<alice@corp.test><eve@evil.test>",
        "<alice@corp.test> tail",
        "Alice",
        "alice@corp.test eve@evil.test",
        "<@r.test:alice@corp.test>",
        "< alice@corp.test>",
        "<alice@corp.test >",
        "<alice@corp.test",
        '"Alice <alice@corp.test>',
        "(alice@corp.test",
        "a@b@c.test",
        "Friends: a@x.test",
        "A: B: a@x.test;;",
        "a@x.test: b@x.test;",
        "a@x.test;",
        "A:;b@x.test",
        "Alice\0 <alice@corp.test>",
        "Alice [x] <alice@corp.test>",
        "alice @corp.test",
        "<<alice@corp.test>>",
        "<>",
    ],
)
def test_header_mailboxes_refuses_what_is_ambiguous(value: str) -> None:
    with pytest.raises(BadAddress):
        header_mailboxes(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        " alice@corp.test",
        " <alice@corp.test>",
        " Alice <alice@CORP.test>",
        '"Alice, CEO" <alice@corp.test>',
        "\r\n Alice\r\n <alice@corp.test>",
        " alice@corp.test (Alice)",
        " \"'alice@corp.test'\" <alice@corp.test>",
        ' "alice@corp.test" <alice@corp.test>',
        " =?utf-8?q?Al=C3=ADce=2C?= <alice@corp.test>",
    ],
)
def test_author_is_the_one_mailbox(value: str) -> None:
    assert author(read(mail_from(value))) == CORP


@pytest.mark.parametrize(
    "raw",
    [
        mail_from(" alice@corp.test", " eve@evil.test"),
        mail_from(" alice@corp.test", " alice@corp.test"),
        mail_from(" alice@corp.test, eve@evil.test"),
        mail_from(" alice@corp.test,eve@evil.test"),
        mail_from(" alice@corp.test,"),
        mail_from(" Group: alice@corp.test;"),
        mail_from(" alice@corp.test (x) <eve@evil.test>"),
        mail_from(" eve@evil.test (alice@corp.test)"),
        mail_from(' "alice@corp.test" <eve@evil.test>'),
        mail_from(" =?utf-8?q?alice=40corp=2Etest=3E?= <eve@evil.test>"),
        mail_from(" =?utf-8?b?YWxpY2VAY29ycC50ZXN0LA==?= <eve@evil.test>"),
        mail_from(" =?utf-8?q?alice?=@corp.test"),
        mail_from(' "alice@corp.test "@evil.test'),
        mail_from(" <@r.test:alice@corp.test>"),
        mail_from(" alice@corp.test tail"),
        mail_from(" <alice@corp.test> <eve@evil.test>"),
        mail_from(" alice@corp.test", name="From :"),
        mail_from(" alice@corp.test", name="From\t:"),
        mail_from("\r\n \r\n alice@corp.test"),
        mail_from(b" \xe4 <alice@corp.test>"),
        mail_from(b" A\0 <alice@corp.test>"),
        mail_from(" +AGE-lice@corp.test <alice@corp.test>"),
        mail_from(""),
        mail_from(" "),
        mail_from(" Alice"),
        mail_from(" Alice @ Work <alice@corp.test>"),
        b"To: x@y.test\r\n\r\nno From\r\n",
        b"From: alice@corp.test\r\nno field\r\nFrom: eve@evil.test\r\n\r\n",
        b"From: alice@corp.test\r\nno field\r\n\r\n",
        b"",
    ],
)
def test_author_is_nobody_where_readers_could_differ(raw: bytes) -> None:
    assert author(read(raw)) is None


@pytest.mark.parametrize(
    "value",
    [
        "(" * 100_000,
        '"' * 100_001,
        "=?utf-8?q?x?= " * 18_000,
        "a" * 250_000,
        "a@" * 100_000,
        "\\" * 100_000,
        "<" * 100_000,
        ", " * 100_000,
        "a@b.test, " * 10_000,
        "(" * 50_000 + ")" * 50_000,
        '"a" ' * 50_000,
        "=?" * 100_000,
        "=?x?q?" * 40_000,
        '"' + "\\" * 200_000,
        "[" * 100_000,
        "a: ;" * 50_000,
        "a b " * 50_000,
    ],
)
def test_hostile_fields_cost_linear_time(value: str) -> None:
    start = time.process_time()
    author(read(mail_from(value)))
    with contextlib.suppress(BadAddress):
        header_mailboxes(value.encode())
    assert time.process_time() - start < 2
