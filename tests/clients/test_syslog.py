"""The forwarder and its receivers on a pretended reactor: levels, no circles, links that go and come."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadable import registerAsIOThread

from securegw.clients.syslog import PAUSES, STEADY, Forwarder, Place, SyslogSettings, place
from securegw.clients.syslog_link import StreamLink, framed
from securegw.config.kinds import Unfit
from securegw.workers.work import InlineWorkers
from tests.logs.events import event

registerAsIOThread()  # what a reactor does when it runs


@attrs.define
class Field:
    """A forwarder to one TCP receiver, and everything that went over the wire."""

    folder: Path
    reactor: Any = attrs.field(factory=MemoryReactorClock)
    level: str = "info"
    forwarder: Forwarder = attrs.field(init=False)
    wire: Any = None

    def __attrs_post_init__(self) -> None:
        settings = SyslogSettings(receivers=(Place("tcp", "192.0.2.9", 514),), level=self.level)
        self.forwarder = Forwarder(settings, "gw.test", self.folder, InlineWorkers(), self.reactor)
        self.forwarder.start()

    @property
    def receiver(self) -> Any:
        return self.forwarder.receivers[0]

    def answer(self) -> StringTransport:
        """The receiver takes the newest connection."""
        factory = self.reactor.tcpClients[-1][2]
        self.wire = StringTransport()
        self.link = factory.buildProtocol(None)
        self.link.makeConnection(self.wire)
        return self.wire

    def refuse(self) -> None:
        self.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.reactor.advance(0.31)  # Twisted waits so long for another address of the same host

    def lose(self) -> None:
        self.link.connectionLost(Failure(ConnectionLost()))

    link: Any = None

    def tell(self, words: str, level: LogLevel = LogLevel.info) -> None:
        self.forwarder(event(words, level=level))

    def arrived(self) -> list[str]:
        """The texts on the wire, frame by frame."""
        raw, found = self.wire.value(), []
        while raw:
            length, _, raw = raw.partition(b" ")
            frame, raw = raw[: int(length)], raw[int(length) :]
            found.append(frame.decode().rpartition("\ufeff")[2])
        self.wire.clear()
        return found


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path)


def test_lines_go_together_and_in_frames(field: Field) -> None:
    field.answer()
    field.tell("one")
    field.tell("two")
    assert field.wire.value() == b""
    field.reactor.advance(0.1)
    assert field.arrived() == ["one", "two"]


def test_a_frame_is_its_length_and_the_line() -> None:
    assert framed([b"<22>1 x", "ä".encode()]) == "7 <22>1 x2 ä".encode()


def test_what_is_less_than_the_level_is_not_sent(tmp_path: Path) -> None:
    field = Field(tmp_path, level="warn")
    field.answer()
    field.tell("small talk")
    field.tell("look here", LogLevel.warn)
    field.reactor.advance(0.1)
    assert field.arrived() == ["look here"]


def test_a_receiver_that_is_away_gets_everything_later_and_in_order(field: Field) -> None:
    field.tell("one")
    field.refuse()
    field.reactor.advance(0.9)
    field.tell("two")
    assert len(field.reactor.tcpClients) == 1
    field.reactor.pump([0.1, 0.1])
    assert len(field.reactor.tcpClients) == 2
    field.answer()
    field.tell("three")
    field.reactor.advance(0.1)
    assert field.arrived() == ["one", "two", "three"]


def test_pauses_grow_and_begin_again_after_a_good_time(field: Field) -> None:
    for number, pause in enumerate(PAUSES, 1):
        field.refuse()
        field.reactor.advance(pause - 0.1)
        assert len(field.reactor.tcpClients) == number
        field.reactor.advance(0.2)
        assert len(field.reactor.tcpClients) == number + 1
    field.answer()
    field.reactor.pump([1] * int(STEADY + 2))
    field.lose()
    field.reactor.advance(PAUSES[0] + 0.1)
    assert len(field.reactor.tcpClients) == len(PAUSES) + 2


def test_a_slow_receiver_is_not_flooded(field: Field) -> None:
    field.answer()
    field.link._wrappedProtocol.pauseProducing()
    field.tell("one")
    field.reactor.advance(0.1)
    assert field.arrived() == []
    field.link._wrappedProtocol.resumeProducing()
    field.reactor.advance(0.1)
    assert field.arrived() == ["one"]


def test_what_may_not_have_been_read_comes_again(field: Field) -> None:
    field.answer()
    field.tell("one")
    field.reactor.advance(0.1)
    assert field.arrived() == ["one"]
    field.lose()
    field.reactor.pump([0.5, 0.6])
    field.answer()
    field.tell("two")
    field.reactor.advance(0.1)
    assert field.arrived() == ["one", "two"]


def test_the_end_says_good_bye_and_keeps_the_rest(tmp_path: Path) -> None:
    field = Field(tmp_path)
    field.answer()
    field.tell("one")
    done = Deferred.fromCoroutine(field.forwarder.stop())
    assert field.wire.disconnecting
    assert field.arrived() == ["one"]
    field.lose()
    assert done.called
    silent = Field(tmp_path)
    silent.tell("two")
    assert Deferred.fromCoroutine(silent.forwarder.stop()).called
    again = Field(tmp_path)
    again.answer()
    again.reactor.advance(0.1)
    assert again.arrived() == ["two"]


def test_the_end_does_not_wait_for_workers_that_are_gone(tmp_path: Path) -> None:
    class Gone(InlineWorkers):
        def thread(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            return Deferred()  # a pool that was stopped takes work and never does it

    field = Field(tmp_path)
    field.tell("one")
    field.receiver.queue.spill()
    field.receiver.queue._workers = Gone()
    field.answer()
    field.tell("two")
    done = Deferred.fromCoroutine(field.forwarder.stop())
    field.lose()
    assert done.called
    again = Field(tmp_path)
    again.answer()
    again.reactor.advance(0.1)
    assert again.arrived() == ["one", "two"]


def test_nothing_is_logged_from_within_the_log(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is told while a line is handed over does not come back into the observer for ever."""
    logger = Logger("loop", observer=field.forwarder)
    calls: list[bytes] = []

    def accept(line: bytes) -> None:
        calls.append(line)
        logger.info("a line came")

    monkeypatch.setattr(field.receiver, "accept", accept)
    field.tell("one")
    assert len(calls) == 1


