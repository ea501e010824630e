"""What is done in a worker process can be done there: its module loads by itself, without a logger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from securegw.crypto import methods
from securegw.flow import passages, reading, reprocess
from securegw.flow.inside import look_inside
from securegw.mail import journal
from securegw.policy.findings import read_pattern
from securegw.workers import Hand
from tests.support.files import docx, pdf, with_file

FUNCTIONS: list[Callable[..., Any]] = [
    look_inside,
    passages.Marks.of_opened,
    passages.Marks.of_written,
    reprocess.attached,
    reading.take_apart,
    reading.attachment,
    journal.unpack,
    *(method.open for method in methods.METHODS.values() if method.open is not None),
]


@pytest.mark.parametrize("module", sorted({function.__module__ for function in FUNCTIONS}))
def test_its_module_loads_by_itself(module: str) -> None:
    words = [sys.executable, "-c", f"import {module}, sys; sys.exit('txaio' in sys.modules)"]
    assert subprocess.run(words, timeout=60, check=False).returncode == 0


@pytest.fixture
def hand() -> Iterator[Hand]:
    found = Hand()
    yield found
    found.end()


def test_a_real_process_looks_into_files(hand: Hand) -> None:
    """With the memory that it has there, and the alarm that ends what takes too long."""
    pattern = read_pattern("p", ["file no. ########"])
    for content in (docx("file no. 12345678"), pdf("file no. 12345678")):
        raw = with_file("a.bin", content, sender="a@b.test", recipient="c@d.test")
        inside = hand.begin(look_inside, (raw, (pattern,)), {}).result(60)
        assert inside.findings.found == {"p"}
        assert inside.findings.unreadable == ()
