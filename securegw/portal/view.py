"""A letter as its page shows it: names, date, sizes and kinds in the reader's language.

Not HTML: that is the template's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import attrs
from babel.dates import format_datetime
from babel.numbers import format_decimal

from securegw.pages.bodies import file_name

if TYPE_CHECKING:
    from securegw.flow.reading import Attached
    from securegw.flow.webmail import LetterView

ENDINGS: Mapping[str, str] = {
    ending: kind
    for kind, endings in {
        "pdf": "pdf", "document": "doc docx odt rtf pages", "table": "xls xlsx ods csv", "text": "txt md log",
        "picture": "png jpg jpeg gif webp heic tif tiff bmp svg", "sound": "mp3 wav m4a ogg flac",
        "film": "mp4 mov avi mkv webm", "archive": "zip 7z rar tar gz bz2 xz iso img", "mail": "eml msg",
        "page": "html htm xhtml mht mhtml shtml",
        "program": "exe com scr bat cmd ps1 vbs vbe js jse wsf hta msi jar lnk apk dmg app sh py pif cpl reg dll",
    }.items()
    for ending in endings.split()
}
RISKY = frozenset({"program", "page", "archive"}) | {"svg", "docm", "xlsm", "pptm", "xlam", "dotm", "one", "xml"}
# Babel's own long pattern prints seconds, and a bare +0100 in some languages.
DATES = {"en": "d MMMM y, HH:mm", "de": "d. MMMM y, HH:mm"}
# How tall the frame is where the browser cannot ask it: by the length of the HTML.
HEIGHTS = ((1_500, "short"), (6_000, "middle"), (20_000, "long"))


@attrs.frozen
class ShownFile:
    """A row of the list of files."""

    index: int
    name: str
    kind: str
    size: str
    risky: bool


@attrs.frozen
class ShownLetter:
    """What the templates know of a letter."""

    subject: str
    reply_subject: str
    sender: str
    sender_name: str
    recipients: str
    date: str
    date_iso: str
    text: str
    framed: bool
    height: str
    incomplete: bool
    pictures: int
    files: tuple[ShownFile, ...]


def show(view: LetterView, language: str) -> ShownLetter:
    """The letter in the reader's language."""
    date = _date(view.date)
    subject = view.subject.strip()
    return ShownLetter(
        subject=subject,
        reply_subject=subject if subject.lower().startswith("re:") else f"Re: {subject}",
        sender=view.sender,
        sender_name=_name(view.sender_name),
        recipients=view.recipients,
        date=_date_text(date, language) if date else "",
        date_iso=date.isoformat() if date else "",
        text=view.text or "",
        framed=view.html is not None,
        height=next((name for most, name in HEIGHTS if len(view.html or "") < most), "endless"),
        incomplete=view.html is None and view.text is None,
        pictures=view.held_pictures,
        files=tuple(_file(file, language) for file in view.attachments),
    )


def size_text(size: int, language: str) -> str:
    """A size as people read it: kB and MB of 1000."""
    if size < 1_000_000:
        return f"{format_decimal(max(1, round(size / 1000)), locale=language)}\u00a0kB"
    return f"{format_decimal(round(size / 1_000_000, 1), locale=language)}\u00a0MB"


def _file(file: Attached, language: str) -> ShownFile:
    name = file_name(file.name)
    ending = PurePosixPath(name).suffix[1:].lower()
    kind = ENDINGS.get(ending) or ENDINGS.get(file.kind.partition("/")[2]) or "file"
    return ShownFile(file.index, name, kind, size_text(file.size, language), bool(RISKY & {kind, ending}))


def _name(author: str) -> str:
    """The name in a From field; the address beside it is the envelope's, which the gateway knows to be true."""
    name = re.sub(r"<[^<>]*>\s*\Z", "", author).strip().strip('"').strip()
    return "" if "@" in name else name


def _date(field: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(field)
        return date if 1970 <= date.year <= 9000 else None
    except (ValueError, TypeError, OverflowError):
        return None


def _date_text(date: datetime, language: str) -> str:
    """The time on the sender's clock, and which clock that is."""
    text = format_datetime(date, DATES.get(language, DATES["en"]), locale=language)
    return f"{text} (UTC{date.isoformat()[-6:]})" if date.tzinfo else text
