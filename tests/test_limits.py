"""docs/limits.rst says what the code does: every name, every value, and for every limit a test that there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from securegw import config
from securegw.config import describe
from securegw.counters import exposition
from securegw.gateway import Settings
from securegw.gateway.limits import LIMITS, tell_limits
from tests.support.world import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    [cell.strip() for cell in re.split(r"\n     -", row)]
    for row in re.split(r"\n   \* - ", (ROOT / "docs" / "limits.rst").read_text("utf-8"))[2:]
]
NAMED = re.compile(r"``(tests/[\w/.]+)``(?: ``(test_\w+)``)?")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1].strip("`"))
def test_a_row_says_what_the_code_does(row: list[str]) -> None:
    _, name, value, _, why, shown = row
    place, _, field = name.strip("`").partition(" ")
    if place.startswith("["):
        assert not why
        assert value in default_of(place, field)
    else:
        assert why, f"{name} is a constant: why?"
        found = import_module(place)
        for each in field.split("."):
            found = getattr(found, each)
        assert int(value.split()[0]) == found
    tests = NAMED.findall(shown)
    assert tests
    for file, test in tests:
        text = (ROOT / file).read_text("utf-8")
        assert f"def {test}(" in text if test else "def test_" in text, (file, test)


def default_of(section: str, field: str) -> str:
    """What the reference of settings says about a default."""
    text = describe(Settings).partition(f"\n{section}\n")[2].partition("\n[")[0]
    about, _, _ = text.partition(f"\n# {field} = ")
    return about.rpartition("Default:")[2]


def test_limits_that_are_settings_are_told_to_monitoring_systems() -> None:
    settings = config.read(Settings, SETTINGS, "/securegw.toml")
    tell_limits(settings)
    text = exposition().decode()
    for name in LIMITS:
        assert f'securegw_limit{{name="{name}"}} ' in text
    assert 'securegw_limit{name="smtp.connections"} 500.0' in text


def test_every_setting_of_the_table_is_told() -> None:
    rows = [row[1].strip("`") for row in ROWS if row[1].startswith("``[")]
    assert {name.removeprefix("[").replace("] ", ".") for name in rows} <= set(LIMITS)
