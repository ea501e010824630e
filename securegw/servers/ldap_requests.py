"""Requests as values: what ldaptor decodes, once the inside of a message was found sound.

RFC 4511 4.1.1 (message), 4.2 (bind), 4.5.1 (search), 4.10 (compare), 4.11 (abandon), 4.12 (extended), RFC 2696 (pages).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs
from ldaptor.protocols import pureber, pureldap

from securegw.servers.ldap_ber import Broken, TooDeep, check, element, tlv
from securegw.servers.ldap_filters import Filter, read_filter
from securegw.servers.ldap_names import Selection, read_selection

PAGES = "1.2.840.113556.1.4.319"
# Known, and changing nothing here: there are no referrals, no subentries and no other domains.
HARMLESS = {"2.16.840.1.113730.3.4.2", "1.3.6.1.4.1.4203.1.10.1", "1.2.840.113556.1.4.1339"}


class _Known(pureber.BERDecoderContext):  # type: ignore[misc]
    """The last of ldaptor's contexts to be asked: without it, what nobody knows is printed and left out."""

    def lookup_id(self, id: int) -> Any:
        found = super().lookup_id(id)
        if found is None:
            raise Broken("an element that is not known")
        return found


_OPERATIONS = pureldap.LDAPBERDecoderContext(fallback=_Known())
_DECODER = pureldap.LDAPBERDecoderContext_TopLevel(
    inherit=pureldap.LDAPBERDecoderContext_LDAPMessage(fallback=_OPERATIONS, inherit=_OPERATIONS)
)

# The tag of each request, and that of its answer.
SEARCH, BIND, UNBIND, ABANDON, EXTENDED, COMPARE = 0x63, 0x60, 0x42, 0x50, 0x77, 0x6E
ANSWERS = {SEARCH: 0x65, BIND: 0x61, EXTENDED: 0x78, COMPARE: 0x6F, 0x66: 0x67, 0x68: 0x69, 0x4A: 0x6B, 0x6C: 0x6D}


@attrs.frozen
class Control:
    kind: str
    critical: bool
    value: bytes


@attrs.frozen
class Page:
    """One page of a result: how many entries, and where it goes on."""

    size: int
    cookie: bytes


@attrs.frozen
class Search:
    base: str
    scope: int
    size: int
    time: int
    types_only: bool
    filter: Filter
    selection: Selection
    page: Page | None = None


@attrs.frozen
class Bind:
    """``password`` is None for anything but the simple way; ``mechanism`` is then that of SASL."""

    version: int
    name: str
    password: str | None = attrs.field(repr=False)
    mechanism: str = ""


@attrs.frozen
class Compare:
    entry: str
    name: str
    value: bytes


@attrs.frozen
class Abandon:
    number: int


@attrs.frozen
class Unbind:
    pass


@attrs.frozen
class Extended:
    name: str


@attrs.frozen
class Write:
    """Add, delete, modify, rename: whatever it was, it is not read."""


@attrs.frozen
class Unanswerable:
    """A search that is nested too deep, or a control that must be obeyed and is not known here."""

    code: int
    text: str


Request: TypeAlias = Search | Bind | Compare | Abandon | Unbind | Extended | Write | Unanswerable


@attrs.frozen
class Message:
    """``number`` is that of the message, ``raw`` its encoding, ``tag`` that of the request."""

    number: int
    raw: bytes
    tag: int
    request: Request


def read_message(message: bytes) -> Message:
    """A whole message. Raises Broken for what is no request."""
    start, end = element(message, 0, len(message))
    first, at = element(message, start, end)
    number = int.from_bytes(message[first:at], "big", signed=True)
    if message[start] != 0x02 or not 1 <= at - first <= 4 or number < 1 or at >= end:
        raise Broken("a message number that is not allowed")
    raw, tag = message[start:at], message[at]
    if tag not in ANSWERS and tag not in (UNBIND, ABANDON):
        raise Broken("an operation that does not exist")
    try:
        check(message)
        _, behind = element(message, at, end)
        controls = tuple(_controls(message, behind, end))
        request = _read_request(tlv(b"\x30", message[start:behind]), tag, controls)
    except TooDeep:
        if tag not in ANSWERS:
            raise Broken("nested too deep") from None
        request = Unanswerable(11, "The filter is nested too deep")
    return Message(number, raw, tag, request)


