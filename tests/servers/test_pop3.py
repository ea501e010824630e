"""The POP3 connection: one write a reply, slow readers, answers that come late, time, going down."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from securegw.servers.pop3 import Pop3Settings
from tests.support.pop3_door import SHORT, Door, PretendedPickup, mail, opened

LONG = b"Subject: long\r\n\r\n" + b"0123456789abcde\r\n" * 60_000
PART = 65_536


def waiting(door: Door) -> list[Deferred[None]]:
    assert door.pickup.gates is not None
    gates, door.pickup.gates = door.pickup.gates, []
    return gates


def test_a_reply_is_one_write_without_delay() -> None:
    door = opened()
    assert door.transport.no_delay and door.transport.keep_alive
    before = door.transport.writes
    door.say("RETR 1")
    assert door.transport.writes == before + 1


def test_replies_to_commands_sent_ahead_are_one_write() -> None:
    door = opened()
    before = door.transport.writes
    reply = door.say("RETR 1", "DELE 1", "RETR 2", "DELE 2")
    assert reply.count(b"+OK") == 4
    assert door.transport.writes == before + 1


def test_a_slow_reader_stops_the_reading_of_parts() -> None:
    pickup = PretendedPickup([mail(1, LONG, PART)])
    door = opened(pickup)
    door.transport.full_after = 2 * PART
    door.say("RETR 1")
    assert [number for _, number in pickup.opened[0].asked] == [0, 1]
    door.transport.drain()
    assert [number for _, number in pickup.opened[0].asked] == [0, 1, 2, 3]
    door.transport.full_after = 1 << 30
    door.transport.drain()
    assert len(pickup.opened[0].asked) == pickup.mails[0].parts
    assert door.received().endswith(b".\r\n")


def test_commands_sent_ahead_do_not_pile_up_for_a_slow_reader() -> None:
    pickup = PretendedPickup([mail(number, LONG[:PART]) for number in range(1, 21)])
    door = opened(pickup)
    door.transport.full_after = 2 * PART
    door.say(*(f"RETR {number}" for number in range(1, 21)))
    assert len(pickup.opened[0].asked) <= 4
    door.transport.full_after = 1 << 30
    door.transport.drain()
    assert len(pickup.opened[0].asked) == 20


def test_a_reader_who_goes_ends_the_reading() -> None:
    pickup = PretendedPickup([mail(1, LONG, PART)])
    door = opened(pickup)
    door.transport.full_after = PART
    door.say("RETR 1")
    door.transport.loseConnection()
    assert len(pickup.opened[0].asked) == 1 and pickup.closed == 1


def test_top_reads_no_more_parts_than_it_needs() -> None:
    pickup = PretendedPickup([mail(1, LONG, PART)])
    door = opened(pickup)
    assert door.say("TOP 1 2").endswith(b"\r\n\r\n0123456789abcde\r\n0123456789abcde\r\n.\r\n")
    assert pickup.opened[0].asked == [(0, 0)]


def test_a_mail_that_breaks_off_does_not_look_complete() -> None:
    pickup = PretendedPickup([mail(1, LONG, PART)])
    pickup.broken = {(0, 3)}
    door = opened(pickup)
    reply = door.say("RETR 1", "NOOP")
    assert door.closed() and not reply.endswith(b"\r\n.\r\n") and b"-ERR" not in reply
    assert pickup.closed == 1 and pickup.deleted == []


def test_a_damaged_mail_does_not_keep_the_others() -> None:
    pickup = PretendedPickup()
    pickup.broken = {(0, 0)}
    door = opened(pickup)
    assert door.say("RETR 1").startswith(b"-ERR [SYS/PERM]")
    assert door.say("RETR 2").startswith(b"+OK")


def test_one_command_at_a_time() -> None:
    pickup = PretendedPickup()
    pickup.gates = []
    door = Door(pickup, implicit=True)
    door.received()
    assert door.say("USER box", "PASS secret", "STAT", "RETR 3") == b"+OK And the password?\r\n"
    [gate] = waiting(door)
    gate.callback(None)
    assert door.received() == b"+OK 3 messages (91 octets)\r\n+OK 3 91\r\n"
    [gate] = waiting(door)
    gate.callback(None)
    assert door.received() == b"+OK 18 octets\r\nSubject: three\r\n\r\n.\r\n"


def test_a_mailbox_opened_too_late_is_given_back() -> None:
    pickup = PretendedPickup()
    pickup.gates = []
    door = Door(pickup, implicit=True)
    door.say("USER box", "PASS secret")
    door.transport.loseConnection()
    [gate] = waiting(door)
    gate.callback(None)
    assert pickup.closed == 1


def test_who_waits_for_us_is_not_out_of_time() -> None:
    pickup = PretendedPickup()
    pickup.gates = []
    door = Door(pickup, implicit=True)
    door.received()
    door.say("USER box", "PASS secret")
    door.wait(300)
    assert not door.closed()


def test_who_does_not_take_a_mail_is_out_of_time() -> None:
    door = opened(PretendedPickup([mail(1, LONG, PART)]))
    door.transport.full_after = PART
    door.say("RETR 1")
    door.wait(640)
    assert door.closed() and door.transport.aborted and door.pickup.closed == 1


def test_silence_deletes_nothing() -> None:
    door = opened(settings=Pop3Settings(idle_time=600.0))
    door.say("DELE 1")
    door.wait(599)
    assert not door.closed()
    door.wait(32)
    assert door.closed() and door.pickup.deleted == [] and door.pickup.closed == 1


def test_the_handshake_is_waited_for_a_minute() -> None:
    door = Door(factory=Door(implicit=True).factory)  # this one never shakes hands
    door.wait(59)
    assert not door.closed()
    door.wait(31)
    assert door.closed() and door.received() == b""


def test_going_down_gives_mailboxes_back() -> None:
    door = opened()
    door.say("DELE 1")
    door.factory.dismiss()
    assert door.closed() and door.pickup.closed == 1 and door.pickup.deleted == []


def test_quit_that_comes_too_late_is_not_answered() -> None:
    """We went down first: nothing is deleted, so nothing may sound as if."""
    door = opened()
    door.say("DELE 1")
    door.transport.loseConnection = lambda: None  # it lingers, as TLS does
    door.factory.dismiss()
    assert door.say("QUIT") == b"" and door.pickup.deleted == []


def test_an_answer_that_comes_after_we_went_down_is_not_given() -> None:
    pickup = PretendedPickup()
    door = opened(pickup)
    pickup.gates = []
    door.transport.loseConnection = lambda: None
    door.say("RETR 1")
    door.factory.dismiss()
    [gate] = waiting(door)
    gate.errback(RuntimeError("it is closed"))
    assert door.received() == b"" and pickup.closed == 1


def test_a_password_is_in_no_repr() -> None:
    pickup = PretendedPickup()
    pickup.gates = []
    door = Door(pickup, implicit=True)
    door.say("USER box", f"PASS {'s3cret-marker'}")
    assert "s3cret-marker" not in repr(door.connection._dialogue._question)


def test_the_pick_up_hears_who_calls() -> None:
    door = Door(implicit=True, peer="2001:db8::1")
    door.sign_in()
    assert door.pickup.asked == [("box@inside.test", "secret", "2001:db8::1")]


def test_short_is_what_it_says() -> None:
    assert opened().say("RETR 1") == b"+OK 50 octets\r\n" + SHORT.replace(b"\r\n.", b"\r\n..") + b".\r\n"
