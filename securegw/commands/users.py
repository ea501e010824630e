"""Inside people: who they are and whether they may sign and encrypt.

Not outside people with a portal account, and no passwords: inside people sign in nowhere yet.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import address
from securegw.commands.opening import Refusal, told
from securegw.commands.tables import Row, moment, print_rows
from securegw.store import mailboxes, people

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from securegw.commands.opening import Store
    from securegw.mail.address import Address
    from securegw.store.people import User

PAGE = 500
COLUMNS = ("address", "name", "may_sign", "may_encrypt", "created")
YES_NO = {"yes": True, "no": False}


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw users``."""
    actions = Actions(parser)
    actions.add("list", list_all, "List the users.", json=True)
    for name, action, sentence in (("add", add_one, "Add a user."), ("set", set_one, "Change a user.")):
        word = actions.add(name, action, sentence)
        word.add_argument("address", type=address)
        word.add_argument("--name", help="the person's name, as certificates show it")
        word.add_argument("--may-sign", choices=YES_NO, help="whether mail of this user may be signed")
        word.add_argument("--may-encrypt", choices=YES_NO, help="whether mail of this user may be encrypted")
    remove = actions.add("remove", remove_one, "Remove a user; keys and waiting mail stay.")
    remove.add_argument("address", type=address)


run = run_action


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the users."""
    print_rows([row(user) for user in every_user(store)], COLUMNS, as_json=arguments.json)
    return 0


def every_user(store: Store) -> Iterator[User]:
    """All users, asked for in pages."""
    after = ""
    while page := store.ask(people.list_users, after=after, limit=PAGE):
        yield from page
        after = page[-1].address


def add_one(store: Store, arguments: Namespace) -> int:
    """Add a user who is not there yet."""
    key = arguments.address.key
    if store.ask(people.get_user, key) is not None:
        raise Refusal(f"{key}: is there already")
    if store.ask(mailboxes.get, key) is not None:
        raise Refusal(f"{key}: is an archive mailbox; mail to it reaches nobody")
    user = people.User(address=key, created=time.time())
    store.change(told("user-added", address=key), people.add_user, changed(user, arguments))
    print(f"{key}: added")
    return 0


def set_one(store: Store, arguments: Namespace) -> int:
    """Change what was named and nothing else."""
    before = existing(store, arguments.address)
    after = changed(before, arguments)
    if after == before:
        raise Refusal(f"{before.address}: nothing to change; name --name, --may-sign or --may-encrypt")
    event = told("user-changed", address=before.address, old=row(before), new=row(after))
    store.change(event, people.change_user, after)
    print(f"{before.address}: changed")
    return 0


def remove_one(store: Store, arguments: Namespace) -> int:
    """Remove a user."""
    user = existing(store, arguments.address)
    store.change(told("user-removed", address=user.address), people.remove_user, user.address)
    print(f"{user.address}: removed")
    return 0


def existing(store: Store, wanted: Address) -> User:
    """The user of an address, or a refusal."""
    user = store.ask(people.get_user, wanted.key)
    if user is None:
        raise Refusal(f"{wanted}: there is no such user")
    return user


def changed(user: User, arguments: Namespace) -> User:
    """The user with what the command named."""
    if arguments.name is not None:
        user = attrs.evolve(user, name=arguments.name)
    if arguments.may_sign is not None:
        user = attrs.evolve(user, may_sign=YES_NO[arguments.may_sign])
    if arguments.may_encrypt is not None:
        user = attrs.evolve(user, may_encrypt=YES_NO[arguments.may_encrypt])
    return user


def row(user: User) -> Row:
    """One user as a row."""
    return {
        "address": user.address, "name": user.name, "may_sign": user.may_sign, "may_encrypt": user.may_encrypt,
        "created": moment(user.created),
    }
