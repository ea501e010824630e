"""Documents: the text of files - office documents, PDF, RTF, plain text - for who looks for patterns in it.

Not for showing, and no pictures: what is painted is not read. Whatever is not understood whole is told, with what
could be read of it. A stranger has made them: this is work for a process (threats 5.5.27). ISO/IEC 29500 (docx, xlsx,
pptx), ISO/IEC 26300 (odt, ods, odp), ISO 32000 (PDF).
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from xml.parsers import expat

import attrs

from securegw.mail import archives
from securegw.mail.archives import Allowance, File

SECONDS = 8.0  # for all documents of one mail
TEXT_MOST = 8 << 20  # signs of one document
PAGES_MOST = 2000
PDF_MOST = 32 << 20
XML_MOST = 16 << 20

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TEXT_PARTS = re.compile(
    r"(?:word|xl|ppt|docProps|customXml)/.*\.xml|(?:[^/]+/)?(?:content|styles|meta)\.xml", re.IGNORECASE
)
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".emf", ".wmf", ".tif", ".tiff", ".bmp", ".svg", ".odttf", ".ttf")
_BINARY_SHEET = re.compile(r"xl/.*(?:workbook|sheet\d+|sharedStrings)\.bin", re.IGNORECASE)
# Elements that begin and end a line: paragraphs, cells and their values, fields of properties.
_BREAKS = frozenset({
    "p", "h", "br", "cr", "tab", "s", "c", "v", "f", "is", "si", "row", "line-break", "table-cell", "table-row",
    "comment", "creator", "title", "subject", "description", "keywords", "lastModifiedBy", "user-defined", "property",
})  # fmt: skip
_TEXT_NAMES = (
    ".txt", ".csv", ".tsv", ".xml", ".json", ".html", ".htm", ".md", ".log", ".ics", ".vcf", ".sql", ".yaml", ".yml",
    ".ini", ".conf", ".tex", ".rst", ".ldif", ".hl7", ".edi",
)  # fmt: skip
_RTF_WORD = re.compile(
    r"\\'([0-9a-fA-F]{2})|\\u(-?\d{1,6}) ?\??|\\(par|line|tab|cell|row)\b ?|\\[a-zA-Z]{1,32}-?\d{0,10} ?|[{}\r\n]"
)
_BEGINNINGS = (b"{\\rtf", _OLE, b"\xff\xfe", b"\xfe\xff")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


@attrs.frozen
class Text:
    """What could be read of a file, and whether that was all; ``inside`` are files that it carries."""

    text: str = ""
    whole: bool = True
    inside: tuple[File, ...] = ()


class TooLong(BaseException):
    """The time for a document is over. No library takes it for an error of its own."""


class Hourglass:
    """How long the documents of one mail may still take."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.until = time.monotonic() + seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ends what is done inside with TooLong. Only a main thread can be interrupted, as that of a worker process."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TooLong
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, left)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _interrupt(number: int, frame: object) -> None:
    raise TooLong


def read_file(name: str, content: bytes, allowance: Allowance, hourglass: Hourglass) -> Text:
    """The text of a file that is no archive; nothing, and that is all, of a picture or a program."""
    reader = _reader(name, content, allowance)
    try:
        with hourglass.running():
            return reader(content)
    except (TooLong, RecursionError, MemoryError):
        return Text(whole=False)


def is_document(content: bytes) -> bool:
    """Whether a ZIP file is an office document."""
    if not archives.is_zip(content):
        return False
    listed = archives.names(content)
    return "[content_types].xml" in listed or {"mimetype", "content.xml"} <= listed


def has_text(content: bytes) -> bool:
    """Whether this is no plain text, whatever it is called, and yet may have one."""
    begins = archives.is_zip(content) or content.startswith(_BEGINNINGS) or b"%PDF-" in content[:1024]
    return begins or _is_wide(content)


def _reader(name: str, content: bytes, allowance: Allowance) -> Callable[[bytes], Text]:
    if archives.is_zip(content):
        return lambda whole: _office(whole, allowance)
    if b"%PDF-" in content[:1024]:
        return _pdf
    if content.startswith(b"{\\rtf"):
        return _rtf
    return _compound if content.startswith(_OLE) else lambda whole: _plain(name, whole)


# --- office documents ------------------------------------------------------------------------------------------------


