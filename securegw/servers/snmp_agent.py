"""The SNMP agent without I/O: a datagram goes in, an answer comes out, or nothing.

Versions 2c (RFC 1901, RFC 3416) and 3 with authentication and privacy (RFC 3412, RFC 3414). Whoever shows no right
secret hears nothing - unlike RFC 3414 3.2 wants it, which would tell a stranger what is wrong; only the name and time
of our engine are told, for without them nobody could ask. Everything is read-only, and no answer is longer than
``LARGEST``.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence

import attrs

from securegw.servers.snmp_ber import (
    COUNTER32,
    OCTETS,
    SEQUENCE,
    BadBer,
    Oid,
    Reader,
    integer,
    octets,
    sequence,
)
from securegw.servers.snmp_engine import Engine
from securegw.servers.snmp_pdu import REPORT, TRAP, Binding, answer, pdu, read_request
from securegw.servers.snmp_security import Secrets, User
from securegw.servers.snmp_tree import Tree

LARGEST = 1400  # bytes, so that no answer is cut into fragments
SMALLEST = 484  # that everybody takes (RFC 3412 6)
LONGEST_REQUEST = 1500
ABOUT = 140  # bytes of a message around its bindings, at most
AUTH, PRIV, REPORTABLE = 1, 2, 4
USM = 3
UNKNOWN_ENGINES: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0)
NOT_IN_TIME: Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1, 2, 0)


@attrs.frozen
class Head:
    """A message of version 3 without its data; ``tag_at`` is where its authentication stands."""

    id: int
    largest: int
    flags: int
    engine: bytes
    boots: int
    time: int
    user: bytes
    tag: bytes
    salt: bytes
    tag_at: int


class SnmpAgent:
    """Answers from the tree of the moment."""

    def __init__(self, secrets: Secrets, engine: Engine, tree: Callable[[], Tree]) -> None:
        self.engine = engine
        self.reports = {UNKNOWN_ENGINES: 0, NOT_IN_TIME: 0}
        self._secrets = secrets
        self._tree = tree
        self._salt = int.from_bytes(os.urandom(8))

    def receive(self, datagram: bytes) -> bytes | None:
        """The answer, None for silence."""
        if len(datagram) > LONGEST_REQUEST:
            return None
        try:
            outer = Reader(datagram)
            message = outer.enter(SEQUENCE)
            outer.finish()
            version = message.integer()
            if version == 1:
                return self._by_community(message)
            return self._by_user(datagram, message) if version == 3 else None
        except BadBer:
            return None

    def trap(self, bindings: Sequence[Binding], user: bytes | None, community: bytes | None) -> bytes | None:
        """A notification of version 3 for this user, or of version 2c; None if neither is there."""
        number = int.from_bytes(os.urandom(4)) >> 1
        told = pdu(TRAP, number, bindings)
        known = None if user is None else self._secrets.users.get(user)
        if known is not None:
            return self._secured(number, known, told)
        return None if community is None else sequence((integer(1), octets(community), told))

    # Version 2c

    def _by_community(self, message: Reader) -> bytes | None:
        community = message.octets()
        if not self._secrets.is_community(community):
            return None
        request = read_request(message)
        message.finish()
        return sequence((integer(1), octets(community), answer(request, self._tree(), LARGEST - ABOUT)))

    # Version 3

    def _by_user(self, datagram: bytes, message: Reader) -> bytes | None:
        head = _read_head(message)
        if head.engine != self.engine.id:
            return self._report(head, UNKNOWN_ENGINES, None) if self._may_discover(head) else None
        user = self._secrets.users.get(head.user)
        if user is None or head.flags & (AUTH | PRIV) != AUTH | PRIV or not _is_genuine(datagram, head, user):
            return None
        if not self.engine.in_window(head.boots, head.time):
            return self._report(head, NOT_IN_TIME, user)
        return self._answer(head, user, message)

    def _may_discover(self, head: Head) -> bool:
        """A question for our engine's name, without a user and with nothing that could be told (RFC 3414 4)."""
        return bool(head.flags & REPORTABLE) and not head.flags & (AUTH | PRIV) and not head.user

    def _answer(self, head: Head, user: User, message: Reader) -> bytes | None:
        if len(head.salt) != 8:
            return None
        sealed = message.octets()
        message.finish()
        scoped = Reader(user.decrypt(sealed, head.boots, head.time, head.salt)).enter(SEQUENCE)
        if scoped.octets() != self.engine.id or scoped.octets() != b"":
            return None
        request = read_request(scoped)
        room = min(LARGEST, max(head.largest, SMALLEST)) - ABOUT - 60
        return self._secured(head.id, user, answer(request, self._tree(), room))

    def _report(self, head: Head, name: Oid, user: User | None) -> bytes:
        """Where our engine stands, so that the asker can ask again; authenticated if the asker was."""
        self.reports[name] = (self.reports[name] + 1) % 2**32
        told = pdu(REPORT, 0, [(name, integer(self.reports[name], COUNTER32))])
        if user is not None:
            return self._secured(head.id, user, told, AUTH)
        scoped = sequence((octets(self.engine.id), octets(b""), told))
        return sequence((integer(3), _global(head.id, 0), octets(self._parameters(b"", b"", b"")), scoped))

    def _secured(self, number: int, user: User, told: bytes, flags: int = AUTH | PRIV) -> bytes:
        """A whole message: encrypted, then authenticated with its place filled with zeros."""
        boots, seconds = self.engine.boots, self.engine.time
        salt = b""
        scoped = sequence((octets(self.engine.id), octets(b""), told))
        if flags & PRIV:
            self._salt = (self._salt + 1) % 2**64
            salt = self._salt.to_bytes(8)
            scoped = octets(user.encrypt(scoped, boots, seconds, salt))
        zeros = bytes(user.tag_size)
        parameters = octets(self._parameters(user.name, zeros, salt, boots, seconds))
        message = sequence((integer(3), _global(number, flags), parameters, scoped))
        at = len(message) - len(scoped) - len(octets(salt)) - len(zeros)
        return message[:at] + user.sign(message) + message[at + len(zeros) :]

    def _parameters(
        self, user: bytes, tag: bytes, salt: bytes, boots: int | None = None, seconds: int | None = None
    ) -> bytes:
        """UsmSecurityParameters (RFC 3414 2.4)."""
        boots = self.engine.boots if boots is None else boots
        seconds = self.engine.time if seconds is None else seconds
        return sequence(
            (octets(self.engine.id), integer(boots), integer(seconds), octets(user), octets(tag), octets(salt))
        )


