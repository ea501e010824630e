"""The requests and answers of SNMP inside a message (RFC 3416), for reading only.

Not the message around them: that says who asks, see ``snmp_agent``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from securegw.servers.snmp_ber import END_OF_VIEW, NULL, SEQUENCE, BadBer, Oid, Reader, integer, oid, pack, sequence
from securegw.servers.snmp_tree import Tree

GET, GET_NEXT, RESPONSE, SET, GET_BULK, INFORM, TRAP, REPORT = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xA6, 0xA7, 0xA8
REQUESTS = (GET, GET_NEXT, SET, GET_BULK)
TOO_BIG, NOT_WRITABLE = 1, 17
MOST_NAMES = 64
MOST_REPETITIONS = 100
HEAD = 24  # bytes of a response around its bindings, at most

Binding = tuple[Oid, bytes]


@attrs.frozen
class Request:
    """What is asked. ``first`` and ``second`` are non-repeaters and max-repetitions of a GetBulk."""

    kind: int
    id: int
    first: int
    second: int
    names: tuple[Oid, ...]


@attrs.frozen
class Told:
    """What another one answers or reports; ``status`` 0 is well."""

    kind: int
    id: int
    status: int
    names: tuple[Oid, ...]


def read_request(reader: Reader) -> Request:
    """The next request; raises BadBer for all that is none."""
    kind = reader.tag
    if kind not in REQUESTS:
        raise BadBer("not a request")
    inside = reader.enter(kind)
    number, first, second = inside.integer(), inside.integer(), inside.integer()
    return Request(kind, number, first, second, _read_names(inside))


def read_told(reader: Reader) -> Told:
    """The next response or report; raises BadBer for all that is none."""
    kind = reader.tag
    if kind not in (RESPONSE, REPORT):
        raise BadBer("neither a response nor a report")
    inside = reader.enter(kind)
    number, status, _ = inside.integer(), inside.integer(), inside.integer()
    return Told(kind, number, status, _read_names(inside))


def _read_names(inside: Reader) -> tuple[Oid, ...]:
    bindings = inside.enter(SEQUENCE)
    inside.finish()
    names: list[Oid] = []
    while not bindings.is_empty:
        binding = bindings.enter(SEQUENCE)
        names.append(binding.oid())
        binding.skip()
        binding.finish()
        if len(names) > MOST_NAMES:
            raise BadBer("too many names")
    return tuple(names)


def answer(request: Request, tree: Tree, room: int) -> bytes:
    """The response, in at most so many bytes."""
    if request.kind == SET:
        return _refusal(request, NOT_WRITABLE, 1 if request.names else 0)
    if request.kind == GET_BULK:
        return _bulk(request, tree, room)
    step: Callable[[Oid], Binding] = tree.get if request.kind == GET else tree.next
    response = pdu(RESPONSE, request.id, [step(name) for name in request.names])
    return response if len(response) <= room else _refusal(request, TOO_BIG, 0, empty=True)


def pdu(kind: int, number: int, bindings: Sequence[Binding], status: int = 0, index: int = 0) -> bytes:
    """Any of them."""
    return _pdu(kind, number, [_pair(binding) for binding in bindings], status, index)


def _pdu(kind: int, number: int, pairs: Sequence[bytes], status: int = 0, index: int = 0) -> bytes:
    return pack(kind, integer(number), integer(status), integer(index), sequence(pairs))


def _pair(binding: Binding) -> bytes:
    name, value = binding
    return sequence((oid(name), value))


def _refusal(request: Request, status: int, index: int, *, empty: bool = False) -> bytes:
    names = () if empty else request.names
    return pdu(RESPONSE, request.id, [(name, pack(NULL)) for name in names], status, index)


def _bulk(request: Request, tree: Tree, room: int) -> bytes:
    """As many as there is room for (RFC 3416 4.2.3 allows fewer than were asked for)."""
    left, pairs = room - HEAD, []
    for binding in _following(request, tree):
        pair = _pair(binding)
        left -= len(pair)
        if left < 0:
            break
        pairs.append(pair)
    return _pdu(RESPONSE, request.id, pairs)


def _following(request: Request, tree: Tree) -> Iterator[Binding]:
    """The names after those that are asked once, then row after row of the others, until all have come to the end."""
    once = max(0, min(request.first, len(request.names)))
    yield from (tree.next(name) for name in request.names[:once])
    row = list(request.names[once:])
    for _ in range(max(0, min(request.second, MOST_REPETITIONS)) if row else 0):
        found = [tree.next(name) for name in row]
        yield from found
        row = [name for name, _ in found]
        if all(value == END_OF_VIEW for _, value in found):
            return
