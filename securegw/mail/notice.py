"""Notices: what became of a mail, for its sender's eyes and programs.

Not for decrypted content: of the mail itself a notice returns header fields only, whatever RET said (threats
5.5.32). RFC 3461 6, RFC 3464, RFC 6522, RFC 6533 3, RFC 3834 2, RFC 5321 6.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from securegw.mail.address import Address, Mailbox, parse_path
from securegw.mail.compose import alternatives, around, message_id, multipart, part, raw_text_part, wire_lines
from securegw.mail.message import Message, field_line, read, wire_date, without
from securegw.mail.texts import Texts
from securegw.mail.words import decode_words, plain_line

TEMPLATES = {"failed": "notice", "delayed": "delayed", "relayed": "relayed", "delivered": "delivered"}
CLASSES = {"failed": "5", "delayed": "4"}
RETURNED = 32 * 1024
LINE = 500

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_REPLY = re.compile(r"[245]\d\d(?:[ -]|\Z)")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_ORIGINAL = re.compile(r"([A-Za-z0-9-]{1,40});([!-~]{1,500})")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_ROBOT = re.compile(r"mailer-daemon|listserv|majordomo|owner-.*|.*-(?:request|owner|bounces?)(?:[+=].*)?")
_LISTS = ("list-id", "list-post", "list-help", "list-unsubscribe", "list-subscribe", "list-owner")
_BULK = ("bulk", "list", "junk")
# Nothing of our own goes back, nothing that asks for an answer, nobody's blind copies.
_KEPT_BACK = ("x-securegw-*", "disposition-notification-to", "return-receipt-to", "errors-to", "bcc", "return-path")

# What an enhanced status means to a person (RFC 3463 3); the longest beginning of it counts.
_MEANINGS = {
    "2": "The mail server of the recipient has taken the mail.",
    "5": "The mail server of the recipient has refused the mail.",
    "4": "The mail server of the recipient could not take the mail now.",
    "4.4.1": "The mail server of the recipient cannot be reached.",
    "4.4.7": "The mail could not be delivered in time.",
    "5.4.7": "The mail could not be delivered in time.",
    "5.1.1": "The recipient's mailbox does not exist.",
    "5.1.2": "The domain of the recipient does not exist or takes no mail.",
    "5.1.10": "The domain of the recipient does not exist or takes no mail.",
    "5.2.1": "The recipient's mailbox is closed.",
    "4.2.2": "The recipient's mailbox is full.",
    "5.2.2": "The recipient's mailbox is full.",
    "5.2.3": "The mail is larger than the recipient's server accepts.",
    "5.3.4": "The mail is larger than the recipient's server accepts.",
    "5.4.6": "The mail has gone in a circle.",
    "5.7": "The mail server of the recipient does not allow this mail.",
}


@attrs.frozen
class Failure:
    """What happened for one recipient. ``sentence`` is ours, in English; ``diagnostic`` what a server replied.

    ``original`` is the ORCPT that the sender gave, as it stood on the wire.
    """

    recipient: str
    status: str = "5.0.0"
    diagnostic: str = ""
    action: str = "failed"
    remote: str = ""
    sentence: str = ""
    original: str = ""


@attrs.frozen
class Facts:
    """What the report says of the mail as a whole; ``envid`` is ENVID as it stood on the wire, times are Unix time."""

    envid: str = ""
    arrived: float | None = None
    tried: float | None = None
    until: float | None = None


@attrs.frozen
class Report:
    """One recipient as the templates show it."""

    recipient: str
    sentence: str
    diagnostic: str
    remote: str


def may_be_notified(sender: str | None, message: Message) -> bool:
    """True if a person may wait for the notice: never the null sender, robots or lists (RFC 3834 2, 5.1.15)."""
    if not sender or _ROBOT.fullmatch(sender.rpartition("@")[0].lower()):
        return False
    automatic = message.all("auto-submitted")
    if any(value.partition(";")[0].strip().lower() != "no" for value in automatic):
        return False
    if any(value.strip().lower() in _BULK for value in message.all("precedence")):
        return False
    return not any(message.count(name) for name in _LISTS)


def write_notice(
    texts: Texts,
    *,
    host: str,
    sender: str,
    original_header: bytes,
    failures: Sequence[Failure],
    kind: str = "failed",
    language: str = "en",
    date: float,
    facts: Facts = Facts(),
) -> bytes:
    """A multipart/report for the sender of a mail (RFC 6522 3); its own envelope sender must be null.

    ``kind`` is failed, delayed, delivered, or relayed: handed to a server that sends no notices itself (RFC 3461
    6.2.7.1).
    """
    original = read(original_header)
    text = texts.mail(
        TEMPLATES[kind],
        language,
        host=host,
        subject=_shown_subject(original),
        reports=[_report(texts, failure, language) for failure in failures],
    )
    status = part("message/delivery-status", _status_fields(host, failures, kind, facts))
    returned = raw_text_part("text/rfc822-headers", _returned(original))
    report = [alternatives(text), status, returned]
    fields: dict[str, str | Mailbox | Address] = {
        "From": Mailbox("Mail Delivery System", Address("MAILER-DAEMON", host)),
        "To": parse_path(sender, utf8=True),
        "Subject": text.subject,
        "Message-ID": message_id(host),
        **_thread(original),
        "Auto-Submitted": "auto-replied",
    }
    return around(multipart("report", report, parameters=";\r\n report-type=delivery-status"), date, fields)


def _thread(original: Message) -> dict[str, str]:
    identity = (original.first("message-id") or "").strip()
    return {"In-Reply-To": identity, "References": identity} if _MESSAGE_ID.fullmatch(identity) else {}


def _shown_subject(original: Message) -> str:
    subject = plain_line(decode_words(original.first("subject") or "")).strip()
    return subject if len(subject) <= 120 else subject[:119] + "…"


def _report(texts: Texts, failure: Failure, language: str) -> Report:
    sentence = failure.sentence or _meaning(failure.status)
    diagnostic = _one_line(failure.diagnostic)
    return Report(
        recipient=_one_line(failure.recipient),
        sentence=texts.translate(sentence, language),
        diagnostic="" if diagnostic == failure.sentence else diagnostic,
        remote=failure.remote if _HOST.fullmatch(failure.remote) else "",
    )


def _meaning(status: str) -> str:
    digits = status.split(".")
    beginnings = (".".join(digits[:length]) for length in (3, 2, 1))
    return next((_MEANINGS[beginning] for beginning in beginnings if beginning in _MEANINGS), _MEANINGS["5"])


def _one_line(text: str) -> str:
    return plain_line(text).strip()[:LINE]


# --- the part for programs (RFC 3464 2) ---------------------------------------------------------------------------


def _status_fields(host: str, failures: Sequence[Failure], kind: str, facts: Facts) -> bytes:
    groups = [_lines({
        "Original-Envelope-Id": _one_line(decode_xtext(facts.envid)),
        "Reporting-MTA": f"dns; {host}",
        "Arrival-Date": _moment(facts.arrived),
    })]  # fmt: skip
    groups += [_recipient_fields(failure, kind, facts) for failure in failures]
    return b"\r\n".join(groups)


def _recipient_fields(failure: Failure, kind: str, facts: Facts) -> bytes:
    action = kind if kind != "failed" else failure.action
    return _lines({
        "Original-Recipient": _original(failure.original),
        "Final-Recipient": _typed_address(failure.recipient),
        "Action": action,
        "Status": _status(failure.status, action),
        "Remote-MTA": f"dns; {failure.remote}" if _HOST.fullmatch(failure.remote) else "",
        "Diagnostic-Code": _diagnostic_code(failure.diagnostic) if failure.diagnostic else "",
        "Last-Attempt-Date": _moment(facts.tried),
        "Will-Retry-Until": _moment(facts.until) if kind == "delayed" else "",
    })  # fmt: skip


def _lines(fields: Mapping[str, str]) -> bytes:
    """The fields that have a value."""
    return b"".join(field_line(name, value) for name, value in fields.items() if value)


def _moment(moment: float | None) -> str:
    return "" if moment is None else wire_date(moment)


def decode_xtext(text: str) -> str:
    """What ENVID and ORCPT stand for (RFC 3461 4); letters beyond ASCII do not pass."""
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text).encode("ascii", "replace").decode("ascii")


def _original(original: str) -> str:
    """ORCPT as a field (RFC 3464 2.3.1); nothing if it is none."""
    found = _ORIGINAL.fullmatch(original)
    return f"{found[1].lower()}; {_one_line(decode_xtext(found[2]))}" if found else ""


def _typed_address(recipient: str) -> str:
    """RFC 3464 2.3.2; letters beyond ASCII are written out, so that the notice passes everywhere (RFC 6533 3)."""
    recipient = _one_line(recipient)
    if recipient.isascii():
        return f"rfc822; {recipient}"
    return f"utf-8; {''.join(map(_escaped, recipient))}"


def _escaped(letter: str) -> str:
    return letter if "!" <= letter <= "~" and letter not in "\\+=" else f"\\x{{{ord(letter):X}}}"


def _status(status: str, action: str) -> str:
    """A status of the class that the action has; programs trust the class most."""
    wanted = CLASSES.get(action, "2")
    if not _STATUS.fullmatch(status):
        return f"{wanted}.0.0"
    return f"{wanted}{status[1:]}"


def _diagnostic_code(diagnostic: str) -> str:
    text = _one_line(diagnostic).encode("ascii", "replace").decode("ascii")
    return f"{'smtp' if _REPLY.match(text) else 'x-securegw'}; {text}"


# --- what is returned of the mail ---------------------------------------------------------------------------------


def _returned(original: Message) -> bytes:
    """The header, up to a bound, whole fields only. Whatever else the caller handed over stays here."""
    kept = read(without(original, _KEPT_BACK)).fields
    lines: list[bytes] = []
    size = 0
    for field in kept:
        size += len(field.raw)
        if size > RETURNED:
            break
        lines.append(field.raw)
    return wire_lines(b"".join(lines).decode("latin-1")).encode("latin-1")
