"""The levels of the checks: from which value on each is a warning, and from which it is critical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from securegw import config
from securegw.config import Kind, setting
from securegw.config.kinds import Unfit
from securegw.health.table import Levels

SHORTEST, LONGEST = 0.1, 30.0  # a fault must be seen within a minute
COUNT = config.number(0, 1_000_000_000)


def levels(kind: Kind[Any], *, falling: bool = False) -> Kind[Levels]:
    """Two values, the warning first; ``falling`` where little is bad, so that the second is the smaller one."""
    words = f"two values, warning and critical, {'falling' if falling else 'rising'}, each {kind.words}"

    def read(value: object, folder: Path) -> Levels:
        pair = config.list_of(kind).read(value, folder)
        if len(pair) != 2 or pair[0] == pair[1] or (pair[0] > pair[1]) is not falling:
            raise Unfit(f"not two {'falling' if falling else 'rising'} values")
        return Levels(float(pair[0]), float(pair[1]))

    return Kind(words, [kind.example, kind.example], read)


def _read_every(value: object, folder: Path) -> float:
    seconds = config.duration.read(value, folder)
    if not SHORTEST <= seconds <= LONGEST:
        raise Unfit(f"not from {SHORTEST} to {LONGEST} seconds")
    return seconds


every = Kind[float]('a time from 100 milliseconds to 30 seconds, like "10s"', "10s", _read_every)


@attrs.frozen
class HealthSettings:
    """When a check warns and when it is critical."""

    every: float = setting(every, default="10s", help="How often everything is looked at.")
    queue: Levels = setting(levels(COUNT), default=[1000, 10000], help="Mails in the queue.")
    oldest: Levels = setting(
        levels(config.duration), default=["4h", "1d"], help="Age of the oldest mail that waits for its delivery."
    )
    untreated: Levels = setting(
        levels(config.duration), default=["5m", "30m"], help="Age of the oldest mail that nobody has treated yet."
    )
    parked: Levels = setting(levels(COUNT), default=[1, 10], help="Mails put aside because they harm the gateway.")
    deferred: Levels = setting(
        levels(COUNT), default=[20, 200], help="Mails that wait for one and the same destination."
    )
    refusals: Levels = setting(
        levels(COUNT), default=[300, 3000], help="Commands, messages and connections refused within a minute."
    )
    stress: Levels = setting(levels(COUNT), default=[1, 3], help="Doors that are crowded now.")
    space: Levels = setting(
        levels(config.size, falling=True), default=["2 GB", "1 GB"], help="Free space where the queue is kept."
    )
    database: Levels = setting(levels(config.duration), default=["1s", "5s"], help="How long the database takes.")
    workers: Levels = setting(
        levels(config.duration), default=["5s", "20s"], help="How long a piece of work waits for a thread."
    )
    tls: Levels = setting(
        levels(COUNT, falling=True), default=[30, 7], help="Days until the first TLS certificate of ours ends."
    )
    keys: Levels = setting(
        levels(COUNT, falling=True), default=[30, 7], help="Days until the first user's newest certificate ends."
    )
    revocation: Levels = setting(
        levels(config.number(0, 100), falling=True),
        default=[40, 10],
        help="Life that the oldest revocation list of ours has left, in percent; it is made anew at 50.",
    )
    keyservers: Levels = setting(
        levels(config.duration), default=["30s", "5m"], help="How old is what the LDAP doors tell of the database."
    )
    log: Levels = setting(
        levels(COUNT), default=[1, 10], help="Lines of our own log that could not be written in ten minutes."
    )
    syslog: Levels = setting(
        levels(config.number(0, 100)), default=[10, 80], help="How full the buffer for a log receiver is, in percent."
    )
    clock: Levels = setting(
        levels(config.duration), default=["1m", "1h"], help="How far the wall clock was moved since the start."
    )
    logins: Levels = setting(
        levels(COUNT), default=[100, 1000], help="Failed tries of those whose last one is less than ten minutes ago."
    )
    delivery: Levels = setting(
        levels(config.duration), default=["1h", "6h"], help="Time since the last delivery, while mails wait for one."
    )
