"""Filters: what a search is about, and whether an entry fits.

Matching follows RFC 4511 4.5.1.7 with its three answers: true, false, and undefined (None), for attributes that nobody
here has. Own code for the matching alone - that of ldaptor takes false for true in substrings and knows no undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import attrs
from ldaptor.protocols import pureldap

from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress
from securegw.servers.ldap_ber import TooDeep
from securegw.servers.ldap_names import matched_name

DEEPEST = 20

Values: TypeAlias = Mapping[str, tuple[str, ...]]

# Where people write an address although it is a name: Outlook puts what was typed into all of them.
NAMES = {"mail", "cn", "sn", "givenname", "displayname", "name", "uid", "mailnickname", "pgpuserid", "gpgmailbox"}
ADDRESSES = {"mail", "pgpuserid", "gpgmailbox"}
KEY_NUMBERS = {"pgpcertid", "pgpkeyid", "pgpsubkeyid", "gpgfingerprint", "gpgsubfingerprint"}


@attrs.frozen
class Equal:
    name: str
    value: str


@attrs.frozen
class Parts:
    """``first`` and ``last`` may be empty; ``between`` must come in this order."""

    name: str
    first: str
    between: tuple[str, ...]
    last: str


@attrs.frozen
class Present:
    name: str


@attrs.frozen
class Undefined:
    """Order, approximation in other attributes, matching rules: nothing here is compared so."""


@attrs.frozen
class Every:
    members: tuple[Filter, ...]


@attrs.frozen
class Either:
    members: tuple[Filter, ...]


@attrs.frozen
class Not:
    member: Filter


Filter: TypeAlias = Equal | Parts | Present | Undefined | Every | Either | Not


def read_filter(found: Any, depth: int = 1) -> Filter:
    """A filter as ldaptor has decoded it. Raises TooDeep, and ValueError for what is no filter."""
    if depth > DEEPEST:
        raise TooDeep
    reader = _READERS.get(type(found))
    if reader is None:
        raise ValueError("not a filter")
    return reader(found, depth)


def _members(found: Any, depth: int) -> tuple[Filter, ...]:
    return tuple(read_filter(member, depth + 1) for member in found)


def _read_equal(found: Any, depth: int) -> Equal:
    """Also what is only about equal: an address is the one or another one."""
    return Equal(_name(found.attributeDesc.value), fold(found.assertionValue.value))


def _read_parts(found: Any, depth: int) -> Parts:
    name = _name(found.type)
    first, between, last = "", [], ""
    for part in found.substrings:
        text = fold(part.value, strip=False)
        if isinstance(part, pureldap.LDAPFilter_substrings_initial):
            first = text.lstrip()
        elif isinstance(part, pureldap.LDAPFilter_substrings_final):
            last = text.rstrip()
        else:
            between.append(text)
    return Parts(name, first, tuple(between), last)


_READERS: Mapping[type, Callable[[Any, int], Filter]] = {
    pureldap.LDAPFilter_and: lambda found, depth: Every(_members(found, depth)),
    pureldap.LDAPFilter_or: lambda found, depth: Either(_members(found, depth)),
    pureldap.LDAPFilter_not: lambda found, depth: Not(read_filter(found.value, depth + 1)),
    pureldap.LDAPFilter_equalityMatch: _read_equal,
    pureldap.LDAPFilter_approxMatch: _read_equal,
    pureldap.LDAPFilter_substrings: _read_parts,
    pureldap.LDAPFilter_present: lambda found, depth: Present(_name(found.value)),
    pureldap.LDAPFilter_greaterOrEqual: lambda found, depth: Undefined(),
    pureldap.LDAPFilter_lessOrEqual: lambda found, depth: Undefined(),
    pureldap.LDAPFilter_extensibleMatch: lambda found, depth: Undefined(),
}


def _name(value: bytes) -> str:
    return matched_name(_text(value))


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def fold(value: bytes | str, *, strip: bool = True) -> str:
    """A value as it is compared: case and more than one blank do not matter (RFC 4518 2 in short)."""
    text = _text(value).lower().removeprefix("smtp:")
    words = " ".join(text.split()) if strip else text
    return words


# --- does an entry fit? -----------------------------------------------------------------------------------------------


def fits(filter: Filter, values: Values) -> bool | None:
    """Whether an entry with these folded values fits; None if that cannot be said."""
    match filter:
        case Every(members):
            found = [fits(member, values) for member in members]
            return False if False in found else None if None in found else True
        case Either(members):
            found = [fits(member, values) for member in members]
            return True if True in found else None if None in found else False
        case Not(member):
            answer = fits(member, values)
            return None if answer is None else not answer
        case Present(name):
            return bool(values.get(name))
    return _compare(filter, values)


def _compare(test: Filter, values: Values) -> bool | None:
    match test:
        case Equal(name, value) if name in values:
            return value in values[name]
        case Parts(name) if name in values:
            return any(_has_parts(value, test) for value in values[name])
    return None


def _has_parts(value: str, wanted: Parts) -> bool:
    end = len(value) - len(wanted.last)
    if not value.startswith(wanted.first) or not value.endswith(wanted.last):
        return False
    at = len(wanted.first)
    for part in wanted.between:
        found = value.find(part, at, max(end, 0))
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


# --- about whom is it? ------------------------------------------------------------------------------------------------


def whom(filter: Filter, *, strict: bool) -> frozenset[str] | None:
    """Everybody whom an entry that fits can be about, by address key or 0xNUMBER of a key; None: that may be anybody.

    ``strict`` is for strangers: they get who is named whole, even where the filter would let others pass.
    """
    match filter:
        case Every(members):
            known = _sure(members, strict)
            return frozenset.intersection(*known) if known else None
        case Either(members):
            known = _sure(members, strict)
            open_ = len(known) < len(members) and not strict
            return frozenset[str]().union(*known) if known and not open_ else None
        case Equal(name, value):
            return _named(name, value, strict)
        case Parts(name, first, between, last) if strict and name in NAMES:
            pieces = [piece for piece in (first, *between, last) if piece]
            key = address_key(pieces[0]) if len(pieces) == 1 else None
            return frozenset({key}) if key else None
    return None


def _sure(members: tuple[Filter, ...], strict: bool) -> list[frozenset[str]]:
    return [found for member in members if (found := whom(member, strict=strict)) is not None]


def _named(name: str, value: str, strict: bool) -> frozenset[str] | None:
    if name in KEY_NUMBERS:
        return frozenset({f"0x{value.removeprefix('0x').upper()}"})
    if name in ADDRESSES or (strict and name in NAMES):
        key = address_key(value)
        if key or name == "mail":
            return frozenset({key} if key else ())
    return None


@lru_cache(maxsize=1024)
def address_key(text: str) -> str | None:
    """The key of the address that a text is: ``ann@x.test``, ``<ann@x.test>`` or ``Ann <ann@x.test>``."""
    bare = text.strip()
    if bare.endswith(">"):
        bare = bare[bare.rfind("<") + 1 : -1]
    try:
        return parse_address(bare.lstrip("<")).key
    except BadAddress:
        return None


def texts(filter: Filter) -> frozenset[str]:
    """Texts of which one is in the name or address of every entry that fits; "" if there is none such."""
    match filter:
        case Every(members):
            found = [texts(member) for member in members]
            return next((each for each in found if "" not in each), frozenset({""}))
        case Either(members) if members:
            return frozenset[str]().union(*map(texts, members))
        case Equal(name, value) if name in NAMES:
            return frozenset({value})
        case Parts(name, first, between, last) if name in NAMES:
            return frozenset({max((first, *between, last), key=len).strip()})
    return frozenset({""})


def names_in(filter: Filter) -> frozenset[str]:
    """All attributes that a filter names."""
    match filter:
        case Every(members) | Either(members):
            return frozenset[str]().union(*map(names_in, members))
        case Not(member):
            return names_in(member)
        case Equal(name) | Parts(name) | Present(name):
            return frozenset({name})
    return frozenset()
