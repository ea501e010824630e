"""A manager of SNMP for tests: it makes requests and reads answers, of version 2c and of version 3.

Its user-based security is written down from RFC 3414 by itself and not taken from the agent's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from securegw.servers.snmp_ber import NULL, OCTETS, SEQUENCE, Oid, Reader, integer, octets, oid, pack, sequence

GET, NEXT, RESPONSE, SET, BULK, TRAP, REPORT = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xA7, 0xA8


@attrs.frozen
class Answer:
    """A PDU as it came: bindings are names with their raw values."""

    kind: int
    id: int
    status: int
    index: int
    bindings: tuple[tuple[Oid, bytes], ...]

    @property
    def names(self) -> list[Oid]:
        return [name for name, _ in self.bindings]


def request(kind: int, names: Sequence[Oid], *, first: int = 0, second: int = 0, number: int = 7) -> bytes:
    listed = sequence(sequence((oid(name), pack(NULL))) for name in names)
    return pack(kind, integer(number), integer(first), integer(second), listed)


def with_community(community: bytes, pdu: bytes, version: int = 1) -> bytes:
    return sequence((integer(version), octets(community), pdu))


def read_pdu(reader: Reader) -> Answer:
    kind = reader.tag
    inside = reader.enter(kind)
    number, status, index = inside.integer(), inside.integer(), inside.integer()
    listed, found = inside.enter(SEQUENCE), []
    while not listed.is_empty:
        binding = listed.enter(SEQUENCE)
        name = binding.oid()
        found.append((name, binding.raw[binding.at : binding.end]))
    return Answer(kind, number, status, index, tuple(found))


def read_v2c(raw: bytes) -> Answer:
    message = Reader(raw).enter(SEQUENCE)
    assert message.integer() == 1
    message.octets()
    return read_pdu(message)


@attrs.define
class Manager:
    """A user of version 3 who asks by ``send``; ``lie`` changes her messages just before they are authenticated."""

    send: Callable[[bytes], bytes | None]
    user: bytes = b"nagios"
    auth: bytes = b"authpassword"
    priv: bytes = b"privpassword"
    hash: str = "sha256"
    size: int = 24
    engine: bytes = b""
    boots: int = 0
    time: int = 0
    flags: int = 7
    context: bytes = b""
    largest: int = 65507
    last: bytes = b""

    def discover(self) -> Answer:
        """Ask for the engine's name and time (RFC 3414 4)."""
        scoped = sequence((octets(b""), octets(b""), request(GET, ())))
        parameters = sequence((octets(b""), integer(0), integer(0), octets(b""), octets(b""), octets(b"")))
        raw = self.send(self._message(4, parameters, scoped))
        assert raw is not None
        self.last = raw
        head, scope = self._open(raw)
        self.engine, self.boots, self.time = head[0], head[1], head[2]
        scope.octets()
        scope.octets()
        return read_pdu(scope)

    def ask(self, pdu: bytes, spoil: Callable[[bytes], bytes] = lambda raw: raw) -> Answer | None:
        """The answer, checked and decrypted; None for silence."""
        raw = self.send(spoil(self.message(pdu)))
        if raw is None:
            return None
        self.last = raw
        return self.read(raw)

    def message(self, pdu: bytes) -> bytes:
        scoped = sequence((octets(self.engine), octets(self.context), pdu))
        salt = b"saltsalt" if self.flags & 2 else b""
        if self.flags & 2:
            scoped = octets(self._cipher(salt, self.boots, self.time).encryptor().update(scoped))
        zeros = bytes(self.size) if self.flags & 1 else b""
        parameters = sequence(
            (
                octets(self.engine),
                integer(self.boots),
                integer(self.time),
                octets(self.user),
                octets(zeros),
                octets(salt),
            )
        )
        raw = self._message(self.flags, parameters, scoped)
        return raw.replace(zeros, self._tag(raw), 1) if zeros else raw

    def read(self, raw: bytes) -> Answer:
        head, scope = self._open(raw)
        engine, boots, time, user, tag, salt = head
        assert (engine, user) == (self.engine, self.user)
        assert hmac.compare_digest(self._tag(raw.replace(tag, bytes(len(tag)), 1)), tag)
        if salt:
            sealed = scope.octets()
            scope = Reader(self._cipher(salt, boots, time).decryptor().update(sealed)).enter(SEQUENCE)
        assert scope.octets() == self.engine
        scope.octets()
        return read_pdu(scope)

    def _message(self, flags: int, parameters: bytes, data: bytes) -> bytes:
        about = sequence((integer(99), integer(self.largest), octets(bytes([flags])), integer(3)))
        return sequence((integer(3), about, octets(parameters), data))

    def _open(self, raw: bytes) -> tuple[tuple[Any, ...], Reader]:
        message = Reader(raw).enter(SEQUENCE)
        assert message.integer() == 3
        about = message.enter(SEQUENCE)
        assert about.integer() == 99
        inside = message.enter(OCTETS).enter(SEQUENCE)
        head = inside.octets(), inside.integer(), inside.integer(), inside.octets(), inside.octets(), inside.octets()
        return head, message if message.tag == OCTETS else message.enter(SEQUENCE)

    def _key(self, password: bytes) -> bytes:
        digest = hashlib.new(self.hash, (password * (1048576 // len(password) + 1))[:1048576]).digest()
        return hashlib.new(self.hash, digest + self.engine + digest).digest()

    def _tag(self, raw: bytes) -> bytes:
        return hmac.digest(self._key(self.auth), raw, self.hash)[: self.size]

    def _cipher(self, salt: bytes, boots: int, time: int) -> Cipher[Any]:
        return Cipher(AES(self._key(self.priv)[:16]), CFB(boots.to_bytes(4) + time.to_bytes(4) + salt))
