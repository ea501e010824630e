"""The connection around the dialogue: questions that take time, clocks, limits, TLS, and never a false 250."""

from __future__ import annotations

import attrs
import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from securegw.mail.errors import RelayDenied
from securegw.servers.smtp import SmtpFactory, SmtpSettings
from tests.support.smtp_door import SIZE, Door, PretendedIntake

ENVELOPE = b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test>\r\nDATA\r\n"


def greeted(door: Door) -> Door:
    door.send(b"EHLO client.test\r\n")
    door.received()
    return door


def codes(door: Door) -> list[int]:
    return [int(line[:3]) for line in door.received().splitlines() if line[3:4] == b" "]


def factory(settings: SmtpSettings | None = None) -> SmtpFactory:
    return SmtpFactory(PretendedIntake(), settings or SmtpSettings(), None, "gw.test", Clock())


def test_the_envelope_and_the_text_arrive_as_they_were() -> None:
    door = greeted(Door())
    door.send(b'MAIL FROM:<Ann@Inside.TEST> BODY=8BITMIME\r\nRCPT TO:<"bob b"@outside.test>\r\nDATA\r\n')
    text = "Subject: Grüße\r\n\r\n.dot\r\n..\r\n".encode()
    door.send(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    [(envelope, raw)] = door.intake.mails
    assert raw == text
    assert str(envelope.sender) == "Ann@inside.test"
    assert [str(recipient) for recipient in envelope.recipients] == ['"bob b"@outside.test']
    assert envelope.eight_bit and not envelope.utf8
    assert len(envelope.trace) == 16
    assert envelope.source.helo == "client.test" and envelope.source.address == "127.0.0.1"
    assert envelope.source.inside and envelope.source.port == 4711 and envelope.source.tls == ""


def test_one_write_for_a_batch_and_no_nagle() -> None:
    door = greeted(Door())
    before = door.transport.writes
    door.send(b"MAIL FROM:<ann@inside.test>\r\n" + b"RCPT TO:<bob@outside.test>\r\n" * 900 + b"DATA\r\n")
    assert door.transport.writes == before + 1
    assert codes(door) == [250] * 901 + [354]
    assert door.transport.no_delay


def test_250_only_after_accept_has_ended() -> None:
    door = greeted(Door())
    door.intake.gates = []
    door.send(ENVELOPE)
    door.received()
    door.send(b"text\r\n.\r\n")
    assert door.received() == b"" and door.transport.producerState == "producing"
    door.send(b"QUIT\r\n")
    assert door.transport.producerState == "paused"
    [gate] = door.intake.gates
    gate.callback(None)
    assert codes(door) == [250, 221]
    assert door.closed()


def test_pipelined_commands_wait_for_a_slow_answer() -> None:
    """T8: a recipient check that takes its time, with DATA already behind it."""
    door = greeted(Door())
    door.intake.gates = []
    door.send(b"MAIL FROM:<slow@inside.test>\r\nRCPT TO:<slow@outside.test>\r\nDATA\r\n")
    assert codes(door) == []
    door.intake.gates[0].callback(None)
    assert codes(door) == [250]
    door.intake.gates[1].callback(None)
    assert codes(door) == [250, 354]
    assert door.transport.producerState == "producing"


@pytest.mark.parametrize(("text", "code"), [(b"Subject: broken", b"451 4.3.0"), (b"Subject: busy", b"451 4.3.0")])
def test_trouble_is_never_250_and_keeps_the_connection(text: bytes, code: bytes) -> None:
    door = greeted(Door())
    door.send(ENVELOPE)
    door.received()
    door.send(text + b"\r\n\r\n.\r\n")
    assert door.received().startswith(code)
    door.send(b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<broken@outside.test>\r\nRCPT TO:<away@x.test>\r\n")
    assert codes(door) == [250, 451, 554]


def test_trouble_after_a_wait_is_an_answer_too() -> None:
    door = greeted(Door())
    door.intake.gates = []
    door.send(b"MAIL FROM:<slow@inside.test>\r\nRCPT TO:<slow@outside.test>\r\n")
    door.intake.gates[0].errback(Failure(RelayDenied()))
    assert codes(door) == [554, 503]
    door.send(b"MAIL FROM:<slow@inside.test>\r\n")
    door.intake.gates[1].errback(Failure(RuntimeError("oops")))
    assert codes(door) == [451]


def test_a_bug_does_not_show_its_words() -> None:
    door = greeted(Door())
    door.send(b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<broken@outside.test>\r\n")
    assert b"oops" not in door.received()


def test_an_answer_that_comes_after_the_client_went() -> None:
    door = greeted(Door())
    door.intake.gates = []
    door.send(ENVELOPE)
    door.send(b"text\r\n.\r\n")
    door.transport.loseConnection()
    door.intake.gates[0].callback(None)
    assert door.taken() == 1  # taken, though nobody hears it: at least once


def test_early_talkers_are_turned_away() -> None:
    door = Door(SmtpSettings(greeting_delay=5.0))
    assert door.received() == b""
    door.send(b"EHLO early.test\r\n")
    assert codes(door) == [554] and door.closed()
    patient = Door(SmtpSettings(greeting_delay=5.0))
    patient.wait(6)
    assert codes(patient) == [220]
    patient.send(b"EHLO patient.test\r\n")
    assert codes(patient) == [250]


def test_dripping_bytes_is_not_progress() -> None:
    door = greeted(Door())
    for _ in range(5):
        door.wait(10)
        door.send(b"N")
    door.wait(11)
    assert codes(door) == [421] and door.closed()


def test_a_text_that_drips_ends_too() -> None:
    door = greeted(Door())
    door.send(ENVELOPE)
    door.received()
    for _ in range(70):
        door.wait(10)
        door.send(b"x")
    assert codes(door) == [421] and door.closed() and door.taken() == 0


def test_a_slow_accept_is_not_the_clients_fault() -> None:
    door = greeted(Door())
    door.intake.gates = []
    door.send(ENVELOPE)
    door.send(b"text\r\n.\r\n")
    door.wait(500)
    assert not door.closed()
    door.received()
    door.intake.gates[0].callback(None)
    assert codes(door) == [250]
    door.wait(59)
    assert not door.closed()
    door.wait(2)
    assert door.closed()


def test_a_session_ends_after_its_time() -> None:
    door = greeted(Door(SmtpSettings(session_time=300.0, junk=1000)))
    for _ in range(9):
        door.wait(30)
        door.send(b"NOOP\r\n")
    assert codes(door) == [250] * 9
    door.wait(59)
    assert codes(door) == [421] and door.closed()


def test_connections_of_one_address() -> None:
    made = factory(SmtpSettings(connections_per_address=2))
    first, second = Door(factory=made, peer="192.0.2.9"), Door(factory=made, peer="192.0.2.9")
    third = Door(factory=made, peer="192.0.2.9")
    assert third.received().startswith(b"421 4.7.0 ") and third.closed()
    assert codes(Door(factory=made, peer="192.0.2.1")) == [220]
    first.transport.loseConnection()
    assert codes(Door(factory=made, peer="192.0.2.9")) == [220]
    assert codes(second) == [220] and made.doorkeeper.count == 3


def test_our_own_mail_server_has_no_share_but_the_whole() -> None:
    made = factory(SmtpSettings(connections=4, connections_per_address=1, connections_per_minute=1))
    doors = [Door(factory=made) for _ in range(4)]
    assert [codes(door) for door in doors] == [[220]] * 4
    assert Door(factory=made).received().startswith(b"421 4.7.0 Too many connections\r\n")


def test_a_crowded_door_has_less_patience() -> None:
    made = factory(SmtpSettings(connections=5))
    doors = [Door(factory=made, peer=f"192.0.2.{number}") for number in range(5)]
    doors[4].wait(11)
    assert [door.closed() for door in doors] == [True, True, True, False, False]  # then there is room again


def test_under_stress_one_error_is_enough_and_calm_returns_later() -> None:
    made = factory(SmtpSettings(connections=10))
    doors = [greeted(Door(factory=made)) for _ in range(9)]
    doors[0].send(b"HUH\r\n")
    assert codes(doors[0]) == [500, 421] and doors[0].closed()
    doors[1].send(b"NOOP\r\n" * 6)
    assert codes(doors[1]) == [250] * 6 + [421]  # seven of ten: still stressed
    doors[2].transport.loseConnection()
    doors[3].send(b"HUH\r\n")
    assert codes(doors[3]) == [500, 421]
    doors[4].send(b"HUH\r\n")  # five of ten: calm again
    assert codes(doors[4]) == [500] and not doors[4].closed()


def test_time_outs_leave_no_timer_behind() -> None:
    door = Door()
    door.transport.loseConnection()
    assert door.clock.getDelayedCalls() == []


def test_tls_version_and_clean_slate() -> None:
    door = greeted(Door())
    door.send(b"STARTTLS\r\n")
    assert codes(door) == [220] and door.transport.context == "pretended"
    door.connection.handshakeCompleted()
    door.send(b"MAIL FROM:<ann@inside.test>\r\n")
    assert codes(door) == [503]
    door.send(b"EHLO client.test\r\n" + ENVELOPE)
    door.send(b".\r\n")
    [(envelope, _)] = door.intake.mails
    assert envelope.source.tls == "TLSv1.3"


def test_size_is_announced_as_the_intake_says() -> None:
    door = Door()
    door.received()
    door.send(b"EHLO client.test\r\n")
    assert b"250-SIZE %d\r\n" % SIZE in door.received()


def test_settings_have_a_sentence_each() -> None:
    for field in attrs.fields(SmtpSettings):
        declared = field.metadata["securegw.setting"]
        assert declared.help.endswith(".") or "127.0.0.1" in declared.help


def test_going_down_is_said_to_who_waits_and_the_last_answer_still_comes() -> None:
    """RFC 5321 3.8: 421 before the connection is closed."""
    idle, busy = greeted(Door()), greeted(Door())
    busy.intake.gates = []
    busy.send(ENVELOPE + b"text\r\n.\r\n")
    busy.received()
    for door in (idle, busy):
        door.factory.dismiss()
    assert codes(idle) == [421]
    assert idle.closed()
    assert not busy.closed()
    [gate] = busy.intake.gates
    gate.callback(None)
    assert codes(busy) == [250]
