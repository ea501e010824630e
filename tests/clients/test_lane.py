"""Fairness: a dead hop answers at once and delays nobody, a shy one gets fewer connections, and both recover."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from securegw.clients.lane import FORGOTTEN, REMEMBERED, Lane, Memory
from securegw.clients.relay import Relay, Reply
from tests.clients.relay_case import ANN, BOB, RAW, BadServer, RelayCase, drop, silent

LATER = Reply(451, "4.4.1", "No connection", "x")


class Peace(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.memory = Memory(self.clock)

    def test_longer_each_time_up_to_a_minute(self) -> None:
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            self.assertIsNone(self.memory.reply("x"))
            self.memory.failed("x", LATER)
            self.clock.advance(seconds - 0.1)
            self.assertIsNotNone(self.memory.reply("x"))
            self.clock.advance(0.2)

    def test_calls_at_the_same_time_count_once(self) -> None:
        for _ in range(10):
            self.memory.failed("x", LATER)
        self.clock.advance(1)
        self.assertIsNone(self.memory.reply("x"))

    def test_one_call_finds_out_and_the_others_are_answered(self) -> None:
        self.memory.failed("x", LATER)
        self.clock.advance(1)
        self.memory.begin("x")
        self.assertIsNotNone(self.memory.reply("x"))
        self.memory.end("x")
        self.assertIsNone(self.memory.reply("x"))

    def test_success_and_time_make_forget(self) -> None:
        self.memory.failed("x", LATER)
        self.memory.went_well("x")
        self.assertIsNone(self.memory.reply("x"))
        for pause in (1, 2, FORGOTTEN + 10):
            self.memory.failed("x", LATER)
            self.clock.advance(pause)
        self.memory.failed("x", LATER)
        self.clock.advance(1)
        self.assertIsNone(self.memory.reply("x"))

    def test_no_more_than_so_many_are_remembered(self) -> None:
        for number in range(REMEMBERED + 1):
            self.memory.failed(number, LATER)
        self.assertIsNone(self.memory.reply(0))
        self.assertIsNotNone(self.memory.reply(1))


class Turns(SynchronousTestCase):
    def test_ten_thousand_that_end_at_once_are_no_recursion(self) -> None:
        lane = Lane("x", 1)
        self.successResultOf(Deferred.fromCoroutine(lane.enter()))

        async def short() -> None:
            await lane.enter()
            lane.leave()

        waiting = [Deferred.fromCoroutine(short()) for _ in range(10_000)]
        lane.leave()
        for each in waiting:
            self.successResultOf(each)
        self.assertTrue(lane.unused)


class Fairness(RelayCase):
    async def send(self, relay: Relay, port: int) -> Reply:
        sent = await relay.send(self.hop(port, name=str(port)), ANN, [BOB], RAW)
        return sent.recipients[BOB]

    async def all(self, relay: Relay, port: int, number: int) -> list[Reply]:
        sends = [Deferred.fromCoroutine(self.send(relay, port)) for _ in range(number)]
        return list(await gatherResults(sends))

    async def test_a_thousand_mails_to_a_dead_host_do_not_wait_each(self) -> None:
        clock = Clock()
        server = self.bad(CONNECT=silent)
        relay = self.relay(clock)
        sends = Deferred.fromCoroutine(self.all(relay, server.port, 1000))
        await self.until(lambda: server.made == 10)
        clock.advance(301)
        replies = await sends
        self.assertEqual({reply.code for reply in replies}, {451})
        self.assertEqual((server.made, clock.seconds()), (10, 301.0))

    async def test_others_are_not_delayed_by_it(self) -> None:
        clock = Clock()
        dead, alive, relay = self.bad(CONNECT=silent), self.bad(), self.relay(clock)
        stuck = Deferred.fromCoroutine(self.all(relay, dead.port, 100))
        replies = await self.all(relay, alive.port, 100)
        self.assertTrue(all(reply.positive for reply in replies))
        self.assertFalse(stuck.called)
        clock.advance(301)
        await stuck

    async def test_a_dead_hop_that_lives_again_is_found_by_one_call(self) -> None:
        clock = Clock()
        server, relay = self.bad(CONNECT=b"421 not now\r\n"), self.relay(clock)
        first = await self.send(relay, server.port)
        self.assertEqual((first.code, server.made), (421, 1))
        again = await self.send(relay, server.port)
        self.assertEqual((again.code, server.made), (421, 1))
        self.assertIn("a moment ago", again.text)
        del server.table["CONNECT"]
        clock.advance(1)
        replies = await self.all(relay, server.port, 5)
        self.assertTrue(replies[0].positive)
        self.assertTrue((await self.send(relay, server.port)).positive)
        self.assertEqual(server.made, 2)

    async def test_a_hop_that_takes_few_connections_gets_few(self) -> None:
        """The fourth connection is refused while three work: their mails wait for those, and none is put off."""

        def at_most_three(server: BadServer) -> None:
            full = server.factory.made - server.factory.ended > 3
            server.transport.write(b"421 too many\r\n" if full else b"220 hi\r\n")

        server, relay = self.bad(CONNECT=at_most_three), self.relay()
        replies = await self.all(relay, server.port, 200)
        self.assertTrue(all(reply.positive for reply in replies), {str(reply) for reply in replies})
        self.assertLess(server.made, 30)

    async def test_a_lost_connection_does_not_block_its_lane(self) -> None:
        server, relay = self.bad(), self.relay(connections=2)
        await self.send(relay, server.port)
        for _ in range(5):
            server.table["END"] = lambda each: (server.table.pop("END", None), drop(each))
            replies = await self.all(relay, server.port, 6)
            self.assertEqual(sum(not reply.positive for reply in replies), 1)
        self.assertEqual([lane.open for lane in relay._lanes.values()], [server.made - server.ended])

    async def test_nothing_is_kept_of_hops_that_are_gone(self) -> None:
        relay = self.relay()
        for _ in range(20):
            server: Any = self.bad()
            await self.send(relay, server.port)
            await self.send(relay, await self.nobody())
        self.assertEqual(len(relay._lanes), 20)  # each with a connection at rest
        relay.close()
        self.assertEqual(len(relay._lanes), 0)
        await self.until(lambda: not [call for call in reactor.getDelayedCalls() if "Relay" in str(call.func)])
