"""Insertion: a text of ours put into a mail that passes, by cutting and splicing bytes.

Not a writer of mails (``compose``). Only the parts that a reader sees as the body are touched, in their own charset and
transfer encoding as far as these can hold the text; all other bytes stay. A mail that is signed or sealed is left
alone, and so is one that cannot be taken apart in one certain way. RFC 2045 6, RFC 2046 5.1, RFC 3676 4.2 (quoted
lines).
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterable, Iterator

import attrs

from securegw.mail.bodies import bodies
from securegw.mail.errors import NotExamined
from securegw.mail.message import Message, read, with_field
from securegw.mail.parts import Part, parse
from securegw.mail.words import charset_known, decode_charset

LINE_LIMIT = 998
Change = tuple[int, int, bytes]

CLOSED = ("multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
CLEAR_SIGNED = (b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP MESSAGE-----")

_BODY_OPENS = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_ENDS = re.compile(r"</body\s*>|</html\s*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_QUOTED = re.compile(r"^[> \t]+", re.MULTILINE)


@attrs.frozen
class Insertion:
    """What is put in: the text, the same in HTML, and where. ``marker`` is a text that it takes the place of."""

    name: str
    text: str
    html: str
    top: bool = False
    marker: str = ""


def insert(raw: bytes, what: Insertion) -> bytes:
    """The mail with the text in its body; the very same bytes where there is no place for it or it is there already."""
    try:
        top = parse(raw)
    except NotExamined:
        return raw
    if top.ambiguous or top.kind in CLOSED:
        return raw
    found = bodies(top)
    return _spliced(raw, [_changed(part, what) for part in (found.text, found.html) if part is not None])


def rewrite(raw: bytes, kind: str, change: Callable[[str], str]) -> bytes:
    """The mail with the text of each part of a kind changed, attached ones too; what stays is not touched."""
    try:
        parts = list(_leaves(parse(raw)))
    except NotExamined:
        return raw
    changes: list[Change | None] = []
    for part in parts:
        text = part.text() if part.kind == kind else ""
        new = change(text) if text else ""
        if new != text:
            charset = part.parameters.get("charset", "us-ascii").lower()
            changes.append((part.start, part.end, _written(part, new, charset, text)))
    return _spliced(raw, changes)


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)


def _spliced(raw: bytes, changes: Iterable[Change | None]) -> bytes:
    pieces, at = [], 0
    for start, end, new in sorted(change for change in changes if change is not None):
        pieces += [raw[at:start], new]
        at = end
    return b"".join((*pieces, raw[at:])) if pieces else raw


def _changed(part: Part, what: Insertion) -> Change | None:
    """From where to where a part is replaced, and by what."""
    content = part.content()
    charset = part.parameters.get("charset", "us-ascii").lower()
    if not charset_known(charset) or part.ambiguous or any(mark in content for mark in CLEAR_SIGNED):
        return None
    text = part.text()
    is_html = part.kind == "text/html"
    new = _in_html(text, what) if is_html else _in_text(text, what, format=part.parameters.get("format", ""))
    if new is None:
        return None
    return part.start, part.end, _written(part, new, charset, text)


def _in_text(text: str, what: Insertion, format: str) -> str | None:
    banner = what.text if format.lower() != "flowed" else re.sub(r"[ ]+(?=\n|\Z)", "", what.text)
    if what.marker and what.marker in text:
        return text.replace(what.marker, banner)
    if _flat(what.text) in _flat(_QUOTED.sub("", text)):
        return None
    if what.top:
        return f"{banner}\n\n{text}"
    return f"{text.rstrip(chr(10))}\n\n{banner}\n"


def _in_html(text: str, what: Insertion) -> str | None:
    marker = html.escape(what.marker, quote=False)
    block = f'<div class="securegw-banner">{what.html}</div>'
    if what.marker and marker in text:
        return text.replace(marker, block)
    if _flat(_seen(what.html)) in _flat(_seen(text)):
        return None
    if what.top:
        opens = _BODY_OPENS.search(text)
        at = opens.end() if opens else 0
        return f"{text[:at]}{block}{text[at:]}"
    ends = _ENDS.search(text)
    at = ends.start() if ends else len(text)
    return f"{text[:at]}{block}\n{text[at:]}"


def _seen(markup: str) -> str:
    return html.unescape(_TAG.sub(" ", markup))


def _flat(text: str) -> str:
    """As it is compared: no white space, since every mail program breaks lines elsewhere."""
    return "".join(text.split()).casefold()


def _written(part: Part, text: str, charset: str, before: str) -> bytes:
    """The whole part anew: its header with what has to change, its body in an encoding that can hold it."""
    header = part.whole[part.start : part.body_at]
    lines = text.replace("\n", "\r\n")
    try:
        body = lines.encode(charset) if _says_so(part, charset, before) else None
    except (LookupError, UnicodeError):
        body = None
    if body is None:
        body = lines.encode("utf-8", "replace")
        header = _with(header, "Content-Type", _kind_in_utf8(part))
    encoded, encoding = _encoded(body, part.encoding)
    if encoding != part.encoding:
        header = _with(header, "Content-Transfer-Encoding", encoding)
    if part.start == 0 and header != part.whole[: part.body_at] and part.first("MIME-Version") is None:
        header = _with(header, "MIME-Version", "1.0")
    return header + encoded + _line_end(part, encoded)


def _says_so(part: Part, charset: str, text: str) -> bool:
    """Whether the part is what it says: then its charset is kept, if it can hold the new text."""
    if not charset_known(charset):
        return False
    return decode_charset(part.content(), charset).replace("\r\n", "\n").replace("\r", "\n") == text


def _line_end(part: Part, encoded: bytes) -> bytes:
    """A whole mail ends with a line end; that of a part belongs to the delimiter behind it."""
    return b"\r\n" if part.end == len(part.whole) and not encoded.endswith(b"\r\n") else b""


def _with(header: bytes, name: str, value: str) -> bytes:
    """The header of a part with this field; the empty line at its end stays."""
    message = read(header if header.strip() else b"\r\n")
    if not message.fields:
        return f"{name}: {value}\r\n\r\n".encode()
    return with_field(Message(header, message.fields, len(header)), name, value)


def _kind_in_utf8(part: Part) -> str:
    kept = [
        f'{name}="{value}"'
        for name, value in part.parameters.items()
        if name != "charset" and value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
    ]
    return "; ".join((part.kind, 'charset="utf-8"', *kept))


def _encoded(body: bytes, encoding: str) -> tuple[bytes, str]:
    if encoding == "base64":
        return base64.encodebytes(body).replace(b"\n", b"\r\n").removesuffix(b"\r\n"), encoding
    short = max(map(len, body.split(b"\r\n"))) <= LINE_LIMIT
    if encoding in ("8bit", "binary") and short and b"\0" not in body:
        return body, encoding
    if encoding in ("", "7bit") and short and body.isascii() and b"\0" not in body:
        return body, encoding
    if _lines_are_octets(body):
        return binascii.b2a_qp(body.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n"), "quoted-printable"
    return base64.encodebytes(body).replace(b"\n", b"\r\n").removesuffix(b"\r\n"), "base64"


def _lines_are_octets(body: bytes) -> bool:
    """Whether line ends are CRLF in octets; in UTF-16 they are not, and then only base64 is safe."""
    return b"\0" not in body and body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
