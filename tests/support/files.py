"""Files for tests: archives, office documents and PDF, made small and by hand, so that each byte is known."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Mapping

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def zipped(files: Mapping[str, bytes | str], *, packed: bool = True) -> bytes:
    """A ZIP file of these, the same bytes at any time."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            file.writestr(member, content, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    return whole.getvalue()


def short(value: object) -> str:
    """How a file is named in the name of a test."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def encrypted(archive: bytes) -> bytes:
    """The same with the flags of a password, in both places where a member has them."""
    changed = bytearray(archive)
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = archive.find(sign)
        while at >= 0:
            changed[at + flags] |= 1
            at = archive.find(sign, at + 1)
    return bytes(changed)


def docx(*runs: str, name: str = "word/document.xml") -> bytes:
    """A paragraph of several runs, as Word writes words that were corrected."""
    body = "".join(f'<w:r><w:t xml:space="preserve">{run}</w:t></w:r>' for run in runs)
    xml = f'<?xml version="1.0"?><w:document xmlns:w="{WORD}"><w:body><w:p>{body}</w:p></w:body></w:document>'
    return zipped({"[Content_Types].xml": TYPES, "_rels/.rels": "<x/>", name: xml})


def xlsx(shared: str, number: str) -> bytes:
    """A sheet with a shared text and a number."""
    strings = f'<sst xmlns="{SHEET}"><si><t>{shared}</t></si></sst>'
    rows = f'<row><c t="s"><v>0</v></c><c><v>{number}</v></c></row>'
    sheet = f'<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData></worksheet>'
    return zipped({"[Content_Types].xml": TYPES, "xl/sharedStrings.xml": strings, "xl/worksheets/sheet1.xml": sheet})


def pptx(text: str) -> bytes:
    slide = f'<p:sld xmlns:p="x" xmlns:a="{DRAWING}"><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>'
    return zipped({"[Content_Types].xml": TYPES, "ppt/slides/slide1.xml": slide})


def odt(text: str) -> bytes:
    content = f'<o:document-content xmlns:o="o" xmlns:text="t"><text:p>{text}</text:p></o:document-content>'
    kind = "application/vnd.oasis.opendocument.text"
    return zipped({"mimetype": kind, "content.xml": content, "meta.xml": "<office:meta xmlns:office='o'/>"})


def pdf(*lines: str) -> bytes:
    """A page with these lines, compressed."""
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    stream = zlib.compress(f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET".encode())
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    return _pdf_of(objects)


def _pdf_of(objects: list[bytes]) -> bytes:
    whole, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(whole))
        whole += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    end = b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return whole + end % (size, table, size, len(whole))


def with_file(
    name: str, content: bytes, *, sender: str, recipient: str, kind: str = "application/octet-stream"
) -> bytes:
    """A mail that carries one file."""
    coded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    head = (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: a file\r\nMessage-ID: <file@inside.test>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee the file\r\n--b\r\n"
        f'Content-Type: {kind}; name="{name}"\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + coded + b"--b--\r\n"
