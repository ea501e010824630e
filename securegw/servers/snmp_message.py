"""The message of SNMP version 3 around a PDU: who speaks, at which engine and when, authenticated and encrypted.

Not what is said (snmp_pdu), and no keys (snmp_security). Obeys RFC 3412 6 and RFC 3414 2.4 and 3.
"""

from __future__ import annotations

import hmac
import os

import attrs

from securegw.servers.snmp_ber import OCTETS, SEQUENCE, BadBer, Oid, Reader, integer, octets, sequence
from securegw.servers.snmp_security import User

LARGEST = 1400  # bytes, so that no message is cut into fragments
SMALLEST = 484  # that everybody takes (RFC 3412 6)
AUTH, PRIV, REPORTABLE = 1, 2, 4
USM = 3
UNKNOWN_ENGINES: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0)
NOT_IN_TIME: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1, 2, 0)


@attrs.frozen
class Stand:
    """Where an engine stands: its name, how often it was started, and its seconds since then."""

    id: bytes = b""
    boots: int = 0
    time: int = 0


@attrs.frozen
class Head:
    """A message of version 3 without its data; ``tag_at`` is where its authentication stands."""

    id: int
    largest: int
    flags: int
    stand: Stand
    user: bytes
    tag: bytes
    salt: bytes
    tag_at: int

    @property
    def engine(self) -> bytes:
        return self.stand.id


class Salts:
    """Each one is used for one message only (RFC 3826 3.1.2.1)."""

    def __init__(self) -> None:
        self._last = int.from_bytes(os.urandom(8))

    def next(self) -> bytes:
        self._last = (self._last + 1) % 2**64
        return self._last.to_bytes(8)


def read_head(message: Reader) -> Head:
    """What stands before the data; raises BadBer."""
    data = message.enter(SEQUENCE)
    number, largest = data.integer(low=0), data.integer(low=SMALLEST)
    flags, model = data.octets(), data.integer()
    data.finish()
    if len(flags) != 1 or model != USM:
        raise BadBer("another security model")
    wrapped = message.enter(OCTETS)
    parameters = wrapped.enter(SEQUENCE)
    wrapped.finish()
    stand = Stand(parameters.octets(), parameters.integer(low=0), parameters.integer(low=0))
    user = parameters.octets()
    inside = parameters.enter(OCTETS)
    salt = parameters.octets()
    parameters.finish()
    return Head(number, largest, flags[0], stand, user, inside.raw[inside.at : inside.end], salt, inside.at)


def is_genuine(datagram: bytes, head: Head, user: User) -> bool:
    """Whether the user's key has authenticated this message."""
    if len(head.tag) != user.tag_size:
        return False
    unsigned = datagram[: head.tag_at] + bytes(len(head.tag)) + datagram[head.tag_at + len(head.tag) :]
    return hmac.compare_digest(user.sign(unsigned), head.tag)


def opened(message: Reader, head: Head, user: User) -> Reader:
    """The data of a message that is genuine: context, then the PDU; raises BadBer."""
    if not head.flags & PRIV:
        return message.enter(SEQUENCE)
    if len(head.salt) != 8:
        raise BadBer("a salt of another size")
    sealed = message.octets()
    message.finish()
    return Reader(user.decrypt(sealed, head.stand.boots, head.stand.time, head.salt)).enter(SEQUENCE)


def plain(number: int, stand: Stand, told: bytes, flags: int = 0) -> bytes:
    """A message without a user, as it is used to find out an engine's name (RFC 3414 4)."""
    scoped = sequence((octets(stand.id), octets(b""), told))
    return sequence((integer(3), _global(number, flags), octets(_parameters(stand)), scoped))


def secured(number: int, stand: Stand, user: User, told: bytes, salts: Salts, flags: int = AUTH | PRIV) -> bytes:
    """A message of this user: encrypted, then authenticated with its place filled with zeros."""
    salt = b""
    scoped = sequence((octets(stand.id), octets(b""), told))
    if flags & PRIV:
        salt = salts.next()
        scoped = octets(user.encrypt(scoped, stand.boots, stand.time, salt))
    zeros = bytes(user.tag_size)
    parameters = octets(_parameters(stand, user.name, zeros, salt))
    message = sequence((integer(3), _global(number, flags), parameters, scoped))
    at = len(message) - len(scoped) - len(octets(salt)) - len(zeros)
    return message[:at] + user.sign(message) + message[at + len(zeros) :]


def _parameters(stand: Stand, user: bytes = b"", tag: bytes = b"", salt: bytes = b"") -> bytes:
    """UsmSecurityParameters (RFC 3414 2.4)."""
    where = octets(stand.id), integer(stand.boots), integer(stand.time)
    return sequence((*where, octets(user), octets(tag), octets(salt)))


def _global(number: int, flags: int) -> bytes:
    return sequence((integer(number), integer(LARGEST), octets(bytes([flags])), integer(USM)))
