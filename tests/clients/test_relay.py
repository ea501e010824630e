"""The relay on the loopback, against our own door and against servers that behave badly."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from securegw.clients.relay import Hop, Relay, Reply
from securegw.clients.relay_connection import AWAKE
from securegw.clients.smtp_text import PIECE
from securegw.mail.envelope import Wishes
from tests.clients.relay_case import ANN, BOB, CARL, RAW, BadServer, PretendedResolver, RelayCase, drop
from tests.support.sink import sink


class Delivery(RelayCase):
    async def test_every_byte_arrives(self) -> None:
        intake, port = self.door()
        raw = b".\r\n" + b"x" * 16379 + b"\r\n.\r\nMAIL FROM:<smuggled@bank.test>\r\n" + b"..\r\n" * 9000
        sent = await self.relay().send(self.hop(port), ANN, [BOB, "gone@outside.test"], raw)
        self.assertEqual([mail[1] for mail in intake.mails], [raw])
        self.assertEqual(sent.recipients[BOB].code, 250)
        self.assertEqual(sent.recipients["gone@outside.test"].status, "5.1.1")
        self.assertEqual(sent.recipients[BOB].remote, f"127.0.0.1:{port}")

    async def test_connections_are_used_again(self) -> None:
        server, relay = self.bad(), self.relay()
        for _ in range(5):
            sent = await relay.send(self.hop(server.port), ANN, [BOB], RAW)
            self.assertTrue(sent.recipients[BOB].positive)
        self.assertEqual(server.made, 1)

    async def test_so_many_connections_to_one_hop_and_no_more(self) -> None:
        server, relay = self.bad(), self.relay(connections=3)
        sends = [Deferred.fromCoroutine(relay.send(self.hop(server.port), ANN, [BOB], RAW)) for _ in range(20)]
        results = await gatherResults(sends)
        self.assertTrue(all(sent.recipients[BOB].positive for sent in results))
        self.assertLessEqual(server.made, 3)

    async def test_a_connection_closed_at_rest_is_not_the_mails_trouble(self) -> None:
        server, relay = self.bad(), self.relay()
        await relay.send(self.hop(server.port), ANN, [BOB], RAW)
        server.table["MAIL"] = lambda each: (server.table.clear(), drop(each))
        sent = await relay.send(self.hop(server.port), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].positive)
        self.assertEqual(server.made, 2)

    async def test_a_text_goes_with_its_envelope_to_who_has_spoken_a_moment_ago(self) -> None:
        """Who has been silent for longer may have gone, and then nobody would know whether he has taken it."""
        verbs: list[str] = []
        clock = Clock()
        with sink(chunking=True, answers=lambda verb, _: verbs.append(verb)) as server:
            relay = self.relay(clock=clock)
            for pause in (0.0, AWAKE / 2, AWAKE, 0.0):
                clock.advance(pause)
                sent = await relay.send(self.hop(server.port), ANN, [BOB], RAW)
                self.assertTrue(sent.recipients[BOB].positive)
            self.assertEqual([mail.raw for mail in server.arrived], [RAW] * 4)
        self.assertEqual([verb for verb in verbs if verb in ("BDAT", "DATA")], ["BDAT", "BDAT", "DATA", "BDAT"])

    async def test_a_hop_that_goes_without_a_word_gets_no_more_texts_unasked(self) -> None:
        """The one mail that it may have taken waits; those behind it are not put off as well."""
        server, relay = self.bad(EHLO=b"250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n"), self.relay(connections=1)
        server.table["MAIL"] = lambda each: (server.table.pop("MAIL"), drop(each))
        sends = [Deferred.fromCoroutine(relay.send(self.hop(server.port), ANN, [BOB], RAW)) for _ in range(3)]
        replies = [sent.recipients[BOB].code for sent in await gatherResults(sends)]
        self.assertEqual(replies, [451, 250, 250])
        self.assertEqual(server.heard.count(b"DATA"), 2)

    async def test_no_chunks_where_the_settings_forbid_them(self) -> None:
        verbs: list[str] = []
        with sink(chunking=True, answers=lambda verb, _: verbs.append(verb)) as server:
            await self.relay(chunking=False).send(self.hop(server.port), ANN, [BOB], RAW)
        self.assertNotIn("BDAT", verbs)

    async def test_idle_connections_are_closed(self) -> None:
        clock = Clock()
        server, relay = self.bad(), self.relay(clock=clock)
        await relay.send(self.hop(server.port), ANN, [BOB], RAW)
        self.assertEqual(len(relay._lanes), 1)
        clock.advance(31)
        self.assertEqual(len(relay._lanes), 0)
        await relay.send(self.hop(server.port), ANN, [BOB], RAW)
        self.assertEqual(server.made, 2)
        self.assertIn(b"QUIT", server.heard)

    async def test_a_connection_is_closed_after_so_many_mails(self) -> None:
        server, relay = self.bad(), self.relay(mails=2)
        for _ in range(5):
            await relay.send(self.hop(server.port), ANN, [BOB], RAW)
        await self.until(lambda: server.heard.count(b"QUIT") == 2)
        self.assertEqual(server.made, 3)

    async def test_a_connection_is_closed_after_so_much_time(self) -> None:
        clock = Clock()
        server, relay = self.bad(), self.relay(clock=clock, life=60, idle=50)
        for _ in range(4):
            await relay.send(self.hop(server.port), ANN, [BOB], RAW)
            clock.advance(35)
        self.assertEqual(server.made, 2)

    async def test_hosts_that_change_places_share_their_connections(self) -> None:
        first, second, relay = self.bad(), self.bad(), self.relay()
        for ports in ((first.port, second.port), (second.port, first.port)):
            await relay.send(self.hop(*ports), ANN, [BOB], RAW)
        self.assertEqual((first.made, second.made), (1, 0))

    async def test_a_large_mail_goes_in_pieces_and_arrives_whole(self) -> None:
        intake, port = self.door()
        raw = b"Subject: large\r\n\r\n" + (b"." * 70 + b"\r\n\r\n.\r\n") * 20_000
        self.assertGreater(len(raw), 5 * PIECE)
        relay = self.relay()
        for _ in range(2):
            sent = await relay.send(self.hop(port), ANN, [BOB], raw)
            self.assertTrue(sent.recipients[BOB].positive)
        self.assertEqual([mail[1] for mail in intake.mails], [raw, raw])

    async def test_a_large_mail_that_is_refused_on_its_way_leaves_no_half(self) -> None:
        def refuse(server: BadServer) -> None:
            server.transport.write(b"354 go\r\n")
            server.transport.pauseProducing()
            server.transport.write(b"552 5.3.4 too large\r\n")
            reactor.callLater(0.05, server.transport.resumeProducing)

        server, relay = self.bad(DATA=refuse), self.relay()
        raw = RAW + (b"x" * 998 + b"\r\n") * 60 * 256
        sent = await relay.send(self.hop(server.port), ANN, [BOB], raw)
        self.assertEqual(sent.recipients[BOB].status, "5.3.4")
        await self.until(lambda: server.ended)
        self.assertNotIn(b".", server.heard)
        self.assertLess(len(server.heard), 1000)  # of 15,360 lines

    async def test_wishes_reach_a_hop_that_looks_after_them(self) -> None:
        for offer, expected in ((b"250 DSN\r\n", True), (b"250 SIZE\r\n", False)):
            server = self.bad(EHLO=b"250-x\r\n" + offer)
            sent = await self.relay().send(
                self.hop(server.port), ANN, [BOB], RAW, wishes={BOB: Wishes("NEVER", "")}, ret="HDRS", envid="7"
            )
            self.assertEqual(sent.dsn, expected)
            self.assertEqual(b"RCPT TO:<bob@outside.test> NOTIFY=NEVER" in server.heard, expected)
            self.assertEqual(b"MAIL FROM:<ann@inside.test> RET=HDRS ENVID=7" in server.heard, expected)

    async def test_the_addresses_of_a_host_are_called_one_after_the_other(self) -> None:
        server = self.bad()
        resolver = PretendedResolver(mx_outside_test=["::1", "127.0.0.1"])
        sent = await self.relay(resolver=resolver).send(self.hop(server.port, host="mx.outside.test"), ANN, [BOB], RAW)
        self.assertEqual(sent.recipients[BOB].remote, f"mx.outside.test[127.0.0.1]:{server.port}")


class Trouble(RelayCase):
    async def fails(self, hop: Hop, relay: Relay | None = None, raw: bytes = RAW) -> Reply:
        sent = await (relay or self.relay()).send(hop, ANN, [BOB, CARL], raw)
        self.assertEqual(set(sent.recipients), {BOB, CARL})
        self.assertTrue(all(reply.temporary for reply in sent.recipients.values()), sent)
        return sent.recipients[BOB]

    async def test_nobody_listens(self) -> None:
        self.assertEqual((await self.fails(self.hop(await self.nobody()))).status, "4.4.1")

    async def test_no_host_at_all(self) -> None:
        self.assertEqual((await self.fails(self.hop())).status, "4.4.1")

    async def test_the_next_host_is_tried_when_the_first_does_not_greet(self) -> None:
        for greeting in (b"554 no\r\n", b"421 no\r\n", b"\x15\x03\r\n", drop):
            first, second = self.bad(CONNECT=greeting), self.bad()
            sent = await self.relay().send(self.hop(first.port, second.port), ANN, [BOB], RAW)
            self.assertTrue(sent.recipients[BOB].positive)
            self.assertEqual((first.made, second.made), (1, 1))

    async def test_a_greeting_of_class_5_is_not_final(self) -> None:
        self.assertEqual((await self.fails(self.hop(self.bad(CONNECT=b"554 5.7.1 no\r\n").port))).code, 451)

    async def test_the_next_host_is_not_tried_once_a_mail_was_seen(self) -> None:
        for verb in ("MAIL", "RCPT", "DATA", "END"):
            first, second = self.bad(**{verb: drop}), self.bad()
            await self.fails(self.hop(first.port, second.port))
            self.assertEqual(second.made, 0, verb)

    async def test_each_stage_has_its_answers(self) -> None:
        for verb, code in (
            ("MAIL", 4),
            ("MAIL", 5),
            ("RCPT", 4),
            ("RCPT", 5),
            ("DATA", 4),
            ("DATA", 5),
            ("END", 4),
            ("END", 5),
        ):
            server = self.bad(**{verb: b"%d50 %d.2.3 no\r\n" % (code, code)})
            if verb in {"MAIL", "RCPT"}:
                server.table["DATA"] = b"503 5.5.1 no\r\n"
            sent = await self.relay().send(self.hop(server.port), ANN, [BOB], RAW)
            self.assertEqual(sent.recipients[BOB].status, f"{code}.2.3", verb)

    async def test_354_and_then_nothing(self) -> None:
        clock = Clock()
        server = self.bad(END=lambda each: reactor.callLater(0, clock.advance, 601))
        reply = await self.fails(self.hop(server.port), self.relay(clock=clock))
        self.assertIn("in time", reply.text)

    async def test_a_greeting_that_does_not_come(self) -> None:
        clock = Clock()
        server = self.bad(CONNECT=lambda each: reactor.callLater(0.01, clock.advance, 301))
        self.assertEqual((await self.fails(self.hop(server.port), self.relay(clock=clock))).status, "4.4.2")

    async def test_5_2_17_floods_of_replies(self) -> None:
        await self.fails(self.hop(self.bad(MAIL=b"2" * 10_000_000).port))
        await self.fails(self.hop(self.bad(MAIL=b"250-x\r\n" * 200).port))

    async def test_a_bug_is_a_temporary_failure(self) -> None:
        relay = self.relay(resolver=object())
        await self.fails(self.hop(self.bad().port, host="mx.test"), relay)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    async def test_5_2_17_a_greeting_after_nearly_five_minutes(self) -> None:
        clock = Clock()
        server = self.bad(CONNECT=lambda each: clock.callLater(295, each.transport.write, b"220 at last\r\n"))
        sent = Deferred.fromCoroutine(self.relay(clock).send(self.hop(server.port), ANN, [BOB], RAW))
        await self.until(lambda: "CONNECT" in server.reached)
        clock.pump([29.5] * 10)
        self.assertTrue((await sent).recipients[BOB].positive)

    async def test_5_2_17_disconnect_before_the_text_is_read(self) -> None:
        def accept_and_go(server: BadServer) -> None:
            server.transport.write(b"354 go\r\n")
            server.transport.abortConnection()

        raw = RAW + b"x" * 70 * PIECE + b"\r\n"
        self.assertEqual((await self.fails(self.hop(self.bad(DATA=accept_and_go).port), raw=raw)).status, "4.4.2")

    async def test_5_2_17_a_reply_without_a_line_end(self) -> None:
        clock = Clock()
        server = self.bad(END=lambda each: each.transport.write(b"250 ok"))
        failed = Deferred.fromCoroutine(self.fails(self.hop(server.port), self.relay(clock=clock)))
        await self.until(lambda: "END" in server.reached)
        clock.advance(601)
        self.assertEqual((await failed).status, "4.4.2")

    async def test_5_2_17_mixed_recipients(self) -> None:
        answers = iter([b"250 ok\r\n", b"550 5.1.1 no\r\n", b"451 4.2.1 later\r\n", b"250 ok\r\n"])
        server = self.bad(RCPT=lambda each: each.transport.write(next(answers)))
        to = [f"{number}@outside.test" for number in range(4)]
        sent = await self.relay().send(self.hop(server.port), ANN, to, RAW)
        self.assertEqual([sent.recipients[each].code for each in to], [250, 550, 451, 250])

    async def test_5_2_17_extensions_that_disappear(self) -> None:
        """A kept connection knows what was offered on it; a new one asks again."""
        server, relay = self.bad(EHLO=b"250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n"), self.relay(mails=1)
        eight = "Subject: x\r\n\r\nGrüße\r\n".encode()
        sent = await relay.send(self.hop(server.port), ANN, [BOB], eight)
        self.assertTrue(sent.recipients[BOB].positive)
        server.table["EHLO"] = b"250 x\r\n"
        sent = await relay.send(self.hop(server.port), ANN, [BOB], eight)
        self.assertEqual(sent.recipients[BOB].status, "5.6.3")
        sent = await relay.send(self.hop(server.port), ANN, ["björn@outside.test"], RAW)
        self.assertEqual(sent.recipients["björn@outside.test"].status, "5.6.7")

    async def test_5_2_19_line_ends_in_an_address(self) -> None:
        server = self.bad()
        for sender, to in ((ANN, "x@y.test>\r\nRSET\r\nMAIL FROM:<z@y.test"), ("a@b.test\r\nQUIT", BOB)):
            sent = await self.relay().send(self.hop(server.port), sender, [to], RAW)
            self.assertEqual(sent.recipients[to].status, "5.1.3")
        self.assertEqual([line for line in server.heard if line[:4] not in {b"EHLO", b"QUIT"}], [])


class Circles(RelayCase):
    """5.2.18 as far as the relay is concerned; the rest is in test_mx and test_dns_trouble."""

    async def reply(self, hop: Hop, relay: Relay) -> Reply:
        sent = await relay.send(hop, ANN, [BOB], RAW)
        return sent.recipients[BOB]

    async def test_5_2_18_a_hop_that_is_ourselves(self) -> None:
        server = self.bad()
        for doors in ({("127.0.0.1", server.port)}, [("0.0.0.0", server.port)], [("::", server.port)]):
            for _ in range(2):  # it is not remembered as dead
                reply = await self.reply(self.hop(server.port), self.relay(doors=doors))
                self.assertEqual((reply.code, reply.status), (554, "5.4.6"))
        self.assertEqual(server.made, 0)

    async def test_5_2_18_doors_may_be_opened_later(self) -> None:
        server, doors = self.bad(), set()
        relay = self.relay(doors=doors)
        self.assertTrue((await self.reply(self.hop(server.port), relay)).positive)
        relay.close()
        doors.add(("127.0.0.1", server.port))
        self.assertEqual((await self.reply(self.hop(server.port), relay)).status, "5.4.6")

    async def test_5_2_18_another_port_of_this_machine_is_somebody_else(self) -> None:
        server = self.bad()
        reply = await self.reply(self.hop(server.port), self.relay(doors=[("127.0.0.1", server.port + 1)]))
        self.assertTrue(reply.positive)

    async def test_5_2_18_the_loopback_by_the_mx_of_a_stranger_is_ourselves(self) -> None:
        server = self.bad()
        relay = self.relay(resolver=PretendedResolver(mx_evil_test=["127.0.0.1"], mx_other_test=["0.0.0.0"]))
        for host in ("mx.evil.test", "mx.other.test", "127.0.0.1", "::ffff:127.0.0.1"):
            hop = Hop(((host, server.port),), tls="none", name="evil.test", stranger=True)
            self.assertEqual((await self.reply(hop, relay)).status, "5.4.6", host)
        self.assertEqual(server.made, 0)

    async def test_5_2_18_hosts_after_ourselves_are_not_called(self) -> None:
        server, later = self.bad(), self.bad()
        relay = self.relay(doors=[("127.0.0.1", server.port)])
        reply = await self.reply(self.hop(await self.nobody(), server.port, later.port), relay)
        self.assertEqual((reply.code, reply.status), (451, "4.4.1"))
        self.assertEqual(later.made, 0)

    async def test_5_2_18_hosts_without_an_address(self) -> None:
        hop = Hop((("nowhere.test", 25),), tls="none", name="outside.test")
        self.assertEqual((await self.reply(hop, self.relay())).status, "4.4.4")
        stranger = Hop((("nowhere.test", 25),), tls="none", name="outside.test", stranger=True)
        reply = await self.reply(stranger, self.relay())
        self.assertEqual((reply.code, reply.status), (550, "5.4.4"))
