"""Figures of a bench: rounds in turn over all servers, medians, ratios, and the pages in docs/performance.

The machine is shared and noisy: only ratios of servers measured in turn in the same run mean anything, so the ratio
is taken round by round and its median is the figure. The first round warms up and is thrown away.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

PLACE = Path(__file__).resolve().parents[2] / "docs" / "performance"


@attrs.frozen
class Figure:
    """One server in one round."""

    per_second: float
    cpu_ms: float
    memory_mb: float = 0.0
    dot_p99_ms: float = 0.0
    session_p99_ms: float = 0.0
    mail_p99_ms: float = 0.0


@attrs.frozen
class Row:
    """One server under one load over all rounds."""

    load: str
    server: str
    figures: tuple[Figure, ...]

    def median(self, name: str) -> float:
        return statistics.median(getattr(figure, name) for figure in self.figures)


def measure(load: str, servers: Mapping[str, Callable[[], Figure]], rounds: int) -> list[Row]:
    """Each server once a round, in turn; the warm-up round does not count."""
    taken: dict[str, list[Figure]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, once in servers.items():
            figure = once()
            print(
                f"{load:32} {name:28} round {number}: {figure.per_second:8.1f}/s {figure.cpu_ms:6.2f} ms",
                flush=True,
            )
            if number:
                taken[name].append(figure)
    return [Row(load, name, tuple(figures)) for name, figures in taken.items()]


def ratio(row: Row, other: Row, name: str) -> float:
    """The median over the rounds of this row's figure as a multiple of the other's in the same round."""
    pairs = zip(row.figures, other.figures, strict=True)
    return statistics.median(getattr(mine, name) / getattr(theirs, name) for mine, theirs in pairs)


def write(name: str, title: str, words: str, groups: Sequence[tuple[list[Row], str]], unit: str = "mail") -> Path:
    """docs/performance/NAME.rst and NAME.json; each group is rows of one load and the server to compare with.

    ``unit`` is what is counted; where it takes microseconds, so much is said.
    """
    tables = [line for rows, peer in groups for line in table(rows, peer, unit)]
    return publish(name, title, words, tables, [attrs.asdict(row) for rows, _ in groups for row in rows])


def publish(name: str, title: str, words: str, tables: Sequence[str], record: object) -> Path:
    """docs/performance/NAME.rst with these lines, and the raw figures beside it."""
    PLACE.mkdir(parents=True, exist_ok=True)
    page = PLACE / f"{name}.rst"
    page.write_text("\n".join([title, "=" * len(title), "", words, "", machine(), "", *tables]))
    (PLACE / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(page.read_text())
    return page


def machine() -> str:
    """What it ran on, in one sentence without the machine's name."""
    day = time.strftime("%d %B %Y", time.gmtime())
    return (
        f"Measured on {day}: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}. Load maker and next hop share the cores with the server. Medians of the "
        "rounds; ratios are medians of the ratios in the same round."
    )


PLURALS = {"search": "searches", "MB": "MB"}
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("CPU ms/{unit}", "cpu_ms", ".2f"),
    ("memory MB", "memory_mb", ".0f"),
    ("dot to 250 p99 ms", "dot_p99_ms", ".1f"),
    ("session p99 ms", "session_p99_ms", ".1f"),
    ("mail p99 ms", "mail_p99_ms", ".2f"),
)


def table(rows: Sequence[Row], peer: str, unit: str) -> list[str]:
    """One reStructuredText table: absolute figures, and ratios to the peer; a column nobody measured is left out."""
    base = next(row for row in rows if row.server == peer)
    form_of = {"cpu_ms": ".2f" if base.median("cpu_ms") >= 1 else ".4f"}
    shown = [(name.format(unit=unit), field, form_of.get(field, form)) for name, field, form in COLUMNS]
    columns = [column for column in shown if any(row.median(column[1]) for row in rows)]
    head = ["server", f"{PLURALS.get(unit, unit + 's')}/s", "ratio", *(name for name, _, _ in columns), "CPU ratio"]
    by_memory = all(row.median("memory_mb") for row in rows)
    cells = [[*head, "memory ratio"] if by_memory else head]
    for row in rows:
        figures = [f"{row.median(field):{form}}" for _, field, form in columns]
        each = row.median("per_second")
        rate, times = f"{each:.0f}" if each >= 10 else f"{each:.2f}", f"{ratio(row, base, 'per_second'):.2f}"
        others = [f"{ratio(row, base, name):.2f}" for name in ("cpu_ms", "memory_mb")[: 1 + by_memory]]
        cells.append([row.server, rate, times, *figures, *others])
    return drawn(f"{rows[0].load} (compared with {peer})", cells)


def drawn(title: str, cells: Sequence[Sequence[str]]) -> list[str]:
    """A table in reStructuredText below its title; the first line is its head."""
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    rule = "  ".join("=" * width for width in widths)
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return [title, "-" * len(title), "", rule, text[0], rule, *text[1:], rule, ""]
