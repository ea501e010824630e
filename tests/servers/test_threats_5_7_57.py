"""Threats 5.7.57 and T4: what strangers and clumsy programs do to a POP3 server."""

from __future__ import annotations

import pytest

from securegw.servers.pop3 import Pop3Settings
from securegw.servers.pop3_conversation import LINE_LIMIT, WAITING_LIMIT
from tests.support.pop3_door import SHORT, Door, PretendedPickup, mail, opened

# --- T4: a line that is a dot, wherever the mail was cut --------------------------------------------------------------


def dotted(boundary: int, lines: bytes = b".\r\n+OK forged\r\n") -> bytes:
    """A mail with a line that begins with a dot exactly at ``boundary``."""
    head = b"Subject: t4\r\n\r\n"
    fill = b"x" * (boundary - len(head) - 2) + b"\r\n"
    return head + fill + lines


@pytest.mark.parametrize("part", [7, 16383, 16384, 16385, 65536, 262_144])
@pytest.mark.parametrize("boundary", [100, 16383, 16384, 16385, 65536, 262_143, 262_144, 262_145])
def test_t4_a_dot_at_a_boundary_is_no_end(boundary: int, part: int) -> None:
    text = dotted(boundary)
    door = opened(PretendedPickup([mail(1, text, part)]))

    reply = door.say("RETR 1")

    head, _, rest = reply.partition(b"\r\n")
    assert head == b"+OK %d octets" % len(text)
    assert rest.endswith(b"\r\n..\r\n+OK forged\r\n.\r\n")
    assert rest.count(b"\r\n.\r\n") == 1
    assert rest == text.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def test_t4_a_mail_that_begins_with_a_dot() -> None:
    door = opened(PretendedPickup([mail(1, b".\r\nx\r\n", 1)]))
    assert door.say("RETR 1") == b"+OK 6 octets\r\n..\r\nx\r\n.\r\n"


# --- guesses ----------------------------------------------------------------------------------------------------------


def test_unknown_and_wrong_get_the_same_words() -> None:
    door = Door(implicit=True)
    door.received()
    first = door.sign_in("nobody@inside.test", "wrong")
    second = door.sign_in("box@inside.test", "wrong")
    assert first == second == b"+OK And the password?\r\n-ERR [AUTH] That password does not open this account.\r\n"


def test_guesses_end_the_connection_at_the_fifth() -> None:
    door = Door(implicit=True)
    for _ in range(5):
        assert not door.closed()
        door.sign_in(password="wrong")
    assert door.closed()
    assert len(door.pickup.asked) == 5


def test_apop_is_not_there() -> None:
    door = Door(implicit=True)
    assert b"<" not in door.received()  # RFC 1939 7: no timestamp in the greeting, no APOP
    assert door.say("APOP box c4c9334bac560ecc979e58001b3e22fb") == b"-ERR Command not known\r\n"


@pytest.mark.parametrize("line", ["USER box", "PASS secret", "AUTH PLAIN AGJveABzZWNyZXQ=", "AUTH PLAIN", "AUTH"])
def test_no_credentials_before_tls(line: str) -> None:
    door = Door()
    door.received()
    assert door.say(line) == b"-ERR Begin TLS first\r\n"
    assert door.pickup.asked == []


def test_a_name_said_before_tls_does_not_count_after_it() -> None:
    door = Door()
    door.received()
    door.say("USER box")
    door.say("STLS")
    assert door.say("PASS secret") == b"-ERR Say USER first\r\n"


def test_bytes_behind_stls_end_the_connection() -> None:
    door = Door()
    door.received()
    assert door.say("STLS", "USER box", "PASS secret") == b""
    assert door.closed() and not door.tls() and door.pickup.asked == []


# --- what is long, many or endless ------------------------------------------------------------------------------------


def test_a_long_line_ends_the_connection() -> None:
    door = Door(implicit=True)
    door.received()
    door.send(b"x" * (LINE_LIMIT - 1))
    assert not door.closed()
    door.send(b"x")
    assert door.closed()
    assert door.received() == b"-ERR Line too long\r\n"


def test_what_is_sent_ahead_is_bounded() -> None:
    pickup = PretendedPickup()
    pickup.gates = []
    door = Door(pickup, implicit=True)
    door.say("USER box", "PASS secret")
    door.send(b"NOOP\r\n" * (WAITING_LIMIT // 6))
    assert not door.closed() and door.transport.producerState == "paused"
    door.send(b"NOOP\r\n" * 10)
    assert door.closed()


def test_ten_thousand_messages() -> None:
    mails = [mail(number, b"Subject: x\r\n\r\n") for number in range(1, 10_001)]
    door = opened(PretendedPickup(mails))
    listed = door.say("LIST").split(b"\r\n")
    assert listed[0] == b"+OK 10000 messages" and listed[10_000] == b"10000 14" and listed[10_001] == b"."
    assert len(set(door.say("UIDL").split(b"\r\n"))) == 10_003
    assert door.say("RETR 10000").startswith(b"+OK 14 octets")


def test_no_message_of_a_strange_number() -> None:
    door = opened()
    for word in ("RETR -1", "RETR 0", "RETR 4", "TOP 1", "TOP 1 -1", "DELE 1e1", "LIST 99999999999"):
        assert door.say(word).startswith(b"-ERR"), word
    assert door.say("TOP 1 2147483648").endswith(b"last line\r\n.\r\n")
    assert not door.closed()


def test_connections_of_one_address_are_counted() -> None:
    factory = Door(settings=Pop3Settings(connections_per_address=2), peer="192.0.2.99").factory
    doors = [Door(factory=factory) for _ in range(3)]
    assert [door.closed() for door in doors] == [False, False, True]
    assert doors[2].received() == b"-ERR [SYS/TEMP] Too many connections from this address\r\n"
    doors[0].say("QUIT")
    assert not Door(factory=factory).closed()
    assert not Door(factory=factory, peer="192.0.2.8").closed()


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_dele_and_a_broken_connection_delete_nothing() -> None:
    door = opened()
    door.say("DELE 1", "DELE 2")
    door.transport.loseConnection()
    assert door.pickup.deleted == [] and door.pickup.closed == 1


def test_dele_takes_effect_at_quit() -> None:
    door = opened()
    door.say("DELE 1", "DELE 3")
    assert door.pickup.deleted == []
    assert door.say("QUIT") == b"+OK Good bye\r\n"
    assert door.pickup.deleted == [0, 2] and door.pickup.closed == 1 and door.closed()


def test_quit_that_cannot_delete_says_so() -> None:
    pickup = PretendedPickup()
    pickup.down = True
    door = opened(pickup)
    door.say("DELE 1")
    assert door.say("QUIT") == b"-ERR [SYS/TEMP] That cannot be done now; please try again\r\n"
    assert door.closed() and pickup.deleted == []


def test_a_mailbox_taken_over_loses_nothing() -> None:
    pickup = PretendedPickup()
    pickup.lost = True
    door = opened(pickup)
    door.say("DELE 1")
    assert b"nothing was deleted" in door.say("QUIT")


def test_the_list_is_that_of_the_sign_in() -> None:
    """LIST while mail arrives: numbers and sizes stay until QUIT."""
    pickup = PretendedPickup()
    door = opened(pickup)
    before = door.say("LIST")
    pickup.mails = [*pickup.mails, mail(9, SHORT)]
    assert door.say("LIST") == before
