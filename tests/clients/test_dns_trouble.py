"""D11: name servers that do not answer, refuse, are late, lie or say too much - and the reactor is never held."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from securegw.clients.mx import Resolver
from securegw.clients.relay import Reply
from securegw.mail.errors import MailError, NameServerTrouble, NoSuchDomain
from tests.clients.relay_case import ANN, BOB, RAW, RelayCase
from tests.support.dns import NameServer, Zone


class DnsTrouble(RelayCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.zone = Zone(self.clock)
        server = NameServer(reactor, self.zone)
        self.addCleanup(server.stop)
        self.names = Resolver(reactor, [server.address], clock=self.clock)

    async def reply(self, host: str, port: int, **hop: Any) -> Reply:
        sent = await self.relay(self.clock, resolver=self.names).send(self.hop(port, host=host, **hop), ANN, [BOB], RAW)
        return sent.recipients[BOB]

    async def error(self, domain: str) -> MailError:
        try:
            found = await self.names.mx(domain)
        except MailError as error:
            return error
        raise AssertionError(f"{domain}: {found}")

    async def in_time(self, work: Deferred[Any]) -> Any:
        """Turn the clock until it is done; another mail goes its way all the while."""
        server, relay = self.bad(), self.relay()
        while not work.called:
            sent = await relay.send(self.hop(server.port), ANN, [BOB], RAW)
            self.assertTrue(sent.recipients[BOB].positive)
            self.clock.advance(0.5)
        return await work

    async def test_d11_no_answer(self) -> None:
        self.zone.silent |= {"outside.test", "mx.outside.test"}
        error = await self.in_time(Deferred.fromCoroutine(self.error("outside.test")))
        self.assertIsInstance(error, NameServerTrouble)
        self.assertLess(self.clock.seconds(), 10)
        reply = await self.in_time(Deferred.fromCoroutine(self.reply("mx.outside.test", 25)))
        self.assertEqual((reply.code, reply.status), (451, "4.4.3"))

    async def test_d11_servfail(self) -> None:
        self.zone.rcodes |= {"outside.test": "SERVFAIL", "mx.outside.test": "SERVFAIL"}
        self.assertTrue((await self.error("outside.test")).temporary)
        reply = await self.reply("mx.outside.test", 25, name="outside.test")
        self.assertEqual((reply.code, reply.status), (451, "4.4.3"))

    async def test_d11_five_seconds_late(self) -> None:
        """Later than one question waits: it is asked again, and at last it is the same as no answer."""
        server = self.bad()
        self.zone.add("mx.outside.test", "A", "127.0.0.1")
        self.zone.delays["mx.outside.test"] = 5.0
        reply = await self.in_time(Deferred.fromCoroutine(self.reply("mx.outside.test", server.port)))
        self.assertEqual((reply.code, reply.status), (451, "4.4.3"))
        self.zone.delays["mx.outside.test"] = 2.0
        self.clock.advance(60)
        reply = await self.in_time(Deferred.fromCoroutine(self.reply("mx.outside.test", server.port)))
        self.assertTrue(reply.positive)

    async def test_d11_nxdomain_flood(self) -> None:
        names = [f"nowhere{number}.test" for number in range(200)]
        errors = await gatherResults([Deferred.fromCoroutine(self.error(name)) for name in names])
        for error in errors:
            self.assertIsInstance(error, NoSuchDomain)
            self.assertFalse(error.temporary)

    async def test_d11_wrong_family_only(self) -> None:
        """An IPv6 address where there is no way to it: later, never an exception."""
        self.zone.add("mx.outside.test", "AAAA", "2001:db8::1")
        self.clock.callLater(0, lambda: None)
        reply = await self.in_time(Deferred.fromCoroutine(self.reply("mx.outside.test", 25)))
        self.assertEqual((reply.code, reply.status), (451, "4.4.1"))

    async def test_d11_one_family_answers_and_the_other_does_not(self) -> None:
        server = self.bad()
        self.zone.add("mx.outside.test", "A", "127.0.0.1")
        self.zone.silent.add("other.test")
        self.assertTrue((await self.reply("mx.outside.test", server.port)).positive)
        self.assertEqual(self.zone.asked[("udp", "mx.outside.test", "AAAA")], 1)

    async def test_d11_an_answer_of_more_than_512_bytes(self) -> None:
        self.zone.add("large.test", "MX", *(f"{number} {'x' * 40}{number}.test." for number in range(15)))
        self.assertEqual(len(await self.names.mx("large.test")), 15)
        self.assertEqual(self.zone.asked[("tcp", "large.test", "MX")], 0)  # EDNS
        self.zone.truncated.add("huge.test")
        self.zone.add("huge.test", "MX", *(f"{number} {'x' * 60}{number}.test." for number in range(400)))
        self.assertEqual(len(await self.names.mx("huge.test")), 20)
        self.assertEqual(self.zone.asked[("tcp", "huge.test", "MX")], 1)

    async def test_d11_a_server_that_knows_no_edns(self) -> None:
        self.zone.add("old.test", "MX", "10 mx.old.test.")
        self.zone.refuses_edns = True
        self.assertEqual(await self.names.mx("old.test"), ("mx.old.test",))

    async def test_d11_poisoned_extra_records(self) -> None:
        """Whatever an answer says about others, nobody believes it: not now and not from memory."""
        self.zone.ttl = 3600
        self.zone.add("outside.test", "MX", "10 mx.outside.test.")
        self.zone.add("mx.outside.test", "A", "192.0.2.1")
        self.zone.add("bank.test", "MX", "10 mx.bank.test.")
        self.zone.add("mx.bank.test", "A", "192.0.2.2")
        for section, name, (kind, value) in itertools.product(
            ("answer", "authority", "additional"),
            ("bank.test.", "mx.bank.test.", "sub.outside.test."),
            (("MX", "1 mx.evil.test."), ("A", "203.0.113.6"), ("CNAME", "evil.test.")),
        ):
            self.zone.extra.append((section, name, kind, value))
        self.assertEqual(await self.names.mx("outside.test"), ("mx.outside.test",))
        self.zone.extra.clear()
        self.assertEqual(await self.names.mx("bank.test"), ("mx.bank.test",))
        self.assertEqual(await self.names.addresses("mx.bank.test"), ("192.0.2.2",))

    async def test_5_2_18_mx_troubles_have_their_class(self) -> None:
        self.zone.add("null.test", "MX", "0 .")
        self.zone.add("circle.test", "CNAME", "circle.test.")
        self.zone.rcodes["broken.test"] = "SERVFAIL"
        for domain, code in (("null.test", 556), ("circle.test", 451), ("broken.test", 451), ("nowhere.test", 550)):
            self.assertEqual((await self.error(domain)).code, code, domain)