def _office(content: bytes, allowance: Allowance) -> Text:
    """Its XML parts as text; whatever else is in it is a file of its own, or a ZIP file could pose as a document."""
    texts: list[str] = []
    inside: list[File] = []
    whole, read = True, 0
    for file in archives.members("", content, allowance):
        if file.name.lower().endswith(_PICTURES):
            continue
        if file.content is None or _BINARY_SHEET.fullmatch(file.name):
            whole = False
        elif _TEXT_PARTS.fullmatch(file.name):
            text = xml_text(file.content)
            whole, read = whole and text is not None, read + 1
            texts.append(text or "")
        else:
            inside.append(file)
    text = "\n".join(texts)
    return Text(text[:TEXT_MOST], whole and read > 0 and len(text) <= TEXT_MOST, tuple(inside))


class _NotPlainXML(Exception):
    """A document type, with which entities come that grow."""


def xml_text(content: bytes) -> str | None:
    """All text between the tags, a line for each paragraph or cell; None if it is not XML as these documents have."""
    if len(content) > XML_MOST:
        return None
    found: list[str] = []

    def start(name: str, attributes: object) -> None:
        if name.rpartition(":")[2] in _BREAKS:
            found.append("\n")

    def end(name: str) -> None:
        if name.rpartition(":")[2] in _BREAKS:
            found.append("\n")

    def refuse(*_: object) -> None:
        raise _NotPlainXML

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = found.append
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, _NotPlainXML, ValueError, LookupError):
        return None
    return "".join(found)


# --- others ----------------------------------------------------------------------------------------------------------


def _pdf(content: bytes) -> Text:
    """By pypdf, which is imported where a PDF comes, not in every process."""
    import logging
    from io import BytesIO

    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    if len(content) > PDF_MOST:
        return Text(whole=False)
    texts: list[str] = []
    try:
        reader = pypdf.PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            return Text(whole=False)
        texts += [str(value) for value in (reader.metadata or {}).values()]
        texts += [str(value.get("/V", "")) for value in (reader.get_fields() or {}).values()]
        room = TEXT_MOST
        for number, page in enumerate(reader.pages):
            text = page.extract_text()
            room -= len(text)
            if number >= PAGES_MOST or room < 0:
                return Text("\n".join(texts), whole=False)
            texts.append(text)
        inside = tuple(_embedded(reader))
    except Exception:  # a library that reads what strangers build: whatever it says, the file was not read
        return Text("\n".join(texts), whole=False)
    return Text("\n".join(texts), True, inside)


def _embedded(reader: object) -> Iterator[File]:
    attachments: dict[str, list[bytes]] = reader.attachments  # type: ignore[attr-defined]
    for name, contents in attachments.items():
        for content in contents:
            yield File(name, content)


def _rtf(content: bytes) -> Text:
    def sign(match: re.Match[str]) -> str:
        if match[1]:
            return bytes.fromhex(match[1]).decode("cp1252", "replace")
        if match[2]:
            return chr(int(match[2]) % 65536)
        return "\n" if match[3] else ""

    return Text(_RTF_WORD.sub(sign, content[:TEXT_MOST].decode("latin-1")), len(content) <= TEXT_MOST)


def _compound(content: bytes) -> Text:
    """Older office formats, and newer ones that are encrypted: what stands in them openly is found, but never all."""
    return Text(content[len(_OLE) : TEXT_MOST].replace(b"\0", b"").decode("cp1252", "replace"), whole=False)


def _plain(name: str, content: bytes) -> Text:
    some = content[: 4 * TEXT_MOST]
    if some.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = some.decode("utf-16", "replace")
    elif _is_wide(some):
        text = some.decode("utf-16-be" if some[0] == 0 else "utf-16-le", "replace")
    else:
        try:
            text = some.decode("utf-8-sig")
        except UnicodeDecodeError:
            if not name.lower().endswith(_TEXT_NAMES):
                return Text()
            text = some.decode("cp1252", "replace")
    if _CONTROL.search(text, 0, 10_000) and not name.lower().endswith(_TEXT_NAMES):
        return Text()
    return Text(text[:TEXT_MOST], len(content) <= len(some) and len(text) <= TEXT_MOST)


def _is_wide(content: bytes) -> bool:
    """Whether it looks like UTF-16 that does not say so: a zero beside each of the first letters."""
    some = content[:64]
    return len(some) >= 8 and any(not any(some[at::2]) and 0 not in some[1 - at :: 2] for at in (0, 1))
