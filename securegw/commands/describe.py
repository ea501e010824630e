"""The commented reference of all settings, as TOML; ``etc/securegw.toml`` is this output.

It reads no configuration: what it prints are the kinds and defaults that the code declares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """``securegw describe`` takes no words."""


def run(arguments: Namespace) -> int:
    """Print the reference."""
    print(reference(), end="")
    return 0


def reference() -> str:
    """All sections and settings with their sentences, kinds and defaults."""
    from securegw import config, gateway

    return config.describe(gateway.Settings)
