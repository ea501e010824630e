"""SASL PLAIN as POP3 carries it: one response, in the command itself or after a challenge.

Not a judge of passwords. Obeys RFC 5034 4 and RFC 4616 2.
"""

from __future__ import annotations

import base64
import binascii

from securegw.servers.pop3_conversation import Complaint
from securegw.servers.pop3_events import SignIn

LONGEST = 255  # bytes of a name or a password, RFC 4616 2
MECHANISMS = ("PLAIN",)


def read_plain(response: bytes) -> SignIn:
    """Name and password out of a response; ``*`` ends the exchange, and a lone ``=`` is an empty response."""
    if response == b"*":
        raise Complaint("Cancelled")
    try:
        decoded = b"" if response == b"=" else base64.b64decode(response, validate=True)
    except binascii.Error:
        raise Complaint("That is not base64") from None
    words = decoded.split(b"\0")
    if len(words) != 3:
        raise Complaint("PLAIN is: NUL, name, NUL, password")
    wanted, name, password = words
    if wanted not in {b"", name}:
        raise Complaint("You cannot act for somebody else", "AUTH")
    return read_credentials(name, password)


def read_credentials(name: bytes, password: bytes) -> SignIn:
    """A name and a password as they came; both are UTF-8 (RFC 6856 2.2)."""
    if not (0 < len(name) <= LONGEST and 0 < len(password) <= LONGEST):
        raise Complaint("A name and a password are needed, each of up to 255 bytes")
    return SignIn(read_text(name), read_text(password))


def read_text(raw: bytes) -> str:
    """UTF-8 without control characters."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Complaint("That is not UTF-8") from None
    if not text.isprintable():
        raise Complaint("Control characters do not belong here")
    return text
