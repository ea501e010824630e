"""Kinds of words on a command line: domains, addresses, hops, patterns, times.

Each function is a ``type`` of argparse: a wrong word ends the command as wrong usage, before anything is opened.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime

from securegw.mail.address import Address, parse_address
from securegw.mail.errors import BadAddress

TLS_LEVELS = ("none", "may", "encrypt")

_HOP = re.compile(r"(?P<host>\[[^\[\]\s]+\]|[^\[\]:\s]+)(?::(?P<port>[0-9]{1,5}))?")


def address(text: str) -> Address:
    """An e-mail address, as strict as on the wire."""
    try:
        return parse_address(text)
    except BadAddress as error:
        raise ArgumentTypeError(f"{text}: not an e-mail address ({error.detail})") from None


def domain_name(text: str) -> str:
    """A full domain name, in lower case and A-labels."""
    try:
        name = parse_address(f"postmaster@{text}").domain
    except BadAddress:
        name = ""
    if "." not in name or name.startswith("["):
        raise ArgumentTypeError(f"{text}: not a full domain name, as gw.example.org is")
    return name


def pattern(text: str) -> str:
    """A domain name, or ``*`` for all domains."""
    return text if text == "*" else domain_name(text)


def hop(text: str) -> str:
    """``[host]:port`` or ``host:port`` is this server, a bare name its MX; the port is 25 unless named."""
    match = _HOP.fullmatch(text)
    port = int(match["port"] or 25) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ArgumentTypeError(f"{text}: not a hop, as [192.0.2.7]:25, [mail.example.org]:25 or example.org is")
    return text


def moment(text: str) -> float:
    """A time in ISO 8601; UTC unless it names another zone."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text}: not a time, as 2026-05-01T12:00:00Z is") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def split_hop(text: str) -> tuple[str, int]:
    """The host of a checked hop, without brackets, and its port."""
    match = _HOP.fullmatch(text)
    assert match is not None
    return match["host"].strip("[]").removeprefix("IPv6:"), int(match["port"] or 25)
