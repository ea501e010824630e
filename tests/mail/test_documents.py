"""The text of documents that strangers have made: read where it can be, and told where not."""

from __future__ import annotations

import time

import pytest

from securegw.mail import documents
from securegw.mail.archives import Allowance
from securegw.mail.documents import Hourglass, Text, is_document, read_file, xml_text
from tests.support.files import TYPES, docx, encrypted, odt, pdf, pptx, short, xlsx, zipped

WORDS = "file no. 12345678"


def read(name: str, content: bytes) -> Text:
    return read_file(name, content, Allowance(), Hourglass())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", docx("file no. 1234", "5678")),
        ("a.docx", docx(WORDS, name="word/header1.xml")),
        ("a.docx", docx(WORDS, name="docProps/core.xml")),
        ("a.xlsx", xlsx(WORDS, "17")),
        ("a.pptx", pptx(WORDS)),
        ("a.odt", odt(WORDS)),
        ("a.pdf", pdf("good day", WORDS)),
        ("a.rtf", rb"{\rtf1\ansi{\b file no.} 12345678\par}"),
        ("a.rtf", rb"{\rtf1 \u102?ile no. 12\'3345678}"),
        ("a.csv", f"x;{WORDS};y\r\n".encode()),
        ("noname", f"x {WORDS} grüße".encode()),
        ("a.txt", WORDS.encode("utf-16")),
        ("a.dat", WORDS.encode("utf-16-le")),
        ("a.dat", WORDS.encode("utf-16-be")),
        ("a.txt", f"grüße {WORDS}".encode("latin-1")),
    ],
    ids=short,
)
def test_the_text_of_it(name: str, content: bytes) -> None:
    text = read(name, content)
    assert WORDS in text.text
    assert text.whole


def test_a_number_in_a_cell_stands_alone() -> None:
    assert "\n4111111111111111\n" in read("a.xlsx", xlsx("x", "4111111111111111")).text


def test_paragraphs_do_not_run_together() -> None:
    assert xml_text(b'<w:b xmlns:w="w"><w:p>1234</w:p><w:p>5678</w:p></w:b>') == "\n1234\n\n5678\n"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0", b"MZ\x90\0\3\0\0\0", b"", b"\xff\xd8\xff\xe0"])
def test_pictures_and_programs_have_no_text(content: bytes) -> None:
    assert read("a.bin", content) == Text()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("encrypted.docx", encrypted(docx(WORDS))),
        ("encrypted.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600),
        ("broken.docx", docx(WORDS)[:300]),
        ("broken.docx", zipped({"[Content_Types].xml": TYPES, "word/document.xml": "<w:p>no end"})),
        ("empty.docx", zipped({"[Content_Types].xml": TYPES})),
        ("binary.xlsb", zipped({"[Content_Types].xml": TYPES, "xl/a.xml": "<a/>", "xl/workbook.bin": b"\0"})),
        ("broken.pdf", b"%PDF-1.7 nothing"),
        ("broken.pdf", pdf(WORDS)[:400]),
        ("encrypted.pdf", pdf(WORDS).replace(b"/Size 6", b"/Size 6 /Encrypt << /Filter /Own >> /ID [(a) (b)]")),
    ],
    ids=short,
)
def test_what_cannot_be_read_is_told(name: str, content: bytes) -> None:
    text = read(name, content)
    assert not text.whole


def test_older_office_formats_are_searched_and_never_trusted() -> None:
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512 + WORDS.encode("utf-16-le")
    text = read("a.doc", content)
    assert WORDS in text.text
    assert not text.whole


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"<a",
        b"",
        b"<a>&undefined;</a>",
    ],
)
def test_xml_that_documents_do_not_have_is_not_read(xml: bytes) -> None:
    assert xml_text(xml) is None


def test_deep_xml_costs_no_stack() -> None:
    assert xml_text(b"<a>" * 100_000 + b"x" + b"</a>" * 100_000) == "x"


def test_a_document_by_what_is_in_it_not_by_its_name() -> None:
    assert is_document(docx("x"))
    assert is_document(odt("x"))
    assert not is_document(zipped({"word/document.xml": "x"}))
    assert not is_document(b"text")


def test_what_poses_as_a_document_hides_no_files() -> None:
    own = {"[Content_Types].xml": TYPES, "word/document.xml": "<a/>"}
    content = zipped({**own, "notes.txt": WORDS, "word/embeddings/a.bin": b"x"})
    inside = {file.name for file in read("a.docx", content).inside}
    assert {"notes.txt", "word/embeddings/a.bin"} <= inside


def test_the_time_for_all_documents_of_a_mail_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(content: bytes) -> Text:
        try:
            while time.monotonic() < began + 30:
                pass
        except Exception:  # a library that swallows what it does not know
            raise AssertionError("the end of the time was swallowed") from None
        return Text("late")

    began = time.monotonic()
    monkeypatch.setattr(documents, "_pdf", slow)
    hourglass = Hourglass(0.05)
    assert read_file("a.pdf", b"%PDF-1.4", Allowance(), hourglass) == Text(whole=False)
    assert read_file("b.txt", b"no time is left", Allowance(), hourglass) == Text(whole=False)
    assert time.monotonic() - began < 20


def test_memory_and_nesting_that_run_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError, RecursionError):

        def full(content: bytes, error: type[Exception] = error) -> Text:
            raise error

        monkeypatch.setattr(documents, "_pdf", full)
        assert read("a.pdf", b"%PDF-1.4") == Text(whole=False)


def test_a_large_text_is_cut_and_that_is_told() -> None:
    text = read("a.txt", b"a " * (documents.TEXT_MOST // 2 + 10))
    assert len(text.text) == documents.TEXT_MOST
    assert not text.whole
