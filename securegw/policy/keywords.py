"""Keywords: what a person of ours asked for, by a bracketed word in the subject or by a control field.

A keyword may bring a value, ``[word:value]``: a telephone number or a password. It is handed on to what needs it and is
part of no decision, so that nothing keeps it.

Not what a stranger wrote: only the mail of an authenticated sender is read, only its outer subject and the
fields that the rules name, and what was read is removed before the mail leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

import attrs

from securegw.policy.facts import Facts
from securegw.policy.folding import cut, cut_valued, fold_all, spelling

# Fields in which mail programs repeat the subject.
COPIES = ("thread-topic",)

# What may stand for the value in the rules, and what it is called in Given.
NUMBER, PASSWORD = "NUMBER", "PASSWORD"
PASSWORD_LEAST, PASSWORD_MOST, DIFFERENT = 10, 100, 5

_ROUNDS = 5
_VALUED = re.compile(rf"\s*(\[[^\[\]:]+:)\s*({NUMBER}|{PASSWORD})\s*\]\s*")
_TELEPHONE = re.compile(r"(\+?)([0-9][0-9 ()/.-]{3,30})")

_BRACKET = re.compile(r"\[[^\[\]]+\]")
_CONTROL_FIELD = re.compile(r"([!-9;-~]+)\s*:\s*(\S.*)")


@attrs.frozen
class Given:
    """The values that came with keywords: ``number`` as ``+41791234567``, or only digits as it was dialled at home.

    ``problem`` is a sentence for the sender if they cannot be used; it does not repeat them.
    """

    number: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)
    problem: str = ""


NOTHING = Given()


@attrs.frozen
class Asked:
    """What the sender asked for, the subject without it (None: it stays), and fields that must not leave."""

    keywords: frozenset[str] = frozenset()
    subject: str | None = None
    strip_fields: tuple[str, ...] = ()
    two_subjects: bool = False
    given: Given = NOTHING


@attrs.frozen
class Keywords:
    """The keywords of a document: ``brackets`` folded text -> name, ``fields`` (field, value) -> name.

    ``texts`` tells a person how a keyword is written. ``valued`` are those with a value: folded ``[word:`` -> name and
    NUMBER or PASSWORD.
    """

    brackets: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    fields: Mapping[tuple[str, str], str] = attrs.field(factory=dict, hash=False)
    texts: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    valued: Mapping[str, tuple[str, str]] = attrs.field(factory=dict, hash=False)

    @cached_property
    def control_fields(self) -> tuple[str, ...]:
        """Fields that only steer a gateway; a standard field such as Sensitivity is the reader's too."""
        return tuple(sorted({name for name, _ in self.fields if name.startswith("x-")}))

    @cached_property
    def _named(self) -> frozenset[str]:
        """The names of all fields that matter here but the subject: most mails have none of them."""
        return frozenset((*COPIES, *(name for name, _ in self.fields)))

    def read(self, facts: Facts) -> Asked:
        """What this mail asks for. A stranger asks for nothing, and steers nobody behind us either."""
        has_fields = not self._named.isdisjoint(facts.headers)
        controls = tuple(name for name in self.control_fields if name in facts.headers) if has_fields else ()
        if not facts.inside:
            return Asked(strip_fields=() if facts.direction == "internal" else controls)
        subjects = facts.headers.get("subject", ())
        found = [self.remove(subject)[1] for subject in (facts.subject, *subjects[1:])]
        named = frozenset[str]().union(*found)
        asked = named | self._by_field(facts) if has_fields else named
        if facts.direction != "outgoing":
            return Asked(keywords=asked)
        return Asked(
            keywords=asked,
            subject=self.remove(facts.subject)[0] if found[0] else None,
            strip_fields=controls + self._copies(facts) if has_fields else (),
            two_subjects=len(subjects) > 1 and bool(named),
            given=self.given(facts),
        )

    def given(self, facts: Facts) -> Given:
        """The values in the subject of an outgoing mail of ours."""
        if not self.valued or not facts.inside or facts.direction != "outgoing" or not _has_bracket(facts.subject):
            return NOTHING
        _rest, _names, values, is_open = self._take(facts.subject)
        numbers = {value for kind, value in values if kind == NUMBER}
        passwords = {value for kind, value in values if kind == PASSWORD}
        return _given(numbers, passwords, is_open=is_open)

    def remove(self, subject: str) -> tuple[str, frozenset[str]]:
        """The subject without keywords, and the names of those it had: any place, any case, whole brackets."""
        if not _has_bracket(subject):
            return subject, frozenset()
        if not self.valued:
            return cut(subject, self.brackets, spelling)
        rest, names, _values, is_open = self._take(subject)
        folded = fold_all(rest, spelling) if is_open else ""
        return rest, names | {name for opening, (name, _kind) in self.valued.items() if opening in folded}

    def without_values(self, subject: str) -> str:
        """For a text about the mail: no value is in it, and nothing at all where one of them has no end."""
        if not self.valued or not _has_bracket(subject):
            return subject
        rest, _names, values, is_open = self._take(subject)
        return "" if is_open else rest if values else subject

    def _take(self, subject: str) -> tuple[str, frozenset[str], list[tuple[str, str]], bool]:
        """The subject without keywords, their names, the values by kind, and whether one was left that has no end.

        What a cut brings together is cut again; who plays with that for long is not believed to have ended.
        """
        names: set[str] = set()
        values: list[tuple[str, str]] = []
        for _ in range(_ROUNDS):
            rest, found, is_open = cut_valued(subject, self.valued, spelling)
            rest, plain = cut(rest, self.brackets, spelling)
            names |= plain
            for opening, value in found:
                name, kind = self.valued[opening]
                names.add(name)
                values.append((kind, value))
            if rest == subject:
                return rest, frozenset(names), values, is_open
            subject = rest
        return subject, frozenset(names), values, True

    def _by_field(self, facts: Facts) -> frozenset[str]:
        return frozenset(
            keyword
            for (name, wanted), keyword in self.fields.items()
            if any(fold_all(value, spelling) == wanted for value in facts.headers.get(name, ()))
        )

    def _copies(self, facts: Facts) -> tuple[str, ...]:
        return tuple(name for name in COPIES if any(self.remove(value)[1] for value in facts.headers.get(name, ())))


def _has_bracket(subject: str) -> bool:
    return ("[" in subject or not subject.isascii()) and any(spelling(char) == "[" for char in subject)


def _given(numbers: set[str], passwords: set[str], *, is_open: bool) -> Given:
    if is_open:
        return Given(problem="The subject has a keyword whose bracket is never closed.")
    if len(numbers) > 1 or len(passwords) > 1:
        return Given(problem="The subject gives more than one telephone number, or more than one password.")
    if numbers and passwords:
        return Given(problem="The subject gives a telephone number and a password; please give one of them.")
    number, password = "".join(numbers), "".join(passwords)
    telephone = _TELEPHONE.fullmatch(number)
    digits = re.sub(r"\D", "", number)
    if numbers and (telephone is None or not 6 <= len(digits) <= 17):
        return Given(problem="What the subject gives as a telephone number is none.")
    if passwords and not _will_do(password):
        return Given(
            problem=f"The password in the subject has to have {PASSWORD_LEAST} to {PASSWORD_MOST} letters, digits and "
            f"signs of ASCII, {DIFFERENT} of them different."
        )
    return Given(telephone[1] + digits if telephone else "", password)


def _will_do(password: str) -> bool:
    """Nobody counts the tries of who has the file, and other signs are not the same octets in all programs."""
    printable = password.isascii() and password.isprintable()
    return printable and PASSWORD_LEAST <= len(password) <= PASSWORD_MOST and len(set(password)) >= DIFFERENT


def read_valued(text: object) -> tuple[str, str] | None:
    """Folded opening and kind of a keyword with a value, such as ``[sms:NUMBER]``; None for one without."""
    match = _VALUED.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    word = read_bracket(match[1].removesuffix(":") + "]")
    return word.removesuffix("]") + ":", match[2]


def read_bracket(text: object) -> str:
    """The folded form of a keyword text such as ``[confidential]``."""
    if not isinstance(text, str) or not _BRACKET.fullmatch(text.strip()) or not text.isprintable():
        raise ValueError(f"{text!r} is not one word or phrase in square brackets")
    folded = fold_all(text, spelling)
    if not any(sign.isalnum() for sign in folded) or len(folded) > 80:
        raise ValueError(f"{text!r} has no letter or is too long")
    return folded


def read_control_field(text: str) -> tuple[str, str]:
    """``X-Name: value`` as (name in lower case, folded value)."""
    match = _CONTROL_FIELD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a field name, a colon and a value")
    return match[1].lower(), fold_all(match[2], spelling)
