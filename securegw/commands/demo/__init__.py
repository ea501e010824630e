"""A whole gateway on this machine's loopback, with people on both sides and a story that it plays to itself.

Not a test gateway to build on (``securegw quickstart`` is for that): keys lie open and passwords are printed. It needs
no root, no name server and no network beyond the loopback; all that it makes is in one folder.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

FOLDER = Path("demo")


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw demo``."""
    parser.add_argument(
        "--dir",
        metavar="DIR",
        type=Path,
        help=f"where everything is kept (default: ./{FOLDER}, with --check a new folder)",
    )
    parser.add_argument(
        "--check", action="store_true", help="play the story, say whether all went well (exit code), and end"
    )


def run(arguments: Namespace) -> int:
    """Open the gateway, play the story, go on until Ctrl-C."""
    from securegw.commands.demo.stage import perform

    if arguments.check and arguments.dir is None:
        with tempfile.TemporaryDirectory(prefix="securegw-demo-") as folder:
            return perform(Path(folder), check=True)
    return perform((arguments.dir or FOLDER).absolute(), check=arguments.check)
