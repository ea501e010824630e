"""Ids for mails and rows: whoever was made later sorts later, so that an index grows at its end.

Not secrets: they say when they were made. An id that is random to the last digit touches a page of its own in every
index, and each page touched is written once more into the log of the database.
"""

from __future__ import annotations

import secrets
import time
from itertools import count

EPOCH = 1_767_225_600_000  # 2026-01-01 in milliseconds; 42 bits of them last until 2165
COUNTED = 22  # bits that count within a millisecond, from a start that no two processes share

_made = count(secrets.randbits(COUNTED))


def new_id() -> str:
    """64 bits as 16 hexadecimal digits: the time, then a counter."""
    moment = time.time_ns() // 1_000_000 - EPOCH
    return f"{(moment << COUNTED | next(_made) % (1 << COUNTED)) % (1 << 64):016x}"
