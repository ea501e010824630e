"""Files of strangers, bent at any place: read or told as unreadable, and never an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securegw.flow.passages import Marks
from securegw.mail.archives import Allowance, files_in
from securegw.mail.documents import Hourglass, Text, read_file, xml_text
from securegw.policy.findings import examine, read_pattern
from tests.support.files import docx, encrypted, odt, pdf, with_file, xlsx, zipped

WORDS = "file no. 12345678"
SEEDS = {
    "docx": docx(WORDS),
    "xlsx": xlsx(WORDS, "17"),
    "odt": odt(WORDS),
    "pdf": pdf(WORDS, "more"),
    "zip": zipped({"a.txt": WORDS, "b.zip": zipped({"c.pdf": pdf(WORDS)})}),
    "encrypted": encrypted(zipped({"a.txt": WORDS})),
    "rtf": rb"{\rtf1\ansi{\b file} no. 12\'3345678\par}",
    "old": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + WORDS.encode("utf-16-le"),
}
PATTERN = read_pattern("p", ["file no. ########"])
BENDS = st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4), st.integers(0, 4)), max_size=8)


def bent(content: bytes, bends: list[tuple[int, bytes, int]]) -> bytes:
    """Some bytes at some places replaced by others."""
    for at, new, gone in bends:
        place = at % (len(content) + 1)
        content = content[:place] + new + content[place + gone :]
    return content


@settings(max_examples=60, deadline=None)
@given(bends=BENDS)
@pytest.mark.parametrize("name", SEEDS)
def test_bent_files_are_read_or_told(name: str, bends: list[tuple[int, bytes, int]]) -> None:
    content = bent(SEEDS[name], bends)
    assert isinstance(read_file(name, content, Allowance(), Hourglass()), Text)
    for file in files_in(name, content, Allowance()):
        assert file.content is None or isinstance(file.content, bytes)
    raw = with_file(name, content, sender="a@b.test", recipient="c@d.test")
    found = examine(raw, [PATTERN], names=True, files=True)
    assert found.found <= {"p"}
    if not bends:
        assert found.found == {"p"} or found.unreadable


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_file(content: bytes) -> None:
    for begin in (b"", b"PK\x03\x04", b"%PDF-1.4\n", b"{\\rtf1 ", b"<?xml version='1.0'?>", b"\xff\xfe"):
        assert isinstance(read_file("a.txt", begin + content, Allowance(), Hourglass()), Text)
        xml_text(begin + content)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_makes_marks(text: str) -> None:
    marks = Marks(b"k" * 32)
    places = [place for place, _ in marks.of_text(text)]
    assert places == sorted(set(places))
    raw = b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode("utf-8", "replace")
    assert len(marks.of_opened(raw)) <= 80
