"""Our SNMP engine: its name, how often it was started, and its time, which managers check against replay (RFC 3411 5).

Name and number of starts are in a file beside the database: an engine that forgot them could be fooled with old
messages.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import attrs

WINDOW = 150  # seconds (RFC 3414 2.2.3)
LATEST = 2**31 - 1

_STATE = re.compile(r"([0-9a-f]{10,64}) (\d{1,10})\n")


class BadEngine(Exception):
    """The file with the engine's name and starts is damaged; a new one would make old messages good again."""


@attrs.frozen
class Engine:
    """``id`` is unique in the world, ``steady`` a clock that nobody sets."""

    id: bytes
    boots: int
    steady: Callable[[], float]
    began: float

    @property
    def time(self) -> int:
        """Seconds since this start."""
        return min(int(self.steady() - self.began), LATEST)

    def in_window(self, boots: int, seconds: int) -> bool:
        """Whether a message of this time is neither old nor of another start (RFC 3414 3.2.7a)."""
        return boots == self.boots < LATEST and abs(seconds - self.time) <= WINDOW


def start_engine(file: Path, steady: Callable[[], float], enterprise: int) -> Engine:
    """The engine that the file names, one start later; a new one where there is no file.

    A name is for good: another enterprise number gives only new engines another one.
    """
    try:
        found = _STATE.fullmatch(file.read_text("ascii"))
    except FileNotFoundError:
        name, boots = new_name(enterprise), 0
    except UnicodeDecodeError:
        raise BadEngine(f"{file}: is damaged") from None
    else:
        if found is None:
            raise BadEngine(f"{file}: is damaged; managers must forget this engine when you remove it")
        name, boots = bytes.fromhex(found[1]), int(found[2])
    _write(file, f"{name.hex()} {min(boots + 1, LATEST)}\n")
    return Engine(name, min(boots + 1, LATEST), steady, steady())


def new_name(enterprise: int) -> bytes:
    """A name of ours (RFC 3411 5, SnmpEngineID): the enterprise's number, then octets that are unique."""
    return (1 << 31 | enterprise).to_bytes(4) + b"\x05" + secrets.token_bytes(8)


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and on the disk before the first message goes out."""
    fresh = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(file)
