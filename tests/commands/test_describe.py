"""The reference of all settings, and the copy of it that is checked in."""

from __future__ import annotations

import tomllib
from pathlib import Path

import attrs

from securegw.gateway import Settings
from tests.commands.conftest import Run

CHECKED_IN = Path(__file__).parents[2] / "etc" / "securegw.toml"


def test_every_section_and_setting_is_described(run: Run) -> None:
    out = run("describe").out
    for section in attrs.fields(Settings):
        assert f"[{section.name}]" in out
        for setting in attrs.fields(type_of(section)):
            assert f"{setting.name} = " in out


def type_of(section: attrs.Attribute[object]) -> type[attrs.AttrsInstance]:
    [kind] = [value for value in section.metadata.values() if isinstance(value, type)]
    return kind


def test_it_is_toml(run: Run) -> None:
    assert "gateway" in tomllib.loads(run("describe").out)


def test_the_checked_in_reference_is_the_output(run: Run) -> None:
    assert CHECKED_IN.read_text("utf-8") == run("describe").out, (
        "write it again: securegw describe > etc/securegw.toml"
    )
