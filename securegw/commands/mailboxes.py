"""Archive mailboxes: made with a password that is shown once, suspended, given another password, deleted.

The password is the passphrase of the mailbox's private key and is stored nowhere. Who has lost it has lost the mail in
the mailbox; nobody, and no command here, reads it without.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from securegw.commands.actions import Actions, run_action
from securegw.commands.arguments import address
from securegw.commands.opening import Refusal, told
from securegw.commands.passwords import add_password_file, new_password, read_password
from securegw.commands.tables import Row, add_json, moment, print_json, print_rows
from securegw.crypto import passwords, seal
from securegw.crypto.passwords import Cost
from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress, WrongPassword
from securegw.store import domains, mailboxes, people
from securegw.store.mailboxes import Amount, Mailbox

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sqlalchemy import Connection

    from securegw.commands.opening import Store
    from securegw.mail.address import Address

COLUMNS = ("address", "name", "status", "mails", "size", "id")
DETAILS = (*COLUMNS, "description", "unpack", "open", "created")
SLICE = 200  # mails that one transaction deletes
ONCE = "This password is shown this once and stored nowhere. Without it nobody reads the mail in the mailbox."


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw mailboxes``."""
    actions = Actions(parser)
    create = actions.add("create", create_one, "Create a mailbox and show its password, this once.", json=True)
    create.add_argument("address", type=address, help="its address, on a domain this gateway takes mail for")
    create.add_argument("--name", default="", help="how people call it")
    create.add_argument("--description", default="", help="what it is for")
    create.add_argument(
        "--unpack", action="store_true", help="keep the mails in journal reports, with their envelopes above them"
    )
    actions.add("list", list_all, "List the mailboxes.", json=True)
    words = (
        ("show", show_one, "Show one mailbox; never what is in it."),
        ("suspend", suspend_one, "Let it take no more mail; what is in it can still be fetched."),
        ("resume", resume_one, "Let it take mail again."),
        ("password", change_password, "Give it another password; the one it has is needed. No mail is touched."),
        ("delete", delete_one, "Delete a suspended mailbox with all that is in it."),
    )
    for name, action, sentence in words:
        word = actions.add(name, action, sentence)
        word.add_argument("mailbox", metavar="MAILBOX", help="its address or its id")
        add_json(word)
        if name == "password":
            add_password_file(word)


run = run_action


def create_one(store: Store, arguments: Namespace) -> int:
    """Make the key pair and the password; only the wrapped key is kept."""
    check_address(store, arguments.address.key, arguments.address.domain)
    password = new_password()
    words = {name: getattr(arguments, name) for name in ("name", "description", "unpack")}
    mailbox = new_mailbox(arguments.address, password, **words)
    store.change(told("mailbox-created", address=mailbox.key, mailbox=mailbox.id), mailboxes.add, mailbox)
    print_with_password(mailbox, "created", password, arguments)
    return 0


def new_mailbox(address: Address, password: str, **words: Any) -> Mailbox:
    """A mailbox with a key pair of its own, the private half wrapped by the password; not yet stored."""
    private, public = seal.generate()
    return Mailbox(
        id=secrets.token_hex(16),
        address=str(address),
        key=address.key,
        public=public,
        wrapped=passwords.wrap(password, private, Cost()),
        created=time.time(),
        **words,
    )


def check_address(store: Store, key: str, domain: str) -> None:
    """The address must be of a managed domain and nobody else's."""
    if store.ask(domains.find_domain, domain) is None:
        raise Refusal(f"{domain}: not a domain of this gateway; first: securegw domains add {domain} --route HOP")
    if store.ask(mailboxes.get, key) is not None:
        raise Refusal(f"{key}: is a mailbox already")
    if store.ask(people.get_user, key) is not None:
        raise Refusal(f"{key}: is the address of a user, who would get no more mail; take another")


def list_all(store: Store, arguments: Namespace) -> int:
    """Print the mailboxes and how much is in them."""
    amounts = store.ask(mailboxes.amounts)
    rows = [row(mailbox, amounts.get(mailbox.id, Amount())) for mailbox in store.ask(mailboxes.list_mailboxes)]
    print_rows(rows, COLUMNS, as_json=arguments.json)
    return 0


def show_one(store: Store, arguments: Namespace) -> int:
    """Print one mailbox."""
    mailbox = existing(store, arguments.mailbox)
    shown = row(mailbox, store.ask(mailboxes.amounts).get(mailbox.id, Amount()))
    shown["open"] = store.ask(mailboxes.is_open, mailbox.id)
    if arguments.json:
        print_json(shown)
    else:
        print_rows([{"name": name, "value": shown[name]} for name in DETAILS], ("name", "value"), as_json=False)
    return 0


