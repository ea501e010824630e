"""Kinds of words on a command line: domains, addresses, hops, patterns, senders, fingerprints, times.

Each function is a ``type`` of argparse: a wrong word ends the command as wrong usage, before anything is opened.
"""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path

from securegw.config import duration
from securegw.config.kinds import Unfit
from securegw.mail.address import Address, parse_address
from securegw.mail.errors import BadAddress

TLS_LEVELS = ("none", "may", "encrypt", "verify", "secure", "fingerprint")

LONGEST_NAME = 254

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
    """``[host]:port`` as it stands; ``host`` and ``host:port`` by their MX. The port is 25 unless named."""
    match = _HOP.fullmatch(text)
    port = int(match["port"] or 25) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ArgumentTypeError(f"{text}: not a hop, as [192.0.2.7]:25, [mail.example.org]:25 or example.org is")
    return text


def sender(text: str) -> str:
    """Whom somebody may send as: an address, ``@domain``, ``*.domain`` (all below it), or ``*`` for all of ours."""
    if text == "*":
        return text
    sign = next((sign for sign in ("@", "*.") if text.startswith(sign)), "")
    return f"{sign}{domain_name(text.removeprefix(sign))}" if sign else address(text).key


def login_text(text: str) -> str:
    """A name to sign in with somewhere, as that place has given it."""
    if not 0 < len(text) <= LONGEST_NAME or not text.isprintable() or text != text.strip():
        raise ArgumentTypeError(f"{text!r}: not a name to sign in with")
    return text


def login_name(text: str) -> str:
    """A name to sign in with here; in lower case, since nobody shall fail for a capital."""
    if " " in login_text(text):
        raise ArgumentTypeError(f"{text!r}: a name to sign in with here has no spaces")
    return text.lower()


def fingerprint(text: str) -> str:
    """A SHA-256 fingerprint, as openssl prints it or without the colons."""
    digits = text.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ArgumentTypeError(f"{text}: not a SHA-256 fingerprint, which has 64 hexadecimal digits")
    return digits


def moment(text: str) -> float:
    """A time in ISO 8601; UTC unless it names another zone."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text}: not a time, as 2026-05-01T12:00:00Z is") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def span(text: str) -> float:
    """A length of time in seconds, written as in the configuration."""
    try:
        return duration.read(text, Path())
    except Unfit:
        raise ArgumentTypeError(f"{text}: not a length of time, as 90s, 2h or 5d is") from None


def since(text: str) -> float:
    """A time in ISO 8601, or how long ago it was."""
    try:
        return time.time() - span(text)
    except ArgumentTypeError:
        return moment(text)


def split_hop(text: str) -> tuple[str, int]:
    """The host of a checked hop, without brackets, and its port."""
    match = _HOP.fullmatch(text)
    assert match is not None
    return match["host"].strip("[]").removeprefix("IPv6:"), int(match["port"] or 25)
