"""The way of a mail as lines to be read: when, how long after it came, what, to whom, and what was said.

Not the search (``history``). What still lies in the queue closes the time line, so that one look says how it stands.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from securegw.commands.tables import aligned, cell, moment, printable
from securegw.store.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from securegw.store.items import Item, Recipient

ACCEPTED = "accepted"
QUEUE = "queue"
OUTSIDE_DOORS = ("smtp", "portal")


def as_it_stands(told: Sequence[Event], items: Sequence[Item], now: float) -> list[Event]:
    """The events of one mail, before them how it came where no event says so yet, after them what still waits."""
    before = [] if any(event.kind == ACCEPTED for event in told) else [came(item) for item in origin(items)]
    left = [waits(item, each, now) for item in items for each in item.recipients if each.state == "waiting"]
    return [*before, *told, *left]


def origin(items: Sequence[Item]) -> Sequence[Item]:
    """The item that tells how the mail came: the oldest one that a door took, for notices share its trace."""
    return sorted((i for i in items if i.source.get("door") in OUTSIDE_DOORS), key=lambda item: item.received)[:1]


def came(item: Item) -> Event:
    """What the queue knows of the connection that brought an item."""
    detail = {**item.source, "size": item.size}
    return Event(
        time=item.received,
        kind=ACCEPTED,
        actor=QUEUE,
        trace=item.trace,
        item=item.id,
        message_id=item.message_id,
        address=item.sender,
        detail=detail,
    )


def waits(item: Item, recipient: Recipient, now: float) -> Event:
    """What the queue knows of a recipient who has not got the mail."""
    detail = {"next_try": moment(item.next_try), "tries": item.tries, "note": recipient.reply or item.note}
    return Event(
        time=now,
        kind=item.state,
        actor=QUEUE,
        trace=item.trace,
        item=item.id,
        message_id=item.message_id,
        address=recipient.address,
        detail=detail,
    )


def print_timeline(told: Iterable[Event]) -> None:
    """Print the events, mail by mail."""
    for number, (trace, group) in enumerate(groupby(told, lambda event: event.trace)):
        if number:
            print()
        print("\n".join(paragraph(trace, list(group))))


def paragraph(trace: str, told: Sequence[Event]) -> Iterator[str]:
    """The lines of one mail; events that belong to no mail stand together."""
    message_id = next((event.message_id for event in told if event.message_id), "")
    yield printable(f"mail {trace} {message_id}".rstrip()) if trace else "not about a mail"
    start = told[0].time if trace else None
    yield from (f"  {line}" for line in aligned([line_of(event, start) for event in told]))


def line_of(event: Event, start: float | None) -> tuple[str, ...]:
    """One event: its time, the seconds since the first, its kind, whom it is about, and its words."""
    after = "" if start is None else elapsed(event.time - start)
    who = "" if event.actor in ("gateway", QUEUE) else f"(by {event.actor})"
    words = " ".join(part for part in (WORDS.get(event.kind, anything)(event.detail), who) if part)
    return str(moment(event.time)), after, *map(printable, (event.kind, event.address or "-", words))


def elapsed(seconds: float) -> str:
    """How long after the first event: to the millisecond while that matters."""
    if seconds < 100:
        return f"+{seconds:.3f}s"
    minutes, hours = divmod(int(seconds) // 60, 60)[::-1]
    days, hours = divmod(hours, 24)
    return f"+{f'{days}d' if days else ''}{hours}h{minutes:02}m"


def anything(detail: Mapping[str, Any]) -> str:
    """The detail of an event that needs no words of its own; of a change, what is different now."""
    rest = {name: value for name, value in detail.items() if name not in ("old", "new")}
    old, new = detail.get("old") or {}, detail.get("new") or {}
    changes = [f"{name}: {cell(old.get(name))} -> {cell(new[name])}" for name in new if new[name] != old.get(name)]
    return "; ".join([cell(rest), *changes] if rest else changes)


def how_it_came(detail: Mapping[str, Any]) -> str:
    """The connection: by which door, from where, under which name, with what."""
    peer = f"from {detail.get('helo') or 'nobody'} [{detail.get('address', '')}]:{detail.get('port', '')}"
    parts = [
        f"by {detail.get('door', 'smtp')}",
        peer if detail.get("address") else "",
        f"signed in as {detail['person']}" if detail.get("person") else "",
        str(detail.get("tls") or "no TLS") if detail.get("door", "smtp") == "smtp" else "",
        f"{detail['size']} bytes" if detail.get("size") else "",
    ]
    return ", ".join(part for part in parts if part)


def decision(detail: Mapping[str, Any]) -> str:
    """What was decided, and why."""
    outcome = detail.get("outcome")
    protection = f"{detail.get('method')}{', signed' if detail.get('sign') else ''}" if outcome == "send" else ""
    rule = f"rule {detail['rule']}" if detail.get("rule") else ""
    return "; ".join(part for part in (protection or str(outcome), detail.get("reason", ""), rule) if part)


def reply(detail: Mapping[str, Any]) -> str:
    """What the next hop said."""
    return str(detail.get("reply") or "")


def standing(detail: Mapping[str, Any]) -> str:
    """Why it has not gone on, and when it will be tried."""
    due = f"next try {detail['next_try']}" if detail.get("next_try") else "is tried now"
    return "; ".join(part for part in (detail.get("note", ""), f"{detail.get('tries', 0)} tries", due) if part)


WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    ACCEPTED: how_it_came,
    "decision": decision,
    "delivered": reply,
    "deferred": reply,
    "failed": reply,
    "waiting": standing,
    "held": standing,
    "parked": standing,
}