def _read_head(message: Reader) -> Head:
    data = message.enter(SEQUENCE)
    number, largest = data.integer(low=0), data.integer(low=SMALLEST)
    flags, model = data.octets(), data.integer()
    data.finish()
    if len(flags) != 1 or model != USM:
        raise BadBer("another security model")
    wrapped = message.enter(OCTETS)
    parameters = wrapped.enter(SEQUENCE)
    wrapped.finish()
    engine, boots, time, user = (
        parameters.octets(),
        parameters.integer(low=0),
        parameters.integer(low=0),
        parameters.octets(),
    )
    inside = parameters.enter(OCTETS)
    salt = parameters.octets()
    parameters.finish()
    tag = inside.raw[inside.at : inside.end]
    return Head(number, largest, flags[0], engine, boots, time, user, tag, salt, inside.at)


def _is_genuine(datagram: bytes, head: Head, user: User) -> bool:
    if len(head.tag) != user.tag_size:
        return False
    unsigned = datagram[: head.tag_at] + bytes(len(head.tag)) + datagram[head.tag_at + len(head.tag) :]
    return hmac.compare_digest(user.sign(unsigned), head.tag)


def _global(number: int, flags: int) -> bytes:
    return sequence((integer(number), integer(LARGEST), octets(bytes([flags])), integer(USM)))
