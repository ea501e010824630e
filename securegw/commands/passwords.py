"""Passwords that an administrator gives: asked for on the terminal, read from a file, or made here.

Never a word of the command, where others could see it. What becomes of a password is told where it is used.
"""

from __future__ import annotations

import getpass
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from securegw.commands.opening import Refusal, read_text
from securegw.crypto.passwords import CODE_LETTERS

if TYPE_CHECKING:
    from argparse import ArgumentParser

GROUPS, GROUP = 6, 5  # 30 letters of 30: 147 bits, and nobody who copies it by hand loses his place


def add_password_file(parser: ArgumentParser) -> None:
    """The option of commands that need a password."""
    parser.add_argument(
        "--password-file", metavar="FILE", type=Path, help="its first line is the password; else it is asked for"
    )


def read_password(of: str, file: Path | None, *, twice: bool = False) -> str:
    """The password, from its file or from the terminal; ``twice`` for a new one, which nothing else could check."""
    if file is not None:
        return first_line(file)
    if not sys.stdin.isatty():
        raise Refusal(f"{of}: needs a password; name a file with it: --password-file FILE")
    password = getpass.getpass(f"Password of {of}: ")
    if twice and getpass.getpass("The same again: ") != password:
        raise Refusal("the two passwords differ")
    return password


def first_line(file: Path) -> str:
    """The first line of a file; an empty one is a file that was not filled yet."""
    password = (read_text(file).splitlines() or [""])[0]
    if not password:
        raise Refusal(f"{file}: its first line is empty; it must be the password")
    return password


def new_password() -> str:
    """A password that nobody has to remember, in groups."""
    return "-".join("".join(secrets.choice(CODE_LETTERS) for _ in range(GROUP)) for _ in range(GROUPS))
