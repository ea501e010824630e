"""Marks: what only we may write about a mail, taken away from everybody else's.

Not the judging of signatures. A reader believes a tag in the subject and a field of ours; so before a mail from
outside is shown, every look-alike goes, and what we write stands in front, where no long text can push it out
of sight. RFC 8601 2.2 and 5, RFC 2047; Unicode UAX 9, UAX 15, UTS 39 by ``folding``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from securegw.mail.message import decode_words
from securegw.mail.words import charset_known, plain_line
from securegw.policy.folding import DIRECTIONS, cut, fold_all, look, without_loose_start

# Subjects are read and shown up to here; no reader shows more, and nobody can hide a tag behind it.
SUBJECT_LIMIT = 2000

# Where mail programs show or repeat a subject: all of these need cleaning, and all occurrences of each.
SUBJECT_FIELDS = ("subject", "thread-topic")

# Beyond this many codings in each other nobody writes in good faith.
_ROUNDS = 5

_WORD = re.compile(r"=\?([^?\s*]{1,40})(\*[^?\s]{0,40})?\?")
# A step through white space and comments: within a comment everything else is passed over, outside it ends them.
_COMMENT_MARK = re.compile(r"[()]|\\.|[^\s()\\]+|\\", re.DOTALL)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s;()"]+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def tag_subject(subject: str, tag: str) -> str:
    """The subject with our tag in front; what is too long is cut behind it."""
    tagged = f"{tag} {without_loose_start(plain_line(subject))}".rstrip()
    return tagged if len(tagged) <= SUBJECT_LIMIT else tagged[: SUBJECT_LIMIT - 1] + "…"


def clean_subject(subject: str, tags: Sequence[str]) -> str:
    """The subject without anything that looks like one of our tags; unchanged if there is nothing."""
    needles = _needles(tuple(tags))
    text = _one_order(subject[:SUBJECT_LIMIT])
    for _ in range(_ROUNDS):
        cleaned = _cleaned(text, needles)
        if cleaned is None:
            return text
        text = cleaned
    return "".join(char for char in text if look(char) not in {"[", "]"})


@lru_cache(maxsize=64)
def _needles(tags: tuple[str, ...]) -> dict[str, str]:
    needles = {fold_all(tag, look): tag for tag in tags}
    if any(not any(sign.isalnum() for sign in needle) for needle in needles):
        raise ValueError("a tag needs a letter or a digit")
    return needles


def _one_order(text: str) -> str:
    """Without direction controls if brackets are there: the eye shall read what the program reads."""
    if DIRECTIONS.isdisjoint(text) or not any(look(char) in {"[", "]"} for char in text):
        return text
    return "".join(char for char in text if char not in DIRECTIONS)


def _cleaned(text: str, needles: dict[str, str]) -> str | None:
    """The text without tags, or None if no reading of it has any."""
    for reading in dict.fromkeys((text, _deepest(text))):
        ordered = _one_order(reading)
        rest, found = cut(ordered, needles, look)
        if found:
            return rest
    return None


def _deepest(text: str) -> str:
    """As the most tolerant reader could show it: codings in each other, unknown charsets, entities."""
    for _ in range(_ROUNDS):
        inner = html.unescape(decode_words(_WORD.sub(_known, text)))
        if inner == text:
            break
        text = inner
    return text


def _known(match: re.Match[str]) -> str:
    return match[0] if charset_known(match[1]) else "=?utf-8?"


def forged_fields() -> tuple[str, ...]:
    """Names of fields that only we write, for ``mail.message.without``: gone from all mail from outside.

    The fields of the product many migrate from go as well: inner servers may still trust them.
    """
    return ("x-securegw*", "x-sm-*", "x-eswmail-*")


def own_fields(headers: Iterable[str]) -> tuple[str, ...]:
    """Names of our own marks among these (in lower case): they are for inside readers and never leave."""
    return tuple([name for name in headers if name[:1] == "x" and name.replace("_", "-").startswith("x-securegw")])


def own_results(value: str, host: str) -> bool:
    """True if an Authentication-Results field claims to be ours (RFC 8601 5); in doubt it does."""
    rest = _behind_comments(value)
    match = _TOKEN.match(rest) if rest is not None else None
    if match is None:
        return True
    claimed = _ESCAPED.sub(r"\1", match[1]) if match[1] is not None else match[2]
    return _identity(claimed) == _identity(host)


def _identity(name: str) -> str:
    return fold_all(_deepest(name.strip()).rstrip("."), look)


def _behind_comments(value: str) -> str | None:
    """The value behind leading white space and comments (RFC 5322 3.2.2); None if one never ends."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(value):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth <= 0 and (mark[0] != ")" or depth < 0):
            return value[mark.start() :]
    return None if depth else ""
