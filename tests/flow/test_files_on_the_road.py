"""Row S19 with files: what a pattern finds in documents and archives decides how the mail leaves, or that it waits."""

from __future__ import annotations

import pytest

from securegw.store import quarantine
from tests.support.files import docx, encrypted, pdf, with_file, zipped
from tests.support.rules import load
from tests.support.world import World

ANN, BOB = "ann@inside.test", "bob@outside.test"
WORDS = "file no. 12345678"
PATTERN = '[patterns]\np = "file no. ########"\n'
RULE = '[[rule]]\nname = "data"\nwhen = { direction = "outgoing", pattern = "p" }\n'


def send(world: World, name: str, content: bytes) -> bytes:
    world.hand_in(ANN, [BOB], with_file(name, content, sender=ANN, recipient=BOB))
    return b"".join(mail.raw for mail in world.sent_to(BOB))


@pytest.fixture
def strict(world: World) -> World:
    load(world, RULE + 'encrypt = "must"\nmethods = ["carrier"]\n', PATTERN)
    return world


def test_s19_data_in_a_document_is_sealed(strict: World) -> None:
    for content in (docx(WORDS), pdf(WORDS), zipped({"a.docx": docx(WORDS)}), encrypted(zipped({"a.txt": "x"}))):
        strict.relay.taken.clear()
        assert b"secure-email.html" in send(strict, "file.bin", content)
    strict.relay.taken.clear()
    assert b"secure-email.html" not in send(strict, "file.bin", docx("harmless"))


def test_what_cannot_be_read_is_kept_for_the_administrator(world: World) -> None:
    load(world, '[[rule]]\nname = "closed"\nwhen = { unreadable = true }\nquarantine = "look"\n')
    assert send(world, "a.zip", encrypted(zipped({"a.txt": "x"}))) == b""
    [(row, item)] = world.read(quarantine.list_kept)
    assert row.rule == "closed"
    assert (item.recipients[0].decision or {})["found"] == ["unreadable file"]
    assert b"UEsDB" in send(world, "a.zip", zipped({"a.txt": "x"}))


def test_without_patterns_no_file_is_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.flow.contents.look_inside", None)
    assert send(world, "a.docx", docx(WORDS))
