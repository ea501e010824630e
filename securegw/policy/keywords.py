"""Keywords: what a person of ours asked for, by a bracketed word in the subject or by a control field.

Not what a stranger wrote: only the mail of an authenticated sender is read, only its outer subject and the
fields that the rules name, and what was read is removed before the mail leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from securegw.policy.facts import Facts
from securegw.policy.folding import cut, fold_all, spelling

# Fields in which mail programs repeat the subject.
COPIES = ("thread-topic",)

_BRACKET = re.compile(r"\[[^\[\]]+\]")
_CONTROL_FIELD = re.compile(r"([!-9;-~]+)\s*:\s*(\S.*)")


@attrs.frozen
class Asked:
    """What the sender asked for, the subject without it (None: it stays), and fields that must not leave."""

    keywords: frozenset[str] = frozenset()
    subject: str | None = None
    strip_fields: tuple[str, ...] = ()
    two_subjects: bool = False


@attrs.frozen
class Keywords:
    """The keywords of a document: ``brackets`` folded text -> name, ``fields`` (field, value) -> name.

    ``texts`` tells a person how a keyword is written.
    """

    brackets: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    fields: Mapping[tuple[str, str], str] = attrs.field(factory=dict, hash=False)
    texts: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    @property
    def control_fields(self) -> tuple[str, ...]:
        """Fields that only steer a gateway; a standard field such as Sensitivity is the reader's too."""
        return tuple(sorted({name for name, _ in self.fields if name.startswith("x-")}))

    def read(self, facts: Facts) -> Asked:
        """What this mail asks for. A stranger asks for nothing, and steers nobody behind us either."""
        controls = tuple(name for name in self.control_fields if name in facts.headers)
        if not facts.inside:
            return Asked(strip_fields=() if facts.direction == "internal" else controls)
        subjects = facts.headers.get("subject", ())
        found = [self.remove(subject)[1] for subject in (facts.subject, *subjects[1:])]
        named = frozenset[str]().union(*found)
        asked = named | self._by_field(facts)
        if facts.direction != "outgoing":
            return Asked(keywords=asked)
        return Asked(
            keywords=asked,
            subject=self.remove(facts.subject)[0] if found[0] else None,
            strip_fields=controls + self._copies(facts),
            two_subjects=len(subjects) > 1 and bool(named),
        )

    def remove(self, subject: str) -> tuple[str, frozenset[str]]:
        """The subject without keywords, and the names of those it had: any place, any case, whole brackets."""
        if not self.brackets or not any(spelling(char) == "[" for char in subject):
            return subject, frozenset()
        return cut(subject, self.brackets, spelling)

    def _by_field(self, facts: Facts) -> frozenset[str]:
        return frozenset(
            keyword
            for (name, wanted), keyword in self.fields.items()
            if any(fold_all(value, spelling) == wanted for value in facts.headers.get(name, ()))
        )

    def _copies(self, facts: Facts) -> tuple[str, ...]:
        return tuple(name for name in COPIES if any(self.remove(value)[1] for value in facts.headers.get(name, ())))


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
