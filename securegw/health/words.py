"""The table written down: the line of a monitoring plugin with its performance data, a page, JSON.

Monitoring Plugins Development Guidelines, "Plugin Output for Nagios" and "Performance data".
"""

from __future__ import annotations

import json
from typing import Any

from securegw.health.table import Check, Levels, Table

PLUGIN_UNITS = {"s": "s", "B": "B", "%": "%"}  # days have none


def line(check: Check) -> str:
    """``QUEUE OK - 3 mails in the queue | queue=3;1000;10000;0``"""
    head = f"{check.name.upper()} {check.state.name} - {_plain(check.words)}"
    return f"{head} | {performance(check)}" if check.value is not None else head


def summary(table: Table) -> str:
    """One line for all checks, with all performance data."""
    data = " ".join(performance(check) for check in table if check.value is not None)
    head = f"SECUREGW {table.state.name} - {_plain(table.words)}"
    return f"{head} | {data}" if data else head


def performance(check: Check) -> str:
    """``'label'=value[UOM];warn;crit;min``"""
    levels = check.levels
    bounds = [_range(levels, levels.warning), _range(levels, levels.critical)] if levels else ["", ""]
    return f"{check.name}={_number(check.value or 0.0)}{PLUGIN_UNITS.get(check.unit, '')};{bounds[0]};{bounds[1]};0"


def page(table: Table) -> str:
    """A page for people: the whole on its first line, then each check."""
    width = max((len(check.name) for check in table), default=0)
    rows = [f"{check.name:{width}}  {check.state.name:8}  {_plain(check.words)}" for check in table]
    return "\n".join([f"{table.state.name}: {_plain(table.words)}", "", *rows]) + "\n"


def as_json(table: Table) -> str:
    """The same for machines."""
    return json.dumps({"state": table.state.name, "words": table.words, "time": table.time, "checks": rows(table)})


def rows(table: Table) -> list[dict[str, Any]]:
    return [
        {
            "name": check.name,
            "state": check.state.name,
            "words": check.words,
            "value": check.value,
            "unit": check.unit,
            "warning": check.levels.warning if check.levels else None,
            "critical": check.levels.critical if check.levels else None,
        }
        for check in table
    ]


def _range(levels: Levels, level: float) -> str:
    """In a range ``10:`` everything below 10 is outside and alarms."""
    return f"{_number(level)}:" if levels.falling else _number(level)


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _plain(words: str) -> str:
    """One line; a bar would begin performance data."""
    return "".join(letter if letter.isprintable() else " " for letter in words).replace("|", "/")
