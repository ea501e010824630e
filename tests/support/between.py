"""What any mail server must get right with the gateway beside it, as next hop and as sender: tests to inherit.

The gateway hands all mail for the world to the server, which hands it to a sink; the server hands all mail for
inside.test to the gateway, from an address that is not inside, which hands it to another sink.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import attrs

from tests.support.mails import STRANGER, body, mail, read, send
from tests.support.ports import free_port
from tests.support.running import Gateway, prepare
from tests.support.sink import Sink, sink

ANN, BOB, NOBODY = "ann@inside.test", "bob@outside.test", "nobody@outside.test"
TEXT = "Grüezi €\n.one dot\n..two dots\n.\n...\n\n \n-- \n" + "x" * 998 + "\nlast line\t "
MANY = 40


class Server(Protocol):
    """A mail server that runs."""

    @property
    def port(self) -> int: ...
    def log(self) -> str: ...
    def queue_size(self) -> int: ...
    def flush(self) -> None: ...
    def wait_for_log(self, words: str) -> None: ...


class Maker(Protocol):
    """Starts a mail server: mail for inside.test goes to port ``inside`` from ``source``, all other to ``world``."""

    def __call__(self, *, inside: int, world: int, source: str) -> contextlib.AbstractContextManager[Server]: ...


@attrs.frozen
class Line:
    """People inside, gateway, mail server, the world behind it."""

    people: Sink
    gateway: Gateway
    server: Server
    world: Sink

    def begin(self) -> Line:
        """Nothing is left of the test before."""
        await_queue(self.server, 0)
        self.gateway.wait_empty(30)
        self.people.forget()
        self.world.forget()
        return self


@contextlib.contextmanager
def between(folder: Path, make: Maker) -> Iterator[Line]:
    """A running gateway beside a running mail server."""
    with sink() as people, sink() as world:
        gateway = prepare(folder, inside=people.port, outside=free_port())
        with make(inside=gateway.smtp_port, world=world.port, source=STRANGER) as server:
            gateway.reroute(inside=people.port, outside=server.port)
            try:
                gateway.start()
                yield Line(people, gateway, server, world)
            finally:
                gateway.stop()


class Neighbour:
    """The tests; ``down`` are the words of its log when nobody listens at the gateway's port."""

    down = "Connection refused"

    def test_a_mail_goes_out_unchanged(self, line: Line) -> None:
        raw = mail(ANN, BOB, "out", TEXT)

        send(line.gateway.smtp_port, ANN, BOB, raw)

        got = line.world.sent_to(BOB)
        assert body(got.raw) == body(raw)
        assert got.sender == ANN
        await_queue(line.server, 0)

    def test_a_mail_comes_in_unchanged_and_under_tls(self, line: Line) -> None:
        raw = mail(BOB, ANN, "in", TEXT)

        send(line.server.port, BOB, ANN, raw)

        got = line.people.sent_to(ANN)
        assert body(got.raw) == body(raw)
        assert got.sender == BOB
        trace = next(field for field in read(got.raw).get_all("Received", []) if "by gw.inside.test" in field)
        assert f"[{STRANGER}]" in trace
        assert "ESMTPS" in trace

    def test_ten_megabytes_there_and_back(self, line: Line) -> None:
        text = "\n".join(f"{number:0>75}" for number in range(130_000))

        send(line.gateway.smtp_port, ANN, BOB, raw := mail(ANN, BOB, "large out", text))
        send(line.server.port, BOB, ANN, answer := mail(BOB, ANN, "large in", text))

        assert body(line.world.sent_to(BOB).raw) == body(raw)
        assert body(line.people.sent_to(ANN).raw) == body(answer)

    def test_who_is_refused_comes_back_as_a_notice_and_the_others_get_their_mail(self, line: Line) -> None:
        send(line.gateway.smtp_port, ANN, [NOBODY, BOB], mail(ANN, BOB, "two", "marker-881"))

        assert b"marker-881" in line.world.sent_to(BOB).raw
        notice = line.people.sent_to(ANN)
        assert notice.sender == ""
        assert read(notice.raw).get_content_type() == "multipart/report"
        assert NOBODY.encode() in notice.raw
        assert b"550" in notice.raw
        assert b"marker-881" not in notice.raw

    def test_a_server_may_not_write_to_others_through_the_gateway(self, line: Line) -> None:
        raw = mail(BOB, "eve@elsewhere.test", "relay", "through you")

        with contextlib.suppress(OSError):
            send(line.gateway.smtp_port, BOB, "eve@elsewhere.test", raw, stranger=True)

        assert line.gateway.queue() == []
        assert line.world.count == 0

    def test_its_mail_waits_while_the_gateway_is_down_and_arrives_once(self, line: Line) -> None:
        line.gateway.stop()
        try:
            send(line.server.port, BOB, ANN, mail(BOB, ANN, "patience", "while it was down"))
            line.server.wait_for_log(self.down)
            await_queue(line.server, 1)
        finally:
            line.gateway.start()

        push_until(lambda: line.server.queue_size() == 0, line.server.flush)

        assert line.people.sent_to(ANN).sender == BOB
        line.gateway.wait_empty(20)
        assert line.people.count == 1

    def test_many_mails_in_both_directions_arrive_once_each(self, line: Line) -> None:
        for number in range(MANY):
            send(line.gateway.smtp_port, ANN, f"out{number}@outside.test", mail(ANN, BOB, f"many {number}", "out"))
            send(line.server.port, BOB, f"in{number}@inside.test", mail(BOB, ANN, f"many {number}", "in"))

        for goal, name in ((line.world, "out{}@outside.test"), (line.people, "in{}@inside.test")):
            goal.wait_count(MANY, 30)
            got = [person for each in goal.arrived for person in each.recipients]
            assert sorted(got) == sorted(name.format(number) for number in range(MANY))


def await_queue(server: Server, size: int, seconds: float = 30.0) -> None:
    """Until so many mails are in its queue: it takes one out only after it has read the next hop's answer."""
    end = time.monotonic() + seconds
    while (found := server.queue_size()) != size:
        assert time.monotonic() < end, f"{found} mails are in its queue, not {size}; it says:\n{server.log()}"
        time.sleep(0.05)


def push_until(good: Callable[[], bool], push: Callable[[], None], seconds: float = 20.0) -> None:
    """Push until it is good; a server that has just failed may leave the other in peace for some seconds."""
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end, f"not good after {seconds} s"
        push()
        time.sleep(0.1)
