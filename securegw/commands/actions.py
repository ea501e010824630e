"""The words below a command, as in ``securegw domains add``: each with its configuration, its store and its function.

Only for commands that work on the store; the others have no second word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.commands.opening import add_config, open_store
from securegw.commands.tables import add_json

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from securegw.commands.opening import Store

    Action = Callable[[Store, Namespace], int]


class Actions:
    """The second words of one command."""

    def __init__(self, parser: ArgumentParser) -> None:
        self._words = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def add(self, name: str, action: Action, sentence: str, *, json: bool = False) -> ArgumentParser:
        """A word that works on the store; the caller adds its own arguments to what this returns."""

        def with_store(arguments: Namespace) -> int:
            with open_store(arguments.config) as store:
                return action(store, arguments)

        parser = self.add_plain(name, with_store, sentence)
        add_config(parser)
        if json:
            add_json(parser)
        return parser

    def add_plain(self, name: str, action: Callable[[Namespace], int], sentence: str) -> ArgumentParser:
        """A word that needs neither configuration nor store."""
        parser = self._words.add_parser(name, help=sentence, description=sentence)
        parser.set_defaults(action=action)
        return parser


def run_action(arguments: Namespace) -> int:
    """Do what the second word says."""
    action: Callable[[Namespace], int] = arguments.action
    return action(arguments)
