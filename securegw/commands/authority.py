"""The internal authority that issues to users: make a root of one's own, or be put below another; its revocation lists.

Not the certificates of users, see ``certificates``. The private key is made here, sealed at once, and never leaves:
what goes to the other authority is a request, and what comes back is a certificate. RFC 2986.
"""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from securegw.commands.actions import Actions, run_action
from securegw.commands.opening import Refusal, master_key, told, write_new
from securegw.commands.tables import Row, moment, print_tree
from securegw.crypto.certificate import read_certificate, read_certificates
from securegw.crypto.keyfile import fits
from securegw.crypto.revocation import check_answer, make_request
from securegw.keys.issue import authority_row, held
from securegw.keys.revocations import Revocations
from securegw.keys.settings import list_name, list_url
from securegw.store import keystore, revocations, settings
from securegw.workers.work import InlineWorkers

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store
    from securegw.crypto.certificate import Certificate
    from securegw.store.keystore import Held

PENDING = "authority-request"  # in the settings: the request that waits for its certificate, its key sealed
REQUEST_KEY = "request-key"


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw authority``."""
    actions = Actions(parser)
    make = actions.add("make", make_root, "Make an authority of your own: a root that others have to trust.")
    make.add_argument("name", help="its name, as certificates show it")
    make.add_argument("--replace", action="store_true", help="although there is one already")
    request = actions.add("request", request_one, "Make a key and a request, to be put below another authority.")
    request.add_argument("name", help="its name, as certificates show it")
    request.add_argument("--out", metavar="FILE", type=Path, help="the new file (default: standard output)")
    request.add_argument("--replace", action="store_true", help="although another request waits for its answer")
    answer = actions.add("import", import_answer, "Take the certificate that came for the request; issue from then on.")
    answer.add_argument("file", type=Path, help="PEM, with the chain up to the root if you have it")
    answer.add_argument("--trust-root", action="store_true", help="trust the root in the file, for incoming mail too")
    actions.add("show", show, "Show the authorities, the waiting request, and the revocation lists.", json=True)
    crl = actions.add("crl", write_list, "Write the revocation list of the authority that issues now (DER).")
    crl.add_argument("--out", metavar="FILE", type=Path, required=True, help="the new file")


run = run_action


def make_root(store: Store, arguments: Namespace) -> int:
    """Make the authority that issues to users, and trust it."""
    check_free(store, replace=arguments.replace)
    made = authority_row(master_key(store.settings), arguments.name, time.time())
    store.change(told("authority-made", fingerprint=made.fingerprint), keystore.add, made)
    print(f"{made.fingerprint}: issues from now on, until {moment(made.not_after)}")
    return 0


def check_free(store: Store, *, replace: bool) -> None:
    """Refuse a second one that nobody wanted."""
    before = store.ask(keystore.authority)
    if before is not None and before.not_after > time.time() and not replace:
        raise Refusal(f"there is an authority already ({before.fingerprint[:16]}); another one beside it: --replace")


def request_one(store: Store, arguments: Namespace) -> int:
    """Keep the key sealed until the certificate comes, and write the request."""
    if store.ask(settings.get, PENDING) is not None and not arguments.replace:
        raise Refusal("a request waits for its certificate already; a new one instead of it: --replace")
    key, request = make_request(arguments.name)
    sealed = base64.b64encode(master_key(store.settings).seal(REQUEST_KEY, arguments.name, key)).decode("ascii")
    pending = {"name": arguments.name, "key": sealed, "request": request.decode("ascii"), "made": time.time()}
    store.change(told("authority-requested", name=arguments.name), settings.put, PENDING, pending)
    if arguments.out is None:
        print(request.decode("ascii"), end="")
    else:
        write_new(arguments.out, request)
    print("securegw: the key is kept; take the certificate with: securegw authority import", file=sys.stderr)
    return 0


def import_answer(store: Store, arguments: Namespace) -> int:
    """The certificate, its key and the authorities above it become rows; the request has had its answer."""
    pending = store.ask(settings.get, PENDING)
    if pending is None:
        raise Refusal("no request waits for a certificate; begin with: securegw authority request")
    master = master_key(store.settings)
    key = master.open(REQUEST_KEY, pending["name"], base64.b64decode(pending["key"]))
    own, above = sorted_out(arguments.file, key)
    check_answer(key, own.der, time.time())
    row = held(master, key, own.der, source="authority", trust="trusted", now=time.time())
    store.change(told("authority-made", fingerprint=own.fingerprint, issuer=own.issuer), keystore.add, row)
    for read in above:
        root = read.issuer == read.subject
        trust = "trusted" if root and arguments.trust_root else "unknown"
        store.change(told("key-imported", fingerprint=read.fingerprint), keystore.add, plain_row(read, trust))
        print(f"{read.fingerprint[:16]} above it: {read.subject}{', a root from now on' if trust == 'trusted' else ''}")
    store.change(told("authority-request-answered", fingerprint=own.fingerprint), settings.remove, PENDING)
    print(f"{own.fingerprint}: issues from now on, until {moment(own.not_after)}")
    return 0


def sorted_out(file: Path, key: bytes) -> tuple[Certificate, list[Certificate]]:
    """The certificate of the request's key, and the other authorities of the file."""
    found = read_certificates(file.read_bytes())
    own = next((one for one in found if fits(key, one.der)), None)
    if own is None:
        raise Refusal(f"{file}: holds no certificate for the key of the request")
    return own, [one for one in found if one is not own and one.is_ca]


