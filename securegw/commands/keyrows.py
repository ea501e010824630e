"""The rows of the keystore as commands name and show them.

A certificate for several addresses is several rows under one fingerprint; a command that names it means them all.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from sqlalchemy import select

from securegw.commands.opening import Refusal
from securegw.commands.tables import Row, moment
from securegw.crypto.certificate import read_certificate
from securegw.keys.keyring import suits
from securegw.keys.trust import may_encrypt_to
from securegw.mail.address import parse_path
from securegw.store import keystore
from securegw.store.schema import TENANT
from securegw.store.schema import held as held_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.mail.address import Address
    from securegw.store.keystore import Held

PAGE = 500
SHORTEST_NAME = 8  # of a fingerprint, in hexadecimal digits


def every_row(store: Store, like: str = "") -> Iterator[Held]:
    """All rows in the order they came, asked for in pages; ``like`` is a part of the address."""
    after = 0
    while page := store.ask(keystore.list_held, like=like, after=after, limit=PAGE):
        yield from page
        after = page[-1].id


def each_with_private(connection: Connection) -> set[int]:
    """The rows that have a private key here; the keys themselves are not read."""
    mine = (held_table.c.tenant == TENANT) & held_table.c.private.is_not(None)
    return set(connection.scalars(select(held_table.c.id).where(mine)))


def named(store: Store, text: str) -> list[Held]:
    """The rows of the one certificate whose fingerprint begins so."""
    start = text.lower().replace(":", "")
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_NAME},64}}", start):
        raise Refusal(f"{text}: not the fingerprint of a certificate, nor at least {SHORTEST_NAME} digits of it")
    rows = [each for each in every_row(store) if each.fingerprint.startswith(start)]
    if not rows:
        raise Refusal(f"{text}: there is no such certificate")
    if len({each.fingerprint for each in rows}) > 1:
        raise Refusal(f"{text}: several certificates begin so; name more digits")
    return rows


def row(each: Held, private: Collection[int]) -> Row:
    """One row of the keystore as a row of a list."""
    return {
        "fingerprint": each.fingerprint, "address": each.address, "source": each.source, "trust": each.trust,
        "private": each.id in private, "announced": each.announced.split(), "not_before": moment(each.not_before),
        "not_after": moment(each.not_after), "created": moment(each.created),
        "subject": read_certificate(each.der).subject,
    }


def usable(store: Store, each: Held) -> Row:
    """Whether the gateway would encrypt with this certificate now, and why."""
    judged = store.ask(judge_rows, parse_path(each.address, utf8=True), time.time())
    return next({"good": good, "why": why} for row, good, why in judged if row.id == each.id)


def sealing(rows: Sequence[Held]) -> Row:
    """With what a mail is sealed for all of these certificates: the content cipher, and how the key gets to each."""
    choice = suits(rows)
    return {"cipher": choice.cipher, "keys": {row.fingerprint[:16]: choice.ways[row.der] for row in rows}}


def judge_rows(connection: Connection, address: Address, at: float) -> list[tuple[Held, bool, str]]:
    """The certificates of an address: whether each may be encrypted to, and why. The gateway's own judgement."""
    between = [each.der for each in keystore.intermediates(connection)]
    roots = [each.der for each in keystore.roots(connection)]
    return [
        (each, *may_encrypt_to(each, address, between, roots, at))
        for each in keystore.find(connection, address.key)
    ]
