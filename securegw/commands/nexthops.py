"""TLS to a next hop, as commands name it: the level, and the certificates that are believed at the level fingerprint.

The levels are Postfix's words. Fingerprints without that level would never be looked at, and that level without one
would never deliver: both are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.commands.arguments import TLS_LEVELS, fingerprint
from securegw.commands.opening import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

BY_FINGERPRINT = "fingerprint"


def add_tls(parser: ArgumentParser, default: str | None) -> None:
    """The options of commands that name a next hop; no default: as it was."""
    said = f"default {default}" if default else "default: as it was"
    parser.add_argument("--tls", choices=TLS_LEVELS, default=default, help=f"TLS on the way to it ({said})")
    parser.add_argument(
        "--fingerprint",
        metavar="HEX",
        type=fingerprint,
        action="append",
        default=[],
        help="SHA-256 of its certificate or public key, for --tls fingerprint; may be repeated",
    )


def fingerprints(arguments: Namespace, tls: str, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What is believed at this level: what the command names, else what was there before."""
    named = tuple(dict.fromkeys(arguments.fingerprint))
    if tls != BY_FINGERPRINT:
        if named:
            raise Refusal("--fingerprint belongs to --tls fingerprint")
        return ()
    if not (named or before):
        raise Refusal("--tls fingerprint needs at least one --fingerprint")
    return named or before
