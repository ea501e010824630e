"""The addresses inside that exist, for domains that take mail for those of a list only.

Not the users, who have rights and come by themselves. A list that is imported is one address a line; all mistakes in
it are told at once, and with one nothing is imported.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import address
from securegw.commands.opening import Refusal, read_text, told
from securegw.commands.tables import print_rows
from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress
from securegw.store import domains, recipients

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.mail.address import Address

PAGE = 1000
MOST_MISTAKES = 20
REMARK = re.compile(r"(?:^|\s)#")  # within an address it is a letter like others


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw recipients``."""
    actions = Actions(parser)
    listing = actions.add("list", list_all, "List the addresses that exist.", json=True)
    listing.add_argument("--address", metavar="TEXT", default="", help="only with this in the address")
    for name, action, sentence in (
        ("add", add_some, "Add addresses to the list."),
        ("remove", remove_some, "Take addresses out of the list."),
    ):
        word = actions.add(name, action, sentence)
        word.add_argument("address", type=address, nargs="+")
    many = actions.add("import", import_file, "Add all addresses of a file, one a line; # begins a remark.")
    many.add_argument("file", type=Path)
    many.add_argument("--replace", action="store_true", help="and take out those of its domains that it does not name")


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the list."""
    found = [{"address": key} for key in every_key(store, arguments.address)]
    print_rows(found, ("address",), as_json=arguments.json)
    return 0


def every_key(store: Store, like: str = "") -> Iterator[str]:
    """All addresses, asked for in pages."""
    after = ""
    while page := store.ask(recipients.list_recipients, like=like, after=after, limit=PAGE):
        yield from page
        after = page[-1]


def add_some(store: Store, arguments: Namespace) -> int:
    """Add those that are not there yet."""
    check_domains(store, arguments.address)
    keys = [each.key for each in arguments.address]
    added = store.change([told("recipient-added", address=key) for key in keys], recipients.add, keys, time.time())
    print(f"{added} added" + (f", {len(keys) - added} were there already" if added < len(keys) else ""))
    return 0


def remove_some(store: Store, arguments: Namespace) -> int:
    """Take out all that were named, or none of them."""
    keys = list(dict.fromkeys(each.key for each in arguments.address))
    unknown = [key for key in keys if not store.ask(recipients.known, key)]
    if unknown:
        raise Refusal(f"{', '.join(unknown)}: not in the list; nothing was removed")
    removed = store.change([told("recipient-removed", address=key) for key in keys], recipients.remove, keys)
    print(f"{removed} removed")
    return 0


def import_file(store: Store, arguments: Namespace) -> int:
    """Add what a file names; with ``--replace`` nothing else of its domains stays. All of it or nothing."""
    named = read_list(arguments.file)
    check_domains(store, named)
    keys, ours = {each.key for each in named}, {each.domain for each in named}
    there = [key for key in every_key(store) if key.rpartition("@")[2] in ours]
    gone = [key for key in there if key not in keys] if arguments.replace else []
    new = sorted(keys.difference(there))
    event = told("recipients-imported", file=str(arguments.file), added=len(new), removed=len(gone))
    store.change(event, exchange, new, gone)
    print(f"{len(new)} added, {len(gone)} removed, {len(keys) - len(new)} were there already")
    return 0


def exchange(connection: Connection, new: list[str], gone: list[str]) -> None:
    """A step: some in, some out."""
    recipients.add(connection, new, time.time())
    recipients.remove(connection, gone)


def read_list(file: Path) -> list[Address]:
    """The addresses of a file, or a refusal that names every line with a mistake."""
    found: list[Address] = []
    mistakes: list[str] = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        text = REMARK.split(line, maxsplit=1)[0].strip()
        try:
            found += [parse_address(text)] if text else []
        except BadAddress as error:
            mistakes.append(f"{file}:{number}: {text}: not an e-mail address ({error.detail})")
    if mistakes:
        more = [f"{file}: and {len(mistakes) - MOST_MISTAKES} more"] if len(mistakes) > MOST_MISTAKES else []
        raise Refusal(*mistakes[:MOST_MISTAKES], *more)
    if not found:
        raise Refusal(f"{file}: names no address")
    return found


def check_domains(store: Store, named: list[Address]) -> None:
    """The list is for domains of ours; another one is a slip."""
    strangers = {each.domain for each in named} - {domain.name for domain in store.ask(domains.list_domains)}
    if strangers:
        raise Refusal(f"{', '.join(sorted(strangers))}: no domain of ours; nothing was changed")
