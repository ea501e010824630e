"""TLS with next hops, level by level, and signing in: what is required is never given up."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from OpenSSL import SSL

from securegw.clients.hop import Hop
from securegw.clients.relay import Relay, Reply
from securegw.tls import ServerTLS, fingerprints
from tests.clients.relay_case import (
    ANN,
    BOB,
    EHLO,
    EHLO_TLS,
    RAW,
    BadServer,
    PretendedResolver,
    RelayCase,
    drop,
    drop_the_handshake,
)
from tests.support.certificates import TestAuthority
from tests.support.smtp_door import PretendedIntake

PAST = datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC)
AUTH_TLS = b"250-x\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"
REQUIRED = ("encrypt", "verify", "secure", "fingerprint")


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

    async def test_5_2_17_may_falls_back_when_the_handshake_fails(self) -> None:
        server = self.bad(EHLO=b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n", STAR=b"220 go\r\n")
        server.table["STAR"] = drop_the_handshake
        sent = await self.relay().send(self.hop(server.port, tls="may"), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].positive, sent)
        self.assertEqual(server.made, 2)

    async def test_5_2_17_encrypt_never_falls_back(self) -> None:
        server = self.bad(EHLO=b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
        server.table["STAR"] = drop_the_handshake
        plain = self.bad()
        sent = await self.relay().send(self.hop(server.port, plain.port, tls="encrypt"), ANN, [BOB], RAW)
        self.assertTrue(sent.recipients[BOB].temporary)
        self.assertTrue(sent.recipients[BOB].status.startswith("4.7."))
        for heard in server.heard + plain.heard:
            self.assertFalse(heard.startswith(b"MAIL"), heard)

    async def test_5_2_17_injected_replies_before_tls(self) -> None:
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


class Levels(RelayCase):
    """none, may, encrypt, verify, secure, fingerprint against certificates of every kind."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver = PretendedResolver(
            mx_outside_test=["127.0.0.1"], outside_test=["127.0.0.1"], mx_elsewhere_test=["127.0.0.1"]
        )

    async def reply(self, server: Any, tls: str, *, relay: Relay | None = None, **hop: Any) -> Reply:
        values: dict[str, Any] = {"name": "outside.test", **hop}
        host = values.pop("host", "mx.outside.test")
        made = Hop(((host, server.port),), tls=tls, **values)  # type: ignore[arg-type]
        sent = await (relay or self.relay()).send(made, ANN, [BOB], RAW)
        return sent.recipients[BOB]

    def refused(self, reply: Reply, server: Any, *words: str) -> None:
        self.assertEqual((reply.code, reply.status), (451, "4.7.5"), reply)
        for word in words:
            self.assertIn(word, reply.text)
        self.assertEqual([line for line in server.heard if line.startswith(b"MAIL")], [])

    async def test_verify_takes_the_name_of_the_host(self) -> None:
        self.assertTrue((await self.reply(self.secure("mx.outside.test"), "verify")).positive)
        self.assertTrue((await self.reply(self.secure("*.outside.test"), "verify")).positive)
        server = self.secure("outside.test")
        self.refused(await self.reply(server, "verify"), server, "not for mx.outside.test")

    async def test_secure_takes_the_hop_as_it_is_configured_and_hosts_within_it(self) -> None:
        for name in ("outside.test", "mx.outside.test", "*.outside.test"):
            self.assertTrue((await self.reply(self.secure(name), "secure")).positive, name)

    async def test_secure_does_not_believe_the_name_server(self) -> None:
        server = self.secure("mx.elsewhere.test")
        self.refused(await self.reply(server, "secure", host="mx.elsewhere.test"), server, "not for outside.test")
        self.assertTrue((await self.reply(server, "verify", host="mx.elsewhere.test")).positive)

    async def test_secure_reads_the_hop_of_a_route(self) -> None:
        server = self.secure("mx.outside.test")
        for name in ("[mx.outside.test]:25", "mx.outside.test:587", "mx.outside.test", "MX.outside.test"):
            self.assertTrue((await self.reply(server, "secure", name=name)).positive, name)

    async def test_an_address_is_verified_as_one(self) -> None:
        for tls in ("verify", "secure"):
            server = self.secure("127.0.0.1")
            self.assertTrue((await self.reply(server, tls, host="127.0.0.1", name="[127.0.0.1]:25")).positive)
            named = self.secure("mx.outside.test")
            self.refused(await self.reply(named, tls, host="127.0.0.1", name="[127.0.0.1]:25"), named)

    async def test_5_2_17_a_certificate_of_somebody_else(self) -> None:
        self.authority = TestAuthority(self.folder())
        server = self.secure("mx.outside.test")
        self.authority = TestAuthority(self.folder())
        for tls in ("verify", "secure"):
            self.refused(await self.reply(server, tls), server, "cannot be trusted")
        self.assertTrue((await self.reply(server, "encrypt")).positive)

    async def test_an_expired_certificate(self) -> None:
        pair = self.authority.issue("mx.outside.test", end=PAST)
        tls = ServerTLS(pair.certificate, pair.key)
        server = self.bad(EHLO=EHLO_TLS, STAR=lambda each: each.start_tls(tls))
        self.refused(await self.reply(server, "verify"), server, "cert has expired")

    async def test_fingerprints_of_certificate_or_key_in_any_way_of_writing(self) -> None:
        server = self.secure("whoever.test")
        found = fingerprints(x509.load_pem_x509_certificate(server.pair.certificate.read_bytes()))
        colons = ":".join(found[1][at : at + 2] for at in range(0, 64, 2)).upper()
        for wanted in ((found[0],), (found[1],), ("00" * 32, colons)):
            self.assertTrue((await self.reply(server, "fingerprint", fingerprints=wanted)).positive)

    async def test_another_fingerprint_and_none(self) -> None:
        server = self.secure("mx.outside.test")
        self.refused(await self.reply(server, "fingerprint", fingerprints=("00" * 32,)), server, "another fingerprint")
        self.refused(await self.reply(server, "fingerprint"), server, "No fingerprint is known")

    async def test_5_2_17_required_tls_is_never_given_up(self) -> None:
        """Not offered, refused, failed: no sender, no recipient, no text in clear, at every level."""
        for tls in REQUIRED:
            for table in (
                {"EHLO": EHLO},
                {"EHLO": b"502 what\r\n"},
                {"STAR": b"454 4.7.0 not now\r\n"},
                {"STAR": b"554 5.7.0 never\r\n"},
                {"STAR": b"220 go\r\n250-x\r\n250 PIPELINING\r\n"},
                {"STAR": drop_the_handshake},
                {"STAR": lambda each: (each.transport.write(b"220 go\r\n"), each.transport.loseConnection())},
            ):
                server = self.secure("mx.outside.test", **table)  # type: ignore[arg-type]
                reply = await self.reply(server, tls, fingerprints=("00" * 32,))
                self.assertTrue(reply.temporary, (tls, table, reply))
                self.assertLessEqual(
                    {line[:4] for line in server.clear if line[:1].isalpha()}, {b"EHLO", b"HELO", b"STAR"}
                )

    async def test_sessions_are_resumed_and_still_judged(self) -> None:
        pair = self.authority.issue("mx.outside.test")
        resumed: list[bool] = []
        tls = ServerTLS(pair.certificate, pair.key)

        def note(server: BadServer) -> None:
            if server.secure:
                resumed.append(bool(SSL._lib.SSL_session_reused(server.transport.getHandle()._ssl)))
            server.transport.write(EHLO_TLS)

        server = self.bad(EHLO=note, STAR=lambda each: each.start_tls(tls))
        relay = self.relay(mails=1)
        for level, reused in (("verify", False), ("verify", True), ("secure", False), ("encrypt", False)):
            self.assertTrue((await self.reply(server, level, relay=relay)).positive)
            self.assertEqual(resumed[-1], reused, level)
        other = self.authority.issue("other.test", file="other")
        tls._context = ServerTLS(other.certificate, other.key).context()  # the old session is worth nothing there
        self.refused(await self.reply(server, "verify", relay=relay, name="outside.test"), self.bad(), "not for")


