"""What a POP3 dialogue may ask of the connection around it, and what it knows of an open mailbox.

Values only. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import attrs


class Mail(Protocol):
    """A mail in an open mailbox."""

    @property
    def id(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def parts(self) -> int: ...


@attrs.frozen
class Trouble:
    """Why something cannot be done: a response code (RFC 2449 8, RFC 3206), and a sentence."""

    code: str
    sentence: str


@attrs.frozen
class Send:
    data: bytes


@attrs.frozen
class SignIn:
    """Open the mailbox of this name: answer by ``opened`` or ``refused``."""

    name: str
    password: str = attrs.field(repr=False)


@attrs.frozen
class Fetch:
    """Hand over the parts of a mail: ``text`` for each while this is the open question, or ``refused``."""

    index: int


@attrs.frozen
class Finish:
    """Delete these mails and close the mailbox: answer by ``finished`` or ``refused``."""

    deleted: Sequence[int]


@attrs.frozen
class StartTLS:
    """Begin the handshake now, then call ``secured``."""


@attrs.frozen
class Close:
    """End the connection once everything is sent; ``reason`` is for the log."""

    reason: str


Question: TypeAlias = SignIn | Fetch | Finish
Event: TypeAlias = Send | Question | StartTLS | Close
