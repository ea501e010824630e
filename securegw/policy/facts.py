"""Facts: all that a decision may depend on, gathered before anything is decided.

Not a verdict and not a look-up: what needs the database or the world (``usable``, the sender's rights) is handed
in by the floor above. Only the outer header counts: what stands in a part, in a forwarded mail or in a protected
header (RFC 9788) steers nothing. RFC 3834 2 and 5, RFC 6047 2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import attrs

from securegw.mail.errors import NotExamined
from securegw.mail.message import Message, decode_words
from securegw.mail.mime import Part, parse
from securegw.mail.words import loose_text

Direction = Literal["outgoing", "incoming", "internal"]

DIRECTIONS: tuple[Direction, ...] = ("outgoing", "incoming", "internal")
ENCRYPTED = ("none", "opened", "failed")
SIGNED = ("none", "good", "bad")

# A meeting request is small; whatever is larger has to be treated like any other mail.
CALENDAR_LIMIT = 1 << 20

_NO_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def _frozen_set(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


@attrs.frozen
class Facts:
    """One mail for one recipient, as the rules see it.

    ``sender`` (empty: the null sender) and ``recipient`` are lower-case keys of the envelope; ``subject`` and
    ``headers`` are decoded texts of the outer header, names in lower case. ``inside`` is true only for an
    authenticated sender of ours. ``usable`` are the methods that could protect for this recipient now; None
    says that this cannot be known now. ``notice`` is true for automatic mail (RFC 3834 2).

    What takes more than the header is handed in: ``found`` names patterns, ``attachments`` are names of files, and
    ``examined`` is false if some of the mail could not be looked at for them. ``unreadable`` are files whose text could
    not be read, ``unlisted`` says that an archive did not tell what is in it. ``opened_here`` says that something in it
    came encrypted and was opened by us; ``encrypted`` and ``signed`` are what was found out about incoming mail.
    ``released`` says that an administrator has let it out of quarantine.
    """

    direction: Direction
    sender: str
    recipient: str
    subject: str = ""
    headers: Mapping[str, tuple[str, ...]] = attrs.field(default=_NO_HEADERS, hash=False)
    inside: bool = False
    may_sign: bool = True
    may_encrypt: bool = True
    usable: frozenset[str] | None = attrs.field(default=None, converter=_frozen_set)
    size: int = 0
    calendar: bool = False
    notice: bool = False
    reply: bool = False
    encrypted: str = "none"
    signed: str = "none"
    found: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    examined: bool = True
    unreadable: tuple[str, ...] = ()
    unlisted: bool = False
    opened_here: bool = False
    released: bool = False

    @cached_property
    def folded(self) -> dict[str, tuple[str, ...]]:
        """The headers as patterns are compared with them: no case, no white space around; folded once a mail."""
        return {name: tuple(value.strip().casefold() for value in values) for name, values in self.headers.items()}

    def to(self, recipient: str, usable: Iterable[str] | None, direction: Direction | None = None) -> Facts:
        """The same mail for another recipient, without reading it again."""
        where = direction or self.direction
        return attrs.evolve(self, recipient=recipient.lower(), usable=usable, direction=where)


def gather(
    message: Message,
    *,
    direction: Direction,
    sender: str,
    recipient: str,
    inside: bool,
    usable: Iterable[str] | None,
    may_sign: bool = True,
    may_encrypt: bool = True,
) -> Facts:
    """Read the facts out of the outer header: once a mail, ``Facts.to`` makes those of the other recipients."""
    headers = _headers(message)
    return Facts(
        direction=direction,
        sender=sender.lower(),
        recipient=recipient.lower(),
        subject=headers.get("subject", ("",))[0],
        headers=MappingProxyType(headers),
        inside=inside,
        may_sign=may_sign,
        may_encrypt=may_encrypt,
        usable=usable,
        size=len(message.raw),
        calendar=_is_calendar(message, headers),
        notice=not sender or _is_automatic(headers),
        reply="in-reply-to" in headers or "references" in headers,
    )


def _headers(message: Message) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for field in message.fields:
        if field.name:
            name = field.name.decode("ascii", "replace").lower()
            found.setdefault(name, []).append(decode_words(loose_text(field.value)))
    return {name: tuple(values) for name, values in found.items()}


def _is_automatic(headers: Mapping[str, tuple[str, ...]]) -> bool:
    """RFC 3834 5: anything but ``no`` was not written by a person."""
    return any(value.partition(";")[0].strip().lower() != "no" for value in headers.get("auto-submitted", ()))


def _is_calendar(message: Message, headers: Mapping[str, tuple[str, ...]]) -> bool:
    """A meeting request and nothing else (RFC 6047 2.4): an invitation beside a report does not count."""
    kind = headers.get("content-type", ("",))[0].lower()
    if not kind.startswith(("text/calendar", "multipart/alternative")) or len(message.raw) > CALENDAR_LIMIT:
        return False
    try:
        return _only_calendar(parse(message.raw))
    except NotExamined:
        return False


def _only_calendar(part: Part) -> bool:
    if part.ambiguous:
        return False
    if part.kind == "text/calendar":
        return True
    kinds = [child.kind for child in part.children]
    return (
        part.kind == "multipart/alternative"
        and "text/calendar" in kinds
        and not any(child.ambiguous for child in part.children)
        and all(kind in {"text/plain", "text/html", "text/calendar"} for kind in kinds)
    )
