"""The queue: what waits and why; hold it, let it go, try it now, or delete it.

A running gateway may have an item in its hands at this very moment; what it then does is what the store allows it.
Bodies are sealed and stay so: no command shows what a mail says.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import address, domain_name, span
from securegw.commands.opening import Refusal, told
from securegw.commands.tables import Row, moment, print_json, print_rows, print_tree
from securegw.store import desk, quarantine
from securegw.store.items import Chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.mail.address import Address
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


@attrs.frozen
class Wanted:
    """Which items are meant: those that answer to all that is asked."""

    state: str = ""
    kind: str = ""
    address: str = ""
    sender: Address | None = None
    recipient: Address | None = None
    domain: str | None = None
    trace: str = ""
    older: float = 0.0
    younger: float = 0.0

    def asks(self) -> dict[str, Any]:
        """What the store is asked; it may give a few too many."""
        now = time.time()
        return {
            "state": self.state,
            "kind": self.kind,
            "address": self.address or (f"@{self.domain}" if self.domain else ""),
            "sender": self.sender.key if self.sender else "",
            "recipient": self.recipient.key if self.recipient else "",
            "trace": self.trace,
            "received": (now - self.younger if self.younger else 0.0, now - self.older if self.older else desk.FOREVER),
        }

    def means(self, item: Item) -> bool:
        """Whether it is this item, looked at closely."""
        to = [recipient.address.lower() for recipient in item.recipients]
        people = [item.sender.lower(), *to]
        return (
            (self.sender is None or item.sender.lower() == self.sender.key)
            and (self.recipient is None or self.recipient.key in to)
            and (not self.domain or any(person.endswith(f"@{self.domain}") for person in people))
        )


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw queue``."""
    actions = Actions(parser)
    listing = actions.add("list", list_all, "List what waits.", json=True)
    add_filters(listing)
    show = actions.add("show", show_one, "Show all about one item but what the mail says.", json=True)
    show.add_argument("id")
    for name, change in CHANGES.items():
        word = actions.add(name, change_items, change.sentence, json=True)
        word.add_argument("id", nargs="*", help="these items: all of them are changed, or none")
        add_filters(word)
        word.add_argument("--all", action="store_true", help="every item that can be changed so")
        word.set_defaults(change=change, parser=word)


def add_filters(parser: ArgumentParser) -> None:
    """Ways to name items by what they are."""
    parser.add_argument("--state", choices=("waiting", "held", "parked"), default="", help="only items in this state")
    parser.add_argument("--kind", choices=("accepted", "ready"), default="", help="only before, or after treatment")
    parser.add_argument("--address", metavar="TEXT", default="", help="only with this in the sender or a recipient")
    parser.add_argument("--sender", metavar="ADDRESS", type=address, help="only from this sender")
    parser.add_argument("--recipient", metavar="ADDRESS", type=address, help="only to this recipient")
    parser.add_argument("--domain", metavar="DOMAIN", type=domain_name, help="only from or to this domain")
    parser.add_argument("--trace", metavar="ID", default="", help="only of this mail, by the trace id in the log")
    parser.add_argument("--older", metavar="TIME", type=span, default=0.0, help="only taken longer ago, as 2h or 5d")
    parser.add_argument("--younger", metavar="TIME", type=span, default=0.0, help="only taken since then, as 2h or 5d")


def wanted_by(arguments: Namespace) -> Wanted:
    return Wanted(**{field.name: getattr(arguments, field.name) for field in attrs.fields(Wanted)})


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the items, oldest first."""
    print_rows([row(item) for item in every_item(store, wanted_by(arguments))], COLUMNS, as_json=arguments.json)
    return 0


def every_item(store: Store, wanted: Wanted) -> Iterator[Item]:
    """All items that are meant, oldest first, asked for in pages."""
    after: tuple[float, str] | None = None
    asks = wanted.asks()
    while page := store.ask(desk.list_items, **asks, after=after, limit=PAGE):
        yield from filter(wanted.means, page)
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
    """Change all the items named, or none of them; or whatever is meant by the filters and can be changed."""
    change, wanted = arguments.change, wanted_by(arguments)
    by_filters = arguments.all or wanted != Wanted()
    if bool(arguments.id) == by_filters:
        arguments.parser.error("name items, or say which are meant by --sender, --domain and so on, or --all")
    done = change_some(store, change, wanted) if by_filters else change_named(store, change, arguments.id)
    if arguments.json:
        print_json([{"id": item.id, "trace": item.trace, "done": change.done} for item in done])
    else:
        for item in done:
            print(f"{item.id}: {change.done}")
    return 0


def change_named(store: Store, change: Change, ids: Iterable[str]) -> list[Item]:
    """These, or none if one of them cannot be changed."""
    items = [existing(store, id) for id in dict.fromkeys(ids)]
    wrong = [item for item in items if item.state not in change.states]
    if wrong:
        raise Refusal("; ".join(f"{item.id} is {item.state}" for item in wrong) + f": nothing to {change.name}")
    if change.name == "release" and (kept := store.ask(quarantine.which, [item.id for item in items])):
        raise Refusal(*(f"{id} is in quarantine; look at it, then: securegw quarantine release {id}" for id in kept))
    change_together(store, change, items)
    return items


def change_some(store: Store, change: Change, wanted: Wanted) -> list[Item]:
    """All that are meant and still there, many in one transaction; what goes on meanwhile is left alone."""
    waiting = [item for item in every_item(store, wanted) if item.state in change.states]
    if change.name == "release":
        kept = store.ask(quarantine.which, [item.id for item in waiting])
        waiting = [item for item in waiting if item.id not in kept]
    done: list[Item] = []
    for at in range(0, len(waiting), PAGE):
        some = waiting[at : at + PAGE]
        try:
            change_together(store, change, some)
            done += some
        except Refusal:
            done += [item for item in some if change_alone(store, change, item)]
    return done


def change_alone(store: Store, change: Change, item: Item) -> bool:
    try:
        change_together(store, change, [item])
    except Refusal:
        return False
    return True


def change_together(store: Store, change: Change, items: Sequence[Item]) -> None:
    chosen = Chosen(tuple(item.id for item in items))
    store.change([told_of(change, item) for item in items], all_or_none, change, chosen)


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
