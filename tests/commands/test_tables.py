"""Lists and trees as people and programs read them."""

from __future__ import annotations

import json

import pytest

from securegw.commands.tables import cell, moment, print_rows, print_tree

ROWS = [{"name": "a", "size": 1, "note": ""}, {"name": "long name", "size": 22, "note": "\x1b[2J\x9b2Jgone\r\n"}]


def test_columns_are_aligned_and_nothing_drives_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, ("name", "size", "note"), as_json=False)
    head, first, second = capsys.readouterr().out.split("\n")[:3]
    assert head.index("SIZE") == first.index("1") == second.index("22")
    assert "\x1b" not in second
    assert "\r" not in second
    assert first.endswith("-")


def test_json_has_all_values_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, ("name",), as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out) == ROWS
    assert out.replace("\n", "").isprintable()


def test_an_empty_list_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], ("name",), as_json=True)
    assert json.loads(capsys.readouterr().out) == []
    print_rows([], ("name",), as_json=False)
    assert capsys.readouterr().out == "NAME\n"


def test_a_tree_shows_parts_below_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_tree({"kind": "mail", "parts": [{"a": 1}, {"a": 2}], "none": []}, as_json=False)
    assert capsys.readouterr().out == "kind   mail\nparts:\n  a  1\nparts:\n  a  2\nnone   -\n"


def test_cells() -> None:
    values = (True, False, None, ("a", "b"), {"a": True})
    assert [cell(value) for value in values] == ["yes", "no", "-", "a, b", "a=yes"]
    assert moment(0) is None
    assert moment(86400.5) == "1970-01-02T00:00:00Z"
