"""Names of attributes, as clients write them: aliases, numbers, options - and what a search wants to be shown.

RFC 4512 2.5 (options), RFC 4511 4.5.1.8 (selection), RFC 4519 and RFC 4524 (names), RFC 2798 (inetOrgPerson).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

CERTIFICATE, SMIME = "userCertificate;binary", "userSMIMECertificate;binary"

_ALIASES = {
    "2.5.4.0": "objectclass",
    "2.5.4.3": "cn",
    "commonname": "cn",
    "2.5.4.4": "sn",
    "surname": "sn",
    "2.5.4.36": "usercertificate",
    "2.5.4.42": "givenname",
    "gn": "givenname",
    "0.9.2342.19200300.100.1.3": "mail",
    "rfc822mailbox": "mail",
    "2.16.840.1.113730.3.1.40": "usersmimecertificate",
    "2.16.840.1.113730.3.1.241": "displayname",
}
# What programs ask beside "mail" when they mean an address. Active Directory writes its form before it.
_ADDRESSES = {"email", "emailaddress", "proxyaddresses", "othermailbox", "mozillasecondemail"}


def canonical(name: str) -> str:
    """The name in small letters, an alias replaced, options kept."""
    first, semicolon, options = name.strip().lower().partition(";")
    return _ALIASES.get(first, first) + semicolon + options


def matched_name(name: str) -> str:
    """The name in a filter: all names of an address are one; the option of a certificate says nothing there."""
    found = canonical(name).removesuffix(";binary")
    return "mail" if found in _ADDRESSES else found


@attrs.frozen
class Selection:
    """Which attributes shall be shown: all of the users', all operational ones, and some by name."""

    everything: bool = True
    operational: bool = False
    names: frozenset[str] = frozenset()

    def wants(self, name: str, *, operational: bool = False) -> bool:
        """Whether an attribute, named with its options, is wanted; without options it is wanted with all of them."""
        if self.operational if operational else self.everything:
            return True
        name = name.lower()
        return name in self.names or name.partition(";")[0] in self.names


def read_selection(wanted: Iterable[str]) -> Selection:
    """The attribute list of a search; ``1.1`` alone is none, and none at all is everything (RFC 4511 4.5.1.8)."""
    names = frozenset(map(canonical, wanted))
    if not names:
        return Selection()
    return Selection("*" in names, "+" in names, names - {"*", "+", "1.1"})
