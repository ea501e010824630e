"""Name look-ups against a real name server on the loopback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import dns.message
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from securegw.clients.mx import HOSTS_LIMIT, Resolver
from securegw.clients.name_server import Datagram, NoAnswer, system_servers
from securegw.mail.errors import MailError, NameServerTrouble, NoSuchDomain, NullMX
from tests.support.dns import NameServer, Zone


class MxCase(TestCase):
    def setUp(self) -> None:
        self.zone = Zone()
        self.server = NameServer(reactor, self.zone)
        self.addCleanup(self.server.stop)
        self.clock = Clock()

    def resolver(self, *servers: tuple[str, int], shuffle: Any = lambda hosts: None) -> Resolver:
        return Resolver(reactor, servers or (self.server.address,), clock=self.clock, shuffle=shuffle)

    async def error(self, domain: str, resolver: Resolver | None = None) -> MailError:
        try:
            found = await (resolver or self.resolver()).mx(domain)
        except MailError as error:
            return error
        raise AssertionError(f"{domain}: {found}")


class Mx(MxCase):
    async def test_best_host_first(self) -> None:
        self.zone.add("outside.test", "MX", "20 Backup.outside.test.", "10 mx.outside.test.")
        self.assertEqual(await self.resolver().mx("outside.test"), ("mx.outside.test", "backup.outside.test"))

    async def test_equal_hosts_are_shuffled_within_their_preference(self) -> None:
        self.zone.add("outside.test", "MX", "10 a.test.", "10 b.test.", "5 c.test.")
        found = await self.resolver(shuffle=lambda hosts: hosts.sort(reverse=True)).mx("outside.test")
        self.assertEqual(found, ("c.test", "b.test", "a.test"))

    async def test_5_2_18_three_hundred_hosts(self) -> None:
        self.zone.add("many.test", "MX", *(f"{number} h{number}.test." for number in range(300)))
        self.zone.truncated.add("many.test")
        found = await self.resolver().mx("many.test")
        self.assertEqual((found[0], len(found)), ("h0.test", HOSTS_LIMIT))

    async def test_5_2_18_null_mx_is_final(self) -> None:
        self.zone.add("null.test", "MX", "0 .")
        error = await self.error("null.test")
        self.assertIsInstance(error, NullMX)
        self.assertEqual((error.code, error.status), (556, "5.1.10"))

    async def test_5_2_18_unknown_domains_are_final(self) -> None:
        error = await self.error("nowhere.test")
        self.assertIsInstance(error, NoSuchDomain)
        self.assertFalse(error.temporary)

    async def test_5_2_18_trouble_is_temporary(self) -> None:
        for rcode in ("SERVFAIL", "REFUSED"):
            self.zone.rcodes["broken.test"] = rcode
            self.assertIsInstance(await self.error("broken.test"), NameServerTrouble)
        self.assertEqual(self.zone.asked[("udp", "broken.test", "MX")], 4)  # two rounds each

    async def test_a_host_without_mx_takes_its_own_mail(self) -> None:
        self.zone.add("host.test", "AAAA", "2001:db8::1")
        self.assertEqual(await self.resolver().mx("host.test"), ("host.test",))

    async def test_a_name_without_mx_and_address(self) -> None:
        self.zone.add("text.test", "TXT", "hello")
        self.assertIsInstance(await self.error("text.test"), NoSuchDomain)

    async def test_trouble_with_addresses_is_temporary_too(self) -> None:
        self.zone.add("alias.test", "CNAME", "target.test.")
        self.zone.rcodes["target.test"] = "SERVFAIL"
        self.assertIsInstance(await self.error("alias.test"), NameServerTrouble)

    async def test_aliases_are_followed(self) -> None:
        self.zone.add("alias.test", "CNAME", "next.test.")
        self.zone.add("next.test", "CNAME", "real.test.")
        self.zone.add("real.test", "MX", "10 mx.test.")
        self.assertEqual(await self.resolver().mx("alias.test"), ("mx.test",))

    async def test_5_2_18_a_circle_of_aliases(self) -> None:
        self.zone.add("a.test", "CNAME", "b.test.")
        self.zone.add("b.test", "CNAME", "a.test.")
        self.assertIsInstance(await self.error("a.test"), NameServerTrouble)

    async def test_truncated_answers_come_by_tcp(self) -> None:
        self.zone.add("large.test", "MX", "10 mx.test.")
        self.zone.truncated.add("large.test")
        self.assertEqual(await self.resolver().mx("large.test"), ("mx.test",))
        self.assertEqual(self.zone.asked[("tcp", "large.test", "MX")], 1)

    async def test_the_next_server_is_asked(self) -> None:
        self.zone.add("outside.test", "MX", "10 mx.test.")
        sick = Zone()
        sick.rcodes["outside.test"] = "SERVFAIL"
        other = NameServer(reactor, sick)
        self.addCleanup(other.stop)
        found = await self.resolver(other.address, self.server.address).mx("outside.test")
        self.assertEqual(found, ("mx.test",))

    async def test_a_refused_question_is_answered_at_once(self) -> None:
        """Not by a real refusal: some networks do not tell UDP senders of it."""
        question = Datagram(("127.0.0.1", 53), dns.message.make_query("x.test", "MX"), self.clock, 3.0)
        question.begin()
        question.connectionRefused()
        await self.assertFailure(question.answer, NoAnswer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wait_for(self, asked: tuple[str, str, str], times: int) -> Deferred[None]:
        """Until the server has seen a question so often."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if self.zone.asked[asked] >= times:
                done.callback(None)
            else:
                reactor.callLater(0.005, look)

        look()
        return done

    async def silent(self, domain: str) -> None:
        answer = Deferred.fromCoroutine(self.error(domain))
        for times in (1, 2):
            await self.wait_for(("udp", domain, "MX"), times)
            self.clock.advance(2.9)
            self.assertFalse(answer.called)
            self.clock.advance(0.2)
        self.assertIsInstance(await answer, NameServerTrouble)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_no_answer(self) -> None:
        self.zone.silent.add("silent.test")
        await self.silent("silent.test")

    async def test_an_answer_to_another_question_is_no_answer(self) -> None:
        self.zone.add("forged.test", "MX", "10 evil.test.")
        self.zone.forged = True
        await self.silent("forged.test")

    async def test_address_literals_need_no_names(self) -> None:
        self.assertEqual(await self.resolver().mx("[192.0.2.1]"), ("192.0.2.1",))
        self.assertEqual(await self.resolver().mx("[IPv6:2001:db8::1]"), ("2001:db8::1",))
        self.assertEqual(sum(self.zone.asked.values()), 0)

    async def test_addresses(self) -> None:
        self.zone.add("mx.test", "A", "192.0.2.1", "192.0.2.2")
        self.zone.add("mx.test", "AAAA", "2001:db8::1")
        found = await self.resolver().addresses("mx.test")
        self.assertEqual(sorted(found), ["192.0.2.1", "192.0.2.2", "2001:db8::1"])
        self.assertEqual(await self.resolver().addresses("nowhere.test"), ())

    async def test_a_name_that_is_none(self) -> None:
        self.assertIsInstance(await self.error("x" * 64 + ".test"), NoSuchDomain)


