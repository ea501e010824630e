"""Findings: what the patterns of a rule document find in the texts of a mail, and which files are in it.

Not a search engine and no regular expressions: a pattern is a row of signs, and each place of a text is looked at once
for each pattern. What could not be looked at is said: then a rule that asks for it is never silently passed over
(threats 5.5.27). Pure, and made for a worker: somebody else may have built the mail. ISO 13616 (IBAN).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import attrs

from securegw.mail.errors import HeaderTooLarge, NotExamined
from securegw.mail.message import decode_words, read
from securegw.mail.mime import Part, parse

TEXT_MOST = 8 << 20  # characters of text in one mail; beyond it the mail counts as not examined
PATTERN_MOST = 100
PATTERNS_MOST = 200
FORWARDED = ("message/rfc822", "message/global")

_SIGNS = {"#": "[0-9]", "@": r"[^\W\d_]"}
# What a person writes between groups of digits, or not at all.
_GAP = r"[\s\u00a0.\-/]{0,3}"
_SPACE = r"[\s\u00a0]{1,8}"
_TAG = re.compile(r"<[^<>]*>")
_NO_TEXT = re.compile(r"<(?:style|script)\b.*?</(?:style|script)\s*>", re.IGNORECASE | re.DOTALL)


@attrs.frozen
class Pattern:
    """One name of ``[patterns]``: its texts as one expression, a check of what was found, and how many it takes.

    ``needs`` are texts of which one stands wherever the expression fits: to look for them costs far less. ``files``
    tells whether it is looked for in the texts of files too.
    """

    name: str
    expression: re.Pattern[str]
    needs: tuple[str, ...] = ()
    check: str = ""
    least: int = 1
    files: bool = True


@attrs.frozen
class Findings:
    """What was found in one mail; ``examined`` is false if some of it could not be looked at, ``unreadable`` are files
    whose text could not be read, ``unlisted`` says that an archive did not tell what is in it."""

    found: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    examined: bool = True
    unreadable: tuple[str, ...] = ()
    unlisted: bool = False


def read_pattern(
    name: str, texts: Sequence[object], check: object = "", least: object = 1, files: object = True
) -> Pattern:
    """Raises ValueError with the problem."""
    if not isinstance(files, bool):
        raise ValueError("files is neither true nor false")
    if check not in ("", *CHECKS):
        raise ValueError(f"there is no check {check!r}; there are {', '.join(CHECKS)}")
    if isinstance(least, bool) or not isinstance(least, int) or not 1 <= least <= 1000:
        raise ValueError("at_least is not a number from 1 to 1000")
    pieces = [_piece(text) for text in texts]
    needs = tuple(longest_literal(str(text)) for text in texts)
    expression = re.compile("|".join(pieces), re.IGNORECASE)
    return Pattern(name, expression, needs if all(needs) else (), str(check), least, files)


def _piece(text: object) -> str:
    """``#`` a digit, ``@`` a letter, a space any white space, ``~`` dots, dashes or spaces or nothing."""
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} is not a text")
    if len(text) > PATTERN_MOST:
        raise ValueError(f"{text!r} has more than {PATTERN_MOST} signs")
    if not any(sign.isalnum() or sign in _SIGNS for sign in text):
        raise ValueError(f"{text!r} has no letter and no digit")
    signs = [_sign(sign) for sign in " ".join(text.split())]
    before = r"(?<!\w)" if _is_word(text[0]) else ""
    after = r"(?!\w)" if _is_word(text[-1]) else ""
    return f"{before}{''.join(signs)}{after}"


def longest_literal(text: str) -> str:
    """The longest run of signs in a pattern that stand for themselves, folded as the text is."""
    return fold(max(re.split(r"[#@~\s]+", text), key=len))


def fold(text: str) -> str:
    """As expressions compare without case: they take both Turkish letters for an i."""
    return text.replace("\u0130", "i").replace("\u0131", "i").casefold()


def _sign(sign: str) -> str:
    if sign == " ":
        return _SPACE
    return _GAP if sign == "~" else _SIGNS.get(sign) or re.escape(sign)


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign in _SIGNS


def examine(raw: bytes, patterns: Sequence[Pattern]) -> Findings:
    """Look at the subject, all texts and the names of all files, also in forwarded mails."""
    texts: list[str] = []
    names: list[str] = []
    complete = _gather(raw, texts, names)
    whole = "\n\0\n".join([*texts, *names])
    folded = fold(whole) if patterns else ""
    found = frozenset(pattern.name for pattern in patterns if _may_be_in(pattern, folded) and _is_in(pattern, whole))
    return Findings(found, tuple(names), complete)


def _gather(raw: bytes, texts: list[str], names: list[str]) -> bool:
    """False if the mail cannot be taken apart in one certain way, or has too much text."""
    room = TEXT_MOST
    complete = True
    try:
        top = parse(raw)
    except NotExamined:
        with suppress(HeaderTooLarge):
            texts.append(decode_words(read(raw).first("Subject") or ""))
        return False
    for part in _walk(top):
        complete = complete and not part.ambiguous
        for text in _texts_of(part):
            texts.append(text[:room])
            room -= min(room, len(text))
            complete = complete and room > 0
        if part.filename:
            names.append(part.filename)
    return complete


def _walk(part: Part) -> Iterator[Part]:
    stack = [part]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(reversed(found.children))


def _texts_of(part: Part) -> Iterator[str]:
    """The subject of a mail, the text of a part. What is closed or a picture has none."""
    if part.start == 0 or part.first("subject") is not None:
        yield decode_words(part.first("subject") or "")
    if part.children or not part.kind.startswith("text/"):
        return
    text = part.text()
    yield readable(text) if part.kind == "text/html" else text


def readable(markup: str) -> str:
    """What a reader sees of HTML: no tags, entities as signs. The tags go twice: with a space and without, since one
    hides in a word and the other stands between words."""
    visible = _NO_TEXT.sub(" ", markup)
    return html.unescape(_TAG.sub(" ", visible)) + "\n\0\n" + html.unescape(_TAG.sub("", visible))


def _may_be_in(pattern: Pattern, folded: str) -> bool:
    return not pattern.needs or any(need in folded for need in pattern.needs)


def _is_in(pattern: Pattern, text: str) -> bool:
    check = CHECKS.get(pattern.check)
    different: set[str] = set()
    for match in pattern.expression.finditer(text):
        sign = "".join(filter(str.isalnum, match[0])).upper()
        if check is None or check(sign):
            different.add(sign)
            if len(different) >= pattern.least:
                return True
    return False


def luhn(text: str) -> bool:
    """Payment cards (ISO/IEC 7812): every second digit doubled, the sum of all digits ends with 0."""
    if not text.isdecimal() or len(text) < 8:
        return False
    total = 0
    for place, sign in enumerate(reversed(text)):
        digit = int(sign) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def iban(text: str) -> bool:
    """Bank accounts (ISO 13616): the country and check digits behind the rest, as a number, leave 1 by 97."""
    if not 15 <= len(text) <= 34 or not text.isascii() or not text.isalnum():
        return False
    if not text[:2].isalpha() or not text[2:4].isdecimal():
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def ean13(text: str) -> bool:
    """Thirteen digits, the last of which checks the others; Swiss insurance numbers are made so."""
    if len(text) != 13 or not text.isdecimal():
        return False
    return sum(int(sign) * (1 + 2 * (place % 2)) for place, sign in enumerate(text)) % 10 == 0


CHECKS: Mapping[str, Callable[[str], bool]] = {"luhn": luhn, "iban": iban, "ean13": ean13}
