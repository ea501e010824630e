"""What happened to a mail or an address, as events tell it, oldest first.

It reads the store's events, not the log: bodies, subjects and keys stand in neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.commands.arguments import address
from securegw.commands.opening import Refusal, add_config, open_store
from securegw.commands.tables import Row, add_json, moment, print_rows
from securegw.store import events

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.store.events import Event

COLUMNS = ("time", "kind", "actor", "trace", "item", "address", "detail")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw history``."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--limit", metavar="N", type=int, default=1000, help="the newest N (default 1000)")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--trace", metavar="ID", default="", help="of one mail, by the trace id in the log")
    wanted.add_argument("--item", metavar="ID", default="", help="of one item of the queue")
    wanted.add_argument("--message-id", metavar="ID", default="", help="of all mails with this Message-ID")
    wanted.add_argument("--address", metavar="ADDRESS", type=address, help="of one address")


def run(arguments: Namespace) -> int:
    """Print the events."""
    person = arguments.address.key if arguments.address else ""
    with open_store(arguments.config) as store:
        found = store.ask(
            events.find, trace=arguments.trace, item=arguments.item, message_id=arguments.message_id,
            address=person, limit=arguments.limit,
        )
    if not found:
        raise Refusal("there is no event of that")
    print_rows([row(event) for event in found], COLUMNS, as_json=arguments.json)
    return 0


def row(event: Event) -> Row:
    """One event as a row."""
    return {
        "time": moment(event.time), "kind": event.kind, "actor": event.actor, "trace": event.trace,
        "item": event.item, "address": event.address, "detail": event.detail,
    }
