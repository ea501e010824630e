"""Patterns: addresses and texts as rules name them.

Not regular expressions: a header is written by strangers, and no pattern may cost more than the length of what it
reads. ``*`` stands for anything, a list for "one of them", and that is all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

AddressTest = Callable[[str], bool]
ValuesTest = Callable[[Sequence[str]], bool]

NULL_SENDER = "<>"


def read_address_pattern(text: object) -> str:
    """``address`` one mailbox, ``@domain`` one domain, ``*.domain`` all below it, ``<>`` the null sender.

    The null sender becomes the empty address, as the facts have it.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text")
    pattern = text.strip().lower()
    if pattern == NULL_SENDER:
        return ""
    local, at, domain = pattern.rpartition("@")
    if pattern.startswith("*.") and not at:
        domain = pattern[2:]
    elif not at:
        raise ValueError(f"{text!r} is neither an address nor a domain")
    if "*" in local or not _is_domain(domain):
        raise ValueError(f"{text!r} has no valid domain")
    return pattern


def _is_domain(text: str) -> bool:
    """Host names in A-labels and address literals; the table keys have no other form."""
    if text.startswith("[") and text.endswith("]"):
        return len(text) > 2
    labels = text.split(".")
    return text.isascii() and all(label.replace("-", "").replace("_", "").isalnum() for label in labels)


def addresses_test(patterns: Iterable[str]) -> AddressTest:
    """A test for an address (a lower-case key): does one of these patterns fit?"""
    found = frozenset(patterns)
    below = tuple(pattern[1:] for pattern in found if pattern.startswith("*."))

    def fits(address: str) -> bool:
        if address in found:
            return True
        _, at, domain = address.rpartition("@")
        return bool(at) and (at + domain in found or domain.endswith(below))

    return fits


@lru_cache(maxsize=4096)
def anchors(address: str) -> tuple[str, ...]:
    """All patterns that fit this address."""
    _, at, domain = address.rpartition("@")
    if not at:
        return (address,)
    labels = domain.split(".")
    return address, at + domain, *["*." + ".".join(labels[n:]) for n in range(1, len(labels))]


def read_text_pattern(text: object) -> str:
    """A pattern for texts, folded as ``Headers.folded`` is; ``*`` stands for any run of characters."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{text!r} is not a text")
    return text.strip().casefold()


def longest_piece(pattern: str) -> str:
    """A text that stands in every value that the pattern fits."""
    return max(pattern.split("*"), key=len)


def values_test(patterns: Iterable[str]) -> ValuesTest:
    """A test for the folded values of a field: does one of these patterns fit one of them?"""
    found = list(patterns)
    exact = frozenset(pattern for pattern in found if "*" not in pattern)
    inside = [pattern[1:-1] for pattern in found if _is_inside(pattern)]
    others = [pattern.split("*") for pattern in found if pattern not in exact and not _is_inside(pattern)]

    def fits(values: Sequence[str]) -> bool:
        for value in values:
            if value in exact:
                return True
            for piece in inside:
                if piece in value:
                    return True
            if others and any(_fits(value, pieces) for pieces in others):
                return True
        return False

    return fits


def _is_inside(pattern: str) -> bool:
    """``*piece*``, the usual case."""
    return pattern.count("*") == 2 and len(pattern) > 2 and pattern[0] == pattern[-1] == "*"


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
