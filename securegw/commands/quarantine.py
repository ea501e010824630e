"""Quarantine: the mails that a rule keeps for an administrator; look at one, let it go, give it back or delete it.

A running gateway goes on with what is released or returned within a second. Of a mail its header fields and the names
of its files are shown, never what it says; who has looked is an event, like everything else that is done here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import span
from securegw.commands.opening import Refusal, actor, master_key
from securegw.commands.tables import Row, moment, print_json, print_rows, print_tree
from securegw.flow.claims import BODY
from securegw.flow.quarantine import shown_fields, told
from securegw.mail.errors import MailError, NotExamined
from securegw.mail.mime import parse
from securegw.store import desk, queue
from securegw.store import quarantine as kept
from securegw.store.items import Chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.mail.parts import Part
    from securegw.store.items import Item

PAGE = 500
COLUMNS = ("id", "trace", "since", "size", "sender", "recipients", "rule", "found", "note")
WORDS = {"release": "released", "return": "returned", "delete": "deleted"}
SENTENCES = {
    "release": "Let mails go to their recipients, protected as the rules then decide.",
    "return": "Give mails back to their senders with a notice.",
    "delete": "Delete mails; nobody is told.",
}

Found = tuple[kept.Kept, "Item"]


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw quarantine``."""
    actions = Actions(parser)
    listing = actions.add("list", list_all, "List the mails, oldest first.", json=True)
    add_filters(listing)
    show = actions.add("show", show_one, "Show header fields, files and findings of one mail.", json=True)
    show.add_argument("id")
    for name, sentence in SENTENCES.items():
        word = actions.add(name, end_some, sentence, json=True)
        word.add_argument("id", nargs="*", help="these mails: all of them, or none")
        add_filters(word)
        word.add_argument("--all", action="store_true", help="every mail in quarantine")
        word.set_defaults(word=name, parser=word)


def add_filters(parser: ArgumentParser) -> None:
    """Ways to name mails by what they are."""
    parser.add_argument("--rule", metavar="NAME", default="", help="only by this rule")
    parser.add_argument("--older", metavar="TIME", type=span, default=0.0, help="only there longer, as 2h or 5d")


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the mails, oldest first."""
    print_rows([row(found) for found in every_mail(store, arguments)], COLUMNS, as_json=arguments.json)
    return 0


def every_mail(store: Store, arguments: Namespace) -> Iterator[Found]:
    """All that are meant, asked for in pages."""
    after = (0.0, "")
    before = time.time() - arguments.older if arguments.older else None
    while page := store.ask(kept.list_kept, after=after, before=before, limit=PAGE):
        yield from (found for found in page if arguments.rule in ("", found[0].rule))
        after = (page[-1][0].time, page[-1][0].item)


def show_one(store: Store, arguments: Namespace) -> int:
    """Print what is known of one mail; its text stays closed. That somebody looked is written down first."""
    found = existing(store, arguments.id)
    item = found[1]
    store.note(told("quarantine-shown", item, time.time(), actor()))
    raw = opened(store, item)
    decisions = [attrs.asdict(recipient) for recipient in item.recipients]
    values = row(found) | {"source": dict(item.source), "recipients": decisions}
    print_tree(values | {"fields": dict(shown_fields(raw)), "files": files(raw)}, as_json=arguments.json)
    return 0


def opened(store: Store, item: Item) -> bytes:
    """The mail itself."""
    parts = store.ask(queue.body, item.id)
    return master_key(store.settings).open_parts(BODY, item.id, parts)


def files(raw: bytes) -> list[str]:
    """The parts of a mail: kind, name and size."""
    try:
        return [_file(part) for part in _leaves(parse(raw))]
    except (NotExamined, MailError):
        return ["it cannot be taken apart"]


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)


def _file(part: Part) -> str:
    name = f" {part.filename}" if part.filename else ""
    return f"{part.kind}{name} ({part.end - part.body_at} bytes)"


def end_some(store: Store, arguments: Namespace) -> int:
    """End all the mails named, or none of them; or whatever is meant by the filters and still there."""
    by_filters = bool(arguments.all or arguments.rule or arguments.older)
    if bool(arguments.id) == by_filters:
        arguments.parser.error("name mails, or say which are meant by --rule or --older, or --all")
    if by_filters:
        meant = list(every_mail(store, arguments))
    else:
        meant = [existing(store, id) for id in dict.fromkeys(arguments.id)]
    items = [item for _, item in meant]
    for at in range(0, len(items), PAGE):
        end_together(store, arguments.word, items[at : at + PAGE])
    done = WORDS[arguments.word]
    if arguments.json:
        print_json([{"id": item.id, "trace": item.trace, "done": done} for item in items])
    else:
        for item in items:
            print(f"{item.id}: {done}")
    return 0


def end_together(store: Store, word: str, items: list[Item]) -> None:
    """In one transaction, with the event of each."""
    now = time.time()
    happened = [told(f"quarantine-{WORDS[word]}", item, now, actor()) for item in items]
    store.change(happened, all_or_none, word, tuple(item.id for item in items), now)


def all_or_none(connection: Connection, word: str, ids: tuple[str, ...], now: float) -> None:
    """A step: the end of every one, or nothing if somebody else was quicker with one of them."""
    if word == "delete":
        there = kept.which(connection, ids, lock=True) == set(ids)
        done = len(desk.delete_items(connection, Chosen(ids))) if there else 0
    else:
        done = kept.end(connection, kept.Verdict(ids, "released" if word == "release" else "returned", now))
    if done != len(ids):
        raise Refusal("somebody else has decided about one of them in the meantime; nothing was changed, look again")


def existing(store: Store, id: str) -> Found:
    """One mail, or a refusal."""
    found = store.ask(kept.get, id)
    if found is None:
        raise Refusal(f"{id}: there is no such mail in quarantine")
    return found


def row(found: Found) -> Row:
    """One mail as a row of the list."""
    since, item = found
    decision = next((to.decision for to in item.recipients if to.decision), {})
    return {
        "id": item.id,
        "trace": item.trace,
        "since": moment(since.time),
        "size": item.size,
        "sender": item.sender or "<>",
        "recipients": [recipient.address for recipient in item.recipients],
        "rule": since.rule,
        "found": list(decision.get("found", ())),
        "note": item.note,
    }
