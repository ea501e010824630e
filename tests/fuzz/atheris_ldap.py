"""Any bytes to the LDAP dialogue, guided by coverage.

Run by hand: ``python -m tests.fuzz.atheris_ldap [seconds]``. Without atheris (it is optional) requests that were
changed at random take its place for a few seconds, and it says so.
"""

from __future__ import annotations

import random
from typing import Any

from securegw.keys.published import Entry, Nothing
from securegw.servers.ldap_dialogue import MOST_OUTSTANDING, Bounds, LdapDialogue
from securegw.servers.ldap_directory import Outcome
from securegw.servers.ldap_entries import Person, prepare_person
from securegw.servers.ldap_events import Ask, Close, Event, Send, StartTLS
from securegw.servers.ldap_filters import fits, texts, whom
from securegw.servers.ldap_quick import Quick
from securegw.servers.ldap_requests import Search
from tests.fuzz.driver import drive
from tests.support import ldap_client as client

ADDRESS = "carol@partner.test"
PERSON = prepare_person(Entry(ADDRESS, 9e9, "Carol Meier", certificates=(b"\x30\x03abc",)))
SEEDS = (
    client.search(f"(mail={ADDRESS})"),
    client.search(f"(mail={ADDRESS})", wanted=["userCertificate;binary"], number=300),
    client.search("(&(mail=*)(|(cn=a*b*c)(!(sn>=x))(x:y:=z)))", controls=client.page(2, b"1")),
    client.search("(objectClass=*)", base="", scope=0, size=10, time=5, types_only=True),
    client.bind("uid=ann,o=x", "secret"),
    client.bind(),
    client.sasl("PLAIN"),
    client.extended(client.START_TLS),
    client.compare(f"mail={ADDRESS},o=x", "cn", "x"),
    client.abandon(1, number=5),
    client.unbind(),
    client.message(7, client.tlv(0x66, client.text("o=x"))),
)


class Shelf:
    """Where one person lies prepared."""

    ready: dict[bytes, Person | Nothing] = {ADDRESS.encode(): PERSON, b"no@partner.test": Nothing(9e9)}


def dialogue() -> LdapDialogue:
    shelf: Any = Shelf
    return LdapDialogue(Bounds(start_tls=True), Quick(shelf, b"o=x"), lambda: 0.0, lambda: True, known=False)


def talk(data: bytes, size: int) -> tuple[bytes, bool]:
    """All that is said, and whether it hung up; every question is answered at once with nothing."""
    one, said, closed = dialogue(), b"", False
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        answer = one.at_once(piece)
        todo: list[Event] = [Send(answer)] if answer is not None else one.receive(piece)
        while todo:
            event = todo.pop(0)
            assert not closed, "something happened after the end"
            if isinstance(event, Send):
                client.read(event.data)
                said += event.data
            elif isinstance(event, StartTLS):
                one.secured()
            elif isinstance(event, Ask):
                assert one.outstanding <= MOST_OUTSTANDING
                todo += _answer(one, event)
            else:
                assert isinstance(event, Close)
                closed = True
    return said, closed


def _answer(one: LdapDialogue, asked: Ask) -> list[Any]:
    if isinstance(asked.request, Search):
        filter = asked.request.filter
        assert fits(filter, PERSON.values()) in (True, False, None)
        texts(filter)
        stranger, known = whom(filter, strict=True), whom(filter, strict=False)
        assert stranger is not None or known is None
    return one.answer(asked, Outcome())


def try_one(data: bytes) -> None:
    """The first byte decides about the cuts."""
    if data:
        talk(data[1:], 1 + data[0] % 64)
        talk(data[1:], len(data))


def changed(source: random.Random) -> bytes:
    """Some requests, with a few bytes put in, taken out or replaced."""
    data = bytearray(b"".join(source.choices(SEEDS, k=source.randrange(1, 4))))
    for _ in range(source.randrange(4)):
        at = source.randrange(len(data) + 1)
        data[at : at + source.randrange(3)] = source.randbytes(source.randrange(3))
    return bytes([source.randrange(256)]) + bytes(data)


if __name__ == "__main__":
    drive(try_one, changed)
