"""The domains this gateway takes mail for, each with the hop of its inside server.

Not the ways to the rest of the world: those are routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import TLS_LEVELS, domain_name, hop
from securegw.commands.opening import Refusal, told
from securegw.commands.tables import print_rows, row_of
from securegw.store import domains

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store

COLUMNS = ("name", "route", "tls")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw domains``."""
    actions = Actions(parser)
    actions.add("list", list_all, "List the domains.", json=True)
    add = actions.add("add", add_one, "Take mail for a domain.")
    add.add_argument("name", type=domain_name)
    add.add_argument("--route", metavar="HOP", type=hop, required=True, help="its inside server, as [192.0.2.7]:25")
    add.add_argument("--tls", choices=TLS_LEVELS, default="may", help="TLS on the way to it (default may)")
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
    if arguments.name in names(store):
        raise Refusal(f"{arguments.name}: is there already")
    domain = domains.Domain(name=arguments.name, route=arguments.route, tls=arguments.tls)
    store.change(told("domain-added", domain=arguments.name, route=arguments.route), domains.add_domain, domain)
    print(f"{arguments.name}: added")
    return 0


def remove_one(store: Store, arguments: Namespace) -> int:
    """Remove a domain; its users and keys stay until they are removed."""
    if arguments.name not in names(store):
        raise Refusal(f"{arguments.name}: there is no such domain")
    store.change(told("domain-removed", domain=arguments.name), domains.remove_domain, arguments.name)
    print(f"{arguments.name}: removed")
    return 0


def names(store: Store) -> set[str]:
    """The names of all domains."""
    return {domain.name for domain in store.ask(domains.list_domains)}
