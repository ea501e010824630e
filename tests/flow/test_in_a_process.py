"""What is done in a worker process can be done there: its module loads by itself, and its answer crosses back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from securegw.crypto import methods
from securegw.flow import passages, reading, reprocess
from securegw.flow.inside import look_inside
from securegw.mail import journal
from securegw.policy.findings import read_pattern
from securegw.workers.work import Workers, WorkersSettings
from tests.support.files import docx, encrypted, pdf, with_file, zipped

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
WORDS = "file no. 12345678"


@pytest.mark.parametrize("module", sorted({function.__module__ for function in FUNCTIONS}))
def test_its_module_loads_by_itself(module: str) -> None:
    assert subprocess.run([sys.executable, "-c", f"import {module}"], timeout=60, check=False).returncode == 0


class RealProcessTest(TestCase):
    """With the memory that it has there, and the alarm that ends what takes too long."""

    def setUp(self) -> None:
        self.workers = Workers(reactor, WorkersSettings(threads=1, processes=1))
        self.workers.start()
        self.addCleanup(self.workers.stop)

    async def _looks(self) -> None:
        pattern = read_pattern("p", ["file no. ########"])
        for content, found, closed in (
            (docx(WORDS), {"p"}, ()),
            (pdf(WORDS), {"p"}, ()),
            (zipped({"a.pdf": pdf(WORDS)}), {"p"}, ()),
            (encrypted(zipped({"a.txt": WORDS})), set(), ("a.txt",)),
        ):
            raw = with_file("a.bin", content, sender="a@b.test", recipient="c@d.test")
            inside = await self.workers.process(look_inside, raw, (pattern,))
            self.assertEqual((inside.findings.found, inside.findings.unreadable), (found, closed))

    async def _marks(self) -> None:
        raw = with_file("a.bin", b"x" * 5000, sender="a@b.test", recipient="c@d.test")
        marks = passages.Marks(b"k" * 32)
        self.assertEqual(await self.workers.process(marks.of_written, raw), marks.of_written(raw))
        self.assertEqual(await self.workers.process(marks.of_opened, raw), marks.of_opened(raw))
        self.assertEqual(len(marks.of_written(raw).files), 1)

    def test_a_real_process_looks_into_files(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._looks())

    def test_a_real_process_makes_marks(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._marks())
