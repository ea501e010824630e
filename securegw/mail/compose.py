"""Composing the mails that we write ourselves.

Not for mail that passes: that is only cut and spliced, see ``message``. RFC 5322, RFC 2045, RFC 2046, RFC 2183,
RFC 2231. No value can add a field: line breaks are refused.
"""

from __future__ import annotations

import base64
import quopri
import re
import secrets
import urllib.parse
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from securegw.mail.address import Address, Mailbox, parse_path
from securegw.mail.message import encode_words, field_line, wire_date
from securegw.mail.texts import Text
from securegw.mail.words import plain_line

Who = Mailbox | Address | str
Value = Who | Sequence[Who]

LINE_LIMIT = 998

_LINE_END = re.compile(r"\r\n|\r|\n")
_BREAK = re.compile(r"[\r\n\0]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_KIND = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}")


@attrs.frozen
class Attachment:
    """A file that goes with a mail. ``7bit`` only for ASCII in lines below the limit; anything else is base64."""

    name: str
    kind: str
    content: bytes
    disposition: str = "attachment"
    encoding: str = "base64"


def compose(
    *,
    sender: Who,
    to: Sequence[Who],
    text: Text,
    message_id: str,
    date: float,
    headers: Mapping[str, str] = MappingProxyType({}),
    attachments: Sequence[Attachment] = (),
) -> bytes:
    """A whole mail with CRLF. ``headers`` come below our own fields; their values may hold any letters."""
    content = alternatives(text)
    if attachments:
        content = multipart("mixed", [content, *map(attach, attachments)])
    fields = {"From": sender, "To": to, "Subject": text.subject, "Message-ID": message_id, **headers}
    return around(content, date, fields)


def around(content: bytes, date: float, fields: Mapping[str, Value]) -> bytes:
    """A mail from a finished part: Date first, then the fields given, then MIME-Version and the part."""
    lines = [field_line("Date", wire_date(date))]
    lines += [field_line(name, _written(name, value)) for name, value in fields.items()]
    ended = b"" if content.endswith(b"\r\n") else b"\r\n"
    return b"".join([*lines, b"MIME-Version: 1.0\r\n", content, ended])


def plain(subject: str, text: str) -> Text:
    """What a person typed: text only, and a subject of one line."""
    return Text(subject, text)


def message_id(host: str) -> str:
    """A new Message-ID (RFC 5322 3.6.4), also good as the name of a thing in the world."""
    return f"<{secrets.token_hex(16)}@{host}>"


def date(moment: float) -> str:
    """A moment as in a Date field."""
    return wire_date(moment)


def mailbox(who: Mailbox | Address | str) -> str:
    """One mailbox as it stands in From or To (RFC 5322 3.4); a string must be an address."""
    if isinstance(who, str):
        who = parse_path(who, utf8=True)
    if isinstance(who, Address):
        return str(who)
    if _BREAK.search(who.name):
        raise ValueError("a name has a line break")
    return f"{_phrase(who.name)} <{who.address}>" if who.name.strip() else str(who.address)


def _phrase(name: str) -> str:
    """A name for before the brackets: as atoms, in quotes, or in encoded words."""
    if not name.isascii() or not name.isprintable() or "=?" in name or len(name) > 60:
        return encode_words(name, start=60)
    if _ATOMS.fullmatch(name):
        return name.strip()
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(name: str, value: Value) -> str:
    if name in ("From", "To"):
        boxes = [value] if isinstance(value, (str, Mailbox, Address)) else value
        return ",\r\n ".join(map(mailbox, boxes)) or "undisclosed-recipients:;"
    if not isinstance(value, str):
        raise TypeError(f"only addresses stand in From and To, not in {name}")
    if _BREAK.search(value):
        raise ValueError(f"a line break in the value of {name}")
    return encode_words(value, start=len(name) + 2)


# --- parts: each a header, an empty line and a body, as bytes; the line end of the last line is not theirs ---


def alternatives(text: Text) -> bytes:
    """Plain text, and HTML beside it if there is any."""
    parts = [text_part("plain", text.text)]
    if text.html is not None:
        parts.append(text_part("html", text.html))
    return parts[0] if len(parts) == 1 else multipart("alternative", parts)


