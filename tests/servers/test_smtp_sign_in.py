"""AUTH: PLAIN and LOGIN under TLS, and everything around them that goes wrong."""

from __future__ import annotations

import base64

import pytest

from tests.support.smtp_door import Door

ENVELOPE = b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test>\r\nDATA\r\n"


def code64(text: bytes) -> bytes:
    return base64.b64encode(text)


def covered(peer: str = "192.0.2.9") -> Door:
    door = Door(peer=peer)
    door.begin_tls()
    door.send(b"EHLO client.test\r\n")
    assert b"250-AUTH PLAIN LOGIN\r\n" in door.received()
    return door


def codes(door: Door) -> list[int]:
    return [int(line[:3]) for line in door.received().splitlines() if line[3:4] == b" "]


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        ([b"AUTH PLAIN " + code64(b"\0ann\0secret")], [235]),
        ([b"auth plain " + code64(b"ann\0ann\0secret")], [235]),
        ([b"AUTH PLAIN", code64(b"\0ann\0secret")], [334, 235]),
        ([b"AUTH LOGIN", code64(b"ann"), code64(b"secret")], [334, 334, 235]),
        ([b"AUTH LOGIN " + code64(b"ann"), code64(b"secret")], [334, 235]),
        ([b"AUTH LOGIN", code64(b"ann"), code64(b"guess")], [334, 334, 535]),
        ([b"AUTH PLAIN " + code64(b"\0ann\0guessed")], [454]),
        ([b"AUTH PLAIN " + code64(b"boss\0ann\0secret")], [535]),
        ([b"AUTH PLAIN", b"*"], [334, 501]),
        ([b"AUTH LOGIN", code64(b"ann"), b"*"], [334, 334, 501]),
        ([b"AUTH PLAIN ="], [501]),
        ([b"AUTH PLAIN", b""], [334, 501]),
        ([b"AUTH PLAIN !!!!"], [501]),
        ([b"AUTH PLAIN QUJ"], [501]),
        ([b"AUTH PLAIN " + code64(b"ann\0secret")], [501]),
        ([b"AUTH PLAIN " + code64(b"\0ann\0secret\0")], [501]),
        ([b"AUTH PLAIN " + code64(b"\0\0secret")], [501]),
        ([b"AUTH PLAIN " + code64(b"\0ann\0")], [501]),
        ([b"AUTH PLAIN " + code64(b"\0ann\r\n250 ok\0secret")], [501]),
        ([b"AUTH PLAIN " + code64(b"\0\xff\0secret")], [501]),
        ([b"AUTH PLAIN " + code64(b"\0" + b"x" * 256 + b"\0secret")], [501]),
        ([b"AUTH LOGIN", b"\xff\xfe"], [334, 501]),
        ([b"AUTH CRAM-MD5"], [504]),
        ([b"AUTH"], [504]),
    ],
)
def test_exchanges(sent: list[bytes], heard: list[int]) -> None:
    door = covered()
    got = []
    for line in sent:
        door.send(line + b"\r\n")
        got += codes(door)
    assert got == heard
    door.send(b"NOOP\r\n")  # the exchange is over
    assert codes(door) == [250]


def test_who_signed_in_is_inside_and_named() -> None:
    door = covered()
    door.send(b"AUTH PLAIN " + code64(b"\0ann\0secret") + b"\r\nRSET\r\nEHLO other.test\r\n" + ENVELOPE)
    door.send(b".\r\n")
    [(envelope, _)] = door.intake.mails
    assert (envelope.source.person, envelope.source.inside, envelope.source.helo) == ("ann", True, "other.test")
    door.send(b"AUTH PLAIN " + code64(b"\0eve\0secret") + b"\r\n")
    assert codes(door)[-1] == 503


def test_a_failed_sign_in_leaves_a_stranger() -> None:
    door = covered()
    door.send(b"AUTH PLAIN " + code64(b"\0ann\0guess") + b"\r\n" + ENVELOPE)
    assert not any(source.person or source.inside for source, _ in door.intake.asked)


def test_not_before_ehlo_and_not_inside_a_transaction() -> None:
    door = Door()
    door.begin_tls()
    door.send(b"HELO client.test\r\nAUTH PLAIN\r\nEHLO client.test\r\nMAIL FROM:<a@b.test>\r\nAUTH PLAIN\r\n")
    assert codes(door) == [250, 503, 250, 250, 503]


def test_a_slow_answer_holds_what_follows() -> None:
    door = covered()
    door.intake.gates = []
    door.send(b"AUTH PLAIN " + code64(b"\0slow\0secret") + b"\r\nMAIL FROM:<ann@inside.test>\r\n")
    assert codes(door) == []
    door.intake.gates[0].callback(None)
    assert codes(door) == [235, 250]


def test_a_password_shows_in_no_representation() -> None:
    from securegw.servers.smtp_events import AskSignIn
    from securegw.servers.smtp_sign_in import Credentials

    assert "hush" not in repr(AskSignIn(Credentials("ann", "hush")))


def test_nobody_signs_in_where_it_is_switched_off() -> None:
    from securegw.servers.smtp import SmtpSettings

    door = Door(SmtpSettings(sign_in=False))
    door.begin_tls()
    door.send(b"EHLO client.test\r\n")
    assert b"AUTH" not in door.received()
    door.send(b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
    assert codes(door) == [502]
