"""The ways to the rest of the world: a hop for a domain, or for all (``*``); without one, mail goes by MX.

Not the inside servers of our own domains: those stand with the domains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import TLS_LEVELS, hop, pattern
from securegw.commands.opening import Refusal, told
from securegw.commands.tables import print_rows, row_of
from securegw.store import domains

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store

COLUMNS = ("pattern", "hop", "tls")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw routes``."""
    actions = Actions(parser)
    actions.add("list", list_all, "List the routes.", json=True)
    setting = actions.add("set", set_one, "Send mail for a domain, or for all (*), to a hop.")
    setting.add_argument("pattern", type=pattern, help="a domain, or * for all")
    setting.add_argument("hop", type=hop, help="[host]:port or host:port: this server; a bare name: its MX")
    setting.add_argument("--tls", choices=TLS_LEVELS, default="may", help="TLS on the way to it (default may)")
    remove = actions.add("remove", remove_one, "Remove a route.")
    remove.add_argument("pattern", type=pattern)


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the routes."""
    found = [row_of(route, *COLUMNS) for route in store.ask(domains.list_routes)]
    print_rows(found, COLUMNS, as_json=arguments.json)
    return 0


def set_one(store: Store, arguments: Namespace) -> int:
    """Set a route, in place of the one that may be there."""
    route = domains.Route(pattern=arguments.pattern, hop=arguments.hop, tls=arguments.tls)
    event = told("route-set", pattern=route.pattern, hop=route.hop, tls=route.tls)
    store.change(event, domains.put_route, route)
    print(f"{route.pattern}: goes to {route.hop}")
    return 0


def remove_one(store: Store, arguments: Namespace) -> int:
    """Remove a route."""
    if arguments.pattern not in {route.pattern for route in store.ask(domains.list_routes)}:
        raise Refusal(f"{arguments.pattern}: there is no such route")
    store.change(told("route-removed", pattern=arguments.pattern), domains.remove_route, arguments.pattern)
    print(f"{arguments.pattern}: removed")
    return 0
