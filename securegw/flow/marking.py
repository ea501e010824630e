"""Marks on incoming mail: forged ones go, ours are written in front (SEC1, SEC2, RFC 8601).

Not the judging: ``crypto/smime`` does that, and ``policy`` says whether to mark and to tag. The header field is always
the whole truth; the subject tag is for the eye.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.mail import message as messages
from securegw.policy.marks import SUBJECT_FIELDS, clean_subject, forged_fields, own_results, tag_subject

if TYPE_CHECKING:
    from securegw.crypto.verdict import Verdict
    from securegw.policy.decision import Decision

VERDICT_FIELD = "X-Securegw-Verdict"
SECURE, SIGNED_OK, SIGNED_INVALID = "[secure]", "[signed OK]", "[signed INVALID]"
TAGS = (SECURE, SIGNED_OK, SIGNED_INVALID)


@attrs.frozen
class Mark:
    """What we say about a mail: the words of the header field, the result for RFC 8601, the subject tags."""

    verdict: str
    results: str = ""
    tags: tuple[str, ...] = ()


def without_forgeries(raw: bytes, host: str) -> bytes:
    """The mail without what only we may write; the very same bytes where there is nothing of it."""
    raw = messages.without(messages.read(raw), forged_fields())
    message = messages.read(raw)
    kept = [_cleaned(field, host) for field in message.fields]
    if all(new is field.raw for new, field in zip(kept, message.fields, strict=True)):
        return raw
    return b"".join(kept) + raw[message.header_end :]


def _cleaned(field: messages.Field, host: str) -> bytes:
    name = field.name.lower()
    if name == b"authentication-results" and own_results(_text(field), host):
        return b""
    if name.decode("ascii", "replace") not in SUBJECT_FIELDS:
        return field.raw
    subject = messages.decode_words(_text(field))
    cleaned = clean_subject(subject, TAGS)
    if cleaned == subject:
        return field.raw
    return messages.field_line(field.name.decode("ascii"), messages.encode_words(cleaned))


def _text(field: messages.Field) -> str:
    return field.value.decode("utf-8", "replace")


def mark_of(verdict: Verdict) -> Mark:
    """Three verdicts apart, and the tag that needs them all."""
    words = [f"encrypted={verdict.encrypted}", f"integrity={verdict.integrity}"]
    words += [f"trust={verdict.trust}", f"identity={verdict.identity}"]
    if verdict.signer:
        words.append(f'signer="{_word(verdict.signer)}"')
    if verdict.reasons:
        words.append(f'reason="{_word(", ".join(verdict.reasons))}"')
    return Mark(";\r\n\t".join(("; ".join(words[:4]), *words[4:])), _results(verdict), _tags(verdict))


def _tags(verdict: Verdict) -> tuple[str, ...]:
    tags = []
    if verdict.signed:
        tags.append(SIGNED_OK if verdict.signed_ok else SIGNED_INVALID)
    if verdict.encrypted == "opened":
        tags.append(SECURE)
    return tuple(tags)


def _results(verdict: Verdict) -> str:
    """The smime method of Authentication-Results (RFC 7281 3)."""
    if not verdict.signed:
        return ""
    return "smime=pass" if verdict.signed_ok else "smime=fail"


def portal_mark(account: str) -> Mark:
    """An answer that an account has written in the portal, behind its password."""
    return Mark(f"portal; account={_word(account)}", tags=(SECURE,))


def marked(raw: bytes, mark: Mark, decision: Decision, host: str) -> bytes:
    """The mail with our marks, as far as the decision wants them."""
    if decision.tag and mark.tags:
        message = messages.read(raw)
        subject = messages.decode_words(message.first("Subject") or "")
        for tag in mark.tags:
            subject = tag_subject(subject, tag)
        raw = messages.with_field(message, "Subject", messages.encode_words(subject))
    if not decision.mark:
        return raw
    lines = messages.field_line(VERDICT_FIELD, mark.verdict)
    if mark.results:
        lines += messages.field_line("Authentication-Results", f"{host};\r\n\t{mark.results}")
    return messages.prepend(raw, lines)


def _word(text: str) -> str:
    """A value as it may stand in a header field: printable ASCII on one line, without quotes."""
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\;' else "?" for c in text)[:400]
