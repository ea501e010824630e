"""The SNMP agent without I/O: a datagram goes in, an answer comes out, or nothing.

Versions 2c (RFC 1901, RFC 3416) and 3 with authentication and privacy (RFC 3412, RFC 3414). Whoever shows no right
secret hears nothing - unlike RFC 3414 3.2 wants it, which would tell a stranger what is wrong; only the name and time
of our engine are told, for without them nobody could ask. Everything is read-only, and no answer is longer than
``snmp_message.LARGEST``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from securegw.servers.snmp_ber import COUNTER32, SEQUENCE, BadBer, Oid, Reader, integer, octets, sequence
from securegw.servers.snmp_engine import Engine
from securegw.servers.snmp_message import (
    AUTH,
    LARGEST,
    NOT_IN_TIME,
    PRIV,
    REPORTABLE,
    SMALLEST,
    UNKNOWN_ENGINES,
    Head,
    Salts,
    Stand,
    is_genuine,
    opened,
    plain,
    read_head,
    secured,
)
from securegw.servers.snmp_pdu import REPORT, TRAP, Binding, answer, pdu, read_request
from securegw.servers.snmp_security import Secrets, User
from securegw.servers.snmp_tree import Tree

LONGEST_REQUEST = 1500
ABOUT = 140  # bytes of a message around its bindings, at most


class SnmpAgent:
    """Answers from the tree of the moment."""

    def __init__(self, secrets: Secrets, engine: Engine, tree: Callable[[], Tree]) -> None:
        self.engine = engine
        self.reports = {UNKNOWN_ENGINES: 0, NOT_IN_TIME: 0}
        self._secrets = secrets
        self._tree = tree
        self._salts = Salts()

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
        head = read_head(message)
        if head.engine != self.engine.id:
            return self._report(head, UNKNOWN_ENGINES, None) if self._may_discover(head) else None
        user = self._secrets.users.get(head.user)
        if user is None or head.flags & (AUTH | PRIV) != AUTH | PRIV or not is_genuine(datagram, head, user):
            return None
        if not self.engine.in_window(head.stand.boots, head.stand.time):
            return self._report(head, NOT_IN_TIME, user)
        return self._answer(head, user, message)

    def _may_discover(self, head: Head) -> bool:
        """A question for our engine's name, without a user and with nothing that could be told (RFC 3414 4)."""
        return bool(head.flags & REPORTABLE) and not head.flags & (AUTH | PRIV) and not head.user

    def _answer(self, head: Head, user: User, message: Reader) -> bytes | None:
        scoped = opened(message, head, user)
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
        return plain(head.id, self._stand(), told)

    def _secured(self, number: int, user: User, told: bytes, flags: int = AUTH | PRIV) -> bytes:
        return secured(number, self._stand(), user, told, self._salts, flags)

    def _stand(self) -> Stand:
        return Stand(self.engine.id, self.engine.boots, self.engine.time)
