"""Words on the command line: what passes and what is wrong usage."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from securegw.commands import arguments


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("[192.0.2.7]:2525", "192.0.2.7", 2525),
        ("[mail.inside.test]", "mail.inside.test", 25),
        ("mail.inside.test:26", "mail.inside.test", 26),
        ("inside.test", "inside.test", 25),
        ("[2001:db8::1]:25", "2001:db8::1", 25),
        ("[IPv6:2001:db8::1]", "2001:db8::1", 25),
    ],
)
def test_hops(text: str, host: str, port: int) -> None:
    assert arguments.split_hop(arguments.hop(text)) == (host, port)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (arguments.hop, ""),
        (arguments.hop, "mail:0"),
        (arguments.hop, "mail:65536"),
        (arguments.hop, "mail host"),
        (arguments.hop, "2001:db8::1"),
        (arguments.hop, "[a"),
        (arguments.domain_name, "localhost"),
        (arguments.domain_name, "a@b.test"),
        (arguments.domain_name, "[192.0.2.1]"),
        (arguments.domain_name, "-a.test"),
        (arguments.pattern, "*.test"),
        (arguments.address, "ann"),
        (arguments.address, "ann@inside.test\r\nX: y"),
        (arguments.moment, "yesterday"),
    ],
)
def test_wrong_words(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        kind(text)


def test_names_are_folded() -> None:
    assert arguments.domain_name("Inside.TEST") == "inside.test"
    assert arguments.pattern("*") == "*"


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert arguments.moment("1970-01-02T00:00:00") == arguments.moment("1970-01-02T00:00:00Z") == 86400
    assert arguments.moment("1970-01-02T00:00:00+01:00") == 86400 - 3600
