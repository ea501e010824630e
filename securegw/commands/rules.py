"""The rules: check a file, try it on a folder of mails, load it as the next version, look at versions, go back to one.

Every version ever loaded stays in the store; going back loads an old text again as a new version.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from securegw.commands.actions import Actions, run_action
from securegw.commands.opening import Refusal, actor, read_text, told
from securegw.commands.ruletrial import add_try, difference, try_rules
from securegw.commands.tables import Row, moment, print_rows
from securegw.policy.rules import default_rules_text, read_rules
from securegw.store import rulebook

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store
    from securegw.store.rulebook import Version

COLUMNS = ("version", "saved", "author", "note", "in_force")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw rules``."""
    actions = Actions(parser)
    check = actions.add_plain("check", check_file, "Report every mistake in a rules file; needs no configuration.")
    check.add_argument("file", type=Path)
    load = actions.add("load", load_file, "Check a rules file and put it in force.")
    load.add_argument("file", type=Path)
    show = actions.add("show", show_text, "Print the rules in force, or a version of them.")
    show.add_argument("version", type=int, nargs="?")
    actions.add("history", list_versions, "List all versions.", json=True)
    diff = actions.add("diff", show_difference, "Print what two versions differ in.")
    diff.add_argument("old", type=int)
    diff.add_argument("new", type=int, nargs="?", help="default: the version in force")
    trial = actions.add_plain("try", try_rules, "Say which decisions about a folder of mails new rules would change.")
    add_try(trial)
    back = actions.add("rollback", roll_back, "Put an earlier version in force again.")
    back.add_argument("version", type=int)


run = run_action


def check_file(arguments: Namespace) -> int:
    """Read a file as the gateway would; mistakes come out as errors."""
    rules = read_rules(read_text(arguments.file), str(arguments.file))
    print(f"{arguments.file}: {len(rules.rules)} rules, no mistakes")
    return 0


def load_file(store: Store, arguments: Namespace) -> int:
    """Put a file's text in force."""
    text = read_text(arguments.file)
    read_rules(text, str(arguments.file))
    return put_in_force(store, text, f"from {arguments.file}")


def show_text(store: Store, arguments: Namespace) -> int:
    """Print a version's text as it was loaded."""
    if arguments.version is not None:
        print(version(store, arguments.version).text, end="")
        return 0
    current = store.ask(rulebook.current)
    if current is None:
        print("securegw: no rules were loaded yet; these built-in ones are in force", file=sys.stderr)
    print(default_rules_text() if current is None else current.text, end="")
    return 0


def list_versions(store: Store, arguments: Namespace) -> int:
    """All versions, newest first, and which one counts."""
    current = store.ask(rulebook.current)
    in_force = current.version if current else None
    rows = [row(each, in_force) for each in store.ask(rulebook.history, limit=sys.maxsize)]
    print_rows(rows, COLUMNS, as_json=arguments.json)
    return 0


def show_difference(store: Store, arguments: Namespace) -> int:
    """A unified diff of two versions."""
    current = store.ask(rulebook.current)
    number = arguments.new or (current.version if current else 0)
    old, new = version(store, arguments.old), version(store, number)
    for line in difference(old.text, new.text, f"version {old.version}", f"version {new.version}"):
        print(line)
    return 0


def roll_back(store: Store, arguments: Namespace) -> int:
    """Load an earlier text as the newest version; it is checked again, since rules may have got stricter."""
    text = version(store, arguments.version).text
    read_rules(text, f"rules, version {arguments.version}")
    return put_in_force(store, text, f"back to version {arguments.version}")


def put_in_force(store: Store, text: str, note: str) -> int:
    """Save a text as the newest version and say its number."""
    number = store.change(told("rules-loaded", note=note), rulebook.save, text, actor(), time.time(), note=note)
    print(f"version {number} is in force; a running gateway follows within a second")
    return 0


def version(store: Store, number: int) -> Version:
    """One version, or a refusal."""
    found = store.ask(rulebook.get, number)
    if found is None:
        raise Refusal(f"there is no version {number} of the rules")
    return found


def row(each: Version, in_force: int | None) -> Row:
    """One version as a row."""
    return {
        "version": each.version, "saved": moment(each.saved), "author": each.author, "note": each.note,
        "in_force": each.version == in_force,
    }