def suspend_one(store: Store, arguments: Namespace) -> int:
    """Refuse its mail from now on."""
    return set_active(store, arguments, active=False)


def resume_one(store: Store, arguments: Namespace) -> int:
    """Take its mail again."""
    return set_active(store, arguments, active=True)


def set_active(store: Store, arguments: Namespace, *, active: bool) -> int:
    """Change the status and tell."""
    mailbox, done = existing(store, arguments.mailbox), "resumed" if active else "suspended"
    event = told(f"mailbox-{done}", address=mailbox.key, mailbox=mailbox.id)
    if not store.change(event, mailboxes.set_active, mailbox.id, active):
        raise Refusal(f"{mailbox.address}: is gone in the meantime")
    print_outcome(mailbox, done, arguments)
    return 0


def change_password(store: Store, arguments: Namespace) -> int:
    """Wrap the private key anew; the mails are sealed for the public key, which stays."""
    mailbox = existing(store, arguments.mailbox)
    before = read_password(mailbox.address, arguments.password_file)
    try:
        private = passwords.unwrap(before, mailbox.wrapped)
    except WrongPassword:
        raise Refusal(f"{mailbox.address}: that is not its password") from None
    password = new_password()
    wrapped = passwords.wrap(password, private, Cost())
    event = told("mailbox-password-changed", address=mailbox.key, mailbox=mailbox.id)
    store.change(event, rewrap, mailbox, wrapped)
    print_with_password(mailbox, "has another password", password, arguments)
    return 0


def rewrap(connection: Connection, mailbox: Mailbox, wrapped: bytes) -> None:
    """A step: the key as it was is replaced, or nothing happens."""
    if not mailboxes.rewrap(connection, mailbox.id, wrapped, mailbox.wrapped):
        raise Refusal(f"{mailbox.address}: was changed by somebody else in the meantime; the password is not changed")


def delete_one(store: Store, arguments: Namespace) -> int:
    """Delete a mailbox that takes no mail and that nobody has open, its mails first, some at a time."""
    mailbox = existing(store, arguments.mailbox)
    if mailbox.active:
        raise Refusal(f"{mailbox.address}: is in use; first: securegw mailboxes suspend {mailbox.address}")
    if store.ask(mailboxes.is_open, mailbox.id):
        raise Refusal(f"{mailbox.address}: somebody fetches its mail now; try again later")
    deleted = 0
    while gone := store.database.write(mailboxes.remove_some, mailbox.id, SLICE).result():
        deleted += gone
    event = told("mailbox-deleted", address=mailbox.key, mailbox=mailbox.id, mails=deleted)
    store.change(event, remove, mailbox)
    print_outcome(mailbox, "deleted", arguments)
    return 0


def remove(connection: Connection, mailbox: Mailbox) -> None:
    """A step: it goes if it is still suspended."""
    if not mailboxes.remove(connection, mailbox.id):
        raise Refusal(f"{mailbox.address}: was resumed in the meantime; its mails are deleted, it is not")


def existing(store: Store, name: str) -> Mailbox:
    """The mailbox of an address or an id, or a refusal."""
    try:
        key = parse_address(name).key
    except BadAddress:
        key = name
    mailbox = store.ask(mailboxes.get, key)
    if mailbox is None:
        raise Refusal(f"{name}: there is no such mailbox")
    return mailbox


def row(mailbox: Mailbox, amount: Amount) -> Row:
    """One mailbox as a row, without its keys."""
    return {
        "id": mailbox.id,
        "address": mailbox.address,
        "name": mailbox.name,
        "description": mailbox.description,
        "status": "active" if mailbox.active else "suspended",
        "unpack": mailbox.unpack,
        "mails": amount.mails,
        "size": amount.size,
        "created": moment(mailbox.created),
    }


def print_outcome(mailbox: Mailbox, done: str, arguments: Namespace) -> None:
    """Say what was done."""
    if arguments.json:
        print_json({"id": mailbox.id, "address": mailbox.address, "done": done})
    else:
        print(f"{mailbox.address}: {done}")


def print_with_password(mailbox: Mailbox, done: str, password: str, arguments: Namespace) -> None:
    """Say what was done, and the password, which nobody can say again."""
    if arguments.json:
        return print_json({"id": mailbox.id, "address": mailbox.address, "done": done, "password": password})
    print(f"{mailbox.address}: {done}\nid: {mailbox.id}\npassword: {password}\n{ONCE}")
    return None
