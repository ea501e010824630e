"""What can be read by SNMP: the system group (RFC 3418) and SECUREGW-MIB, made of the table of checks and the counters.

The names are those of ``etc/snmp/SECUREGW-MIB.txt``; a test compares both. The root is the arc for examples (RFC 5612)
until there is a number of our own.
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
ROOT: Oid = (1, 3, 6, 1, 4, 1, 32473, 1)
CHECK_CHANGED: Oid = (*ROOT, 0, 1)
OVERALL: Oid = (*ROOT, 1, 1)
CHECKS: Oid = (*ROOT, 1, 2, 1)
MAILS: Oid = (*ROOT, 1, 3)
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


@attrs.frozen
class Tree:
    """Names in their order with their values as of now."""

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

    @staticmethod
    def _object(name: Oid) -> Oid:
        """The object type that this is an instance of: a column of the checks, or a scalar without its zero."""
        return name[: len(CHECKS) + 1] if name[: len(CHECKS)] == CHECKS else name[:-1]


@attrs.frozen
class About:
    """What the system group says."""

    host: str
    contact: str
    location: str


def make_tree(table: Table, about: About, uptime: Callable[[], float], now: Callable[[], float]) -> Tree:
    """Everything, with the checks of this table."""
    values = {
        **dict(_system(about, uptime)),
        **dict(_overall(table, now)),
        **dict(_checks(table)),
        **dict(_mails()),
    }
    return Tree(tuple(sorted(values)), values)


def check_name(column: int, check: Check) -> Oid:
    """A cell of the table of checks: the index is the name, IMPLIED, so without its length."""
    return (*CHECKS, column, *check.name.encode("ascii"))


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


def _system(about: About, uptime: Callable[[], float]) -> Iterator[tuple[Oid, Value]]:
    yield (*SYSTEM, 1, 0), _fixed(_text(f"securegw {__version__}, a secure e-mail gateway"))
    yield (*SYSTEM, 2, 0), _fixed(oid(ROOT))
    yield UPTIME, lambda: ticks(uptime())
    yield (*SYSTEM, 4, 0), _fixed(_text(about.contact))
    yield (*SYSTEM, 5, 0), _fixed(_text(about.host))
    yield (*SYSTEM, 6, 0), _fixed(_text(about.location))
    yield (*SYSTEM, 7, 0), _fixed(integer(72))  # applications, end to end


def _overall(table: Table, now: Callable[[], float]) -> Iterator[tuple[Oid, Value]]:
    yield (*OVERALL, 1, 0), _fixed(_text(__version__))
    yield (*OVERALL, 2, 0), _fixed(integer(int(table.state)))
    yield (*OVERALL, 3, 0), _fixed(_text(table.words))
    yield (*OVERALL, 4, 0), lambda: integer(min(max(0, int(now() - table.time)), 2**32 - 1), GAUGE32)


def _checks(table: Table) -> Iterator[tuple[Oid, Value]]:
    for check in table:
        for column in COLUMNS:
            yield check_name(column, check), _fixed(cell(column, check))


def _mails() -> Iterator[tuple[Oid, Value]]:
    for number, name in enumerate(COUNTED, 1):
        yield (*MAILS, number, 0), _counter(name)


def _counter(name: str) -> Value:
    return lambda: integer(int(counters.total(name)), COUNTER64)


def _fixed(value: bytes) -> Value:
    return lambda: value


def _text(words: str) -> bytes:
    """SnmpAdminString, at most 255 bytes of UTF-8."""
    return octets(words.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore").encode())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")
