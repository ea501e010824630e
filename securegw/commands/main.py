"""The securegw command: a table of sub-commands, one module each, and the translation of errors into one line.

Not the gateway itself: that is ``twistd -n securegw --config FILE``. Exit codes: 0 done, 1 refused or failed, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import attrs
import txaio

from securegw import __version__
from securegw.commands.tables import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DONE, FAILED, USAGE = 0, 1, 2


class Module(Protocol):
    """What each command's module has, and nothing else is asked of it."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


@attrs.frozen
class Command:
    """One row: the word typed, the module behind it, and its sentence in the help."""

    name: str
    module: str
    sentence: str

    def load(self) -> Module:
        """Import the module now: a short command does not pay for all the others."""
        return cast("Module", import_module(f"securegw.commands.{self.module}"))


COMMANDS = (
    Command("quickstart", "quickstart", "Write a first configuration, keys and rules; print DNS records and firewall."),
    Command("describe", "describe", "Print the commented reference of all settings."),
    Command("check", "check", "Check the configuration and what it names, and report every mistake."),
    Command("demo", "demo", "Run a whole gateway with two people on this machine, to look at."),
    Command("domains", "domains", "List, add, change and remove the domains this gateway takes mail for."),
    Command("recipients", "recipients", "List, add, import and remove the inside addresses that exist."),
    Command("routes", "routes", "List, set and remove the hops that mail goes to."),
    Command("users", "users", "List, add, change and remove inside people."),
    Command("logins", "logins", "List, add and remove who may sign in to send mail, and change passwords."),
    Command("mailboxes", "mailboxes", "Create, list, suspend and delete archive mailboxes, and change passwords."),
    Command("keys", "certificates", "List, import, export, trust, issue and remove certificates and keys."),
    Command("authority", "authority", "Make or request the authority that issues to users; its revocation lists."),
    Command("pgpkeys", "pgpkeys", "List, import and remove OpenPGP public keys, which the keyserver hands out."),
    Command("rules", "rules", "Check, load, show and roll back the rules."),
    Command("queue", "queue", "List, show, hold, release, retry and delete waiting mail."),
    Command("quarantine", "quarantine", "List, show, release, return and delete what a rule keeps for you."),
    Command("history", "history", "Print what happened to a mail or an address."),
    Command("health", "health", "Say how the gateway stands, as a monitoring plugin does."),
    Command("explain", "explain", "Say what would happen to a mail, without doing it."),
    Command("inspect", "inspect", "Judge a certificate, a key or a mail, without a database."),
    Command("verify", "verify", "Say whether a verdict in a mail was written by this gateway."),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    txaio.use_twisted()  # before a room of the upper floors asks for a logger
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser(words).parse_args(words)
    try:
        code = cast("Callable[[argparse.Namespace], int]", arguments.run)(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return _refuse(["interrupted"])
    except Exception as error:
        from securegw.commands.sentences import sentences

        lines = sentences(error)
        if not lines:
            raise
        return _refuse(lines)
    return code


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser: all commands by name, the arguments only of the one that was typed."""
    parser = argparse.ArgumentParser(prog="securegw", description="The secure e-mail gateway.")
    parser.add_argument("--version", action="version", version=f"securegw {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    typed = next((word for word in words if not word.startswith("-")), None)
    for command in COMMANDS:
        below = commands.add_parser(command.name, help=command.sentence, description=command.sentence)
        if command.name == typed:
            module = command.load()
            module.add_arguments(below)
            below.set_defaults(run=module.run)
    return parser


def _refuse(lines: Sequence[str]) -> int:
    for line in lines:
        print(f"securegw: {printable(line)}", file=sys.stderr)
    return FAILED
