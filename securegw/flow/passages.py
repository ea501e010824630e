"""Passages: text and files that somebody takes over from a mail that came sealed, into a new one (5.5.33).

Without citing it, that is; what cites is known by that. Of each opened mail marks are kept: MACs of eight words in a
row, of every five of them the smallest, of a long mail the smallest 64. So a copied passage of twenty words is found if
the mail had up to some two hundred, a longer passage of a longer one; and the database reveals no word. A file is known
again by one mark, if it is the very same. Marks are looked for only in what somebody writes who has read such a mail,
and count only if few mails have them: a greeting, a signature, a disclaimer are everybody's. What quotes others is not
noted, for it is theirs. Winnowing: Schleimer, Wilkerson, Aiken, SIGMOD 2003.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from securegw.fresh import Fresh
from securegw.mail.errors import MailError
from securegw.mail.mime import parse
from securegw.policy.findings import readable
from securegw.store import passages

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.flow.treatment import Step
    from securegw.mail.address import Address
    from securegw.mail.parts import Part
    from securegw.store.database import Database
    from securegw.workers.work import Work

SHINGLE = 8  # words
WINDOW = 5  # shingles of which the smallest is kept
APART = 4  # shingles between two that are found: together at least twelve words in a row
MOST = 64  # marks that are kept of one mail
TEXT_MOST = 256 << 10  # signs that are read of one mail
FILES_MOST = 16  # files of one mail that are looked at
FILE_LEAST = 2048  # bytes; smaller ones are pictures in signatures
KNOWN = 60.0  # seconds for which it is believed that somebody has read none

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"^[ \t]*[>|][> |\t]*", re.MULTILINE)
# Where a mail begins that is quoted below, or a signature: in English and German, as Outlook and others write it.
_REST = re.compile(
    r"^(?:-- |_{10,}|-{3,} ?(?:original|ursprüngliche|forwarded|weitergeleitete)[^\n]*"
    r"|(?:from|von): [^\n]*\n(?:[^\n]*\n){0,2}(?:sent|date|gesendet|datum): [^\n]*"
    r"|(?:on|am) [^\n]{5,200}\b(?:wrote|schrieb)[^\n]{0,100}:)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)


@attrs.frozen
class Written:
    """The marks of a mail that leaves: of its text, each with its place, and of its files."""

    text: tuple[tuple[int, int], ...]
    files: frozenset[int]

    @property
    def all(self) -> list[int]:
        """No more than one question to the store can take."""
        return sorted({*(mark for _, mark in self.text[: 50 * MOST]), *self.files})


@attrs.frozen
class Marks:
    """Makes marks under a key; can be sent to a worker."""

    key: bytes = attrs.field(repr=False)

    def of_opened(self, raw: bytes) -> tuple[int, ...]:
        """Those to keep of a mail that was opened."""
        leaves = leaves_of(raw)
        text = sorted({mark for _, mark in self.of_text(own_text(texts(leaves)))})
        return (*text[:MOST], *sorted(self.of_files(leaves)))

    def of_written(self, raw: bytes) -> Written:
        """All those of a mail that leaves."""
        leaves = leaves_of(raw)
        return Written(tuple(self.of_text(_QUOTED.sub("", texts(leaves)))), self.of_files(leaves))

    def of_files(self, leaves: Sequence[Part]) -> frozenset[int]:
        """One for each file that is worth it."""
        files = [part.content() for part in leaves if not part.kind.startswith("text/") or part.filename]
        return frozenset(self._marks([b"file\0" + file for file in files[:FILES_MOST] if len(file) >= FILE_LEAST]))

    def of_text(self, text: str) -> Iterator[tuple[int, int]]:
        """The smallest mark of every few in a row, with its place."""
        words = [word.encode("utf-8", "replace") for word in _WORD.findall(text.casefold())]
        marks = self._marks([b" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)])
        last: int | None = None
        windows = map(min, *(marks[first:] for first in range(WINDOW)))
        for at, smallest in enumerate(windows):
            if smallest != last:
                yield marks.index(smallest, at), smallest
                last = smallest

    def of_name(self, kind: str, name: str) -> int:
        """What stands for a person or a mail."""
        return self._marks([f"{kind}\0{name}".encode("utf-8", "replace")])[0]

    def _marks(self, texts: Sequence[bytes]) -> list[int]:
        """64 bits of a MAC of each (RFC 7693 2.9)."""
        keyed = hashlib.blake2b(key=self.key, digest_size=8)
        digests = []
        for text in texts:
            each = keyed.copy()
            each.update(text)
            digests.append(each.digest())
        return list(struct.unpack(f">{len(digests)}q", b"".join(digests)))


class Passages:
    """Notes passages of what was opened, and finds them in what leaves."""

    def __init__(
        self, database: Database, workers: Work, master: MasterKey, now: Callable[[], float], *, wanted: bool
    ) -> None:
        self.database = database
        self.workers = workers
        self.now = now
        self.wanted = wanted
        self.marks = Marks(master.derive("passages"))
        self.readers: Fresh[bool] = Fresh(now, KNOWN)

    async def noted(self, raw: bytes, message_id: str, reader: Address) -> tuple[Step, ...]:
        """The step that remembers a mail that was opened for somebody."""
        if not self.wanted:
            return ()
        marks = await self.workers.process(self.marks.of_opened, raw)
        if not marks:
            return ()
        self.readers.keep(reader.key, True)
        opened = passages.Opened(
            self.marks.of_name("mail", message_id), self.marks.of_name("reader", reader.key), marks, self.now()
        )
        return ((passages.note, [opened]),)

    async def are_in(self, raw: bytes, sender: str) -> bool:
        """Whether somebody writes what he has read in a mail that was opened."""
        if not self.wanted or not sender or not await self._has_read(sender):
            return False
        written = await self.workers.own_process(self.marks.of_written, raw)
        reader, marks = self.marks.of_name("reader", sender), written.all
        if not marks:
            return False
        found = await self.workers.settle(self.database.read(passages.sources, reader, marks))
        return any(shared & written.files or in_a_row(written.text, shared) for shared in found.values())

    async def _has_read(self, sender: str) -> bool:
        if self.readers.knows(sender):
            return self.readers[sender]
        reader = self.marks.of_name("reader", sender)
        return self.readers.keep(sender, await self.workers.settle(self.database.read(passages.has_read, reader)))


def in_a_row(written: Sequence[tuple[int, int]], shared: frozenset[int]) -> bool:
    """Whether what is shared spans twelve words or more."""
    places = [place for place, mark in written if mark in shared]
    return bool(places) and places[-1] - places[0] >= APART


def leaves_of(raw: bytes) -> list[Part]:
    """The parts that hold something; none of a mail that cannot be taken apart, which the rules know of."""
    try:
        return list(_leaves(parse(raw)))
    except MailError:
        return []


def texts(leaves: Sequence[Part]) -> str:
    """What a reader sees of a mail, up to a bound: its texts, or its HTML if there are none."""
    plain = [part for part in leaves if part.kind == "text/plain"]
    found = [part.text()[:TEXT_MOST] for part in plain[:20]]
    if not any(text.strip() for text in found):
        found = [readable(part.text()[: 2 * TEXT_MOST]) for part in leaves if part.kind == "text/html"][:20]
    return "\n".join(found)[:TEXT_MOST]


def own_text(text: str) -> str:
    """What the author has written: neither what he quotes nor his signature."""
    begins = _REST.search(text)
    text = text[: begins.start()] if begins else text
    return "\n".join(line for line in text.split("\n") if not _QUOTED.match(line))


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)