def test_an_event_that_cannot_be_written_breaks_nothing(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(told: object) -> bytes:
        raise ValueError

    monkeypatch.setattr("securegw.clients.syslog_message.text_of", broken)
    field.tell("one")
    assert field.forwarder.broken == 1


def test_another_thread_hands_over_to_the_reactor(field: Field) -> None:
    handed: list[Any] = []
    field.reactor.callFromThread = lambda function, *args: handed.append((function, args))
    thread = threading.Thread(target=field.tell, args=("from a thread",))
    thread.start()
    thread.join()
    [(function, args)] = handed
    field.answer()
    function(*args)
    field.reactor.advance(0.1)
    assert field.arrived() == ["from a thread"]


def test_that_it_is_away_is_told_once(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Log:
        def warn(self, words: str, **values: str) -> None:
            told.append(values["problem"])

        def info(self, words: str, **values: str) -> None:
            told.append("again")

    monkeypatch.setattr("securegw.clients.syslog.log", Log())
    for pause in PAUSES[:3]:
        field.refuse()
        field.reactor.advance(pause + 0.1)
    assert len(told) == 1
    field.answer()
    field.reactor.pump([1] * int(STEADY + 2))
    assert told[1:] == ["again"]


def test_a_link_of_another_sort_of_transport_is_a_link() -> None:
    ups: list[str] = []
    link = StreamLink(None, lambda: ups.append("up"), ups.append)
    link.makeConnection(StringTransport())
    link.dataReceived(b"hello?")
    assert ups == ["up"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("udp://192.0.2.1", Place("udp", "192.0.2.1", 514)),
        ("tcp://Logs.example.org:601", Place("tcp", "logs.example.org", 601)),
        ("tls://[2001:db8::1]", Place("tls", "2001:db8::1", 6514)),
    ],
)
def test_places(text: str, found: Place) -> None:
    assert place.read(text, Path()) == found
    assert place.read(str(found), Path()) == found


@pytest.mark.parametrize(
    "text", ["logs", "http://x", "udp://", "udp://x:0", "tcp://x:65536", "tls://a b", "tls://x/y", 7]
)
def test_what_is_no_place(text: object) -> None:
    with pytest.raises(Unfit):
        place.read(text, Path())