def _read_request(message: bytes, tag: int, controls: tuple[Control, ...]) -> Request:
    """``message`` is one without controls."""
    if tag in (0x66, 0x68, 0x4A, 0x6C):
        return Write()
    if tag == UNBIND:
        return Unbind()
    try:
        decoded, _ = pureber.berDecodeObject(_DECODER, message)
        request = _READERS[tag](decoded)
    except (TooDeep, Broken):
        raise
    except Exception:  # ldaptor has many ways to say that it does not understand, assertions among them
        raise Broken("a request that cannot be read") from None
    if tag in ANSWERS and any(each.critical and each.kind not in HARMLESS | {PAGES} for each in controls):
        return Unanswerable(12, "This control is not known here")
    if isinstance(request, Search):
        page = next((_read_page(each.value) for each in controls if each.kind == PAGES), None)
        return attrs.evolve(request, page=page)
    return request


def _controls(message: bytes, at: int, end: int) -> Iterator[Control]:
    """What stands behind the request (RFC 4511 4.1.11); ldaptor would print what it does not know there."""
    if at == end:
        return
    if message[at] != 0xA0:
        raise Broken("an element that is not known")
    at, end = element(message, at, end)
    while at < end:
        start, stop = element(message, at, end)
        yield _control(message, start, stop)
        at = stop


def _control(message: bytes, at: int, end: int) -> Control:
    kind, critical, value = "", False, b""
    while at < end:
        tag, (start, stop) = message[at], element(message, at, end)
        if tag == 0x01:
            critical = message[start:stop] != b"\x00"
        elif tag != 0x04:
            raise Broken("an element that is not known")
        elif kind:
            value = message[start:stop]
        else:
            kind = message[start:stop].decode("ascii", "replace")
        at = stop
    return Control(kind, critical, value)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8")


def _read_search(decoded: Any) -> Search:
    asked = decoded.value
    if asked.scope not in (0, 1, 2) or asked.sizeLimit < 0 or asked.timeLimit < 0:
        raise Broken("a search that is not allowed")
    return Search(
        base=_text(asked.baseObject),
        scope=asked.scope,
        size=asked.sizeLimit,
        time=asked.timeLimit,
        types_only=bool(asked.typesOnly),
        filter=read_filter(asked.filter),
        selection=read_selection(_text(name) for name in asked.attributes),
    )


def _read_page(value: bytes) -> Page:
    """RFC 2696 2: SEQUENCE { size INTEGER, cookie OCTET STRING }."""
    check(value)
    start, end = element(value, 0, len(value))
    first, at = element(value, start, end)
    begin, stop = element(value, at, end)
    return Page(max(0, int.from_bytes(value[first:at], "big", signed=True)), value[begin:stop])


def _read_bind(decoded: Any) -> Bind:
    asked = decoded.value
    name = _text(asked.dn)
    if asked.sasl:
        return Bind(asked.version, name, None, _text(asked.auth[0]))
    return Bind(asked.version, name, _text(asked.auth))


def _read_compare(decoded: Any) -> Compare:
    asked = decoded.value
    test = asked.ava
    return Compare(_text(asked.entry), _text(test.attributeDesc.value), test.assertionValue.value)


_READERS: dict[int, Callable[[Any], Request]] = {
    SEARCH: _read_search,
    BIND: _read_bind,
    COMPARE: _read_compare,
    ABANDON: lambda decoded: Abandon(int(decoded.value.value)),
    EXTENDED: lambda decoded: Extended(_text(decoded.value.requestName)),
}