def text_part(kind: str, content: str) -> bytes:
    """A text part: as it is where it is ASCII in short lines, else quoted-printable or base64 (RFC 2045 6)."""
    return raw_text_part(f"text/{kind}", wire_lines(content).encode("utf-8", "replace"))


def raw_text_part(kind: str, raw: bytes) -> bytes:
    """The same from finished lines."""
    if raw.isascii() and b"\0" not in raw and longest_line(raw) <= LINE_LIMIT:
        encoding, body = "7bit", raw
    elif _mostly_ascii(raw):
        encoding, body = "quoted-printable", _quoted_printable(raw)
    else:
        encoding, body = "base64", _base64(raw)
    charset = "us-ascii" if encoding == "7bit" else "utf-8"
    return part(f"{kind}; charset={charset}", body, encoding=encoding)


def part(content_type: str, body: bytes, *, encoding: str = "7bit", disposition: str = "") -> bytes:
    """One part from a finished body."""
    lines = [field_line("Content-Type", content_type), field_line("Content-Transfer-Encoding", encoding)]
    if disposition:
        lines.append(field_line("Content-Disposition", disposition))
    return b"".join([*lines, b"\r\n", body])


def multipart(subtype: str, parts: Sequence[bytes], *, parameters: str = "") -> bytes:
    """Parts in one (RFC 2046 5.1). The boundary cannot be in them: ``=_`` is in no encoding and it is random."""
    boundary = f"=_{secrets.token_hex(16)}"
    head = field_line("Content-Type", f'multipart/{subtype}{parameters};\r\n boundary="{boundary}"')
    mark = f"--{boundary}".encode("ascii")
    body = b"".join(mark + b"\r\n" + one + b"\r\n" for one in parts)
    return head + b"\r\n" + body + mark + b"--"


def attach(attachment: Attachment) -> bytes:
    """An attachment as a part. Its name becomes one line; a kind that a file cannot have becomes no kind."""
    kind = attachment.kind.lower()
    if not _KIND.fullmatch(kind) or kind.startswith(("multipart/", "message/")):
        kind = "application/octet-stream"
    raw = attachment.content
    seven_bit = attachment.encoding == "7bit" and raw.isascii() and b"\0" not in raw
    if seven_bit:
        raw = wire_lines(raw.decode("ascii")).encode("ascii")
    encoding, body = ("7bit", raw) if seven_bit and longest_line(raw) <= LINE_LIMIT else ("base64", _base64(raw))
    disposition = attachment.disposition + _parameter("filename", plain_line(attachment.name))
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return part(kind + charset, body, encoding=encoding, disposition=disposition)


def _parameter(name: str, value: str) -> str:
    """A parameter on lines of its own; other letters in pieces below the line limit (RFC 2231 3 and 4)."""
    if not value:
        return ""
    if value.isascii() and value.isprintable() and len(value) < 60:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f';\r\n {name}="{escaped}"'
    quoted = urllib.parse.quote(value, safe="", errors="replace")
    if len(quoted) < 60:
        return f";\r\n {name}*=utf-8''{quoted}"
    pieces = re.findall(r"(?:%[0-9A-F]{2}|.){1,20}", quoted)
    lines = [f";\r\n {name}*{number}*={piece}" for number, piece in enumerate(pieces)]
    return "".join([lines[0].replace("*=", "*=utf-8''", 1), *lines[1:]])


def wire_lines(text: str) -> str:
    """The text with CRLF at the end of every line."""
    return _LINE_END.sub("\r\n", text)


def longest_line(raw: bytes) -> int:
    return max(map(len, raw.split(b"\r\n")))


def _mostly_ascii(raw: bytes) -> bool:
    return len(raw.translate(None, bytes(range(128)))) * 6 < len(raw)


def _quoted_printable(raw: bytes) -> bytes:
    return quopri.encodestring(raw.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def _base64(raw: bytes) -> bytes:
    return base64.encodebytes(raw).replace(b"\n", b"\r\n").removesuffix(b"\r\n")
