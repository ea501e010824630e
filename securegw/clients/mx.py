"""Asks the name servers which hosts take mail for a domain, and where those hosts are.

Not a resolver of its own: it asks one that does the recursion, named in /etc/resolv.conf. Obeys RFC 5321 5.1,
RFC 7505 (null MX) and RFC 2308 (what is remembered of a name that is not there).
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import attrs
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from dns.rdatatype import RdataType
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from securegw import counters
from securegw.clients.hosts_file import HostsFile
from securegw.clients.name_server import NameServers, NoAnswer, Server, system_servers
from securegw.mail.errors import MailError, MailLoop, NameServerTrouble, NoSuchDomain, NullMX

QUESTIONS = counters.declare(
    "securegw_name_questions", "Questions about names, by where the answer came from.", ("by",)
)
ASKED, KNOWN, UNANSWERED = QUESTIONS.labels("name server"), QUESTIONS.labels("memory"), QUESTIONS.labels("nobody")

HOSTS_LIMIT = 20  # of a domain; somebody with 300 MX records does not decide how long we try
CHAIN_LIMIT = 8  # CNAME after CNAME
ROUNDS = 2
KEPT_LIMIT = 10_000
LONGEST = 300.0  # seconds an answer is kept, whatever its time to live
LONGEST_MISSING = 30.0
TROUBLE = 5.0  # seconds in which a question without an answer is not asked again

Key: TypeAlias = tuple[dns.name.Name, RdataType]


@attrs.frozen
class _Found:
    """The records of one question: ``exists`` is false for NXDOMAIN, ``alias`` is where a CNAME leads further."""

    exists: bool
    seconds: float = 0.0
    records: tuple[Any, ...] = ()
    alias: dns.name.Name | None = None


class Resolver:
    """``servers`` are tried in order, twice; ``own_names`` are those under which MX records mean this gateway.

    ``clock`` is for tests that turn the hands themselves.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server] | None = None,
        *,
        clock: IReactorTime | None = None,
        seconds: float = 3.0,
        shuffle: Callable[[list[Any]], None] = random.shuffle,
        own_names: Collection[str] = (),
        hosts: HostsFile | None = None,
    ) -> None:
        self._servers = tuple(servers) if servers else system_servers()
        self._way = NameServers(reactor, clock or reactor, seconds)
        self._shuffle = shuffle
        self._own_names = frozenset(name.lower() for name in own_names)
        self._hosts = hosts or HostsFile()
        self._memory = _Memory(clock or reactor)

    async def mx(self, domain: str) -> tuple[str, ...]:
        """The hosts that take mail for a domain, best first.

        Raises NullMX, NoSuchDomain, NameServerTrouble, or MailLoop if the best of them is this gateway.
        """
        if domain.startswith("["):  # an address literal (RFC 5321 4.1.3)
            return (domain[1:-1].removeprefix("IPv6:"),)
        found = await self._look_up(domain, dns.rdatatype.MX)
        if not found.exists:
            raise NoSuchDomain(detail=f"{domain}: NXDOMAIN")
        if found.records:
            return self._order(domain, found.records)
        if await self.addresses(domain):  # RFC 5321 5.1: the implicit MX
            return self._without_us(domain, [(0, domain.lower())])
        raise NoSuchDomain(detail=f"{domain}: neither MX nor address")

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, empty if it has none. Half an answer is better than none."""
        if known := self._hosts.addresses(host):
            return known
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        both = await gatherResults([Deferred.fromCoroutine(self._try(host, kind)) for kind in kinds])
        found = tuple(record.address for each in both if isinstance(each, _Found) for record in each.records)
        for each in both:
            if isinstance(each, MailError) and not found:
                raise each
        return found

    def _order(self, domain: str, records: Sequence[Any]) -> tuple[str, ...]:
        if any(record.exchange == dns.name.root for record in records):
            raise NullMX(detail=domain)
        hosts = [(record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in records]
        self._shuffle(hosts)  # equal ones share the load (RFC 5321 5.1)
        return self._without_us(domain, hosts)

    def _without_us(self, domain: str, hosts: list[tuple[int, str]]) -> tuple[str, ...]:
        """Hosts that are not better than we are would only send it back (RFC 5321 5.1)."""
        limit = min((preference for preference, name in hosts if name in self._own_names), default=None)
        better = sorted((host for host in hosts if limit is None or host[0] < limit), key=lambda host: host[0])
        if not better:
            raise MailLoop("The mail server of this domain is this gateway itself.", detail=domain)
        return tuple(dict.fromkeys(name for _, name in better))[:HOSTS_LIMIT]

    async def _try(self, host: str, kind: RdataType) -> _Found | MailError:
        try:
            return await self._look_up(host, kind)
        except MailError as error:
            return error

    async def _look_up(self, name: str, kind: RdataType) -> _Found:
        try:
            at = dns.name.from_text(name)
        except dns.exception.DNSException:
            raise NoSuchDomain(detail=f"{name}: not a name") from None
        for _ in range(CHAIN_LIMIT):
            found = await self._memory.find((at, kind), self._ask_all)
            if found.alias is None:
                return found
            at = found.alias
        raise NameServerTrouble(detail=f"{name}: too many aliases")

    async def _ask_all(self, key: Key) -> _Found:
        name, kind = key
        trouble = ""
        for server in self._servers * ROUNDS:
            try:
                ASKED.inc()
                return _read(await self._way.ask(server, name, kind), name)
            except NoAnswer as error:
                trouble = f"{name} {server[0]}: {error}"
        UNANSWERED.inc()
        raise NameServerTrouble(detail=trouble)


class _Memory:
    """Answers for as long as they hold; and who asks what is being asked waits for that answer."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[_Found | NameServerTrouble, float]] = OrderedDict()
        self._asking: dict[Key, list[Deferred[_Found | NameServerTrouble]]] = {}

    async def find(self, key: Key, ask: Callable[[Key], Any]) -> _Found:
        found = await self._find(key, ask)
        if isinstance(found, NameServerTrouble):
            raise NameServerTrouble(detail=found.detail)
        return found

    async def _find(self, key: Key, ask: Callable[[Key], Any]) -> _Found | NameServerTrouble:
        kept, until = self._kept.get(key, (None, 0.0))
        if kept is not None and self._clock.seconds() < until:
            KNOWN.inc()
            return kept
        if key in self._asking:
            waiter: Deferred[_Found | NameServerTrouble] = Deferred()
            self._asking[key].append(waiter)
            return await waiter
        return await self._ask(key, ask)

    async def _ask(self, key: Key, ask: Callable[[Key], Any]) -> _Found | NameServerTrouble:
        self._asking[key] = []
        answer: _Found | NameServerTrouble = NameServerTrouble(detail="the question was given up")
        try:
            answer = await ask(key)
        except NameServerTrouble as error:
            answer = error
        finally:
            self._keep(key, answer)
            for waiter in self._asking.pop(key):
                waiter.callback(answer)
        return answer

    def _keep(self, key: Key, answer: _Found | NameServerTrouble) -> None:
        seconds = answer.seconds if isinstance(answer, _Found) else TROUBLE
        self._kept.pop(key, None)
        if seconds > 0:
            self._kept[key] = answer, self._clock.seconds() + seconds
        while len(self._kept) > KEPT_LIMIT:
            self._kept.popitem(last=False)


def _read(answer: dns.message.Message, name: dns.name.Name) -> _Found:
    """Only the records that the question leads to count; others, and additional ones, are nobody's word."""
    if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        raise NoAnswer(dns.rcode.to_text(answer.rcode()))
    try:
        chain = answer.resolve_chaining()  # type: ignore[attr-defined]
    except dns.exception.DNSException as error:
        raise NoAnswer("a circle of aliases") from error
    seconds = min(float(chain.minimum_ttl), LONGEST)
    missing = min(seconds, LONGEST_MISSING) if _has_authority(answer) else 0.0  # RFC 2308 5
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return _Found(exists=False, seconds=missing)
    if chain.answer is not None:
        return _Found(exists=True, seconds=seconds, records=tuple(chain.answer))
    alias = None if chain.canonical_name == name else chain.canonical_name
    return _Found(exists=True, seconds=missing, alias=alias)


def _has_authority(answer: dns.message.Message) -> bool:
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in answer.authority)
