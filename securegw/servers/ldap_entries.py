"""Entries as they stand on the wire: people with certificates, encoded once, and the few that describe the server.

RFC 4511 4.5.2 (SearchResultEntry), RFC 4514 2.4 (names), RFC 2798 (inetOrgPerson; 2.8: userSMIMECertificate is a
SignedData that signs nothing), RFC 4523 2.1 (certificates go out as ``;binary``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import attrs

from securegw.keys.published import Entry
from securegw.servers.ldap_ber import element, length_of, tlv
from securegw.servers.ldap_filters import Values, fold
from securegw.servers.ldap_names import CERTIFICATE, SMIME, Selection

MAIL = "mail="
_ESCAPED = re.compile(r"\\(.)")

SEQUENCE, SET, OCTETS, ENTRY = b"\x30", b"\x31", b"\x04", b"\x64"
CLASSES = (b"top", b"person", b"organizationalPerson", b"inetOrgPerson")

# RFC 5652 5.1 in fixed bytes: what stands before and behind the certificates in a SignedData without signers.
_SIGNED = bytes.fromhex("06092a864886f70d010702")
_EMPTY = bytes.fromhex("020101" "3100" "300b06092a864886f70d010701")


class Shown(Protocol):
    """An entry, whatever it is about."""

    def values(self) -> Values:
        """What filters compare, by folded name."""

    def name(self, base: bytes) -> bytes:
        """Its distinguished name below a base."""

    def attributes(self, selection: Selection, types_only: bool) -> bytes:
        """The attributes that are wanted, encoded."""


def attribute(name: str, *values: bytes) -> bytes:
    """A PartialAttribute; without values only its type."""
    return tlv(SEQUENCE, tlv(OCTETS, name.encode()), tlv(SET, *(tlv(OCTETS, value) for value in values)))


def encode(entry: Shown, base: bytes, selection: Selection, types_only: bool = False) -> bytes:
    """The whole SearchResultEntry, without the envelope that has the number of the request."""
    attributes = entry.attributes(selection, types_only)
    return tlv(ENTRY, tlv(OCTETS, entry.name(base)), tlv(SEQUENCE, attributes))


@attrs.frozen
class Person:
    """Somebody with certificates. ``certificates`` is their whole attribute, encoded: the only copy that is kept.

    There are many of them, so what can be told from something else is not kept: names are "" where it can.
    """

    until: float
    rdn: bytes
    certificates: bytes = attrs.field(repr=False)
    named: str = ""
    own_given: str = ""
    own_surname: str = ""

    @property
    def address(self) -> str:
        return unescape(self.rdn.decode()[len(MAIL) :])

    @property
    def common(self) -> str:
        """Who has no name is called by the address."""
        return self.named or self.address

    @property
    def given(self) -> str:
        return self.own_given or self.named.rpartition(" ")[0]

    @property
    def surname(self) -> str:
        return self.own_surname or self.common.rpartition(" ")[2]

    def name(self, base: bytes) -> bytes:
        return self.rdn + b"," + base if base else self.rdn

    def values(self) -> Values:
        shown = fold(self.common)
        return {
            "objectclass": tuple(each.decode().lower() for each in CLASSES),
            "objectcategory": ("person",),  # not shown, but programs for Active Directory ask for it
            "mail": (fold(self.address),),
            "cn": (shown,),
            "displayname": (shown,),
            "name": (shown,),
            "sn": (fold(self.surname),),
            "givenname": (fold(self.given),) if self.given else (),
            "uid": (),
            "usercertificate": ("",),
            "usersmimecertificate": ("",),
        }

    def attributes(self, selection: Selection, types_only: bool) -> bytes:
        """In a fixed order; the certificates last."""
        found = [
            attribute(name, *(() if types_only else values()))
            for name, values in self._known()
            if selection.wants(name)
        ]
        return b"".join(found) + self.certificate_attributes(selection, types_only)

    def certificate_attributes(self, selection: Selection, types_only: bool) -> bytes:
        found = b""
        if selection.wants(CERTIFICATE):
            found = attribute(CERTIFICATE) if types_only else self.certificates
        if selection.wants(SMIME):
            found += attribute(SMIME) if types_only else attribute(SMIME, _only_certificates(self._ders()))
        return found

    def _known(self) -> Iterator[tuple[str, Callable[[], tuple[bytes, ...]]]]:
        yield "objectClass", lambda: CLASSES
        yield "mail", lambda: (self.address.encode(),)
        yield "cn", lambda: (self.common.encode(),)
        yield "sn", lambda: (self.surname.encode(),)
        if self.given:
            yield "givenName", lambda: (self.given.encode(),)
        yield "displayName", lambda: (self.common.encode(),)

    def _ders(self) -> tuple[bytes, ...]:
        """The certificates out of their encoded attribute."""
        whole = self.certificates
        start, _ = element(whole, 0, len(whole))
        _, at = element(whole, start, len(whole))  # behind the name
        at, end = element(whole, at, len(whole))
        found = []
        while at < end:
            begin, at = element(whole, at, end)
            found.append(whole[begin:at])
        return tuple(found)


def prepare_person(entry: Entry) -> Person:
    """An entry of the store's as it will be shown."""
    return Person(
        until=entry.until,
        rdn=(MAIL + escape(entry.address)).encode(),
        certificates=attribute(CERTIFICATE, *entry.certificates),
        named="" if entry.name == entry.address else entry.name,
        own_given=entry.given,
        own_surname=entry.surname,
    )


def escape(value: str) -> str:
    """A value in a distinguished name (RFC 4514 2.4)."""
    escaped = "".join("\\" + each if each in '\\,+"<>;=' else each for each in value)
    return "\\" + escaped if escaped.startswith(("#", " ")) else escaped


def unescape(value: str) -> str:
    return _ESCAPED.sub(r"\1", value)


def _only_certificates(certificates: tuple[bytes, ...]) -> bytes:
    signed = tlv(SEQUENCE, _EMPTY, tlv(b"\xa0", *certificates), tlv(SET))
    return tlv(SEQUENCE, _SIGNED, tlv(b"\xa0", signed))


@attrs.frozen
class Described:
    """An entry whose attributes are all at hand: the root, the schema, the context, OpenPGP keys."""

    dn: bytes
    shown: Mapping[str, tuple[bytes, ...]] = attrs.field(factory=dict)
    operational: Mapping[str, tuple[bytes, ...]] = attrs.field(factory=dict)
    below: bool = False  # the name goes on with the base of the search
    found_by: Values = attrs.field(factory=dict)  # more values that filters may name

    def name(self, base: bytes) -> bytes:
        return self.dn + b"," + base if self.below and base else self.dn

    def values(self) -> Values:
        every = {**self.shown, **self.operational}
        found = {name.lower(): tuple(fold(value) for value in values) for name, values in every.items()}
        return found | {name: found.get(name, ()) + values for name, values in self.found_by.items()}

    def attributes(self, selection: Selection, types_only: bool) -> bytes:
        mine = [(name, values, False) for name, values in self.shown.items()]
        mine += [(name, values, True) for name, values in self.operational.items()]
        return b"".join(
            attribute(name, *(() if types_only else values))
            for name, values, operational in mine
            if selection.wants(name, operational=operational)
        )


def envelope(number: bytes, body: bytes, controls: bytes = b"") -> bytes:
    """An LDAPMessage; ``number`` is the request's, encoded."""
    return b"".join((SEQUENCE, length_of(len(number) + len(body) + len(controls)), number, body, controls))
