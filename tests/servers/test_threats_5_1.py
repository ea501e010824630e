"""The vectors of threats 5.1 that end at the door, each under its number; several have talks of their own beside."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from twisted.internet.task import Clock

from securegw.servers.smtp import SmtpFactory, SmtpSettings
from securegw.servers.smtp_counters import REFUSALS
from tests.support.smtp_door import SIZE, Door, PretendedIntake

ENVELOPE = b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test>\r\n"
PROXIES = SmtpSettings(proxies=(ip_network("192.0.2.0/28"),))


def greeted(door: Door | None = None) -> Door:
    door = door or Door()
    door.send(b"EHLO client.test\r\n")
    door.received()
    return door


def codes(door: Door) -> list[int]:
    return [int(line[:3]) for line in door.received().splitlines() if line[3:4] == b" "]


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


LOOK_ALIKES = (
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n",
    b"\n\n.\n", b"\r.\n", b"\r\n.\0\r\n",
)  # fmt: skip


@pytest.mark.parametrize("end", LOOK_ALIKES, ids=repr)
@pytest.mark.parametrize(("segment", "padding"), [(1, 0), (7, 0), (65536, 0), (7, SIZE), (65536, SIZE)])
def test_5_1_01_look_alikes_of_the_end(end: bytes, segment: int, padding: int) -> None:
    """One message or none, nothing behind it is run, also where it is over the size."""
    door = greeted()
    door.send(ENVELOPE + b"DATA\r\n")
    door.received()
    second = b"MAIL FROM:<evil@evil.test>\r\nRCPT TO:<boss@inside.test>\r\nDATA\r\nevil\r\n.\r\n"
    if padding:
        door.send(b"x" * 998 + b"\r\n" + b"y" * padding * 2)
    for piece in in_pieces(b"Subject: one\r\n\r\ntext" + end + second, segment):
        door.send(piece)
    assert door.taken() == 0 and door.closed()
    assert codes(door) == [552 if padding else 550]
    assert all(getattr(asked, "local", "") not in {"evil", "boss"} for _, asked in door.intake.asked)


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_5_1_01_a_look_alike_is_one_however_it_is_cut(way: str) -> None:
    """LF . CR CR LF, found by fuzzing: behind LF . CR CR the segment ended, and all line ends seemed to be pairs."""
    first, second = b"text\n.\r\r", b"\nMAIL FROM:<evil@evil.test>\r\n"
    door = greeted()
    if way == "DATA":
        door.send(ENVELOPE + b"DATA\r\n")
        door.send(first)
        door.send(second + b".\r\n")
    else:
        door.send(ENVELOPE + b"BDAT %d LAST\r\n" % (len(first) + len(second)))
        door.send(first)
        door.send(second)
    assert door.taken() == 0 and door.closed() and codes(door)[-1] == 550


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0", b"\rmiddle\n", b"\n\r", b"\nx\r"], ids=repr)
@pytest.mark.parametrize("place", [0, 10, 4095, 4096, 16384])
@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_5_1_02_lone_line_ends(bad: bytes, place: int, way: str) -> None:
    """Also a lone CR in one place and a lone LF in another, which are no pair."""
    text = b"x" * place + bad + b"y" * 50 + b"\r\n"
    door = greeted()
    if way == "DATA":
        door.send(ENVELOPE + b"DATA\r\n")
        door.send(text + b".\r\n")
        assert codes(door) == [250, 250, 354, 550]
    else:
        door.send(ENVELOPE + b"BDAT %d LAST\r\n" % len(text) + text)
        assert codes(door) == [250, 250, 550]
    assert door.taken() == 0 and door.closed()


@pytest.mark.parametrize("length", [998, 999, 16383, 16384, 16385, 1_000_000])
def test_5_1_03_long_lines_are_content(length: int) -> None:
    door = greeted()
    door.send(ENVELOPE + b"DATA\r\n")
    text = b"x" * length + b"\r\nMAIL FROM:<evil@evil.test>\r\n"
    door.send(text[:length])
    door.send(text[length:] + b".\r\n")
    [(_, raw)] = door.intake.mails
    assert raw == text and codes(door) == [250, 250, 354, 250]


@pytest.mark.parametrize("behind", [b"MAIL FROM:<evil@evil.test>\r\n", b"NOO", b"\x16\x03\x01", b"\r\n"])
def test_5_1_04_starttls_with_something_behind_it(behind: bytes) -> None:
    door = greeted()
    door.send(b"STARTTLS\r\n" + behind)
    assert door.closed() and not door.tls() and door.received() == b""


def test_5_1_04_starttls_forgets_the_login_and_comes_once() -> None:
    door = Door()
    door.begin_tls()
    door.send(b"EHLO client.test\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nSTARTTLS\r\n")
    assert codes(door) == [250, 235, 503]
    door.connection._dialogue.secured()  # as if TLS began anew
    door.send(b"MAIL FROM:<ann@inside.test>\r\nEHLO client.test\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
    assert codes(door) == [503, 250, 235]


def test_5_1_04_starttls_inside_a_transaction_forgets_it() -> None:
    door = greeted()
    door.send(ENVELOPE + b"STARTTLS\r\n")
    assert codes(door) == [250, 250, 220]
    door.connection.handshakeCompleted()
    door.send(b"DATA\r\nRCPT TO:<bob@outside.test>\r\nEHLO client.test\r\nRCPT TO:<bob@outside.test>\r\n")
    assert codes(door) in ([503], [503, 503, 250, 503]) and door.taken() == 0


def test_5_1_05_data_before_the_reply_to_a_recipient() -> None:
    """What is sent ahead waits for its turn, and a text behind a refused DATA is never run as commands."""
    for name, heard in (("slow", [250, 250, 354]), ("gone", [250, 550, 554])):
        door = greeted()
        door.intake.gates = []
        door.send(f"MAIL FROM:<slow@inside.test>\r\nRCPT TO:<{name}@outside.test>\r\nDATA\r\n".encode())
        door.send(b"MAIL FROM:<evil@evil.test>\r\nRSET\r\n.\r\n")
        while door.intake.gates:
            door.intake.gates.pop(0).callback(None)
        assert codes(door)[:3] == heard
        assert door.taken() == (1 if name == "slow" else 0) and door.closed() == (name == "gone")
        assert all(getattr(asked, "local", "") != "evil" for _, asked in door.intake.asked)


def test_5_1_05_order_is_kept_and_nonsense_ends() -> None:
    door = greeted()
    door.intake.gates = []
    door.send(ENVELOPE + b"DATA\r\n")
    door.received()
    door.send(b"text\r\n.\r\nRSET\r\nQUIT\r\n")
    assert door.received() == b""
    door.intake.gates[0].callback(None)
    assert codes(door) == [250, 250, 221] and door.taken() == 1
    many = greeted()
    many.send(b"NOOP\r\nRSET\r\nVRFY x\r\n" * 3333)
    assert codes(many) == [250, 250, 252] * 17 + [421] and many.closed()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"BDAT", 501),
        (b"BDAT -1", 501),
        (b"BDAT 0x10", 501),
        (b"BDAT 5 FIRST", 501),
        (b"BDAT 5 LAST LAST", 501),
        (b"BDAT \xd9\xa5 LAST", 501),  # an Arabic five
        (b"BDAT 18446744073709551616", 552),
        (b"BDAT 99999999999999999999", 552),
        (b"BDAT 999999999999999999999999999999", 501),
        (b"BDAT %d LAST" % (2 * SIZE + 1), 552),
    ],
)
def test_5_1_06_bdat_whose_end_nobody_knows_ends_the_connection(line: bytes, code: int) -> None:
    door = greeted()
    door.send(ENVELOPE + line + b"\r\nMAIL FROM:<evil@evil.test>\r\n")
    assert codes(door) == [250, 250, code]
    assert door.closed() and door.taken() == 0


def test_5_1_06_bdat_shorter_than_announced_waits_and_takes_nothing() -> None:
    door = greeted()
    door.send(ENVELOPE + b"BDAT 100 LAST\r\nshort\r\nQUIT\r\n")
    assert codes(door) == [250, 250]
    door.wait(119)
    assert not door.closed()
    door.wait(3)
    assert codes(door) == [421] and door.closed() and door.taken() == 0


def test_5_1_06_bdat_after_the_last_and_after_data() -> None:
    door = greeted()
    door.send(ENVELOPE + b"BDAT 6 LAST\r\nhello!BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert codes(door) == [250, 250, 250, 503, 250]
    assert [raw for _, raw in door.intake.mails] == [b"hello!\r\n"]
    door.send(ENVELOPE + b"DATA\r\n")
    door.send(b"text\r\n.\r\nBDAT 4 LAST\r\nRSETNOOP\r\n")
    assert codes(door) == [250, 250, 354, 250, 503, 250]


def test_5_1_06_bdat_then_data_in_one_transaction() -> None:
    door = greeted()
    door.send(ENVELOPE + b"BDAT 6\r\nhello!DATA\r\n")
    assert codes(door) == [250, 250, 250, 503] and not door.closed()
    door.send(b"RCPT TO:<late@outside.test>\r\nMAIL FROM:<x@y.test>\r\nBDAT 2 LAST\r\n\r\n")
    assert codes(door) == [503, 503, 250]
    assert [raw for _, raw in door.intake.mails] == [b"hello!\r\n"]


@pytest.mark.parametrize("cuts", list(itertools.combinations(range(1, 9), 2)))
def test_5_1_06_bdat_with_crlf_and_dots_across_chunks(cuts: tuple[int, int]) -> None:
    text = b"a\r\n.\r\n\r\nb"
    edges = [0, *cuts, len(text)]
    chunks = [text[begin:end] for begin, end in itertools.pairwise(edges)]
    wire = b"".join(b"BDAT %d%s\r\n" % (len(c), b" LAST" * (c is chunks[-1])) + c for c in chunks)
    door = greeted()
    door.send(ENVELOPE + wire)
    assert [raw for _, raw in door.intake.mails] == [text + b"\r\n"]


def test_5_1_06_bdat_zero() -> None:
    door = greeted()
    door.send(ENVELOPE + b"BDAT 0\r\nBDAT 7\r\nhello\r\nBDAT 0 LAST\r\n" + ENVELOPE + b"BDAT 0 LAST\r\n")
    assert codes(door) == [250] * 8
    assert [raw for _, raw in door.intake.mails] == [b"hello\r\n", b""]
    door.send(ENVELOPE + b"BDAT 0\r\n" * 100)
    assert codes(door)[-1] == 421 and door.closed()


def test_5_1_06_bdat_without_recipients_swallows_its_chunks() -> None:
    door = greeted()
    chunk = b"BDAT 28\r\nMAIL FROM:<evil@evil.test>\r\nBDAT 6 LAST\r\nRSET\r\n"
    door.send(b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<gone@outside.test>\r\n" + chunk + b"NOOP\r\n")
    assert codes(door) == [250, 550, 554, 503, 250] and door.taken() == 0
    door.send(b"RCPT TO:<bob@outside.test>\r\n")
    assert codes(door) == [503]  # a message of which a part was refused does not go on


def test_5_1_06_bdat_over_the_limit_is_swallowed_and_then_cut_off() -> None:
    door = greeted()
    door.send(ENVELOPE + b"BDAT %d\r\n" % SIZE)
    door.send(b"x" * SIZE)
    door.send(b"BDAT 1 LAST\r\ny" + b"NOOP\r\n")
    assert codes(door) == [250, 250, 250, 552, 250] and door.taken() == 0
    door.send(ENVELOPE + b"BDAT %d\r\n" % (SIZE + 1))
    door.send(b"x" * SIZE)
    assert codes(door) == [250, 250]
    door.send(b"xBDAT %d LAST\r\n" % SIZE)
    assert codes(door) == [552, 552] and door.closed() and door.taken() == 0


def test_5_1_07_size() -> None:
    door = greeted()
    door.send(b"MAIL FROM:<ann@inside.test> SIZE=%d\r\n" % 2**70)
    assert codes(door) == [552]
    door.send(ENVELOPE.replace(b">\r\nR", b"> SIZE=1\r\nR") + b"DATA\r\n")
    door.received()
    sent = 0
    while not door.closed() and sent < 100_000_000:
        door.send(b"x" * 65536)
        sent += 65536
    assert codes(door) == [552] and sent < 4 * SIZE and door.taken() == 0


def test_5_1_08_a_hundred_thousand_recipients() -> None:
    door = greeted()
    door.send(b"MAIL FROM:<ann@inside.test>\r\n")
    heard: list[int] = codes(door)
    for _ in range(100):
        door.send(b"RCPT TO:<bob@outside.test>\r\n" * 1000)
        heard += codes(door)
    assert heard.count(250) == 1001 and heard[-1] == 421 and door.closed()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("<@relay.test:victim@outside.test>", 553),
        ('<"victim@outside.test"@inside.test>', 250),
        ("<victim%outside.test@inside.test>", 250),
        ("<outside.test!victim@inside.test>", 250),
        ("<bob@outside.test.>", 553),
        ("<bob@[127.0.0.1]>", 250),
        ("<bob@127.0.0.1>", 553),
        ("<bob@outside\u3002test>", 553),
        ("<b\u00f6b@outside.test>", 553),
        ('<"a\\b"@outside.test>', 250),
        ("<" + "x" * 65 + "@outside.test>", 553),
        ("<" + "x" * 64 + "@outside.test>", 250),
        ("<bob@" + "x." * 125 + "test>", 553),
        ("<bob@" + "x." * 123 + "test>", 250),  # 254 bytes
        ("<bob@" + "x." * 123 + "testx>", 553),
        ("<" + "x" * 5000 + "@outside.test>", 500),
        ("<>", 553),
    ],
)
def test_5_1_08_recipients_are_read_once_and_strictly(path: str, code: int) -> None:
    door = greeted()
    door.send(b"MAIL FROM:<ann@inside.test>\r\n" + f"RCPT TO:{path}\r\n".encode())
    assert codes(door) == [250, code]
    if code == 250:  # what is asked is one address, whose domain is what stands behind the last @
        assert str(door.intake.asked[-1][1].domain) == path[1:-1].rpartition("@")[2]  # type: ignore[attr-defined]


def test_5_1_09_a_stranger_with_our_senders_address_stays_a_stranger() -> None:
    door = greeted(Door(peer="192.0.2.77"))
    door.send(ENVELOPE + b"DATA\r\n")
    door.send(b"From: ann@inside.test\r\n\r\n.\r\n")
    [(envelope, _)] = door.intake.mails
    assert not envelope.source.inside and envelope.source.person == ""


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[31mb", b"x" * 5000, b"a b", b"\xff", b""])
def test_5_1_10_strange_names_are_not_taken(name: bytes) -> None:
    door = Door()
    door.received()
    door.send(b"EHLO " + name + b"\r\n")
    assert codes(door)[0] in {500, 501}
    door.send(b"MAIL FROM:<ann@inside.test>\r\n")
    assert codes(door) in ([503], [])


FIRST_LINES = (
    b"GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\nEHLO x\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 25\r\nEHLO x\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\1\x0a\0\0\2\0\1\0\x19",
    b"XCLIENT ADDR=127.0.0.1\r\nEHLO x\r\n",
    b"XFORWARD ADDR=127.0.0.1\r\n",
)


@pytest.mark.parametrize("first", FIRST_LINES, ids=lambda first: repr(first[:12]))
@pytest.mark.parametrize("settings", [SmtpSettings(), PROXIES])
def test_5_1_11_other_protocols_end_at_their_first_line(first: bytes, settings: SmtpSettings) -> None:
    door = Door(settings, peer="198.51.100.7")
    door.send(first)
    assert door.closed() and door.intake.asked == []
    assert codes(door) in ([220], [220, 554])


def test_5_1_11_xclient_in_the_middle_changes_nobody() -> None:
    door = greeted(Door(peer="198.51.100.7"))
    door.send(b"XCLIENT ADDR=127.0.0.1\r\n" + ENVELOPE)
    assert codes(door) == [500, 250, 250]
    assert {source.address for source, _ in door.intake.asked} == {"198.51.100.7"}


def test_5_1_11_a_balancer_speaks_for_its_client_before_the_greeting() -> None:
    door = Door(PROXIES, peer="192.0.2.1")
    assert door.received() == b""
    door.send(b"PROXY TCP4 127.0.0.1 192.0.2.1 4711 25\r")
    assert door.received() == b""
    door.send(b"\nEHLO client.test\r\n" + ENVELOPE)
    assert codes(door) == [220, 250, 250, 250]
    source, _ = door.intake.asked[-1]
    assert (source.address, source.port, source.inside) == ("127.0.0.1", 4711, True)


@pytest.mark.parametrize("first", [b"EHLO client.test\r\n", *FIRST_LINES[:4]], ids=lambda first: repr(first[:12]))
def test_5_1_11_a_balancer_without_a_header_is_not_greeted(first: bytes) -> None:
    door = Door(PROXIES, peer="192.0.2.1")
    door.send(first)
    assert door.closed() and door.received() == b""


def test_5_1_11_a_balancer_that_says_nothing_is_not_waited_for() -> None:
    door = Door(PROXIES, peer="192.0.2.1")
    door.wait(61)
    assert door.closed() and door.received() == b"" and door.clock.getDelayedCalls() == []


def test_5_1_11_a_client_without_an_address_is_a_stranger() -> None:
    """The balancer may stand in a relay network; who comes through it does not."""
    settings = SmtpSettings(proxies=(ip_network("127.0.0.1"),))
    unix = b"\r\n\r\n\0\r\nQUIT\n\x21\x31" + struct.pack("!H", 216) + bytes(216)
    for header in (b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", unix):
        door = Door(settings)
        door.send(header + b"EHLO client.test\r\n" + ENVELOPE)
        assert codes(door) == [220, 250, 250, 250]
        assert not any(source.inside for source, _ in door.intake.asked)


def test_5_1_11_the_checks_of_a_balancer_are_not_counted() -> None:
    made = SmtpFactory(PretendedIntake(), PROXIES, None, "gw.test", Clock())
    local = Door(factory=made, peer="192.0.2.1")
    local.send(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
    assert codes(local) == [220] and made.doorkeeper.count == 0
    client = Door(factory=made, peer="192.0.2.1")
    client.send(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n")
    assert codes(client) == [220] and made.doorkeeper.count == 1
    local.transport.loseConnection()
    client.transport.loseConnection()
    assert made.doorkeeper.count == 0


def test_5_1_11_limits_count_the_client_and_not_the_balancer() -> None:
    settings = SmtpSettings(proxies=PROXIES.proxies, connections_per_address=1)
    made = SmtpFactory(PretendedIntake(), settings, None, "gw.test", Clock())
    heard = []
    for client in (b"198.51.100.1", b"198.51.100.2", b"198.51.100.1"):
        door = Door(factory=made, peer="192.0.2.1")
        door.send(b"PROXY TCP4 " + client + b" 192.0.2.1 1 25\r\n")
        heard += codes(door)
    assert heard == [220, 220, 421]


def test_5_1_12_no_sign_in_without_tls() -> None:
    door = Door()
    door.send(b"EHLO client.test\r\n")
    assert b"AUTH" not in door.received()
    door.send(b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
    assert codes(door) == [538] and door.intake.asked == []


def test_5_1_12_nobody_signs_in_twice() -> None:
    door = Door()
    door.begin_tls()
    door.send(b"EHLO client.test\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nAUTH PLAIN AGV2ZQBzZWNyZXQ=\r\n")
    assert codes(door) == [250, 235, 503]
    assert [asked for _, asked in door.intake.asked] == ["ann"]


def test_5_1_12_guesses_end_the_connection() -> None:
    before = REFUSALS.labels("wrong-password")._value.get()
    door = Door()
    door.begin_tls()
    door.send(b"EHLO client.test\r\n" + b"AUTH PLAIN AGFubgBndWVzcw==\r\n" * 20)
    assert codes(door) == [250] + [535] * 10 + [421] and door.closed()
    assert len(door.intake.asked) == 10
    assert REFUSALS.labels("wrong-password")._value.get() == before + 10


def test_5_1_12_ten_megabytes_of_base64() -> None:
    door = Door()
    door.begin_tls()
    door.send(b"EHLO client.test\r\nAUTH LOGIN\r\n")
    assert codes(door) == [250, 334]
    for _ in range(160):
        door.send(b"QUJD" * 16384)
    assert codes(door) == [500] and door.closed() and door.intake.asked == []


def test_5_1_13_slow_loris_everywhere() -> None:
    """A byte every ten seconds: in a command, before and in a text, in a chunk, between chunks, in a handshake."""
    begun = b"EHLO client.test\r\n" + ENVELOPE
    for first, drip, seconds in (
        (b"", b"N", 60),
        (begun + b"DATA\r\n", b"x", 610),
        (begun + b"BDAT 100000 LAST\r\n", b"x", 610),
        (begun + b"BDAT 1\r\nx", b"BDAT 2\r\nxx", 610),
    ):
        door = Door()
        door.send(first)
        for second in range(0, seconds + 60, 10):
            assert not door.closed() or second > seconds - 10
            door.wait(10)
            door.send(drip)
        assert door.closed() and door.taken() == 0, first
    shaking = Door(implicit_tls=True)
    shaking.wait(61)
    assert shaking.closed()
    started = Door()
    started.send(b"EHLO client.test\r\nSTARTTLS\r\n")
    started.wait(61)
    assert started.closed()


def test_5_1_13_stress_shortens_it_for_those_who_are_here_already() -> None:
    """Who drips and who says nothing go after ten seconds, until there is room again."""
    made = SmtpFactory(PretendedIntake(), SmtpSettings(connections=10), None, "gw.test", Clock())
    doors = [greeted(Door(factory=made, peer=f"192.0.2.{number}")) for number in range(10)]
    for _ in range(21):
        doors[0].wait(1)
        doors[0].send(b"N")
    assert doors[0].closed() and made.doorkeeper.count == 5
    doors[9].wait(30)
    assert made.doorkeeper.count == 5  # calm: these have their minute


def test_5_1_15_the_null_sender_may_have_many_recipients_and_stays_null() -> None:
    door = greeted()
    door.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<bob@outside.test>\r\n" * 1000 + b"DATA\r\n")
    door.send(b"Auto-Submitted: auto-replied\r\n\r\n.\r\n")
    [(envelope, _)] = door.intake.mails
    assert envelope.sender is None and len(envelope.recipients) == 1000
