"""Conditions: what a rule may ask of the facts, one row each.

Not an order that people see: inside ``when`` all conditions must hold, and the cheap ones are asked first. A
condition on a fact that cannot be known now answers None, and then the mail waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

import attrs

from securegw.policy.facts import DIRECTIONS, ENCRYPTED, SIGNED, Facts
from securegw.policy.patterns import addresses_test, read_address_pattern, read_text_pattern, values_test
from securegw.policy.vocabulary import Vocabulary

Check = Callable[[Facts, frozenset[str]], bool | None]

_SIZE = re.compile(r"(\d{1,9})\s*(B|KB|MB|GB)?", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@attrs.frozen
class Condition:
    """One row. ``compile`` makes the closure that is asked for every mail, or raises ValueError: the problem."""

    name: str
    cost: int
    wanted: str
    sentence: str
    compile: Callable[[object, Vocabulary], Check]


def all_hold(checks: Sequence[Check], facts: Facts, asked: frozenset[str]) -> bool | None:
    """True, False, or None where that cannot be known now."""
    known = True
    for check in checks:
        answer = check(facts, asked)
        if answer is False:
            return False
        known = known and answer is not None
    return True if known else None


def not_all_hold(checks: Sequence[Check]) -> Check:
    """The opposite, as one more check: for what a rule exempts."""

    def check(facts: Facts, asked: frozenset[str]) -> bool | None:
        answer = all_hold(checks, facts, asked)
        return None if answer is None else not answer

    return check


def as_list(value: object) -> list[object]:
    """One or several: a list in a condition means "one of them"."""
    found = value if isinstance(value, list) else [value]
    if not found:
        raise ValueError("the list is empty")
    return found


def _words(value: object, allowed: Collection[str], kind: str) -> frozenset[str]:
    words = as_list(value)
    for word in words:
        if not isinstance(word, str) or word not in allowed:
            raise ValueError(f"there is no {kind} {word!r}")
    return frozenset(str(word) for word in words)


def _direction(value: object, vocabulary: Vocabulary) -> Check:
    wanted = _words(value, DIRECTIONS, "direction")
    return lambda facts, asked: facts.direction in wanted


def _keyword(value: object, vocabulary: Vocabulary) -> Check:
    wanted = _words(value, vocabulary.keywords, "keyword")
    return lambda facts, asked: not wanted.isdisjoint(asked)


def _address(fact: Callable[[Facts], str]) -> Callable[[object, Vocabulary], Check]:
    def compile_address(value: object, vocabulary: Vocabulary) -> Check:
        fits = addresses_test([read_address_pattern(text) for text in as_list(value)])
        return lambda facts, asked: fits(fact(facts))

    return compile_address


def _header(value: object, vocabulary: Vocabulary) -> Check:
    """All named fields must be there, each with a value that one of its patterns fits."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{value!r} is not a table of fields")
    fields = [
        (name.lower(), values_test([read_text_pattern(text) for text in as_list(texts)]))
        for name, texts in value.items()
    ]
    if len(fields) > 1:
        return lambda facts, asked: all(fits(facts.headers.folded(name)) for name, fits in fields)
    name, fits = fields[0]
    return lambda facts, asked: fits(facts.headers.folded(name))


def _switch(fact: Callable[[Facts], bool]) -> Callable[[object, Vocabulary], Check]:
    def compile_switch(value: object, vocabulary: Vocabulary) -> Check:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return lambda facts, asked: fact(facts) is value

    return compile_switch


def _size_over(value: object, vocabulary: Vocabulary) -> Check:
    limit = _bytes(value)
    return lambda facts, asked: facts.size > limit


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def _usable(value: object, vocabulary: Vocabulary) -> Check:
    wanted = _words(value, vocabulary.methods, "method")

    def check(facts: Facts, asked: frozenset[str]) -> bool | None:
        return None if facts.usable is None else not wanted.isdisjoint(facts.usable)

    return check


def _pattern(value: object, vocabulary: Vocabulary) -> Check:
    """What was found holds; that nothing was found is believed only if all was examined and every file read."""
    wanted = _words(value, vocabulary.patterns, "pattern")
    in_files = not wanted.isdisjoint(vocabulary.in_files)

    def check(facts: Facts, asked: frozenset[str]) -> bool | None:
        if not wanted.isdisjoint(facts.found):
            return True
        return False if facts.examined and not (in_files and facts.unreadable) else None

    return check


