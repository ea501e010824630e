"""Inside a mail: what a worker process finds there - patterns, files, marks and names of mails that were opened here.

Plain functions: a process that a stranger's mail may end imports no more than it needs, and no logger.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from securegw.flow.proofs import marks_in
from securegw.mail.archives import Allowance, files_in, is_zip
from securegw.mail.errors import HeaderTooLarge, NotExamined
from securegw.mail.mime import Part, parse
from securegw.policy.conditions import CONTENT
from securegw.policy.findings import Findings, Pattern, examine

if TYPE_CHECKING:
    from securegw.mail.message import Message

CITED = ("in-reply-to", "references", "resent-message-id")
MOST_IDS = 50
DEPTH = 4  # of mails that are files in mails

_ID = re.compile(r"<[^<>\s]{1,990}>")
# As our own trace fields look; whether one is truly ours does not matter here.
_OUR_TRACE = re.compile(r"\bid [0-9A-Za-z._-]{1,64}\.[0-9a-f]{16}(?![0-9A-Za-z.])")
_ID_FIELD = re.compile(rb"(?i)\bmessage-id:[ \t]*(<[^<>\s]{1,990}>)")
_MAIL_FILE = (".eml", ".msg", ".mht", ".mbox", "winmail.dat")
_MAIL_KINDS = ("message/", "application/vnd.ms-outlook", "application/ms-tnef", "application/mbox")
# Where the header of a part may be, and what of it tells that the part is a mail. Short texts are slow to find in large
# mails, and these three are not short.
_PART_FIELDS = (b"\nContent-", b"\ncontent-", b"\nCONTENT-")
_HINT = re.compile(
    rb"(?i)message/|application/(?:vnd\.ms-outlook|ms-tnef|mbox|zip\b|x-zip)|\.(?:eml|msg|mht|mbox|zipx?)\b|winmail\.dat"
)
_SEVERAL = re.compile(rb"(?i)content-type[ \t]*:\s*multipart/")
_MAIL_BEGINS = re.compile(rb"(?i)(?:[a-z][a-z0-9-]{0,60}:[^\n]{0,2000}\r?\n(?:[ \t][^\n]{0,2000}\r?\n){0,20}){3}")
NO_FINDINGS = Findings()
FIELD_MOST = 1000
FIELDS_MOST = 4000


@attrs.frozen
class Inside:
    """What a process brings back: findings, and what could tell of a mail that was opened here."""

    findings: Findings
    marks: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    carries_a_mail: bool = False


def cited(message: Message) -> list[str]:
    """The Message-IDs that a mail names, the nearest first, and its own if it has been here before."""
    passed = message.count("Received")
    if passed < 2 and message.named.keys().isdisjoint(CITED):
        return []
    texts = [text for name in CITED for text in message.all(name)]
    ids = [found for text in texts for found in reversed(_ID.findall(text))]
    if len(ids) > MOST_IDS:  # of a long thread its end and its beginning
        ids = ids[: MOST_IDS // 2] + ids[-MOST_IDS // 2 :]
    if passed > 1 and sum(map(_is_of_ours, message.all("Received"))) > 1:
        ids = [*_ID.findall(message.first("Message-ID") or ""), *ids]
    return ids


def _is_of_ours(trace: str) -> bool:
    return _OUR_TRACE.search(trace) is not None


def skim(message: Message) -> Inside:
    """The marks that stand in it openly, and whether one of its parts may be a mail: then it has to be taken apart."""
    raw, named = message.raw, message.named
    about = [field.raw for name in named if name.startswith("content-") for field in named[name]]
    carries = any(map(_HINT.search, about)) or (any(map(_SEVERAL.match, about)) and _may_carry_a_mail(raw))
    return Inside(NO_FINDINGS, tuple(marks_in(raw)), (), carries)


def _may_carry_a_mail(raw: bytes) -> bool:
    for needle in _PART_FIELDS:
        at = raw.find(needle)
        for _ in range(FIELDS_MOST):
            if at < 0:
                break
            if _HINT.search(raw, at, at + FIELD_MOST) is not None:
                return True
            at = raw.find(needle, at + 1)
        else:
            return True
    return False


def look_inside(raw: bytes, patterns: Sequence[Pattern], asked: frozenset[str] = CONTENT) -> Inside:
    """For a process: the findings, and the marks and Message-IDs of mails that this one carries."""
    findings = examine(raw, patterns, names="attachment" in asked, files="unreadable" in asked)
    marks: list[str] = []
    ids: list[str] = []
    try:
        _carried(parse(raw), marks, ids, DEPTH, Allowance())
    except (NotExamined, HeaderTooLarge):
        findings = attrs.evolve(findings, examined=False)
    return Inside(findings, tuple(marks[:MOST_IDS]), tuple(ids[:MOST_IDS]))


def _carried(top: Part, marks: list[str], ids: list[str], depth: int, allowance: Allowance) -> None:
    stack = [top]
    while stack:
        part = stack.pop()
        stack.extend(part.children)
        if part.kind in ("message/rfc822", "message/global") and part.children:
            ids += cited(part.children[0].message)
            ids += _ID.findall(part.children[0].first("Message-ID") or "")
        elif not part.children and (_is_mail(part.filename or "") or part.kind.startswith(_MAIL_KINDS)):
            _in_file(part.content(), marks, ids, depth, allowance)
        elif not part.children and is_zip(content := part.content()):
            _in_archive(part.filename or "", content, marks, ids, depth, allowance)


def _is_mail(name: str) -> bool:
    return name.lower().endswith(_MAIL_FILE)


def _in_archive(name: str, content: bytes, marks: list[str], ids: list[str], depth: int, allowance: Allowance) -> None:
    """Mails in a ZIP file, by their names or by how they begin. What it does not let us read carries nothing, as far
    as it can be told: a condition of the rules says so, ``unreadable``."""
    for file in files_in(name, content, allowance):
        if file.content is not None and (_is_mail(file.name) or _MAIL_BEGINS.match(file.content)):
            _in_file(file.content, marks, ids, depth, allowance)


def _in_file(content: bytes, marks: list[str], ids: list[str], depth: int, allowance: Allowance) -> None:
    """A mail as a file: of Outlook's kinds too, which write texts with a zero behind each letter."""
    narrow = content.replace(b"\0", b"") if b"\0" in content else content
    marks += marks_in(narrow)
    ids += [found.decode("utf-8", "replace") for found in _ID_FIELD.findall(narrow)[:MOST_IDS]]
    if depth > 0 and narrow is content and _may_carry_a_mail(b"\n" + content):
        _carried(parse(content), marks, ids, depth - 1, allowance)
