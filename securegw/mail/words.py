"""Words of a header in other alphabets: charsets and encoded words, read tolerantly and written plainly.

Not the header itself, see ``message``. RFC 2047, RFC 2231 5 (language tags), RFC 6532. Linear time, never
raises on what a stranger wrote.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

# Asked before codecs.lookup: Python keeps every unknown name for ever, and has codecs that are no charsets.
_CHARSET = re.compile(
    r"(?:us-)?ascii|utf[-_]?(?:7|8|16|32)(?:[-_]?[bl]e)?|latin[-_]?\d{1,2}"
    r"|(?:x-)?iso[-_]?8859[-_]\d{1,2}(?:-[ei])?|iso[-_]?2022[-_](?:jp|kr)(?:[-_](?:[123]|2004|ext))?|(?:windows[-_]?|cp|ibm)\d{3,4}|koi8[-_][rtu]"
    r"|(?:x-)?mac[-_]?(?:roman|cyrillic|greek|turkish|latin2)|big5(?:[-_]?hkscs)?|gb2312|gbk|gb18030|hz(?:-gb-2312)?"
    r"|euc[-_](?:jp|kr|jisx0213)|(?:x-)?s(?:hift)?[-_]?jis|tis[-_]?620|ks_c_5601-1987|johab|viscii"
)
_SAME_AS = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-8-i": "iso-8859-8", "ks_c_5601-1987": "cp949"}
_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?\r\n]*)\?=")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TOKENS = re.compile(r"[ \t]*[^ \t]+")

LINE = 76


def charset_known(charset: str) -> bool:
    """True if this is the name of a charset, not of some other transformation that Python calls a codec."""
    return _CHARSET.fullmatch(charset.strip().lower()) is not None


def decode_charset(raw: bytes, charset: str) -> str:
    """Bytes of a stranger as text: by the charset named if it is one, else UTF-8, else Latin-1."""
    name = charset.strip().lower()
    if _CHARSET.fullmatch(name):
        try:
            return raw.decode(_SAME_AS.get(name, name.removeprefix("x-")), "replace")
        except (LookupError, UnicodeError):
            pass
    return loose_text(raw)


def loose_text(raw: bytes) -> str:
    """Text of unlabelled bytes: UTF-8 where it is valid, else Latin-1, so that no byte is lost."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decode_words(value: str) -> str:
    """Replace the encoded words in a field value (RFC 2047); what is no good word stays as it stands."""
    if "=?" not in value:
        return value
    return "".join(_decoded(value))


def _decoded(value: str) -> Iterator[str]:
    """Pieces of the text. Neighbours in one charset are decoded as one: many cut inside a character."""
    end, charset, pending = 0, "", b""
    for match in _WORD.finditer(value):
        raw = _word_bytes(match[2], match[3])
        gap = value[end : match.start()]
        if raw is None or not charset_known(match[1]):
            raw, name = None, ""
        else:
            name = match[1].lower()
        joins = bool(charset) and raw is not None and not gap.strip(" \t\r\n")
        if raw is not None and joins and name == charset:
            pending += raw
        else:
            yield decode_charset(pending, charset) if charset else ""
            yield "" if joins else gap
            charset, pending = name, raw or b""
            if raw is None:
                yield match[0]
        end = match.end()
    yield decode_charset(pending, charset) if charset else ""
    yield value[end:]


def _word_bytes(encoding: str, text: str) -> bytes | None:
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return _HEX.sub(lambda match: bytes.fromhex(match[1].decode()), raw.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return None


def plain_line(text: str) -> str:
    """The text on one line: every run of control characters and line separators becomes one space."""
    return _CONTROL.sub(" ", text)


def encode_words(text: str, *, start: int = 20) -> str:
    """A field value that says ``text``: as it stands if ASCII, else in UTF-8 words; folded below 76 columns.

    ``start`` is the room that name and colon take on the first line.
    """
    text = plain_line(text).encode("utf-8", "replace").decode("utf-8").strip()
    if text.isascii() and "=?" not in text:
        folded = _fold(text, start)
        if all(len(line) < 500 for line in folded):
            return "\r\n".join(folded)
    return "\r\n ".join(_words(text, start))


def _fold(text: str, start: int) -> list[str]:
    lines, line, room = [], "", LINE - start
    for token in _TOKENS.findall(text):
        if line and len(line) + len(token) > room:
            lines.append(line)
            line, room = token, LINE
        else:
            line += token
    return [*lines, line]


def _words(text: str, start: int) -> Iterator[str]:
    """Encoded words of whole characters; 75 columns each at most (RFC 2047 2), the first beside its name."""
    piece, room = b"", max(12, (LINE - start - 14) // 4 * 3)
    for character in text:
        raw = character.encode("utf-8")
        if len(piece) + len(raw) > room:
            yield _word(piece)
            piece, room = b"", 45
        piece += raw
    yield _word(piece)


def _word(raw: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(raw).decode('ascii')}?="
