"""The search that nearly all are - one whole address, no control - answered from its bytes.

Not another reader of requests: the first search of a form goes the long way (ldap_requests), and only if that found
nothing odd is the form remembered: all bytes but the number, the lengths and the address. What has a known form and a
prepared entry is answered by comparing bytes. Everything else is None here, and goes the long way again.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from securegw.keys.published import Nothing, Shelf
from securegw.servers.ldap_ber import LENGTHS
from securegw.servers.ldap_entries import Person
from securegw.servers.ldap_filters import Equal, address_key
from securegw.servers.ldap_names import CERTIFICATE, Selection
from securegw.servers.ldap_requests import Search

MOST_FORMS = 500
DONE = b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
ALONE = tuple(Selection(False, False, frozenset({name})) for name in ("usercertificate", CERTIFICATE.lower()))

Form: TypeAlias = tuple[bytes, bytes, bytes]


@attrs.frozen
class Plan:
    """How a search of one form is answered."""

    base: bytes
    selection: Selection
    certificates_only: bool


def cut(message: bytes) -> tuple[bytes, Form, bytes] | None:
    """Number (encoded), form and address of a search with an equality in it; None if it is anything else.

    Only short lengths where they can be short; every length must end where the next thing begins.
    """
    try:
        at = 2 if message[1] < 0x80 else 2 + (message[1] & 0x7F)
        body = at + 2 + message[at + 1]
        number = message[at:body]
        if message[body] != 0x63:
            return None
        length = message[body + 1]
        start = body + 2
        if length >= 0x80:
            start += length & 0x7F
            length = int.from_bytes(message[body + 2 : start], "big")
        size = start + 8 + message[start + 1]  # behind the base come scope and dereferencing, three bytes each
        time = size + 2 + message[size + 1]
        filter = time + 5 + message[time + 1]
        name = filter + 2
        value = name + 2 + message[name + 1]
        end = value + 2 + message[value + 1]
        if (
            message[filter] != 0xA3
            or end != name + message[filter + 1]
            or start + length != len(message)
            or message[value] != 0x04
            or message[value + 1] >= 0x80
        ):
            return None
        return number, (message[start:filter], message[name:value], message[end:]), message[value + 2 : end]
    except IndexError:
        return None


class Quick:
    """Answers searches of the forms that it has learned, about whom the shelf has ready."""

    def __init__(self, shelf: Shelf[Person], context: bytes) -> None:
        self._ready = shelf.ready
        self._context = context
        self._plans: dict[Form, Plan] = {}

    def answer(self, message: bytes, now: float) -> bytes | None:
        """The whole answer, or None if this must be looked into."""
        parts = cut(message)
        if parts is None:
            return None
        number, form, address = parts
        plan = self._plans.get(form)
        row = self._ready.get(address.lower())
        if plan is None or row is None or row.until < now:
            return None
        if isinstance(row, Nothing):
            return b"".join((b"0", LENGTHS[len(number) + 9], number, DONE))
        try:
            return _write(number, row, plan)
        except IndexError:  # longer than nearly all
            return None

    def learn(self, message: bytes, search: Search) -> None:
        """Remember the form of a search that went the long way."""
        parts = cut(message)
        if parts is None or not isinstance(search.filter, Equal) or search.filter.name != "mail":
            return
        if search.scope == 0 or search.types_only or search.page or address_key(search.filter.value) is None:
            return
        if len(self._plans) >= MOST_FORMS:
            self._plans.clear()
        alone = search.selection in ALONE
        self._plans[parts[1]] = Plan(b"," + (search.base.encode() or self._context), search.selection, alone)


def _write(number: bytes, person: Person, plan: Plan) -> bytes:
    """SearchResultEntry and SearchResultDone, in one piece."""
    shown = person.certificates if plan.certificates_only else person.attributes(plan.selection, False)
    rdn, base = person.rdn, plan.base
    named, size, first = len(rdn) + len(base), len(shown), len(number)
    name, attributes = LENGTHS[named], LENGTHS[size]
    inner = 2 + len(name) + named + len(attributes) + size
    entry = LENGTHS[inner]
    whole, last = LENGTHS[first + 1 + len(entry) + inner], LENGTHS[first + 9]
    begin = (b"0", whole, number, b"d", entry, b"\x04", name, rdn, base, b"0", attributes, shown)
    return b"".join((*begin, b"0", last, number, DONE))
