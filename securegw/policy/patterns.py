"""Patterns: addresses and texts as rules name them.

Not regular expressions: a header is written by strangers, and no pattern may cost more than the length of what it
reads. ``*`` stands for anything, a list for "one of them", and that is all.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

Test = Callable[[str], bool]

NULL_SENDER = "<>"


@attrs.frozen
class AddressPattern:
    """``address`` one mailbox, ``@domain`` one domain, ``*.domain`` all below it, ``<>`` the null sender."""

    text: str

    @property
    def anchor(self) -> str:
        """The domain part under which an index finds this pattern: ``@domain`` or ``*.domain``."""
        return self.text if self.text.startswith("*.") else "@" + self.text.rpartition("@")[2]

    def fits(self, address: str) -> bool:
        if self.text == NULL_SENDER:
            return address == ""
        if self.text.startswith("*."):
            return address.rpartition("@")[2].endswith(self.text[1:]) and "@" in address
        if self.text.startswith("@"):
            return address.rpartition("@")[2] == self.text[1:] and "@" in address
        return address == self.text


def read_address_pattern(text: object) -> AddressPattern:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text")
    pattern = text.strip().lower()
    local, at, domain = pattern.rpartition("@")
    if pattern.startswith("*.") and not at:
        domain = pattern[2:]
    elif pattern != NULL_SENDER and not at:
        raise ValueError(f"{text!r} is neither an address nor a domain")
    if "*" in local or (pattern != NULL_SENDER and not _is_domain(domain)):
        raise ValueError(f"{text!r} has no valid domain")
    return AddressPattern(pattern)


def _is_domain(text: str) -> bool:
    """Host names in A-labels and address literals; the table keys have no other form."""
    if text.startswith("[") and text.endswith("]"):
        return len(text) > 2
    labels = text.split(".")
    return text.isascii() and all(label.replace("-", "").replace("_", "").isalnum() for label in labels)


def anchors(address: str) -> list[str]:
    """All anchors under which a pattern for this address can stand."""
    domain = address.rpartition("@")[2]
    labels = domain.split(".")
    return ["@" + domain, *("*." + ".".join(labels[n:]) for n in range(1, len(labels)))]


def text_test(text: object) -> Test:
    """A test for texts that are folded already (``Facts.folded``); ``*`` stands for any run of characters."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{text!r} is not a text")
    pieces = text.strip().casefold().split("*")
    if len(pieces) == 1:
        return lambda value: value == pieces[0]
    if len(pieces) == 3 and not pieces[0] and not pieces[2]:
        return lambda value: pieces[1] in value
    return lambda value: _fits(value, pieces)


def _fits(value: str, pieces: list[str]) -> bool:
    """The earliest place for every inner piece leaves the most room for the rest; so no going back."""
    first, *inner, last = pieces
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for piece in inner:
        at = value.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
