"""Contents: what the rules ask of a mail beyond its header, and only if a rule asks - files, texts, sealed origins.

Taking the mail apart is done in a process and bounded there; what could not be done is told as "not examined", and
then the rules do not let it pass as harmless. Whether something in a mail came sealed and was opened here is told by
our mark in it or in a mail that it carries, by the Message-IDs that it cites, or by passages that are copied (threats
5.5.33).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import txaio

from securegw.flow.proofs import Proofs, marks_in
from securegw.mail.archives import Allowance, files_in, is_zip
from securegw.mail.errors import HeaderTooLarge, NotExamined, WorkerLost
from securegw.mail.mime import Part, parse
from securegw.policy.conditions import CONTENT
from securegw.policy.findings import Findings, Pattern, examine
from securegw.store import opened

if TYPE_CHECKING:
    from securegw.flow.passages import Passages
    from securegw.mail.message import Message
    from securegw.policy.facts import Direction
    from securegw.policy.rules import Rules
    from securegw.store.database import Database
    from securegw.workers import Work

log = txaio.make_logger()

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
_MAIL_BEGINS = re.compile(rb"(?i)(?:[a-z][a-z0-9-]{0,60}:[^\n]{0,2000}\r?\n(?:[ \t][^\n]{0,2000}\r?\n){0,20}){3}")
FIELD_MOST = 1000
FIELDS_MOST = 4000
INLINE = 1 << 20  # a larger mail is looked through in a thread


@attrs.frozen
class Contents:
    """What was found in one mail, for the facts of its decisions."""

    found: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    examined: bool = True
    unreadable: tuple[str, ...] = ()
    unlisted: bool = False
    opened_here: bool = False


@attrs.frozen
class Inside:
    """What a process brings back: findings, and what could tell of a mail that was opened here."""

    findings: Findings
    marks: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    carries_a_mail: bool = False


class Examiner:
    """Looks into mails, as far as the rules ask."""

    def __init__(self, database: Database, workers: Work, proofs: Proofs, passages: Passages) -> None:
        self.database = database
        self.workers = workers
        self.proofs = proofs
        self.passages = passages

    async def look(
        self, raw: bytes, message: Message, rules: Rules, direction: Direction, sender: str = ""
    ) -> Contents:
        """Everything that these rules ask for in this direction; ``sender`` is one of ours who may have copied text."""
        asked = rules.asks.get(direction, frozenset()) & CONTENT
        if not asked:
            return Contents()
        inside = Inside(Findings())
        if "opened_here" in asked:
            inside = skim(message) if len(raw) <= INLINE else await self.workers.thread(skim, message)
        if inside.carries_a_mail or asked - {"opened_here", "examined"}:
            apart = await self._apart(raw, rules.patterns if "pattern" in asked else (), asked)
            inside = attrs.evolve(apart, marks=(*inside.marks, *apart.marks))
        return Contents(
            inside.findings.found,
            inside.findings.attachments,
            inside.findings.examined,
            inside.findings.unreadable,
            inside.findings.unlisted,
            "opened_here" in asked and await self._opened_here(message, inside, sender),
        )

    async def _apart(self, raw: bytes, patterns: Sequence[Pattern], asked: frozenset[str]) -> Inside:
        try:
            return await self.workers.process(look_inside, raw, patterns, asked)
        except WorkerLost:
            log.warn("a mail could not be examined: its worker was lost")
            return Inside(Findings(examined=False))

    async def _opened_here(self, message: Message, inside: Inside, sender: str) -> bool:
        if self.proofs.any_opened(inside.marks):
            return True
        ids = (*cited(message), *inside.ids)
        known = self.database.read(opened.any_known, ids) if ids else None
        if known is not None and await self.workers.settle(known):
            return True
        return await self.passages.are_in(message.raw, sender)


def cited(message: Message) -> list[str]:
    """The Message-IDs that a mail names, the nearest first, and its own if it has been here before."""
    texts = [text for name in CITED for text in message.all(name)]
    ids = [found for text in texts for found in reversed(_ID.findall(text))]
    if len(ids) > MOST_IDS:  # of a long thread its end and its beginning
        ids = ids[: MOST_IDS // 2] + ids[-MOST_IDS // 2 :]
    if sum(_OUR_TRACE.search(field) is not None for field in message.all("Received")) > 1:
        ids = [*_ID.findall(message.first("Message-ID") or ""), *ids]
    return ids


def skim(message: Message) -> Inside:
    """The marks that stand in it openly, and whether one of its parts may be a mail: then it has to be taken apart."""
    raw = message.raw
    carries = any(
        _HINT.search(field.raw) is not None for field in message.fields if field.name[:8].lower() == b"content-"
    )
    several = (message.first("Content-Type") or "").lstrip().lower().startswith("multipart/")
    return Inside(Findings(), tuple(marks_in(raw)), (), carries or (several and _may_carry_a_mail(raw)))


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
