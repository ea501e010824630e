"""Asks the name servers which hosts take mail for a domain, and where those hosts are.

Not a resolver of its own: it asks one that does the recursion, named in /etc/resolv.conf. dnspython reads and writes
the messages, the transport is ours. Obeys RFC 5321 5.1, RFC 7505 (null MX), RFC 1035 4.2 (UDP, TCP when truncated),
RFC 5452 (random ids and ports, and only answers to what was asked) and RFC 6891 (larger UDP).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from dns.rdatatype import RdataType
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from securegw.mail.errors import NameServerTrouble, NoSuchDomain, NullMX

HOSTS_LIMIT = 20  # of a domain; somebody with 300 MX records does not decide how long we try
CHAIN_LIMIT = 8  # CNAME after CNAME
UDP_LIMIT = 1232  # fits into every packet (RFC 9715 3.2)
ROUNDS = 2

Server = tuple[str, int]


class _NoAnswer(Exception):
    """This server gave no answer that we can use."""


@attrs.frozen
class _Found:
    """The records of one question: ``exists`` is false for NXDOMAIN, ``alias`` is where a CNAME leads further."""

    exists: bool
    records: tuple[Any, ...] = ()
    alias: dns.name.Name | None = None


class Resolver:
    """``servers`` are tried in order, twice; ``clock`` is for tests that turn the hands themselves."""

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server] | None = None,
        *,
        clock: IReactorTime | None = None,
        seconds: float = 3.0,
        shuffle: Callable[[list[Any]], None] = random.shuffle,
    ) -> None:
        self._reactor = reactor
        self._servers = tuple(servers) if servers else system_servers()
        self._clock = clock or reactor
        self._seconds = seconds
        self._shuffle = shuffle

    async def mx(self, domain: str) -> tuple[str, ...]:
        """The hosts that take mail for a domain, best first; raises NullMX, NoSuchDomain or NameServerTrouble."""
        if domain.startswith("["):  # an address literal (RFC 5321 4.1.3)
            return (domain[1:-1].removeprefix("IPv6:"),)
        found = await self._look_up(domain, dns.rdatatype.MX)
        if not found.exists:
            raise NoSuchDomain(detail=f"{domain}: NXDOMAIN")
        if found.records:
            return self._order(domain, found.records)
        if await self.addresses(domain):
            return (domain,)  # RFC 5321 5.1: the implicit MX
        raise NoSuchDomain(detail=f"{domain}: neither MX nor address")

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, IPv4 first; empty if it has none."""
        found = [await self._look_up(host, kind) for kind in (dns.rdatatype.A, dns.rdatatype.AAAA)]
        return tuple(record.address for each in found for record in each.records)

    def _order(self, domain: str, records: Sequence[Any]) -> tuple[str, ...]:
        hosts = [(record.preference, record.exchange.to_text(omit_final_dot=True)) for record in records]
        if any(record.exchange == dns.name.root for record in records):
            raise NullMX(detail=domain)
        self._shuffle(hosts)  # equal ones share the load (RFC 5321 5.1)
        hosts.sort(key=lambda host: host[0])
        return tuple(dict.fromkeys(name.lower() for _, name in hosts))[:HOSTS_LIMIT]

    async def _look_up(self, name: str, kind: RdataType) -> _Found:
        try:
            at = dns.name.from_text(name)
        except dns.exception.DNSException:
            raise NoSuchDomain(detail=f"{name}: not a name") from None
        for _ in range(CHAIN_LIMIT):
            found = await self._ask_all(at, kind)
            if found.alias is None:
                return found
            at = found.alias
        raise NameServerTrouble(detail=f"{name}: too many aliases")

    async def _ask_all(self, name: dns.name.Name, kind: RdataType) -> _Found:
        trouble = ""
        for server in self._servers * ROUNDS:
            try:
                return _read(await self._ask(server, name, kind), name, kind)
            except _NoAnswer as error:
                trouble = f"{name} {server[0]}: {error}"
        raise NameServerTrouble(detail=trouble)

    async def _ask(self, server: Server, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        query = dns.message.make_query(name, kind, use_edns=0, payload=UDP_LIMIT)
        answer = await self._by_udp(server, query)
        return await self._by_tcp(server, query) if answer.flags & dns.flags.TC else answer

    async def _by_udp(self, server: Server, query: dns.message.Message) -> dns.message.Message:
        question = _Datagram(server, query, self._clock, self._seconds)
        port = self._reactor.listenUDP(0, question, interface="::" if ":" in server[0] else "")
        try:
            return await question.answer
        finally:
            port.stopListening()

    async def _by_tcp(self, server: Server, query: dns.message.Message) -> dns.message.Message:
        stream = _Stream(query, self._clock, self._seconds)
        endpoint = HostnameEndpoint(self._reactor, *server, timeout=self._seconds)
        try:
            await connectProtocol(endpoint, stream)
        except Exception as error:
            raise _NoAnswer(str(error)) from error
        try:
            return await stream.answer
        finally:
            stream.close()


class _Question:
    """One question on its way: ``answer`` fires once, or fails with _NoAnswer when time is over."""

    def __init__(self, query: dns.message.Message, clock: IReactorTime, seconds: float) -> None:
        self.answer: Deferred[dns.message.Message] = Deferred()
        self._query = query
        self._clock = clock
        self._seconds = seconds
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        self._timer = self._clock.callLater(self._seconds, self.fail, "no answer in time")

    def fail(self, why: str) -> None:
        if not self.answer.called:
            self._stop()
            self.answer.errback(_NoAnswer(why))

    def take(self, wire: bytes) -> None:
        """Only an answer to our question counts; anything else is passed over (RFC 5452 9.1)."""
        try:
            answer = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=False)
        except (dns.exception.DNSException, ValueError):
            return
        if self._query.is_response(answer) and not self.answer.called:
            self._stop()
            self.answer.callback(answer)

    def _stop(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()


class _Datagram(_Question, protocol.DatagramProtocol):
    transport: Any

    def __init__(self, server: Server, query: dns.message.Message, clock: IReactorTime, seconds: float) -> None:
        super().__init__(query, clock, seconds)
        self._server = server

    def startProtocol(self) -> None:
        self.begin()
        self.transport.connect(*self._server)  # from here on only this server is heard
        self.transport.write(self._query.to_wire())

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.take(datagram)

    def connectionRefused(self) -> None:
        self.fail("refused")


class _Stream(_Question, protocol.Protocol):
    """A message over TCP has its length in front, two bytes (RFC 1035 4.2.2)."""

    transport: Any

    def __init__(self, query: dns.message.Message, clock: IReactorTime, seconds: float) -> None:
        super().__init__(query, clock, seconds)
        self._buffer = b""

    def connectionMade(self) -> None:
        self.begin()
        self.transport.write(self._query.to_wire(prepend_length=True))

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        length = int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) >= 2 + length and length:
            self.take(self._buffer[2 : 2 + length])
            self.fail("an answer that cannot be read")

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.fail("closed without an answer")

    def close(self) -> None:
        self.transport.abortConnection()


def _read(answer: dns.message.Message, name: dns.name.Name, kind: RdataType) -> _Found:
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return _Found(exists=False)
    if answer.rcode() != dns.rcode.NOERROR:
        raise _NoAnswer(dns.rcode.to_text(answer.rcode()))
    try:
        chain = answer.resolve_chaining()  # type: ignore[attr-defined]
    except dns.exception.DNSException as error:
        raise _NoAnswer("a circle of aliases") from error
    if chain.answer is not None:
        return _Found(exists=True, records=tuple(chain.answer))
    alias = None if chain.canonical_name == name else chain.canonical_name
    return _Found(exists=True, alias=alias)


def system_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """The name servers of this machine; without any, one on this machine itself (resolv.conf(5))."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return tuple((address, 53) for address in found[:3]) or (("127.0.0.1", 53),)
