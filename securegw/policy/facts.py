"""Facts: all that a decision may depend on, gathered before anything is decided.

Not a verdict and not a look-up: what needs the database or the world (``usable``, the sender's rights) is handed
in by the floor above. Only the outer header counts: what stands in a part, in a forwarded mail or in a protected
header (RFC 9788) steers nothing. RFC 3834 2 and 5, RFC 6047 2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from securegw.mail.errors import NotExamined
from securegw.mail.message import Field, Message, decode_words
from securegw.mail.mime import Part, parse
from securegw.mail.words import loose_text

Direction = Literal["outgoing", "incoming", "internal"]

DIRECTIONS: tuple[Direction, ...] = ("outgoing", "incoming", "internal")
ENCRYPTED = ("none", "opened", "failed")
SIGNED = ("none", "good", "bad")

# A meeting request is small; whatever is larger has to be treated like any other mail.
CALENDAR_LIMIT = 1 << 20



class Headers(Mapping[str, tuple[str, ...]]):
    """The outer header: decoded texts by names in lower case. What no rule asks for is not decoded.

    ``folded`` gives the values as patterns are compared with them: no case, no white space around.
    """

    def __init__(self, fields: Mapping[str, Sequence[Field | str]]) -> None:
        self._fields = fields
        self._texts: dict[str, tuple[str, ...]] = {}
        self._folded: dict[str, tuple[str, ...]] = {}

    def __getitem__(self, name: str) -> tuple[str, ...]:
        found: tuple[str, ...] | None = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """As any mapping's; it is asked for more fields than there are."""
        found = self._texts.get(name)
        if found is None:
            fields = self._fields.get(name)
            if fields is None:
                return default
            found = self._texts[name] = tuple([_text(field) for field in fields])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def folded(self, name: str) -> tuple[str, ...]:
        """No values where there is no such field."""
        found = self._folded.get(name)
        if found is None:
            found = self._folded[name] = tuple([value.strip().casefold() for value in self.get(name, ())])
        return found


_NO_HEADERS = Headers({})


def _text(field: Field | str) -> str:
    return field if isinstance(field, str) else decode_words(loose_text(field.value))


def _headers(given: Mapping[str, Sequence[str]]) -> Headers:
    return given if isinstance(given, Headers) else Headers(given)


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
    headers: Headers = attrs.field(default=_NO_HEADERS, converter=_headers, hash=False)
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

    def to(
        self, recipient: str, usable: Iterable[str] | None, direction: Direction | None = None, **found: Any
    ) -> Facts:
        """The same mail for another recipient, with what was ``found`` out for him, without reading it again."""
        where = direction or self.direction
        return attrs.evolve(self, recipient=recipient.lower(), usable=usable, direction=where, **found)


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
    headers = Headers(message.named)
    return Facts(
        direction=direction,
        sender=sender.lower(),
        recipient=recipient.lower(),
        subject=headers.get("subject", ("",))[0],
        headers=headers,
        inside=inside,
        may_sign=may_sign,
        may_encrypt=may_encrypt,
        usable=usable,
        size=len(message.raw),
        calendar=_is_calendar(message, headers),
        notice=not sender or _is_automatic(headers),
        reply="in-reply-to" in headers or "references" in headers,
    )


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
