"""Health: named checks, each with a value, its levels and a sentence; all who ask read this one table.

``table`` is what a check is, ``settings`` are the levels, ``checks`` judges, ``watch`` looks and keeps the newest
table, ``words`` writes it down. Not a repair: nothing is changed here, and whoever asks waits for nothing.
"""

from __future__ import annotations

from securegw.health.settings import HealthSettings
from securegw.health.table import Check, Levels, State, Table
from securegw.health.watch import Places, Watch

__all__ = ["Check", "HealthSettings", "Levels", "Places", "State", "Table", "Watch"]
