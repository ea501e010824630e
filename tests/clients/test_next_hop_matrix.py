"""D12: a next hop in trouble at every stage, in every way, with twenty mails under way and a healthy neighbour.

Real sockets and a clock that is turned by hand: it only moves once the hop is where its trouble begins. What the
relay made of it then goes through a gateway in memory: is the mail queued, or back with its sender, once?
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from securegw.clients.hop import Tls
from securegw.clients.relay import Relay, Reply
from securegw.store import desk
from tests.clients.relay_case import ANN, BOB, EHLO_TLS, RAW, Answer, BadServer, RelayCase, drop, silent
from tests.support.world import World

STAGES = ("connect", "banner", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "dot", "QUIT")
TROUBLES = ("4xx", "5xx", "hang", "reset", "garbage", "slow")
VERBS = {"connect": "CONNECT", "banner": "CONNECT", "STARTTLS": "STAR", "dot": "END"}
MAILS = 20
STEP = 19.0  # seconds of the clock for each turn of the reactor


def spent(server: BadServer, text: bytes) -> None:
    """Says it and hangs up, as servers do that do not want to talk at all."""
    server.transport.write(text)
    server.transport.loseConnection()


class SlowNetwork:
    """The reactor, but for connections to some ports, which are made later."""

    def __init__(self, clock: Clock, ports: set[int]) -> None:
        self.clock = clock
        self.ports = ports

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def connectTCP(self, host: str, port: int, *others: Any, **named: Any) -> object:
        if port in self.ports:
            return self.clock.callLater(STEP, reactor.connectTCP, host, port, *others, **named)
        return reactor.connectTCP(host, port, *others, **named)


class NextHopMatrix(RelayCase):
    world: World

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = World()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.world.close()

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.slow: set[int] = set()

    def answer(self, stage: str, trouble: str) -> Answer:
        """What the server does when it is asked at this stage."""
        texts = {"4xx": b"451 4.3.0 later\r\n", "5xx": b"554 5.3.0 never\r\n", "garbage": b"\x16\x03\x01 \xff?\r\n"}
        if stage == "connect" and trouble in texts:
            return lambda server: spent(server, texts[trouble])
        ways: dict[str, Callable[[BadServer], object]] = {"hang": silent, "reset": drop, "slow": self.drip}
        return texts[trouble] if trouble in texts else ways[trouble]

    def drip(self, server: BadServer) -> None:
        """A byte now and then, and never a whole line."""
        if server.transport.connected:
            server.transport.write(b"2")
            self.clock.callLater(STEP, self.drip, server)

    def server(self, stage: str, trouble: str) -> Any:
        table: dict[str, Answer] = {VERBS.get(stage, stage): self.answer(stage, trouble)}
        if stage == "STARTTLS":
            table["EHLO"] = EHLO_TLS
        if stage in {"MAIL", "RCPT"} and trouble in {"4xx", "5xx"}:
            table["DATA"] = b"503 5.5.1 nobody to send it to\r\n"
        if stage == "connect" and trouble in {"hang", "slow"}:
            table = {}  # it is the network, see port()
        return self.bad(**table)

    async def cell(self, stage: str, trouble: str, tls: Tls = "none") -> tuple[list[Reply], Any]:
        """Twenty mails to the sick hop; a healthy one takes its mails before the clock has moved at all."""
        server = self.server(stage, trouble)
        server.port = self.port(stage, trouble, server.port)
        relay = self.relay(self.clock, network=SlowNetwork(self.clock, self.slow))
        sends = [Deferred.fromCoroutine(self.mail(relay, server.port, tls)) for _ in range(MAILS)]
        healthy = self.bad()
        others = await gatherResults([Deferred.fromCoroutine(self.mail(relay, healthy.port)) for _ in range(MAILS)])
        self.assertTrue(all(reply.positive for reply in others))
        self.assertEqual(self.clock.seconds(), 0.0)
        begun = {"hang": lambda: not server.made or VERBS.get(stage, stage) in server.reached}
        begun["slow"] = (lambda: not server.made) if stage == "connect" else begun["hang"]
        await self.turn_until_done(sends, begun.get(trouble, lambda: False))
        if stage == "QUIT":
            relay.close()
            await self.turn_until_done([self.until(lambda: server.ended == server.made)], lambda: True)
        self.assertLess(self.clock.seconds(), 2 * 3 * 660.0)  # two rounds of ten, each within the patience of a stage
        return [send.result for send in sends], server

    def port(self, stage: str, trouble: str, usual: int) -> int:
        """Before a connection is made, it is the machine that is in trouble and not the server."""
        if stage != "connect" or trouble not in {"hang", "slow"}:
            return usual
        return self.full_listener() if trouble == "hang" else self.slow_port(usual)

    def full_listener(self) -> int:
        """Nobody takes connections from its queue, so that the next one is never answered."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(listener.close)
        for _ in range(2):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
            self.addCleanup(waiting.close)
        return int(listener.getsockname()[1])

    def slow_port(self, port: int) -> int:
        """The network takes its time, but less than our patience."""
        self.slow.add(port)
        return port

    async def mail(self, relay: Relay, port: int, tls: Tls = "none") -> Reply:
        sent = await relay.send(self.hop(port, tls=tls, name=str(port)), ANN, [BOB], RAW)
        self.assertEqual(set(sent.recipients), {BOB})
        return sent.recipients[BOB]

    async def turn_until_done(self, waiting: list[Deferred[Any]], begun: Callable[[], bool]) -> None:
        """Turn the clock as soon as the trouble has begun, until all is answered."""

        def turn() -> bool:
            if begun():
                self.clock.advance(STEP)
            return all(each.called for each in waiting)

        await self.until(turn)

    def in_clear(self, server: Any) -> list[bytes]:
        return [line for line in server.clear if line[:4] in {b"MAIL", b"RCPT", b"DATA"}]

    def into_the_queue(self, cell: str, reply: Reply) -> None:
        """What such a reply makes of a mail of Ann and of one of nobody: 4xx waits, 5xx is told once."""
        world, people = self.world, [f"{cell}-{name}@outside.test" for name in ("one", "two")]
        before = len(world.sent_to("ann@inside.test"))
        for sender in ("ann@inside.test", ""):
            for person in people:
                world.relay.answers[person] = reply
            world.send(sender, [*people, f"{cell}-healthy@outside.test"])
        told = [mail.raw.decode() for mail in world.sent_to("ann@inside.test")[before:]]
        waiting = [item for item in world.read(desk.list_items) if f"{cell}-one@" in item.recipients[0].address]
        finals = sum(text.count("Final-Recipient:") for text in told)
        expected = {"2": (0, 0, 0), "4": (0, 0, 2), "5": (1, 2, 0)}[str(reply.code)[0]]
        self.assertEqual((len(told), finals, len(waiting)), expected, reply)
        self.assertEqual(len(world.sent_to(f"{cell}-healthy@outside.test")), 2)

    async def starttls(self, trouble: str) -> None:
        """Where TLS is required nothing of the mail is said; where it is not, a refusal is no trouble."""
        replies, server = await self.cell("STARTTLS", trouble, "encrypt")
        self.assertTrue(all(reply.temporary for reply in replies), replies)
        self.assertEqual(self.in_clear(server), [])
        self.into_the_queue(f"starttls-required-{trouble}", replies[0])
        if trouble in {"4xx", "5xx"}:
            self.assertEqual({reply.status for reply in replies}, {"4.7.4"})
        self.clock = Clock()
        replies, _ = await self.cell("STARTTLS", trouble, "may")
        self.assertTrue(all(reply.positive == (trouble in {"4xx", "5xx"}) for reply in replies), replies)
        self.into_the_queue(f"starttls-{trouble}", replies[0])

    async def judge(self, stage: str, trouble: str) -> None:
        if stage == "STARTTLS":
            await self.starttls(trouble)
            return
        replies, server = await self.cell(stage, trouble)
        hello = (stage, trouble) == ("EHLO", "5xx")  # then there is HELO
        taken = hello or stage == "QUIT" or (stage, trouble) == ("connect", "slow")
        final = trouble == "5xx" and stage in {"MAIL", "RCPT", "DATA", "dot"}
        for reply in replies:
            self.assertEqual((reply.positive, reply.permanent), (taken, final), reply)
            self.assertIn(reply.status[0], {"2": "2", "4": "4", "5": "5"}[str(reply.code)[0]])
        self.into_the_queue(f"{stage.lower()}-{trouble}", replies[0])
        if stage in {"connect", "banner"} and not taken:
            self.assertLessEqual(server.made, MAILS)
            self.assertEqual(self.in_clear(server), [])


def _cell(stage: str, trouble: str) -> Callable[[NextHopMatrix], Any]:
    async def test(self: NextHopMatrix) -> None:
        await self.judge(stage, trouble)

    test.__name__ = f"test_d12_{stage}_{trouble}"
    return test


for _stage in STAGES:
    for _trouble in TROUBLES:
        _test = _cell(_stage, _trouble)
        setattr(NextHopMatrix, _test.__name__, _test)
