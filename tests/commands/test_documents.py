"""The documents say nothing that the program does not take: every command in them is read by the real parser."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from securegw.commands.main import build_parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]
INLINE = re.compile(r"``((?:[.\w/-]+/)?securegw\s[^`]+)``")
BLOCK = re.compile(r"^ +(securegw .+)$", re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for found in (*INLINE.findall(text), *BLOCK.findall(text)):
            yield document.name, " ".join(found.split())


@pytest.mark.parametrize(("document", "command"), sorted(set(commands())))
def test_a_command_in_a_document_is_what_the_program_takes(
    document: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)[1:]
    try:
        build_parser(words).parse_args(words)
    except SystemExit:
        # Prose may name a command without all of its words; then those that are there must lead to its help.
        assert is_a_name(words), capsys.readouterr().err


def is_a_name(words: list[str]) -> bool:
    if any(word.startswith("-") for word in words):
        return False
    try:
        build_parser(words).parse_args([*words, "--help"])
    except SystemExit as end:
        return end.code == 0
    return False


def test_there_are_commands_in_the_documents() -> None:
    assert {document for document, _ in commands()} >= {"README.rst", "operations.rst", "placements.rst"}


@pytest.mark.parametrize("words", ["domains ad", "queue list x --state", "rules --load", "nonsense"])
def test_the_test_can_fail(words: str) -> None:
    assert not is_a_name(words.split())
