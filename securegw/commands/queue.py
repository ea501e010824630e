"""The queue: what waits and why; hold it, let it go, try it now, or delete it.

A running gateway may have an item in its hands at this very moment; what it then does is what the store allows it.
Bodies are sealed and stay so: no command shows what a mail says.
"""

from __future__ import annotations

import time
from itertools import takewhile
from typing import TYPE_CHECKING

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import span
from securegw.commands.opening import Refusal, told
from securegw.commands.tables import Row, moment, print_rows, print_tree
from securegw.store import desk
from securegw.store.items import Chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.store.events import Event
    from securegw.store.items import Item

PAGE = 500
COLUMNS = ("id", "trace", "state", "kind", "received", "next_try", "tries", "size", "sender", "recipients", "note")


@attrs.frozen
class Change:
    """One thing to do with items: in which states, by which step of the store, and the word for having done it."""

    name: str
    states: tuple[str, ...]
    step: Callable[[Connection, Chosen], int | list[Item]]
    done: str
    sentence: str


CHANGES = {
    change.name: change
    for change in (
        Change("hold", ("waiting",), desk.hold, "held", "Keep items from going on."),
        Change("release", ("held", "parked"), desk.unhold, "released", "Let held or parked items go on now."),
        Change("retry", ("waiting",), desk.retry, "retried", "Try waiting items now."),
        Change("delete", ("waiting", "held", "parked"), desk.delete_items, "deleted", "Delete items undelivered."),
    )
}


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw queue``."""
    actions = Actions(parser)
    listing = actions.add("list", list_all, "List what waits.", json=True)
    listing.add_argument("--state", choices=("waiting", "held", "parked"), default="", help="only items in this state")
    listing.add_argument("--kind", choices=("accepted", "ready"), default="", help="only before, or after treatment")
    listing.add_argument("--address", metavar="TEXT", default="", help="only with this in the sender or a recipient")
    listing.add_argument("--trace", metavar="ID", default="", help="only of this mail, by the trace id in the log")
    listing.add_argument("--older", metavar="TIME", type=span, default=0.0, help="only taken longer ago, as 2h or 5d")
    show = actions.add("show", show_one, "Show all about one item but what the mail says.", json=True)
    show.add_argument("id")
    for name, change in CHANGES.items():
        word = actions.add(name, change_items, change.sentence)
        word.add_argument("id", nargs="+")
        word.set_defaults(change=change)


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the items, oldest first."""
    latest = time.time() - arguments.older
    items = every_item(
        store, state=arguments.state, kind=arguments.kind, address=arguments.address, trace=arguments.trace
    )
    rows = [row(item) for item in takewhile(lambda item: item.received <= latest, items)]
    print_rows(rows, COLUMNS, as_json=arguments.json)
    return 0


def every_item(store: Store, *, state: str = "", kind: str = "", address: str = "", trace: str = "") -> Iterator[Item]:
    """All items that answer to all that is asked, oldest first, asked for in pages."""
    after: tuple[float, str] | None = None
    while page := store.ask(
        desk.list_items, state=state, kind=kind, address=address, trace=trace, after=after, limit=PAGE
    ):
        yield from page
        after = (page[-1].received, page[-1].id)


def show_one(store: Store, arguments: Namespace) -> int:
    """Print one item with each recipient's state, last reply and decision."""
    item = existing(store, arguments.id)
    values = row(item) | {
        "message_id": item.message_id,
        "direction": item.direction,
        "source": dict(item.source),
        "claimed": item.session is not None,
        "recipients": [attrs.asdict(recipient) for recipient in item.recipients],
    }
    print_tree(values, as_json=arguments.json)
    return 0


def change_items(store: Store, arguments: Namespace) -> int:
    """Change all the items named, or none of them."""
    change: Change = arguments.change
    items = [existing(store, id) for id in dict.fromkeys(arguments.id)]
    wrong = [item for item in items if item.state not in change.states]
    if wrong:
        raise Refusal("; ".join(f"{item.id} is {item.state}" for item in wrong) + f": nothing to {change.name}")
    chosen = Chosen(tuple(item.id for item in items))
    store.change([told_of(change, item) for item in items], all_or_none, change, chosen)
    for item in items:
        print(f"{item.id}: {change.done}")
    return 0


def all_or_none(connection: Connection, change: Change, chosen: Chosen) -> None:
    """A step: the change for every item, or nothing if the gateway has gone on with one of them just now."""
    result = change.step(connection, chosen)
    done = result if isinstance(result, int) else len(result)
    if done != len(chosen.ids):
        raise Refusal("an item has gone on in the meantime; nothing was changed, look again")


def told_of(change: Change, item: Item) -> Event:
    """The event of a change to one item."""
    return told(
        f"item-{change.done}",
        item=item.id,
        trace=item.trace,
        message_id=item.message_id,
        was=item.state,
        sender=item.sender,
        recipients=[recipient.address for recipient in item.recipients],
    )


def existing(store: Store, id: str) -> Item:
    """One item, or a refusal."""
    item = store.ask(desk.get, id)
    if item is None:
        raise Refusal(f"{id}: there is no such item in the queue")
    return item


def row(item: Item) -> Row:
    """One item as a row of the list."""
    return {
        "id": item.id,
        "trace": item.trace,
        "state": item.state,
        "kind": item.kind,
        "received": moment(item.received),
        "next_try": moment(item.next_try),
        "tries": item.tries,
        "size": item.size,
        "sender": item.sender or "<>",
        "recipients": [recipient.address for recipient in item.recipients if recipient.state == "waiting"],
        "note": item.note,
    }