def plain_row(read: Certificate, trust: str) -> Held:
    """An authority of somebody else's."""
    return keystore.Held(
        address="", der=read.der, fingerprint=read.fingerprint, source="imported", trust=trust,
        not_before=read.not_before, not_after=read.not_after, created=time.time(),
    )


def show(store: Store, arguments: Namespace) -> int:
    """Everything about the authorities of ours."""
    pending = store.ask(settings.get, PENDING)
    values: Row = {"authorities": [row(store, one) for one in store.ask(keystore.own_authorities)]}
    if pending is not None:
        values["request"] = {"name": pending["name"], "made": moment(pending["made"])}
    if not values["authorities"] and pending is None:
        raise Refusal("there is no authority yet; begin with: securegw authority make, or: securegw authority request")
    print_tree(values, as_json=arguments.json)
    return 0


def row(store: Store, one: Held) -> Row:
    """One authority with its list."""
    current = store.ask(keystore.authority)
    read = read_certificate(one.der)
    last = store.ask(revocations.published, one.fingerprint)
    return {
        "fingerprint": one.fingerprint, "subject": read.subject, "issuer": read.issuer, "key": read.key_kind,
        "not_after": moment(one.not_after), "issues": current is not None and current.id == one.id,
        "revoked": len(store.ask(revocations.of_authority, one.fingerprint)),
        "crl": list_name(one.fingerprint), "crl_url": list_url(store.settings.keys, one.fingerprint) or None,
        "crl_number": last.number if last else None, "crl_until": moment(last.next_update) if last else None,
    }


def write_list(store: Store, arguments: Namespace) -> int:
    """The list as it would be served now, made anew if it has to be."""
    current = store.ask(keystore.authority)
    if current is None:
        raise Refusal("there is no authority; make one with: securegw authority make")
    renew_lists(store)
    found = store.ask(revocations.published, current.fingerprint)
    if found is None:
        raise Refusal(f"{current.fingerprint[:16]}: its list could not be made")
    write_new(arguments.out, found.der)
    return 0


def renew_lists(store: Store) -> None:
    """Make the lists that have to be made."""
    maker = Revocations(store.settings.keys, store.database, InlineWorkers(), master_key(store.settings), time.time)
    outcome: list[Any] = []
    Deferred.fromCoroutine(maker.tick()).addBoth(outcome.append)
    if outcome and isinstance(outcome[0], Failure):
        outcome[0].raiseException()

