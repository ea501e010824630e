"""Names and passwords by which programs and servers sign in at the SMTP door, and as whom each may then send.

Not people: those are users, and need no password. A password is kept as its Argon2id hash; the gateway can check it,
and nobody can read it back. One that is made here is shown once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import login_name, sender
from securegw.commands.opening import Refusal, told
from securegw.commands.passwords import add_password_file, new_password, read_password
from securegw.commands.tables import Row, moment, print_rows
from securegw.crypto.passwords import Cost, check_strength, hash_password
from securegw.store import logins

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.store.logins import Login

COLUMNS = ("name", "senders", "created")
WEAK = {
    "short": "has fewer than 15 letters",
    "long": "is too long",
    "control": "has letters that no keyboard types",
    "address": "is made of the name",
    "simple": "is made of very few letters",
    "known": "is made of known words",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw logins``."""
    actions = Actions(parser)
    actions.add("list", list_all, "List the logins.", json=True)
    add = actions.add("add", add_one, "Let somebody sign in to send mail.")
    add.add_argument("name", type=login_name)
    add.add_argument(
        "--sender",
        metavar="WHO",
        type=sender,
        action="append",
        required=True,
        help="as whom it may send: an address, @domain, *.domain, or * for all of ours; may be repeated",
    )
    password = actions.add("password", change_password, "Give a login another password.")
    password.add_argument("name", type=login_name)
    for word in (add, password):
        add_password_file(word)
        word.add_argument("--generate", action="store_true", help="make a password and print it, this once")
    remove = actions.add("remove", remove_one, "Let it sign in no more.")
    remove.add_argument("name", type=login_name)


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the logins, without anything of their passwords."""
    print_rows([row(login) for login in store.ask(logins.list_logins)], COLUMNS, as_json=arguments.json)
    return 0


def add_one(store: Store, arguments: Namespace) -> int:
    """Add a login that is not there yet."""
    if store.ask(logins.get, arguments.name) is not None:
        raise Refusal(f"{arguments.name}: is there already")
    password = chosen_password(arguments)
    senders = tuple(dict.fromkeys(arguments.sender))
    login = logins.Login(arguments.name, hash_password(password, Cost()), senders, time.time())
    store.change(told("login-added", login=login.name, senders=list(senders)), logins.add, login)
    print_outcome(login.name, "added", password, arguments)
    return 0


def change_password(store: Store, arguments: Namespace) -> int:
    """Replace the hash; who is signed in stays so until the connection ends."""
    before = existing(store, arguments.name)
    password = chosen_password(arguments)
    after = attrs.evolve(before, secret=hash_password(password, Cost()))
    store.change(told("login-password-changed", login=after.name), replace, after)
    print_outcome(after.name, "has another password", password, arguments)
    return 0


def remove_one(store: Store, arguments: Namespace) -> int:
    """Remove a login."""
    login = existing(store, arguments.name)
    store.change(told("login-removed", login=login.name, senders=list(login.senders)), logins.remove, login.name)
    print(f"{login.name}: removed")
    return 0


def replace(connection: Connection, login: Login) -> None:
    """A step: the login in place of the one with its name."""
    if not logins.remove(connection, login.name):
        raise Refusal(f"{login.name}: is gone in the meantime")
    logins.add(connection, login)


def chosen_password(arguments: Namespace) -> str:
    """The password as the command wants it: made here, from a file, or asked for."""
    if not arguments.generate:
        return strong(read_password(arguments.name, arguments.password_file, twice=True), arguments.name)
    if arguments.password_file is not None:
        raise Refusal("either --generate or --password-file")
    return new_password()


def strong(password: str, name: str) -> str:
    """The password, if it is not one of those that are guessed first."""
    weakness = check_strength(password, name)
    if weakness is not None:
        raise Refusal(f"{name}: the password {WEAK[weakness]}; take another, or let one be made: --generate")
    return password


def print_outcome(name: str, done: str, password: str, arguments: Namespace) -> None:
    """Say what was done, and the password only if nobody knows it yet."""
    print(f"{name}: {done}")
    if arguments.generate:
        print(f"password: {password}")


def existing(store: Store, name: str) -> Login:
    """The login of a name, or a refusal."""
    login = store.ask(logins.get, name)
    if login is None:
        raise Refusal(f"{name}: there is no such login")
    return login


def row(login: Login) -> Row:
    """One login as a row."""
    return {"name": login.name, "senders": list(login.senders), "created": moment(login.created)}
