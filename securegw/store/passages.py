"""Passages of mails that came sealed and were opened here, as marks under a key: text that somebody copies out of one
is known again (5.5.33).

Not the text: a mark is a MAC of eight words, and of a long mail only some are kept. A mark that several mails have is
of something that everybody writes, such as a disclaimer, and tells nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, bindparam, delete, exists, func, select

from securegw.store import schema_rules
from securegw.store.batch import Batch
from securegw.store.schema import TENANT

COMMON = 3  # mails that have a mark, from which on it is nobody's

_passage, _reading = schema_rules.passage, schema_rules.reading
_MARKS: Any = bindparam("marks", expanding=True)
_SEVERAL = (
    select(_passage.c.mark)
    .where(_passage.c.tenant == bindparam("whose"), _passage.c.mark.in_(_MARKS))
    .group_by(_passage.c.mark)
    .having(func.count() >= COMMON)
)
_FOUND = select(_passage.c.mark, _passage.c.source).where(
    _passage.c.tenant == bindparam("whose"), _passage.c.mark.in_(_MARKS)
)
_HAS_READ = select(
    exists().where(_reading.c.tenant == bindparam("whose"), _reading.c.reader == bindparam("who"))
)
_READ = select(_reading.c.source).where(
    _reading.c.tenant == bindparam("whose"),
    _reading.c.reader == bindparam("who"),
    _reading.c.source.in_(bindparam("sources", expanding=True)),
)
_NOTE = Batch(
    (_passage.c.tenant, _passage.c.mark, _passage.c.source, _passage.c.time),
    "INSERT INTO passage ({names}) VALUES {rows} ON CONFLICT (tenant, mark, source) DO NOTHING",
)
_READS = Batch(
    (_reading.c.tenant, _reading.c.reader, _reading.c.source, _reading.c.time),
    "INSERT INTO reading ({names}) VALUES {rows}",
    "ON CONFLICT (tenant, reader, source) DO UPDATE SET time = excluded.time",
)


@attrs.frozen
class Opened:
    """The marks of one mail that somebody has read; ``source`` stands for the mail, ``reader`` for him."""

    source: int
    reader: int
    marks: tuple[int, ...]
    time: float
    tenant: int = TENANT


def note(conn: Connection, opened: Sequence[Opened]) -> None:
    """Remember the marks of these mails, but for those that many mails have."""
    common = _common(conn, opened)
    marks = {
        (mail.tenant, mark, mail.source): (mail.tenant, mark, mail.source, mail.time)
        for mail in opened
        for mark in mail.marks
        if (mail.tenant, mark) not in common
    }
    reads = {(m.tenant, m.reader, m.source): (m.tenant, m.reader, m.source, m.time) for m in opened}
    _NOTE.run(conn, [marks[key] for key in sorted(marks)])
    _READS.run(conn, [reads[key] for key in sorted(reads)])


def _common(conn: Connection, opened: Sequence[Opened]) -> set[tuple[int, int]]:
    wanted: dict[int, set[int]] = {}
    for mail in opened:
        wanted.setdefault(mail.tenant, set()).update(mail.marks)
    found: set[tuple[int, int]] = set()
    for tenant, marks in wanted.items():
        ordered = sorted(marks)
        for at in range(0, len(ordered), 5000):
            rows = conn.scalars(_SEVERAL, {"whose": tenant, "marks": ordered[at : at + 5000]})
            found |= {(tenant, mark) for mark in rows}
    return found


def has_read(conn: Connection, reader: int, tenant: int = TENANT) -> bool:
    """Whether somebody has read any mail of which passages are known."""
    return bool(conn.scalar(_HAS_READ, {"whose": tenant, "who": reader}))


def sources(conn: Connection, reader: int, marks: Sequence[int], tenant: int = TENANT) -> Mapping[int, frozenset[int]]:
    """The mails that he has read and that have one of these marks, each with the marks; no common ones."""
    found = conn.execute(_FOUND, {"whose": tenant, "marks": list(marks)}).all()
    often = Counter(mark for mark, _ in found)
    by_source: dict[int, set[int]] = {}
    for mark, source in found:
        if often[mark] < COMMON:
            by_source.setdefault(source, set()).add(mark)
    if not by_source:
        return {}
    read = conn.scalars(_READ, {"whose": tenant, "who": reader, "sources": list(by_source)})
    return {source: frozenset(by_source[source]) for source in read}


def prune(conn: Connection, before: float) -> int:
    """Forget what is older."""
    conn.execute(delete(_reading).where(_reading.c.time < before))
    return conn.execute(delete(_passage).where(_passage.c.time < before)).rowcount
