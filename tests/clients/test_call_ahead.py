"""Call-ahead on the loopback: it asks, sends nothing, and knows nothing where it could not ask."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, TimeoutError

from securegw.clients.call_ahead import CallAhead
from securegw.clients.hop import Hop
from securegw.clients.relay import Reply
from securegw.tls import ClientTLS, fingerprints
from tests.clients.relay_case import BOB, EHLO_TLS, PretendedResolver, RelayCase, drop, silent

GONE = "gone@outside.test"
NO = b"550 5.1.1 no such user\r\n"


class Asking(RelayCase):
    def caller(self, *, doors: Any = (), resolver: Any = None) -> CallAhead:
        tls = ClientTLS(self.authority.roots)
        return CallAhead(reactor, "gw.test", tls=tls, resolver=resolver or self.resolver, doors=doors)

    async def ask(self, hop: Hop, recipient: str = BOB, **more: Any) -> Reply | None:
        return await self.caller(**more).ask(hop, recipient)

    async def test_a_real_door_says_who_is_there(self) -> None:
        intake, port = self.door()
        good, bad = await self.ask(self.hop(port)), await self.ask(self.hop(port), GONE)
        assert good is not None and bad is not None
        self.assertTrue(good.positive)
        self.assertEqual((bad.code, bad.status), (550, "5.1.1"))
        self.assertEqual(intake.mails, [])
        self.assertIsNone(intake.asked[0][1], "from nobody, so that nothing comes back")

    async def test_what_is_said(self) -> None:
        server = self.bad()
        await self.ask(self.hop(server.port))
        await self.until(lambda: server.ended)
        self.assertEqual(
            server.heard, [b"EHLO gw.test", b"MAIL FROM:<>", b"RCPT TO:<bob@outside.test>", b"RSET", b"QUIT"]
        )

    async def test_an_old_server_is_asked_too(self) -> None:
        server = self.bad(EHLO=b"502 what\r\n", RCPT=NO)
        reply = await self.ask(self.hop(server.port, tls="may"))
        assert reply is not None
        self.assertEqual(reply.code, 550)

    async def test_it_knows_nothing_where_it_could_not_ask(self) -> None:
        for table in (
            {"CONNECT": b"554 no\r\n"}, {"CONNECT": drop}, {"CONNECT": b"garbage\r\n"}, {"EHLO": b"421 later\r\n"},
            {"EHLO": b"502 no\r\n", "HELO": b"502 no\r\n"}, {"MAIL": b"550 5.7.1 null sender\r\n"}, {"MAIL": drop},
            {"RCPT": drop}, {"RCPT": b"x" * 5000}, {"RCPT": b"250-a\r\n" * 500},
        ):  # fmt: skip
            server = self.bad(**table)
            self.assertIsNone(await self.ask(self.hop(server.port)), table)
        self.assertIsNone(await self.ask(self.hop(await self.nobody())))
        self.assertIsNone(await self.ask(self.hop()))

    async def test_the_next_host_is_asked_when_the_first_is_down(self) -> None:
        server = self.bad(RCPT=NO)
        reply = await self.ask(self.hop(await self.nobody(), server.port))
        assert reply is not None
        self.assertEqual(reply.status, "5.1.1")

    async def test_who_does_not_answer_is_given_up_by_who_asked(self) -> None:
        for table in ({"CONNECT": silent}, {"RCPT": silent}):
            server = self.bad(**table)
            asked = Deferred.fromCoroutine(self.ask(self.hop(server.port, await self.nobody())))
            asked.addTimeout(0.1, reactor)
            with self.assertRaises(TimeoutError):
                await asked
            await self.until(lambda server=server: server.ended)

    async def test_tls_where_it_is_offered_and_as_it_is_demanded(self) -> None:
        server = self.secure(RCPT=NO)
        good = fingerprints(_certificate(server.pair))[0]
        for hop in (
            self.hop(server.port, tls="may", host="localhost"),
            self.hop(server.port, tls="encrypt", host="localhost"),
            self.hop(server.port, tls="verify", host="localhost"),
            Hop((("127.0.0.1", server.port),), tls="fingerprint", fingerprints=(good,)),
        ):
            reply = await self.ask(hop)
            assert reply is not None, hop
            self.assertEqual(reply.code, 550)
        self.assertNotIn(b"RCPT TO:<bob@outside.test>", server.clear)

    async def test_the_wrong_one_is_asked_nothing(self) -> None:
        server = self.secure("other.test", RCPT=NO)
        for hop in (
            self.hop(server.port, tls="verify", host="localhost"),
            Hop((("127.0.0.1", server.port),), tls="fingerprint", fingerprints=("00" * 32,)),
            Hop((("127.0.0.1", server.port),), tls="fingerprint"),
        ):
            self.assertIsNone(await self.ask(hop))
        self.assertNotIn(b"MAIL FROM:<>", server.heard)

    async def test_nothing_is_asked_in_clear_where_tls_is_demanded(self) -> None:
        for table in (
            {},
            {"EHLO": EHLO_TLS, "STAR": b"454 no\r\n"},
            {"EHLO": EHLO_TLS, "STAR": b"220 go\r\n250 x\r\n"},
        ):
            server = self.bad(**table)
            self.assertIsNone(await self.ask(self.hop(server.port, tls="encrypt")))
            self.assertNotIn(b"MAIL FROM:<>", server.heard)

    async def test_an_international_address_needs_a_server_that_knows_them(self) -> None:
        recipient = "jürgen@outside.test"
        server = self.bad()
        self.assertIsNone(await self.ask(self.hop(server.port), recipient))
        server = self.bad(EHLO=b"250-x\r\n250 SMTPUTF8\r\n")
        reply = await self.ask(self.hop(server.port), recipient)
        assert reply is not None and reply.positive
        self.assertIn(b"MAIL FROM:<> SMTPUTF8", server.heard)

    async def test_ourselves_we_do_not_ask(self) -> None:
        server = self.bad()
        self.assertIsNone(await self.ask(self.hop(server.port), doors=(("127.0.0.1", server.port),)))
        self.assertEqual(server.made, 0)

    async def test_a_host_without_an_address(self) -> None:
        resolver = PretendedResolver()
        self.assertIsNone(await self.ask(self.hop(25, host="none.test"), resolver=resolver))
        self.assertEqual(resolver.asked, ["none.test"])


def _certificate(pair: Any) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())
