"""Certificates and keys: list, show, trust, distrust, remove, issue, and the internal authority.

Whom a certificate may be used for is not decided here but by the same judges as in the gateway. Import and export are
in ``keytravel``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import address
from securegw.commands.keyrows import SHORTEST_NAME, each_with_private, every_row, named, row, usable
from securegw.commands.keytravel import add_export, add_import
from securegw.commands.opening import Refusal, master_key, told
from securegw.commands.tables import moment, print_rows, print_tree
from securegw.crypto.certificate import read_certificate
from securegw.keys.issue import Issuer, authority_row
from securegw.store import domains, keystore, people
from securegw.workers import InlineWorkers

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store
    from securegw.store.keystore import Held

COLUMNS = ("fingerprint", "address", "source", "trust", "private", "not_after", "subject")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw keys``."""
    actions = Actions(parser)
    listing = actions.add("list", list_all, "List certificates.", json=True)
    listing.add_argument("--address", metavar="TEXT", default="", help="only with this in the address")
    for name, action, sentence in (
        ("show", show, "Show all about a certificate."),
        ("trust", trust, "Trust a certificate; an authority thereby becomes a root."),
        ("distrust", distrust, "Never use a certificate again."),
        ("remove", remove, "Remove a certificate and its private key."),
    ):
        word = actions.add(name, action, sentence, json=name == "show")
        word.add_argument("fingerprint", help=f"at least its first {SHORTEST_NAME} digits")
    add_import(actions)
    add_export(actions)
    issue = actions.add("issue", issue_one, "Issue a key and a certificate to a user, by the internal authority.")
    issue.add_argument("address", type=address)
    issue.add_argument("--name", help="the person's name in it (default: the user's)")
    authority = actions.add("authority", make_authority, "Make the internal authority, which issues to users.")
    authority.add_argument("name", help="its name, as certificates show it")
    authority.add_argument("--replace", action="store_true", help="although there is one already")


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the certificates in the order they came."""
    private = store.ask(each_with_private)
    rows = [row(each, private) for each in every_row(store, arguments.address)]
    print_rows(rows, COLUMNS, as_json=arguments.json)
    return 0


def show(store: Store, arguments: Namespace) -> int:
    """Print a certificate, and for each of its addresses whether it may be used now."""
    rows = named(store, arguments.fingerprint)
    read = read_certificate(rows[0].der)
    values = row(rows[0], store.ask(each_with_private)) | {
        "issuer": read.issuer, "serial": format(read.serial, "x"), "key": read.key_kind, "authority": read.is_ca,
        "addresses": list(read.addresses),
        "may_encrypt_to": [{"address": each.address, **usable(store, each)} for each in rows if each.address],
    }
    print_tree(values, as_json=arguments.json)
    return 0


def trust(store: Store, arguments: Namespace) -> int:
    """Decide for a certificate."""
    return set_trust(store, arguments.fingerprint, "trusted")


def distrust(store: Store, arguments: Namespace) -> int:
    """Decide against a certificate."""
    return set_trust(store, arguments.fingerprint, "refused")


def set_trust(store: Store, fingerprint: str, word: str) -> int:
    """Write the decision down for every address of the certificate."""
    for each in named(store, fingerprint):
        event = told(f"key-{word}", address=each.address, fingerprint=each.fingerprint, was=each.trust)
        store.change(event, keystore.set_trust, each.id, word)
        print(f"{each.fingerprint[:16]} for {each.address or 'an authority'}: {word}")
    return 0


def remove(store: Store, arguments: Namespace) -> int:
    """Remove all rows of a certificate; without its private key old mail to it stays closed."""
    for each in named(store, arguments.fingerprint):
        event = told("key-removed", address=each.address, fingerprint=each.fingerprint, source=each.source)
        store.change(event, keystore.remove, each.id)
        print(f"{each.fingerprint[:16]} for {each.address or 'an authority'}: removed")
    return 0


def issue_one(store: Store, arguments: Namespace) -> int:
    """Issue to an address of ours; who has a valid certificate keeps it."""
    if store.ask(domains.find_domain, arguments.address.domain) is None:
        raise Refusal(f"{arguments.address.domain}: is no domain of ours; nothing is issued for it")
    known = store.ask(people.get_user, arguments.address.key)
    name = arguments.name or (known.name if known else "") or str(arguments.address)
    issuer = Issuer(store.database, InlineWorkers(), master_key(store.settings), time.time)
    each = settled(Deferred.fromCoroutine(issuer.issue(arguments.address, name)))
    store.note(told("key-issued", address=each.address, fingerprint=each.fingerprint))
    print(f"{each.fingerprint} for {each.address}, valid until {moment(each.not_after)}")
    return 0


def settled(done: Deferred[Held]) -> Held:
    """The result of work that inline workers have done already."""
    outcome: list[Held | Failure] = []
    done.addBoth(outcome.append)
    [result] = outcome
    if isinstance(result, Failure):
        result.raiseException()
    return result


def make_authority(store: Store, arguments: Namespace) -> int:
    """Make the authority that issues to users, and trust it."""
    before, now = store.ask(keystore.authority), time.time()
    if before is not None and before.not_after > now and not arguments.replace:
        raise Refusal(f"there is an authority already ({before.fingerprint[:16]}); another one beside it: --replace")
    made = authority_row(master_key(store.settings), arguments.name, now)
    store.change(told("authority-made", fingerprint=made.fingerprint), keystore.add, made)
    print(f"{made.fingerprint}: issues from now on, until {moment(made.not_after)}")
    return 0
