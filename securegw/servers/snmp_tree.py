"""What can be read by SNMP: the system group (RFC 3418) and SECUREGW-MIB, made of the table of checks and the counters.

The names are those of ``etc/snmp/SECUREGW-MIB.txt``; a test compares both. The root is under the enterprise number of
the settings; the one of the file is that for examples (RFC 5612).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

import attrs

from securegw import __version__, counters
from securegw.health import Check, Table
from securegw.servers.snmp_ber import (
    COUNTER64,
    END_OF_VIEW,
    GAUGE32,
    NO_SUCH_INSTANCE,
    NO_SUCH_OBJECT,
    TICKS,
    Oid,
    integer,
    octets,
    oid,
)

SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
UPTIME: Oid = (*SYSTEM, 3, 0)
TRAP_OID: Oid = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
ENTERPRISES: Oid = (1, 3, 6, 1, 4, 1)
STATE, WORDS, VALUE, TEXT, UNIT, WARNING, CRITICAL = range(2, 9)  # columns; 1 is the name, which is the index
COLUMNS = (STATE, WORDS, VALUE, TEXT, UNIT, WARNING, CRITICAL)
COUNTED = (
    "securegw_smtp_messages_total",
    "securegw_delivered_total",
    "securegw_deferred_total",
    "securegw_failed_total",
    "securegw_smtp_refusals_total",
)
LONGEST = 255

Value = Callable[[], bytes]


class Names:
    """Where everything of ours stands, under the number of an enterprise."""

    def __init__(self, enterprise: int) -> None:
        self.root: Oid = (*ENTERPRISES, enterprise, 1)
        self.check_changed: Oid = (*self.root, 0, 1)
        self.overall: Oid = (*self.root, 1, 1)
        self.checks: Oid = (*self.root, 1, 2, 1)
        self.mails: Oid = (*self.root, 1, 3)

    def check(self, column: int, check: Check) -> Oid:
        """A cell of the table of checks: the index is the name, IMPLIED, so without its length."""
        return (*self.checks, column, *check.name.encode("ascii"))


@attrs.frozen
class Tree:
    """Names in their order with their values as of now; ``checks`` is where the table of checks begins."""

    checks: Oid
    names: tuple[Oid, ...]
    values: dict[Oid, Value]

    def get(self, name: Oid) -> tuple[Oid, bytes]:
        value = self.values.get(name)
        if value is not None:
            return name, value()
        known = any(self._object(other) == name[: len(self._object(other))] for other in self.names)
        return name, NO_SUCH_INSTANCE if known else NO_SUCH_OBJECT

    def next(self, name: Oid) -> tuple[Oid, bytes]:
        at = bisect_right(self.names, name)
        if at == len(self.names):
            return name, END_OF_VIEW
        return self.names[at], self.values[self.names[at]]()

    def _object(self, name: Oid) -> Oid:
        """The object type that this is an instance of: a column of the checks, or a scalar without its zero."""
        size = len(self.checks)
        return name[: size + 1] if name[:size] == self.checks else name[:-1]


@attrs.frozen
class About:
    """What the system group says."""

    host: str
    contact: str
    location: str


def make_tree(table: Table, names: Names, about: About, uptime: Callable[[], float], now: Callable[[], float]) -> Tree:
    """Everything, with the checks of this table."""
    values = {
        **dict(_system(names.root, about, uptime)),
        **dict(_overall(names.overall, table, now)),
        **dict(_checks(names, table)),
        **dict(_mails(names.mails)),
    }
    return Tree(names.checks, tuple(sorted(values)), values)


def cell(column: int, check: Check) -> bytes:
    """The value of a cell."""
    levels = check.levels
    if column == STATE:
        return integer(int(check.state))
    if column == VALUE:
        return integer(min(max(0, int(check.value or 0)), 2**64 - 1), COUNTER64)
    text = {
        WORDS: check.words,
        TEXT: _number(check.value),
        UNIT: check.unit,
        WARNING: _number(levels.warning if levels else None),
        CRITICAL: _number(levels.critical if levels else None),
    }
    return _text(text[column])


def ticks(seconds: float) -> bytes:
    """TimeTicks: hundredths of a second, which begin again after 497 days."""
    return integer(int(seconds * 100) % 2**32, TICKS)


def _system(root: Oid, about: About, uptime: Callable[[], float]) -> Iterator[tuple[Oid, Value]]:
    yield (*SYSTEM, 1, 0), _fixed(_text(f"securegw {__version__}, a secure e-mail gateway"))
    yield (*SYSTEM, 2, 0), _fixed(oid(root))
    yield UPTIME, lambda: ticks(uptime())
    yield (*SYSTEM, 4, 0), _fixed(_text(about.contact))
    yield (*SYSTEM, 5, 0), _fixed(_text(about.host))
    yield (*SYSTEM, 6, 0), _fixed(_text(about.location))
    yield (*SYSTEM, 7, 0), _fixed(integer(72))  # applications, end to end


def _overall(overall: Oid, table: Table, now: Callable[[], float]) -> Iterator[tuple[Oid, Value]]:
    yield (*overall, 1, 0), _fixed(_text(__version__))
    yield (*overall, 2, 0), _fixed(integer(int(table.state)))
    yield (*overall, 3, 0), _fixed(_text(table.words))
    yield (*overall, 4, 0), lambda: integer(min(max(0, int(now() - table.time)), 2**32 - 1), GAUGE32)


def _checks(names: Names, table: Table) -> Iterator[tuple[Oid, Value]]:
    for check in table:
        for column in COLUMNS:
            yield names.check(column, check), _fixed(cell(column, check))


def _mails(mails: Oid) -> Iterator[tuple[Oid, Value]]:
    for number, name in enumerate(COUNTED, 1):
        yield (*mails, number, 0), _counter(name)


def _counter(name: str) -> Value:
    return lambda: integer(int(counters.total(name)), COUNTER64)


def _fixed(value: bytes) -> Value:
    return lambda: value


def _text(words: str) -> bytes:
    """SnmpAdminString, at most 255 bytes of UTF-8."""
    return octets(words.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore").encode())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")
