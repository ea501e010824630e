"""The relay on the loopback, against our own door and against servers that behave badly."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import protocol, reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from securegw.clients.relay import Hop, Relay, RelaySettings, Reply
from securegw.clients.smtp_dialogue import Tls
from securegw.servers.smtp import SmtpFactory, SmtpSettings
from securegw.tls import ClientTLS, ServerTLS
from tests.support.certificates import TestAuthority
from tests.support.smtp_door import PretendedIntake

RAW = b"Subject: x\r\n\r\ntext\r\n"
ANN, BOB, CARL = "ann@inside.test", "bob@outside.test", "carl@outside.test"


class BadServer(protocol.Protocol):
    """Answers by a table: verb -> what to send, or a function of the connection. Unknown verbs get 250."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.made += 1
        self.factory.connections.append(self)
        self.buffer = b""
        self.text = False
        self.answer("CONNECT")

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = b"\r\n.\r\n" if self.text else b"\r\n"
            line, found, rest = self.buffer.partition(end)
            if not found:
                return
            self.buffer = rest
            verb = "END" if self.text else line[:4].decode("latin-1").upper()
            self.factory.heard.append(line)
            self.text = False
            self.answer(verb)

    def answer(self, verb: str) -> None:
        usual = {"CONNECT": b"220 bad.test\r\n", "DATA": b"354 go\r\n", "EHLO": b"250-x\r\n250 PIPELINING\r\n"}
        reply = self.factory.table.get(verb, usual.get(verb, b"250 2.0.0 ok\r\n"))
        if callable(reply):
            reply(self)
        else:
            self.text = reply.startswith(b"354")
            self.transport.write(reply)


def drop(server: BadServer) -> None:
    server.transport.abortConnection()


def silent(server: BadServer) -> None:
    pass


class RelayCase(TestCase):
    def setUp(self) -> None:
        self.authority = TestAuthority(self.folder())
        self.relays: list[Relay] = []
        self.doors: list[SmtpFactory] = []

    def folder(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def tearDown(self) -> Deferred[Any]:
        for relay in self.relays:
            relay.close()
        return deferLater(reactor, 0.05, lambda: None)

    def relay(self, clock: Clock | None = None, **settings: Any) -> Relay:
        tls = ClientTLS(self.authority.roots)
        relay = Relay(reactor, "gw.test", RelaySettings(**settings), tls=tls, clock=clock)
        self.relays.append(relay)
        return relay

    def listen(self, factory: protocol.Factory) -> int:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return port.getHost().port

    def door(self, tls: ServerTLS | None = None) -> tuple[PretendedIntake, int]:
        intake = PretendedIntake()
        factory = SmtpFactory(intake, SmtpSettings(), tls, "mx.test", reactor)
        self.doors.append(factory)
        return intake, self.listen(factory)

    def bad(self, **table: bytes | Callable[[BadServer], None]) -> Any:
        factory: Any = protocol.ServerFactory.forProtocol(BadServer)
        factory.table, factory.made, factory.heard, factory.connections = table, 0, [], []
        factory.port = self.listen(factory)
        self.addCleanup(lambda: [each.transport.abortConnection() for each in factory.connections])
        return factory

    def hop(self, *ports: int, tls: Tls = "none", host: str = "127.0.0.1") -> Hop:
        return Hop(tuple((host, port) for port in ports), tls=tls, name="outside.test")


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


class Trouble(RelayCase):
    async def fails(self, hop: Hop, relay: Relay | None = None) -> Reply:
        sent = await (relay or self.relay()).send(hop, ANN, [BOB, CARL], RAW)
        self.assertEqual(set(sent.recipients), {BOB, CARL})
        self.assertTrue(all(reply.temporary for reply in sent.recipients.values()), sent)
        return sent.recipients[BOB]

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        self.assertEqual((await self.fails(self.hop(number))).status, "4.4.1")

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

    async def test_floods(self) -> None:
        await self.fails(self.hop(self.bad(MAIL=b"2" * 10_000_000).port))
        await self.fails(self.hop(self.bad(MAIL=b"250-x\r\n" * 200).port))

    async def test_a_bug_is_a_temporary_failure(self) -> None:
        relay = self.relay()
        relay._tls = None  # type: ignore[assignment]
        await self.fails(self.hop(self.bad().port), relay)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class Encryption(RelayCase):
    def secure_door(self, name: str = "localhost") -> tuple[PretendedIntake, int]:
        pair = self.authority.issue(name)
        return self.door(ServerTLS(pair.certificate, pair.key))

    async def test_tls_where_it_is_offered(self) -> None:
        for tls in ("may", "encrypt", "verify"):
            intake, port = self.secure_door()
            sent = await self.relay().send(self.hop(port, tls=tls, host="localhost"), ANN, [BOB], RAW)
            self.assertTrue(sent.recipients[BOB].positive, sent)
            self.assertEqual(intake.mails[0][0].source.tls, "TLSv1.3")

    async def test_only_verify_looks_at_the_name(self) -> None:
        intake, port = self.secure_door("other.test")
        sent = await self.relay().send(self.hop(port, tls="encrypt", host="localhost"), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].positive)
        sent = await self.relay().send(self.hop(port, tls="verify", host="localhost"), ANN, [BOB], RAW)
        self.assertEqual(sent.recipients[BOB].status, "4.7.5")
        self.assertEqual(len(intake.mails), 1)

    async def test_may_falls_back_when_the_handshake_fails(self) -> None:
        server = self.bad(EHLO=b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n", STAR=b"220 go\r\n")
        server.table["STAR"] = lambda each: (each.transport.write(b"220 go\r\n"), reactor.callLater(0.02, drop, each))
        sent = await self.relay().send(self.hop(server.port, tls="may"), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].positive, sent)
        self.assertEqual(server.made, 2)

    async def test_encrypt_never_falls_back(self) -> None:
        server = self.bad(EHLO=b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
        server.table["STAR"] = lambda each: (each.transport.write(b"220 go\r\n"), reactor.callLater(0.02, drop, each))
        plain = self.bad()
        sent = await self.relay().send(self.hop(server.port, plain.port, tls="encrypt"), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].temporary)
        self.assertTrue(sent.recipients[BOB].status.startswith("4.7."))
        for heard in server.heard + plain.heard:
            self.assertFalse(heard.startswith(b"MAIL"), heard)

    async def test_injected_replies_before_tls(self) -> None:
        """T2, on the wire."""
        server = self.bad(EHLO=b"250-x\r\n250 STARTTLS\r\n", STAR=b"220 go\r\n250-x\r\n250 PIPELINING\r\n")
        sent = await self.relay().send(self.hop(server.port, tls="may"), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].temporary)
        self.assertEqual([line[:4] for line in server.heard[:2]], [b"EHLO", b"STAR"])

    async def test_a_certificate_is_replaced_while_we_run(self) -> None:
        first = self.authority.issue("first.test")
        server = ServerTLS(first.certificate, first.key)
        _intake, port = self.door(server)
        hop = self.hop(port, tls="verify", host="localhost")
        sent = await self.relay().send(hop, ANN, [BOB], RAW)
        self.assertEqual(sent.recipients[BOB].status, "4.7.5")
        self.authority.issue("localhost")
        sent = await self.relay().send(hop, ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].positive, sent)
