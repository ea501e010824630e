"""Certificates and keys: list, show, trust, distrust, revoke, remove, issue, tidy.

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
from securegw.commands.authority import make_root, renew_lists
from securegw.commands.keyrows import SHORTEST_NAME, each_with_private, every_row, named, row, sealing, usable
from securegw.commands.keytravel import add_export, add_import
from securegw.commands.opening import Refusal, actor, master_key, told
from securegw.commands.tables import moment, print_rows, print_tree
from securegw.crypto.certificate import issued_by, read_certificate
from securegw.crypto.revocation import REASONS
from securegw.keys.issue import Issuer
from securegw.keys.tidy import superfluous, tidy
from securegw.store import domains, keystore, people, revocations
from securegw.workers.work import InlineWorkers

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
    revoke = actions.add("revoke", revoke_one, "Revoke a certificate that we have issued; it is on the next list.")
    revoke.add_argument("fingerprint", help=f"at least its first {SHORTEST_NAME} digits")
    revoke.add_argument("--reason", choices=REASONS, default="unspecified", help="why, as the list says it")
    tidying = actions.add("tidy", tidy_up, "Remove learned certificates that expired or were replaced.", json=True)
    tidying.add_argument("--days", type=int, help="so many days after their end (default: tidy_days of [keys])")
    tidying.add_argument("--dry-run", action="store_true", help="only say which")
    add_import(actions)
    add_export(actions)
    issue = actions.add("issue", issue_one, "Issue a key and a certificate to a user, by the internal authority.")
    issue.add_argument("address", type=address)
    issue.add_argument("--name", help="the person's name in it (default: the user's)")
    authority = actions.add("authority", make_root, "Make the internal authority; see also: securegw authority.")
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
        "announced_at": moment(rows[0].announced_at) if rows[0].announced else None,
        "sealed_with": sealing(rows[:1]) if read.may_encrypt else None,
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


def revoke_one(store: Store, arguments: Namespace) -> int:
    """Never used again, on the list of the authority that issued it, and the list is made at once."""
    rows = named(store, arguments.fingerprint)
    read = read_certificate(rows[0].der)
    issuer = next((one for one in store.ask(keystore.own_authorities) if issued_by(read.der, one.der)), None)
    if issuer is None or read.is_ca:
        raise Refusal(f"{read.fingerprint[:16]}: was not issued by us; to use it no more: securegw keys distrust")
    line = revocations.Revocation(
        authority=issuer.fingerprint, serial=format(read.serial, "x"), reason=arguments.reason,
        not_after=read.not_after, time=time.time(),
    )  # fmt: skip
    for each in rows:
        detail = {"fingerprint": each.fingerprint, "reason": arguments.reason, "was": each.trust}
        store.change(told("key-revoked", address=each.address, **detail), keystore.set_trust, each.id, "revoked")
        print(f"{each.fingerprint[:16]} for {each.address}: revoked")
    store.change((), revocations.revoke, line)
    renew_lists(store)
    return 0


def tidy_up(store: Store, arguments: Namespace) -> int:
    """What goes, or would go."""
    days = store.settings.keys.tidy_days if arguments.days is None else arguments.days
    if arguments.dry_run:
        gone = store.ask(superfluous, time.time(), days)
    else:
        gone = store.change((), tidy, time.time(), days, actor())
    rows = [row(each, ()) | {"reason": reason} for each, reason in gone]
    print_rows(rows, ("fingerprint", "address", "not_after", "reason"), as_json=arguments.json)
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
    issuer = Issuer(store.settings.keys, store.database, InlineWorkers(), master_key(store.settings), time.time)
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

