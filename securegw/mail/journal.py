"""Journal reports: the mail that a mail server sends to an archive for each mail it has handled.

The envelope journal of Exchange (MS-XJRNL): a text with one line for each fact - sender, subject, message id, and
each recipient with the list or the forwarding that brought the mail to him - and the mail itself, unchanged, behind
it. Blind copies and members of lists are visible here only. Not a judge: anybody can write such a report.
"""

from __future__ import annotations

import re

import attrs

from securegw.mail import message as messages
from securegw.mail.address import parse_path
from securegw.mail.errors import BadAddress, MailError
from securegw.mail.parts import Part, parse

PREFIX = "X-Securegw-Journal-"
MARK = "X-MS-Journal-Report"
KINDS = ("To", "Cc", "Bcc", "Recipient")
MOST_LINES = 20_000
LONGEST_LINE = 998

_LINE = re.compile(
    r"(Sender|Subject|Message-ID|To|Cc|Bcc|Recipient|On-Behalf-Of|Label|SentUtc)\s*:\s*(.*)", re.IGNORECASE
)
_VIA = re.compile(r"(?P<address>.+?)(?:,\s*(?P<how>Expanded|Forwarded)\s*:\s*(?P<by>.+))?", re.IGNORECASE)


@attrs.frozen
class Recipient:
    """One recipient of the original. ``kind`` is To, Cc, Bcc or Recipient (Exchange does not know which).

    ``how`` is Expanded (``by`` is the list), Forwarded (``by`` is whose mailbox forwarded it), or empty.
    """

    kind: str
    address: str
    how: str = ""
    by: str = ""

    def __str__(self) -> str:
        return f"{self.address}; {self.how}: {self.by}" if self.how else self.address


@attrs.frozen
class Report:
    """What a report says, and the mail it is about."""

    sender: str
    recipients: tuple[Recipient, ...]
    original: bytes = attrs.field(repr=False)


def read_report(raw: bytes) -> Report | None:
    """The report that this mail is; None if it is none, or not understood to the last line."""
    if messages.read(raw).count(MARK) != 1:
        return None
    try:
        whole = parse(raw)
    except MailError:
        return None
    if whole.ambiguous or whole.kind != "multipart/mixed" or len(whole.children) != 2:
        return None
    told, original = whole.children
    if told.kind != "text/plain" or original.kind != "message/rfc822" or original.encoding not in ("", "7bit", "8bit"):
        return None
    facts = _facts(told)
    return None if facts is None else Report(*facts, raw[original.body_at : original.end])


def unpack(raw: bytes) -> bytes | None:
    """The original of a report with the envelope above its own fields; None if this mail is no report.

    Fields of these names that the original came with are cut: only what the report says stands under them.
    """
    report = read_report(raw)
    if report is None or not report.original.strip():
        return None
    read = messages.read(report.original)
    names = {field.name.decode("latin-1") for field in read.fields}
    forged = tuple(name for name in names if name.lower().startswith(PREFIX.lower()))
    clean = messages.without(read, forged) if forged else report.original
    told = [_field("Sender", report.sender), *(_field(each.kind, str(each)) for each in report.recipients)]
    return b"".join(told) + clean


def _field(name: str, value: str) -> bytes:
    return f"{PREFIX}{name}: {value}\r\n".encode()


def _facts(told: Part) -> tuple[str, tuple[Recipient, ...]] | None:
    """Sender and recipients; None if a line about them is not understood, for then nothing may be left out."""
    sender, recipients = "", []
    lines = told.text().split("\n")  # and at no other sign that a subject may have
    if len(lines) > MOST_LINES:
        return None
    for line in filter(None, map(str.strip, lines)):
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LONGEST_LINE:
            return None
        name, value = match[1].capitalize(), match[2].strip()
        if name == "Sender":
            sender = value
        elif name in KINDS:
            recipient = _recipient(name, value)
            if recipient is None:
                return None
            recipients.append(recipient)
    return (sender, tuple(recipients)) if recipients and _is_path(sender, empty=True) else None


def _recipient(kind: str, value: str) -> Recipient | None:
    match = _VIA.fullmatch(value)
    if match is None or not _is_path(match["address"]) or not (match["by"] is None or _is_path(match["by"])):
        return None
    return Recipient(kind, match["address"], (match["how"] or "").capitalize(), match["by"] or "")


def _is_path(text: str, *, empty: bool = False) -> bool:
    """Nothing but an address comes into a header field; the null sender may be empty or ``<>``."""
    if empty and text in ("", "<>"):
        return True
    try:
        parse_path(text, utf8=True)
    except BadAddress:
        return False
    return True
