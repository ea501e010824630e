"""A name server for tests: real UDP and TCP on the loopback, answers from a table.

zone = Zone()
zone.add("outside.test", "MX", "10 mx.outside.test.")
zone.rcodes["broken.test"] = "SERVFAIL"
zone.delays["slow.test"] = 5.0  # seconds of zone.clock
server = NameServer(reactor, zone); server.address -> ("127.0.0.1", port)
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.internet import protocol, reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred


class Zone:
    """What the server knows. ``silent`` names get no answer, ``truncated`` ones only over TCP.

    ``ttl`` 0 lets no resolver remember. ``extra`` is added to every answer: (section, name, kind, value).
    """

    def __init__(self, clock: Any = reactor) -> None:
        self.clock = clock
        self.records: dict[tuple[str, str], list[str]] = {}
        self.rcodes: dict[str, str] = {}
        self.silent: set[str] = set()
        self.truncated: set[str] = set()
        self.forged = False  # answers come with another id
        self.delays: dict[str, float] = {}
        self.ttl = 0
        self.authority = False  # whether a name that is not there comes with a SOA
        self.extra: list[tuple[str, str, str, str]] = []
        self.refuses_edns = False
        self.asked: Counter[tuple[str, str, str]] = Counter()

    def add(self, name: str, kind: str, *values: str) -> None:
        self.records.setdefault((name, kind), []).extend(values)

    def answer(self, wire: bytes, way: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[(way, name, kind)] += 1
        if name in self.silent:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if self.refuses_edns and query.edns >= 0:
            reply.use_edns(-1)
            reply.set_rcode(dns.rcode.FORMERR)
        elif way == "udp" and name in self.truncated:
            reply.flags |= dns.flags.TC
        else:
            self._fill(reply, name, kind)
        if self.forged:
            reply.id ^= 1
        return reply.to_wire(max_size=65535)

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        if name in self.rcodes:
            reply.set_rcode(dns.rcode.from_text(self.rcodes[name]))
        elif values := self.records.get((name, kind)):
            reply.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, *values))
        elif alias := self.records.get((name, "CNAME")):
            reply.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", *alias))
        elif not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if self.authority and not reply.answer:
            soa = f". . 1 1 1 1 {self.ttl}"
            reply.authority.append(dns.rrset.from_text("test.", self.ttl, "IN", "SOA", soa))
        for section, owner, extra_kind, value in self.extra:
            getattr(reply, section).append(dns.rrset.from_text(owner, self.ttl, "IN", extra_kind, value))

    def delay(self, wire: bytes) -> float:
        question = dns.message.from_wire(wire).question[0]
        return self.delays.get(question.name.to_text(omit_final_dot=True), 0.0)


class NameServer:
    """Listens on the same port of 127.0.0.1 by UDP and by TCP."""

    def __init__(self, reactor: Any, zone: Zone) -> None:
        self._tcp = reactor.listenTCP(0, _Factory(zone), interface="127.0.0.1")
        port = self._tcp.getHost().port
        self._udp = reactor.listenUDP(port, _Datagrams(zone), interface="127.0.0.1")
        self.address = ("127.0.0.1", port)

    def stop(self) -> Deferred[Any]:
        return gatherResults([maybeDeferred(port.stopListening) for port in (self._tcp, self._udp)])


class _Datagrams(protocol.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if reply := self._zone.answer(datagram, "udp"):
            if seconds := self._zone.delay(datagram):
                self._zone.clock.callLater(seconds, self._late, reply, addr)
            else:
                self.transport.write(reply, addr)

    def _late(self, reply: bytes, addr: Any) -> None:
        if self.transport:
            self.transport.write(reply, addr)


class _Factory(protocol.ServerFactory):
    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def buildProtocol(self, addr: Any) -> _Stream:
        return _Stream(self.zone)


class _Stream(protocol.Protocol):
    """Sends its answer in two pieces, as networks do."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._buffer = b""

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        if reply := self._zone.answer(self._buffer[2:], "tcp"):
            wire = len(reply).to_bytes(2, "big") + reply
            self.transport.write(wire[:1])
            self.transport.write(wire[1:])
