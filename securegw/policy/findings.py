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

from securegw.mail.archives import DEPTH, Allowance, File, is_other_archive, is_zip, members
from securegw.mail.documents import Hourglass, has_text, is_document, read_file
from securegw.mail.errors import HeaderTooLarge, NotExamined
from securegw.mail.message import decode_words, read
from securegw.mail.mime import Part, parse

TEXT_MOST = 8 << 20  # characters of text in one mail; beyond it the mail counts as not examined
PATTERN_MOST = 100
PATTERNS_MOST = 200
SEALED = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"})
SEALED_TEXT = b"-----BEGIN PGP MESSAGE-----"
MAILS_MOST = 20  # mails that are files in one mail
DEEPEST = -3  # a document in an archive of the deepest kind may hold others, and these again

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
    whose text could not be read, ``unlisted`` says that an archive did not tell what is in it, ``sealed`` that a part
    is signed or encrypted as a whole, so that nothing of it could be read."""

    found: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    examined: bool = True
    unreadable: tuple[str, ...] = ()
    unlisted: bool = False
    sealed: bool = False


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


def examine(raw: bytes, patterns: Sequence[Pattern], *, names: bool = False, files: bool = False) -> Findings:
    """Look at the subject, all texts and the names of all files, also in forwarded mails.

    ``names`` asks for those in archives too, ``files`` whether the text of all files can be read; a pattern may ask.
    """
    look = _Look(files or any(pattern.files for pattern in patterns), names)
    look.at_mail(raw)
    texts = "\n\0\n".join([*look.texts, *look.names])
    found = _found([pattern for pattern in patterns if not pattern.files], texts)
    found |= _found([pattern for pattern in patterns if pattern.files], "\n\0\n".join([texts, *look.in_files]))
    return Findings(found, tuple(look.names), look.complete, tuple(look.unreadable), look.unlisted, look.sealed)


def _found(patterns: Sequence[Pattern], text: str) -> frozenset[str]:
    folded = fold(text) if patterns else ""
    return frozenset(pattern.name for pattern in patterns if _may_be_in(pattern, folded) and _is_in(pattern, text))


@attrs.define
class _Look:
    """One look at one mail: what was found so far, and what may still be read."""

    reads_files: bool
    opens_archives: bool
    texts: list[str] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    in_files: list[str] = attrs.field(factory=list)
    unreadable: list[str] = attrs.field(factory=list)
    unlisted: bool = False
    sealed: bool = False
    complete: bool = True
    room: int = TEXT_MOST
    mails: int = MAILS_MOST
    allowance: Allowance = attrs.field(factory=Allowance)
    hourglass: Hourglass = attrs.field(factory=Hourglass)

    def at_mail(self, raw: bytes) -> None:
        """The mail cannot be examined if it cannot be taken apart in one certain way, or has too much text."""
        try:
            top = parse(raw)
        except NotExamined:
            with suppress(HeaderTooLarge):
                self.texts.append(decode_words(read(raw).first("Subject") or ""))
            self.complete = False
            return
        for part in _walk(top):
            self.complete = self.complete and not part.ambiguous
            for text in _texts_of(part):
                self.texts.append(self._room_for(text))
            if part.filename:
                self.names.append(part.filename)
            if (self.reads_files or self.opens_archives) and not part.children:
                self._at_part(part)

    def _room_for(self, text: str) -> str:
        some = text[: self.room]
        self.room -= min(self.room, len(text))
        self.complete = self.complete and self.room > 0
        return some

    def _at_part(self, part: Part) -> None:
        content = part.content()
        if part.kind in SEALED or SEALED_TEXT in content[:4096]:
            self.sealed = True
            return
        if part.kind.startswith("text/") and not has_text(content):
            return
        kind = ".eml" if part.kind.startswith("message/") else ""
        self._at_file(File((part.filename or part.kind) + kind, content), DEPTH, named=True)

    def _at_file(self, file: File, depth: int, *, named: bool = False) -> None:
        """A file of a mail, of an archive, of a document."""
        if not named:
            self.names.append(file.name)
        if file.content is None or (depth < DEEPEST and is_zip(file.content)):
            self._not_read(file)
        elif is_zip(file.content) and not is_document(file.content):
            self._at_archive(file, file.content, depth)
        elif is_other_archive(file.name, file.content):
            self._not_read(File(file.name, None, listed=False))
        elif file.name.lower().endswith(".eml"):
            self._at_mail_file(file)
        elif self.reads_files:
            self._at_document(file, file.content, depth)

    def _at_archive(self, file: File, content: bytes, depth: int) -> None:
        if depth <= 0:
            self._not_read(File(file.name, None, listed=False))
            return
        for member in members(file.name, content, self.allowance):
            self._at_file(member, depth - 1)

    def _not_read(self, file: File) -> None:
        self.unreadable.append(file.name)
        self.unlisted = self.unlisted or not file.listed

    def _at_mail_file(self, file: File) -> None:
        self.mails -= 1
        if file.content is None or self.mails < 0:
            self._not_read(file)
        else:
            self.at_mail(file.content)

    def _at_document(self, file: File, content: bytes, depth: int) -> None:
        text = read_file(file.name, content, self.allowance, self.hourglass)
        self.in_files.append(self._room_for(text.text))
        if not text.whole:
            self.unreadable.append(file.name)
        for inside in text.inside:
            is_own = is_zip(content) and "embeddings/" not in inside.name  # a part of the document itself
            self._at_file(inside, depth - 1, named=is_own)


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
