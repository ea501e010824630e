"""Marks on incoming mail: forged ones go, ours are written in front (SEC1, SEC2, RFC 8601).

Not the judging: ``crypto/smime`` does that, and ``policy`` says whether to mark and to tag. The header field is always
the whole truth; the subject tag is for the eye.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from securegw.flow.proofs import OPENED_FIELD, VERDICT_FIELD
from securegw.mail import message as messages
from securegw.mail.address import header_mailboxes
from securegw.mail.compose import mailbox
from securegw.mail.errors import BadAddress
from securegw.policy.marks import SUBJECT_FIELDS, clean_subject, forged_fields, own_results, tag_subject

if TYPE_CHECKING:
    from securegw.crypto.verdict import Verdict
    from securegw.flow.proofs import Proofs
    from securegw.mail.message import Message
    from securegw.policy.decision import Decision

SECURE, SIGNED_OK, SIGNED_INVALID = "[secure]", "[signed OK]", "[signed INVALID]"
TAGS = (SECURE, SIGNED_OK, SIGNED_INVALID)
UNFIT = re.compile(r"[^ -~]|[\"\\;]")
NAME_FIELDS = ("from", "sender", "reply-to")
LOOKED_AT = frozenset(name.encode() for name in ("authentication-results", *SUBJECT_FIELDS, *NAME_FIELDS))


@attrs.frozen
class Mark:
    """What we say about a mail: the words of the header field, the result for RFC 8601, the subject tags.

    ``opened`` says that it came sealed and is in clear now: that is written whatever the rules say of marks, because it
    keeps the mail from leaving in clear again (5.5.33).
    """

    verdict: str
    results: str = ""
    tags: tuple[str, ...] = ()
    opened: bool = False


def without_forgeries(message: Message, host: str, keywords: tuple[str, ...] = ()) -> Message:
    """The mail without what only we may write; the very same one where there is nothing of it.

    ``keywords`` go too: a stranger's ``[plain]`` would come back in the subject of an answer and count as the wish of
    whoever answers.
    """
    raw = messages.without(message, forged_fields())
    if raw is not message.raw:
        message = messages.read(raw)
    tags = (*TAGS, *keywords)
    kept = [_cleaned(field, host, tags) if field.name.lower() in LOOKED_AT else field.raw for field in message.fields]
    if all(new is field.raw for new, field in zip(kept, message.fields, strict=True)):
        return message
    return messages.read(b"".join(kept) + raw[message.header_end :])


def _cleaned(field: messages.Field, host: str, tags: tuple[str, ...]) -> bytes:
    name = field.name.decode("ascii", "replace").lower()
    if name == "authentication-results":
        return b"" if own_results(_text(field), host) else field.raw
    if name in SUBJECT_FIELDS:
        text = messages.decode_words(_text(field))
        cleaned = clean_subject(text, tags)
        return field.raw if cleaned == text else _line(field, messages.encode_words(cleaned))
    return _without_forged_name(field, tags) if name in NAME_FIELDS else field.raw


def _without_forged_name(field: messages.Field, tags: tuple[str, ...]) -> bytes:
    """A display name is shown beside the subject: a tag in it would be believed as well (threats 5.4.24)."""
    try:
        boxes = header_mailboxes(field.value)
    except BadAddress:
        text = messages.decode_words(_text(field))
        cleaned = clean_subject(text, tags)
        return field.raw if cleaned == text else _line(field, messages.encode_words(cleaned))
    names = [clean_subject(box.name, tags) for box in boxes]
    if all(name == box.name for name, box in zip(names, boxes, strict=True)):
        return field.raw
    shown = [mailbox(attrs.evolve(box, name=name)) for name, box in zip(names, boxes, strict=True)]
    return _line(field, ",\r\n\t".join(shown))


def _line(field: messages.Field, value: str) -> bytes:
    return messages.field_line(field.name.decode("ascii"), value)


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
    opened = verdict.encrypted == "opened"
    return Mark(";\r\n\t".join(("; ".join(words[:4]), *words[4:])), _results(verdict), _tags(verdict), opened)


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
    return Mark(f"portal; account={_word(account)}", tags=(SECURE,), opened=True)


def marked(message: Message, mark: Mark, decision: Decision, host: str, proofs: Proofs, trace: str) -> bytes:
    """The mail with our marks, as far as the decision wants them."""
    raw = message.raw
    if decision.tag and mark.tags:
        subject = messages.decode_words(message.first("Subject") or "")
        for tag in mark.tags:
            subject = tag_subject(subject, tag)
        raw = messages.with_field(message, "Subject", messages.encode_words(subject))
    lines = messages.field_line(OPENED_FIELD, proofs.opened(trace)) if mark.opened else b""
    if decision.mark:
        lines += messages.field_line(VERDICT_FIELD, proofs.proved(mark.verdict, message, trace))
    if decision.mark and mark.results:
        lines += messages.field_line("Authentication-Results", f"{host};\r\n\t{mark.results}")
    return messages.prepend(raw, lines) if lines else raw


def _word(text: str) -> str:
    """A value as it may stand in a header field: printable ASCII on one line, without quotes."""
    return UNFIT.sub("?", text)[:400]
