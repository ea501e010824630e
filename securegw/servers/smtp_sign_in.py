"""The exchange after AUTH: challenges and responses, until there are a name and a password.

Not a judge of passwords. Obeys RFC 4954 4, RFC 4616 (PLAIN), and the draft that describes LOGIN, which some mail
programs know only. Both show the password, so the dialogue offers them under TLS alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Generator, Mapping
from typing import TypeAlias

import attrs

from securegw.servers.smtp_commands import Complaint

NAME_LIMIT = PASSWORD_LIMIT = 255  # bytes, RFC 4616 2


@attrs.frozen
class Credentials:
    name: str
    password: str = attrs.field(repr=False)


# Yields challenges, is sent responses, ends with what they were about.
Exchange: TypeAlias = Generator[bytes, bytes, Credentials]


def read_response(line: bytes) -> bytes:
    """One line of the client; ``*`` ends the exchange (RFC 4954 4)."""
    if line == b"*":
        raise Complaint(501, "5.7.0", "Cancelled", "sign-in-cancelled")
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise Complaint(501, "5.5.2", "That is not base64") from None


def read_initial(argument: str) -> bytes:
    """The response that came with AUTH itself; ``=`` is an empty one."""
    return b"" if argument == "=" else read_response(argument.encode())


def _plain() -> Exchange:
    parts = (yield b"").split(b"\0")
    if len(parts) != 3:
        raise Complaint(501, "5.5.2", "PLAIN is: NUL, name, NUL, password")
    wanted, name, password = parts
    if wanted not in {b"", name}:
        raise Complaint(535, "5.7.8", "You cannot act for somebody else", "wrong-password")
    return _credentials(name, password)


def _login() -> Exchange:
    name = yield b"Username:"
    return _credentials(name, (yield b"Password:"))


def _credentials(name: bytes, password: bytes) -> Credentials:
    if not (0 < len(name) <= NAME_LIMIT and 0 < len(password) <= PASSWORD_LIMIT):
        raise Complaint(501, "5.5.2", "A name and a password are needed, each of up to 255 bytes")
    try:
        found = Credentials(name.decode("utf-8"), password.decode("utf-8"))
    except UnicodeDecodeError:
        raise Complaint(501, "5.5.2", "That is not UTF-8") from None
    if not found.name.isprintable() or "\0" in found.password:
        raise Complaint(501, "5.5.2", "Control characters do not belong here")
    return found


MECHANISMS: Mapping[str, Callable[[], Exchange]] = {"PLAIN": _plain, "LOGIN": _login}
