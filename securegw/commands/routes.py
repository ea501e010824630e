"""The ways to the rest of the world: a hop for a domain, or for all (``*``); without one, mail goes by MX.

Not the inside servers of our own domains: those stand with the domains. The password for a hop that asks for one is
sealed before it is stored, bound to its pattern, and no command ever shows it again. RFC 4954.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import hop, login_text, pattern
from securegw.commands.nexthops import add_tls, fingerprints
from securegw.commands.opening import Refusal, master_key, told
from securegw.commands.passwords import add_password_file, read_password
from securegw.commands.tables import print_rows, row_of
from securegw.store import domains

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store

COLUMNS = ("pattern", "hop", "tls", "login", "fingerprints")
SECRET = "route-secret"  # noqa: S105 - what the master key seals it for
IN_CLEAR = ("none", "may")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw routes``."""
    actions = Actions(parser)
    actions.add("list", list_all, "List the routes.", json=True)
    setting = actions.add("set", set_one, "Send mail for a domain, or for all (*), to a hop.")
    setting.add_argument("pattern", type=pattern, help="a domain, or * for all")
    setting.add_argument("hop", type=hop, help="[host]:port: this very server; host or host:port: by its MX")
    add_tls(setting, "may")
    setting.add_argument("--login", metavar="NAME", type=login_text, help="sign in there with this name")
    add_password_file(setting)
    remove = actions.add("remove", remove_one, "Remove a route.")
    remove.add_argument("pattern", type=pattern)


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the routes."""
    found = [row_of(route, *COLUMNS) for route in store.ask(domains.list_routes)]
    print_rows(found, COLUMNS, as_json=arguments.json)
    return 0


def set_one(store: Store, arguments: Namespace) -> int:
    """Set a route, in place of the one that may be there: nothing of that one stays."""
    route = domains.Route(
        arguments.pattern,
        arguments.hop,
        arguments.tls,
        login=arguments.login or "",
        fingerprints=fingerprints(arguments, arguments.tls),
        secret=sealed_password(store, arguments),
    )
    store.change(told("route-set", **row_of(route, *COLUMNS)), domains.put_route, route)
    print(f"{route.pattern}: goes to {route.hop}{f', signed in as {route.login}' if route.login else ''}")
    return 0


def sealed_password(store: Store, arguments: Namespace) -> bytes | None:
    """The password for the hop, sealed; none where nobody signs in."""
    if not arguments.login:
        if arguments.password_file is not None:
            raise Refusal("--password-file belongs to --login")
        return None
    if arguments.tls in IN_CLEAR:
        raise Refusal("--login needs TLS that is not given up: --tls encrypt, verify, secure or fingerprint")
    password = read_password(f"{arguments.login} at {arguments.hop}", arguments.password_file)
    return master_key(store.settings).seal(SECRET, arguments.pattern, password.encode("utf-8"))


def remove_one(store: Store, arguments: Namespace) -> int:
    """Remove a route and its password."""
    if arguments.pattern not in {route.pattern for route in store.ask(domains.list_routes)}:
        raise Refusal(f"{arguments.pattern}: there is no such route")
    store.change(told("route-removed", pattern=arguments.pattern), domains.remove_route, arguments.pattern)
    print(f"{arguments.pattern}: removed")
    return 0