class Memory(MxCase):
    async def test_answers_hold_for_their_time_and_no_longer_than_five_minutes(self) -> None:
        for ttl, holds in ((60, 60), (100_000, 300)):
            self.zone.ttl = ttl
            domain = f"ttl{ttl}.test"
            self.zone.add(domain, "MX", "10 mx.test.")
            resolver = self.resolver()
            for _ in range(3):
                await resolver.mx(domain)
            self.clock.advance(holds - 1)
            await resolver.mx(domain)
            self.assertEqual(self.zone.asked[("udp", domain, "MX")], 1)
            self.clock.advance(2)
            await resolver.mx(domain)
            self.assertEqual(self.zone.asked[("udp", domain, "MX")], 2)

    async def test_without_a_time_to_live_nothing_is_kept(self) -> None:
        self.zone.add("outside.test", "MX", "10 mx.test.")
        resolver = self.resolver()
        for times in (1, 2):
            await resolver.mx("outside.test")
            self.assertEqual(self.zone.asked[("udp", "outside.test", "MX")], times)

    async def test_what_is_not_there_is_remembered_for_half_a_minute_if_it_is_said_by_authority(self) -> None:
        self.zone.ttl = 3600
        for authority, times in ((False, 2), (True, 3)):
            self.zone.authority = authority
            resolver = self.resolver()
            for _ in range(2):
                await self.error("nowhere.test", resolver)
            self.assertEqual(self.zone.asked[("udp", "nowhere.test", "MX")], times)
        self.clock.advance(31)
        await self.error("nowhere.test", resolver)
        self.assertEqual(self.zone.asked[("udp", "nowhere.test", "MX")], 4)

    async def test_the_same_question_at_the_same_time_is_asked_once(self) -> None:
        self.zone.add("outside.test", "MX", "10 mx.test.")
        resolver = self.resolver()
        found = await gatherResults([Deferred.fromCoroutine(resolver.mx("outside.test")) for _ in range(1000)])
        self.assertEqual(set(found), {("mx.test",)})
        self.assertEqual(self.zone.asked[("udp", "outside.test", "MX")], 1)

    async def test_trouble_is_not_asked_for_again_at_once(self) -> None:
        self.zone.rcodes["broken.test"] = "SERVFAIL"
        resolver = self.resolver()
        for _ in range(5):
            self.assertIsInstance(await self.error("broken.test", resolver), NameServerTrouble)
        self.assertEqual(self.zone.asked[("udp", "broken.test", "MX")], 2)
        del self.zone.rcodes["broken.test"]
        self.zone.add("broken.test", "MX", "10 mx.test.")
        self.clock.advance(6)
        self.assertEqual(await resolver.mx("broken.test"), ("mx.test",))


class Circles(MxCase):
    """RFC 5321 5.1: hosts that are not better than we are would only send it back."""

    def resolver(self, *servers: tuple[str, int], **named: Any) -> Resolver:
        return Resolver(reactor, [self.server.address], clock=self.clock, own_names=["GW.inside.test"], **named)

    async def test_5_2_18_hosts_behind_our_own_are_cut(self) -> None:
        self.zone.add("outside.test", "MX", "10 mx.test.", "20 gw.inside.test.", "20 same.test.", "30 backup.test.")
        self.assertEqual(await self.resolver().mx("outside.test"), ("mx.test",))

    async def test_5_2_18_nobody_is_better_than_we_are(self) -> None:
        self.zone.add("loop.test", "MX", "10 Gw.Inside.test.", "10 same.test.", "30 backup.test.")
        self.zone.add("gw.inside.test", "A", "192.0.2.1")
        for domain in ("loop.test", "gw.inside.test"):
            error = await self.error(domain)
            self.assertEqual((error.code, error.status), (554, "5.4.6"))


class SystemServers(TestCase):
    def test_resolv_conf(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "resolv.conf"
        file.write_text("# nameserver 192.0.2.9\nsearch test\nnameserver 192.0.2.1\nnameserver ::1\n")
        self.assertEqual(system_servers(file), (("192.0.2.1", 53), ("::1", 53)))
        self.assertEqual(system_servers(file.with_name("none")), (("127.0.0.1", 53),))
