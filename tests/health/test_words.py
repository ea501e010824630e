"""The table written down for plugins, people and programs."""

from __future__ import annotations

import json

from securegw.health.table import Check, Levels, State, Table
from securegw.health.words import as_json, line, page, summary

QUEUE = Check("queue", State.OK, "3 mails", 3, "", Levels(10, 20))
SPACE = Check("space", State.WARNING, "1.5 GB free", 1.5e9, "B", Levels(2e9, 1e9))
ODD = Check("odd", State.CRITICAL, "a | b\nc\x1b[31m")


def test_a_line_has_performance_data() -> None:
    assert line(QUEUE) == "QUEUE OK - 3 mails | queue=3;10;20;0"


def test_where_little_is_bad_the_ranges_say_so() -> None:
    assert line(SPACE) == "SPACE WARNING - 1.5 GB free | space=1500000000B;2000000000:;1000000000:;0"


def test_words_stay_on_their_line_and_out_of_performance_data() -> None:
    assert line(ODD) == "ODD CRITICAL - a / b c [31m"


def test_fractions_are_written_plainly() -> None:
    small = Check("database", State.OK, "quick", 0.00412, "s", Levels(1, 5))
    assert line(small).endswith("database=0.00412s;1;5;0")


def test_the_summary_names_what_is_wrong_and_all_data() -> None:
    found = summary(Table(0.0, (QUEUE, SPACE, ODD)))
    assert found.startswith("SECUREGW CRITICAL - odd: a / b c [31m; space: 1.5 GB free | queue=3;10;20;0 space=")


def test_the_page_has_a_line_for_each() -> None:
    lines = page(Table(0.0, (QUEUE, ODD))).splitlines()
    assert lines == ["CRITICAL: odd: a / b c [31m", "", "queue  OK        3 mails", "odd    CRITICAL  a / b c [31m"]


def test_json_has_everything() -> None:
    found = json.loads(as_json(Table(7.0, (QUEUE,))))
    assert (found["state"], found["time"]) == ("OK", 7.0)
    assert found["checks"] == [
        {
            "name": "queue", "state": "OK", "words": "3 mails", "value": 3, "unit": "", "warning": 10, "critical": 20,
        }
    ]  # fmt: skip
