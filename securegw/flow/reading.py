"""Takes an opened letter apart for reading: plain functions for a worker process, since a stranger may have made it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import attrs

from securegw.flow.cleaning import Cleaned, clean
from securegw.mail import message as messages
from securegw.mail import mime
from securegw.mail.bodies import bodies
from securegw.mail.errors import LetterGone, MailError, NotExamined
from securegw.mail.words import decode_words

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_MOST = 5 << 20
PICTURE_MOST = 500 << 10
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@attrs.frozen
class Attached:
    """One attachment as the page lists it; ``size`` in bytes."""

    index: int
    name: str
    kind: str
    size: int


@attrs.frozen
class Contents:
    """What is in a letter: header lines for the page, the text, clean HTML, attachments."""

    subject: str
    author: str
    recipients: str
    date: str
    message_id: str
    text: str | None
    html: str | None
    held_pictures: int
    attachments: tuple[Attached, ...]


def take_apart(raw: bytes) -> Contents:
    """Read a letter; one that is not built to be taken apart shows its header only and is saved as a whole."""
    message = messages.read(raw)
    try:
        found = bodies(mime.parse(raw))
    except NotExamined:
        return _contents(message, None, None, ())
    html = None if found.html is None else _clean(found.html, found.inline)
    text = None if found.text is None else found.text.text()[:TEXT_MOST]
    attached = tuple(_attached(index, part) for index, part in enumerate(found.attachments))
    return _contents(message, text, html, attached)


def _contents(
    message: messages.Message, text: str | None, html: Cleaned | None, attached: tuple[Attached, ...]
) -> Contents:
    def shown(name: str) -> str:
        return decode_words(message.first(name) or "")

    return Contents(
        subject=shown("Subject"),
        author=shown("From"),
        recipients=shown("To"),
        date=message.first("Date") or "",
        message_id=message.first("Message-ID") or "",
        text=text,
        html=html.html if html else None,
        held_pictures=html.blocked_pictures if html else 0,
        attachments=attached,
    )


def _clean(part: mime.Part, inline: Mapping[str, mime.Part]) -> Cleaned | None:
    """Clean HTML, or None where it is too much: then the text part or the saved mail must do."""
    content = part.text()
    if len(content) > TEXT_MOST:
        return None
    try:
        return clean(content, {cid: _data(picture) for cid, picture in inline.items() if picture.kind in PICTURES})
    except MailError:
        return None


def _data(picture: mime.Part) -> str:
    content = picture.content()
    if len(content) > PICTURE_MOST:
        return ""
    return f"data:{picture.kind};base64,{base64.b64encode(content).decode('ascii')}"


def _attached(index: int, part: mime.Part) -> Attached:
    return Attached(index, part.filename or "", part.kind, len(part.content()))


def attachment(raw: bytes, index: int) -> tuple[str, str, bytes]:
    """Name, kind and content of one attachment, by its place in the list (never by its name)."""
    attached = bodies(mime.parse(raw)).attachments
    if not 0 <= index < len(attached):
        raise LetterGone("There is no such attachment.")
    return attached[index].filename or "", attached[index].kind, attached[index].content()
