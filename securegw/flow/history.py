"""What is written down about a mail's way, in the same transaction as the step: never a subject, never a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.store import events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from securegw.crypto.smime import Opened
    from securegw.flow.treatment import Step
    from securegw.mail.address import Address
    from securegw.policy.decision import Decision
    from securegw.store.mailboxes import Mailbox
    from securegw.store.queue import Item, Recipient

KINDS = {"done": "delivered", "failed": "failed", "waiting": "deferred"}


def accepted(item: Item) -> Step:
    """How a mail came: from whom, by which door, how large."""
    came = _event(item, "accepted", item.sender, item.received, {**item.source, "size": item.size})
    return events.record_many, [came]


def decided(item: Item, decisions: Iterable[tuple[Address, Decision]], now: float) -> Step:
    """Every decision with its reason and its rule."""
    return events.record_many, [_event(item, "decision", to.key, now, in_short(each)) for to, each in decisions]


def in_short(decision: Decision) -> dict[str, object]:
    """What rows and events keep of a decision: what was done, by which rule and why."""
    names = ("outcome", "method", "sign", "reason", "rule")
    short: dict[str, object] = {name: getattr(decision, name) for name in names}
    if decision.found:
        short["found"] = list(decision.found)
    if decision.quarantined:
        short["quarantine"] = True
    return short


def judged(item: Item, opened: Opened, recipient: Address, now: float) -> Step:
    """The verdict about an incoming mail."""
    detail = {**attrs.asdict(opened.verdict, recurse=False), "layers": opened.layers}
    return events.record_many, [_event(item, "verdict", recipient.key, now, detail)]


def delivered(item: Item, recipients: Iterable[Recipient], now: float) -> Step:
    """What the next hop said about each recipient."""
    told = [_event(item, KINDS[each.state], each.address, now, {"reply": each.reply}) for each in recipients]
    return events.record_many, told


def kept(item: Item, box: Mailbox, now: float) -> Step:
    """That a mail was sealed into a mailbox."""
    return events.record_many, [_event(item, "kept", box.key, now, {"mailbox": box.id})]


def emptied(box: Mailbox, count: int, now: float) -> events.Event:
    """That mails were deleted by who picked them up."""
    return events.Event(
        time=now,
        kind="picked-up",
        actor="mailbox",
        trace="",
        item="",
        message_id="",
        address=box.key,
        detail={"mailbox": box.id, "deleted": count},
    )


def _event(item: Item, kind: str, address: str, now: float, detail: dict[str, object]) -> events.Event:
    return events.Event(
        time=now,
        kind=kind,
        actor="gateway",
        trace=item.trace,
        item=item.id,
        message_id=item.message_id,
        address=address,
        detail=detail,
    )
