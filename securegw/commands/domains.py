"""The domains this gateway takes mail for, each with the hop of its inside server and what is known of its people.

Not the ways to the rest of the world: those are routes. Not the list of recipients itself: that is ``recipients``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import domain_name, hop
from securegw.commands.nexthops import add_tls, fingerprints
from securegw.commands.opening import Refusal, told
from securegw.commands.tables import print_rows, row_of
from securegw.store import domains

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store
    from securegw.store.domains import Domain

COLUMNS = ("name", "route", "tls", "recipients", "fingerprints")
KNOWN_BY = ("any", "list", "call")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw domains``."""
    actions = Actions(parser)
    actions.add("list", list_all, "List the domains.", json=True)
    add = actions.add("add", add_one, "Take mail for a domain.")
    change = actions.add("set", set_one, "Change what is named, and nothing else.")
    for word, tls, known_by in ((add, "may", "any"), (change, None, None)):
        word.add_argument("name", type=domain_name)
        word.add_argument(
            "--route", metavar="HOP", type=hop, required=word is add, help="its inside server, as [192.0.2.7]:25"
        )
        add_tls(word, tls)
        word.add_argument(
            "--recipients",
            choices=KNOWN_BY,
            default=known_by,
            help="who exists: any address, those of the list (securegw recipients), or whom the inside server takes"
            f" when called ({f'default {known_by}' if known_by else 'default: as it was'})",
        )
    remove = actions.add("remove", remove_one, "Take no more mail for a domain.")
    remove.add_argument("name", type=domain_name)


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the domains."""
    found = [row_of(domain, *COLUMNS) for domain in store.ask(domains.list_domains)]
    print_rows(found, COLUMNS, as_json=arguments.json)
    return 0


def add_one(store: Store, arguments: Namespace) -> int:
    """Add a domain that is not there yet."""
    if store.ask(domains.find_domain, arguments.name) is not None:
        raise Refusal(f"{arguments.name}: is there already; change it with: securegw domains set")
    believed = fingerprints(arguments, arguments.tls)
    domain = domains.Domain(
        arguments.name, arguments.route, arguments.tls, recipients=arguments.recipients, fingerprints=believed
    )
    store.change(told("domain-added", domain=domain.name, route=domain.route), domains.add_domain, domain)
    print(f"{domain.name}: added")
    return 0


def set_one(store: Store, arguments: Namespace) -> int:
    """Change a domain that is there."""
    before = existing(store, arguments.name)
    tls = arguments.tls or before.tls
    after = attrs.evolve(
        before,
        tls=tls,
        fingerprints=fingerprints(arguments, tls, before.fingerprints),
        route=arguments.route or before.route,
        recipients=arguments.recipients or before.recipients,
    )
    if after == before:
        raise Refusal(f"{before.name}: nothing to change; name --route, --tls, --fingerprint or --recipients")
    event = told("domain-changed", domain=before.name, old=row_of(before, *COLUMNS), new=row_of(after, *COLUMNS))
    store.change(event, domains.change_domain, after)
    print(f"{after.name}: changed")
    return 0


def remove_one(store: Store, arguments: Namespace) -> int:
    """Remove a domain; its users and keys stay until they are removed."""
    domain = existing(store, arguments.name)
    store.change(told("domain-removed", domain=domain.name), domains.remove_domain, domain.name)
    print(f"{domain.name}: removed")
    return 0


def existing(store: Store, name: str) -> Domain:
    """The domain of a name, or a refusal."""
    domain = store.ask(domains.find_domain, name)
    if domain is None:
        raise Refusal(f"{name}: there is no such domain")
    return domain
