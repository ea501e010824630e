"""OpenPGP public keys: list, import and remove. The keyserver hands them out; mail is not protected with them yet.

Nothing in a key is checked but its form: whoever imports it vouches for it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.opening import Refusal, read_bytes, told
from securegw.commands.tables import moment, print_rows
from securegw.crypto.pgp_outline import Outline, read_keys
from securegw.store import pgpkeys

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store

COLUMNS = ("fingerprint", "kind", "created", "expires", "user_ids")
SHORTEST = 8


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw pgpkeys``."""
    actions = Actions(parser)
    listing = actions.add("list", list_all, "List OpenPGP keys.", json=True)
    listing.add_argument("--text", default="", help="only with this in a user ID or fingerprint")
    bring = actions.add("import", import_all, "Import public keys from a file, armored or not.")
    bring.add_argument("file", type=Path)
    away = actions.add("remove", remove, "Remove a key.")
    away.add_argument("fingerprint", help=f"whole, or its key ID of at least {SHORTEST} digits")


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the keys by fingerprint."""
    rows = []
    for key in store.ask(pgpkeys.search, arguments.text, limit=10_000):
        expires = moment(key.expires) if key.expires else "never"
        rows.append({
            "fingerprint": key.fingerprint, "kind": f"{key.kind} {key.bits}", "created": moment(key.created),
            "expires": expires, "user_ids": ", ".join(key.user_ids),
        })
    print_rows(rows, COLUMNS, as_json=arguments.json)
    return 0


def import_all(store: Store, arguments: Namespace) -> int:
    """Keep every key of the file; one that is revoked or has ended makes nothing of the file be kept."""
    found = read_keys(read_bytes(arguments.file))
    for outline in found:
        if reason := objection(outline, time.time()):
            raise Refusal(f"{outline.fingerprint}: {reason}")
    for outline in found:
        fields = attrs.asdict(outline, filter=attrs.filters.exclude("revoked"))
        row = pgpkeys.PgpKey(**fields, added=time.time())
        event = told("pgp-key-imported", address=next(iter(outline.addresses)), fingerprint=outline.fingerprint)
        store.change(event, pgpkeys.put, row, outline.names)
        print(f"{outline.fingerprint} for {', '.join(outline.addresses)}: imported")
    return 0


def objection(outline: Outline, now: float) -> str:
    """Why a key is not taken, or ""."""
    if outline.revoked:
        return "is revoked by its owner"
    if outline.expires is not None and outline.expires <= now:
        return f"has ended on {moment(outline.expires)}"
    return "" if outline.addresses else "has no user ID with an address"


def remove(store: Store, arguments: Namespace) -> int:
    """Remove the one key with this number."""
    number = f"0x{arguments.fingerprint.upper().removeprefix('0X')}"
    found = store.ask(pgpkeys.find, [number])
    if len(found) != 1:
        raise Refusal(f"{arguments.fingerprint}: {'several keys' if found else 'no key'} with this number")
    event = told("pgp-key-removed", address=next(iter(found[0].addresses), ""), fingerprint=found[0].fingerprint)
    store.change(event, pgpkeys.remove, found[0].fingerprint)
    print(f"{found[0].fingerprint}: removed")
    return 0
