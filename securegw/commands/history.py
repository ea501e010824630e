"""What happened to a mail, from its connection to the last reply about it; or to an address, a domain, a key.

It reads the store's events and the queue, not the log: bodies, subjects and keys stand in none of them. A mail is
found by its trace id, by an item of the queue, by its Message-ID or by an address; then its whole way is told.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from securegw.commands.arguments import address, since
from securegw.commands.opening import Refusal, add_config, open_store
from securegw.commands.queue import Wanted, every_item
from securegw.commands.tables import Row, add_json, moment, print_json
from securegw.commands.timeline import as_it_stands, print_timeline
from securegw.store import desk, events

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from securegw.commands.opening import Store
    from securegw.store.events import Event
    from securegw.store.items import Item

MOST = 1_000_000  # events of one mail


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw history``."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--limit", metavar="N", type=int, default=1000, help="by the newest N events (default 1000)")
    parser.add_argument("--since", metavar="TIME", type=since, help="by events since then, as 2026-05-01T12:00Z or 2h")
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument("--trace", metavar="ID", default="", help="of one mail, by the trace id in the log")
    wanted.add_argument("--item", metavar="ID", default="", help="of one item of the queue")
    wanted.add_argument("--message-id", metavar="ID", default="", help="of all mails with this Message-ID")
    wanted.add_argument("--address", metavar="ADDRESS", type=address, help="of one sender or recipient")
    parser.set_defaults(parser=parser)


def run(arguments: Namespace) -> int:
    """Print the time line of every mail that was asked for."""
    if not (arguments.trace or arguments.item or arguments.message_id or arguments.address or arguments.since):
        arguments.parser.error("one of --trace, --item, --message-id, --address and --since is needed")
    with open_store(arguments.config) as store:
        told = everything(store, arguments)
    if not told:
        raise Refusal("there is no event of that")
    if arguments.json:
        print_json([row(event) for event in told])
    else:
        print_timeline(told)
    return 0


def everything(store: Store, arguments: Namespace) -> list[Event]:
    """The events that were asked for and all others of the same mails, mail by mail, as they began."""
    found = find_events(store, arguments)
    items = find_items(store, arguments)
    traces = dict.fromkeys([event.trace for event in found if event.trace] + [item.trace for item in items])
    told = [event for event in found if not event.trace]
    return told + [event for trace in traces for event in whole_way(store, trace)]


def find_events(store: Store, arguments: Namespace) -> list[Event]:
    """The newest events of what the command names."""
    person = arguments.address.key if arguments.address else ""
    return store.ask(
        events.find,
        trace=arguments.trace,
        item=arguments.item,
        message_id=arguments.message_id,
        address=person,
        since=arguments.since or 0.0,
        limit=arguments.limit,
    )


def find_items(store: Store, arguments: Namespace) -> list[Item]:
    """What is still in the queue of what the command names: of a mail just taken nothing else is told yet."""
    if arguments.item:
        found = store.ask(desk.get, arguments.item)
        return [found] if found else []
    return [item for item in candidates(store, arguments) if item.received >= (arguments.since or 0.0)]


def candidates(store: Store, arguments: Namespace) -> Iterable[Item]:
    """The items of the queue that answer to the command."""
    if arguments.trace:
        return every_item(store, Wanted(trace=arguments.trace))
    if arguments.address:
        key = arguments.address.key
        return (item for item in every_item(store, Wanted(address=key)) if key in people(item))
    return (item for item in every_item(store, Wanted()) if arguments.message_id in ("", item.message_id))


def people(item: Item) -> Iterator[str]:
    """Sender and recipients of an item, as keys."""
    yield item.sender.lower()
    yield from (recipient.address.lower() for recipient in item.recipients)


def whole_way(store: Store, trace: str) -> list[Event]:
    """Everything that is known of one mail, in the order of time, and how it stands now."""
    told = store.ask(events.find, trace=trace, limit=MOST)
    return as_it_stands(told, list(every_item(store, Wanted(trace=trace))), time.time())


def row(event: Event) -> Row:
    """One event as a row."""
    return {
        "time": moment(event.time),
        "kind": event.kind,
        "actor": event.actor,
        "trace": event.trace,
        "item": event.item,
        "message_id": event.message_id,
        "address": event.address,
        "detail": event.detail,
    }
