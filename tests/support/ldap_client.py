"""LDAP as a client writes and reads it: requests from filters as text (RFC 4515), answers as plain values.

Own code, so that the door is not tested with the library that it reads with.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

SUBTREE, ONE, BASE = 2, 1, 0
START_TLS = "1.3.6.1.4.1.1466.20037"
PAGES = "1.2.840.113556.1.4.319"


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = (len(body).bit_length() + 7) // 8
    return bytes((tag, 128 + size)) + len(body).to_bytes(size, "big") + body


def text(value: str | bytes, tag: int = 4) -> bytes:
    return tlv(tag, value.encode() if isinstance(value, str) else value)


def integer(value: int, tag: int = 2) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def message(number: int, operation: bytes, controls: bytes = b"") -> bytes:
    return tlv(0x30, integer(number), operation, tlv(0xA0, controls) if controls else b"")


def control(kind: str, critical: bool = False, value: bytes | None = None) -> bytes:
    must = b"\x01\x01\xff" if critical else b""
    return tlv(0x30, text(kind), must, text(value) if value is not None else b"")


def page(size: int, cookie: bytes = b"", critical: bool = False) -> bytes:
    return control(PAGES, critical, tlv(0x30, integer(size), text(cookie)))


def search(
    filter: str | bytes,
    *,
    number: int = 1,
    base: str = "o=securegw",
    scope: int = SUBTREE,
    size: int = 0,
    time: int = 0,
    types_only: bool = False,
    wanted: Sequence[str] = (),
    controls: bytes = b"",
) -> bytes:
    fields = (
        *(text(base), integer(scope, 10), integer(0, 10), integer(size), integer(time)),
        *(b"\x01\x01\xff" if types_only else b"\x01\x01\x00", filter if isinstance(filter, bytes) else encode(filter)),
        tlv(0x30, *map(text, wanted)),
    )
    return message(number, tlv(0x63, *fields), controls)


def bind(name: str = "", password: str = "", *, number: int = 1, version: int = 3) -> bytes:
    return message(number, tlv(0x60, integer(version), text(name), text(password, 0x80)))


def sasl(mechanism: str, *, name: str = "", number: int = 1) -> bytes:
    return message(number, tlv(0x60, integer(3), text(name), tlv(0xA3, text(mechanism))))


def extended(name: str, *, number: int = 1) -> bytes:
    return message(number, tlv(0x77, text(name, 0x80)))


def abandon(which: int, *, number: int) -> bytes:
    return message(number, integer(which, 0x50))


def unbind(*, number: int = 99) -> bytes:
    return message(number, tlv(0x42))


def compare(entry: str, name: str, value: str, *, number: int = 1) -> bytes:
    return message(number, tlv(0x6E, text(entry), tlv(0x30, text(name), text(value))))


# --- filters ----------------------------------------------------------------------------------------------------------


def encode(filter: str) -> bytes:
    """A filter as text."""
    encoded, rest = _encode(filter)
    assert not rest, f"behind the filter: {rest}"
    return encoded


def _encode(filter: str) -> tuple[bytes, str]:
    assert filter.startswith("("), filter
    if filter[1] in "&|!":
        members, rest = [], filter[2:]
        while rest.startswith("("):
            member, rest = _encode(rest)
            members.append(member)
        assert rest.startswith(")"), rest
        return tlv({"&": 0xA0, "|": 0xA1, "!": 0xA2}[filter[1]], *members), rest[1:]
    test, _, rest = filter[1:].partition(")")
    return _test(test), rest


def _test(test: str) -> bytes:
    match = re.fullmatch(r"([\w.;:-]+?)(:=|~=|>=|<=|=)(.*)", test, re.DOTALL)
    assert match, test
    name, sign, value = match.groups()
    if sign == ":=":
        kind, _, rule = name.partition(":")
        return tlv(0xA9, text(rule, 0x81) if rule else b"", text(kind, 0x82), text(_plain(value), 0x83))
    if sign != "=":
        return tlv({"~=": 0xA8, ">=": 0xA5, "<=": 0xA6}[sign], text(name), text(_plain(value)))
    if value == "*":
        return text(name, 0x87)
    if "*" not in value:
        return tlv(0xA3, text(name), text(_plain(value)))
    first, *between, last = value.split("*")
    parts = [(0x80, first), *((0x81, each) for each in between), (0x82, last)]
    return tlv(0xA4, text(name), tlv(0x30, *(text(_plain(part), tag) for tag, part in parts if part)))


def _plain(value: str) -> bytes:
    return re.sub(rb"\\([0-9a-fA-F]{2})", lambda found: bytes.fromhex(found[1].decode()), value.encode())


# --- answers ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Answer:
    """One message of the server: an entry has ``name`` and ``attributes``, a result has ``code`` and ``text``."""

    number: int
    tag: int
    name: str = ""
    attributes: dict[str, list[bytes]] = attrs.field(factory=dict)
    code: int = -1
    text: str = ""
    cookie: bytes | None = None
    oid: str = ""


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[at : at + count], "big"), at + count
        assert at + length <= len(data), "cut off"
        yield tag, data[at : at + length]
        at += length


def read(data: bytes) -> list[Answer]:
    """All messages of these bytes, which must be whole."""
    return [_read(body) for _, body in elements(data)]


def read_tag(data: bytes) -> int:
    """What kind of operation a message is."""
    [(_, body)] = elements(data)
    return [tag for tag, _ in elements(body)][1]


def _read(body: bytes) -> Answer:
    (_, number), (tag, operation), *controls = elements(body)
    fields: list[Any] = list(elements(operation))
    found = int.from_bytes(number, "big")
    if tag == 0x64:
        attributes = {}
        for _, pair in elements(fields[1][1]):
            (_, name), (_, values) = elements(pair)
            attributes[name.decode()] = [value for _, value in elements(values)]
        return Answer(found, tag, fields[0][1].decode(), attributes)
    cookie = None
    for _, area in controls:
        for _, one in elements(area):
            parts = [value for _, value in elements(one)]
            [(_, inner)] = elements(parts[-1])
            cookie = [value for _, value in elements(inner)][1]
    oid = next((value.decode() for kind, value in fields[3:] if kind == 0x8A), "")
    return Answer(found, tag, code=fields[0][1][0], text=fields[2][1].decode(), cookie=cookie, oid=oid)


def code_of(port: int, filter: str, seconds: float = 30.0) -> int:
    """What a server on the loopback answers to a search, as the code of the result."""
    with socket.create_connection(("127.0.0.1", port), seconds) as asking:
        asking.sendall(search(filter))
        said = b""
        while piece := asking.recv(65536):
            said += piece
            try:
                found = read(said)
            except (AssertionError, IndexError):  # not whole yet
                continue
            if found[-1].code >= 0:
                return found[-1].code
    raise AssertionError("no result")