class SignIn(RelayCase):
    def smarthost(self, **table: Any) -> Any:
        return self.secure(**{"EHLO": AUTH_TLS, "AUTH": b"235 2.7.0 welcome\r\n", **table})

    async def send(self, server: Any, tls: str = "encrypt") -> Reply:
        hop = Hop((("localhost", server.port),), tls=tls, name="x", login="gateway", password="open sesame")  # type: ignore[arg-type]
        self.assertNotIn("sesame", repr(hop))
        sent = await self.relay().send(hop, ANN, [BOB], RAW)
        return sent.recipients[BOB]

    async def test_under_tls(self) -> None:
        server = self.smarthost()
        self.assertTrue((await self.send(server)).positive)
        self.assertIn(b"AUTH PLAIN AGdhdGV3YXkAb3BlbiBzZXNhbWU=", server.heard)
        self.assertFalse([line for line in server.clear if line.startswith((b"AUTH", b"MAIL"))])

    async def test_not_without_tls(self) -> None:
        for tls in ("none", "may"):
            server = self.smarthost(EHLO=b"250-x\r\n250 AUTH PLAIN LOGIN\r\n")
            self.assertEqual((await self.send(server, tls)).status, "4.7.11")
            self.assertEqual([line[:4] for line in server.heard], [b"EHLO"])

    async def test_may_does_not_fall_back_to_clear_text_with_a_password(self) -> None:
        server = self.smarthost(STAR=drop_the_handshake)
        self.assertEqual((await self.send(server, "may")).status, "4.7.5")
        self.assertEqual(server.made, 1)

    async def test_a_wrong_password_waits(self) -> None:
        server = self.smarthost(AUTH=b"535 5.7.8 no AGdhdGV3YXkAb3BlbiBzZXNhbWU=\r\n")
        reply = await self.send(server)
        self.assertEqual((reply.code, reply.status), (451, "4.7.8"))
        self.assertNotIn("AGdh", reply.text)
        self.assertFalse([line for line in server.heard if line.startswith(b"MAIL")])

    async def test_bad_replies_to_a_sign_in(self) -> None:
        for answer in (b"334 \r\n", b"250 ok\r\n", b"nonsense\r\n", drop):
            self.assertTrue((await self.send(self.smarthost(AUTH=answer))).temporary)