def _attachment(value: object, vocabulary: Vocabulary) -> Check:
    fits = values_test([read_text_pattern(text) for text in as_list(value)])

    def check(facts: Facts, asked: frozenset[str]) -> bool | None:
        if fits([name.strip().casefold() for name in facts.attachments]):
            return True
        return False if facts.examined and not facts.unlisted else None

    return check


def _unreadable(value: object, vocabulary: Vocabulary) -> Check:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")

    def check(facts: Facts, asked: frozenset[str]) -> bool | None:
        if not facts.unreadable and not facts.examined:
            return None
        return bool(facts.unreadable) is value

    return check


def _opened_here(value: object, vocabulary: Vocabulary) -> Check:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")

    def check(facts: Facts, asked: frozenset[str]) -> bool | None:
        if not facts.opened_here and not facts.examined:
            return None
        return facts.opened_here is value

    return check


def _state(fact: Callable[[Facts], str], allowed: Collection[str], kind: str) -> Callable[[object, Vocabulary], Check]:
    def compile_state(value: object, vocabulary: Vocabulary) -> Check:
        wanted = _words(value, allowed, kind)
        return lambda facts, asked: fact(facts) in wanted

    return compile_state


_PATTERNS = 'an address, "@domain" or "*.domain" (all below it), or a list of them'
_SWITCH = "true or false"

# Conditions that take more than the header: the mail is looked at for them, if a rule names one.
CONTENT = frozenset({"pattern", "attachment", "unreadable", "opened_here", "examined"})

CONDITIONS: tuple[Condition, ...] = (
    Condition("direction", 0, "one or several of: " + ", ".join(DIRECTIONS), "Where the mail goes.", _direction),
    Condition("inside", 1, _SWITCH, "An authenticated sender of ours.", _switch(lambda facts: facts.inside)),
    Condition("may_sign", 1, _SWITCH, "The sender may sign.", _switch(lambda facts: facts.may_sign)),
    Condition("may_encrypt", 1, _SWITCH, "The sender may encrypt.", _switch(lambda facts: facts.may_encrypt)),
    Condition("calendar", 1, _SWITCH, "A meeting request and nothing else.", _switch(lambda facts: facts.calendar)),
    Condition("notice", 1, _SWITCH, "Automatic mail (RFC 3834).", _switch(lambda facts: facts.notice)),
    Condition("reply", 1, _SWITCH, "An answer, or a mail sent on.", _switch(lambda facts: facts.reply)),
    Condition("examined", 1, _SWITCH, "All of it could be looked at.", _switch(lambda facts: facts.examined)),
    Condition(
        "encrypted", 1, "one or several of: " + ", ".join(ENCRYPTED), "What became of the seal of incoming mail.",
        _state(lambda facts: facts.encrypted, ENCRYPTED, "state"),
    ),
    Condition(
        "signed", 1, "one or several of: " + ", ".join(SIGNED), "What the signature of incoming mail is worth.",
        _state(lambda facts: facts.signed, SIGNED, "state"),
    ),
    Condition("opened_here", 2, _SWITCH, "Something in it was encrypted and we have opened it.", _opened_here),
    Condition("pattern", 2, "names from [patterns]", "Subject, text, files or their names hold one.", _pattern),
    Condition("unreadable", 2, _SWITCH, "A file in it is encrypted, damaged or too large to be read.", _unreadable),
    Condition("size_over", 1, 'a size such as "10 MB"', "Larger than this.", _size_over),
    Condition("keyword", 2, "names from [keywords]", "The sender asked for one of these.", _keyword),
    Condition("usable", 2, "names of methods", "One of these methods can protect now.", _usable),
    Condition("recipient", 3, _PATTERNS, "The envelope recipient.", _address(lambda facts: facts.recipient)),
    Condition(
        "sender",
        3,
        _PATTERNS + '; "<>" is the null sender',
        "The envelope sender.",
        _address(lambda facts: facts.sender),
    ),
    Condition("attachment", 4, "a name, * for anything, or a list", "A file in it has such a name.", _attachment),
    Condition("header", 4, '{ name = "text" }, * for anything, or a list of texts', "Outer header fields.", _header),
)
