"""SMTPUTF8 and DSN: what the client announces about a mail and wants to be told, as the intake sees it."""

from __future__ import annotations

import pytest

from securegw.mail.address import Address
from securegw.mail.envelope import Wishes
from tests.support.smtp_door import Door


def begun() -> Door:
    door = Door()
    door.send(b"EHLO client.test\r\n")
    door.received()
    return door


def codes(door: Door) -> list[int]:
    return [int(line[:3]) for line in door.received().splitlines() if line[3:4] == b" "]


def test_wishes_reach_the_envelope_as_they_stand() -> None:
    door = begun()
    door.send(
        b"MAIL FROM:<ann@inside.test> RET=hdrs ENVID=QQ+3D+2B42 AUTH=<>\r\n"
        b"RCPT TO:<bob@outside.test> NOTIFY=success,delay ORCPT=rfc822;Bob+2Bx@outside.test\r\n"
        b"RCPT TO:<eve@outside.test> NOTIFY=NEVER\r\nRCPT TO:<joe@outside.test>\r\nDATA\r\n"
    )
    door.send(b".\r\n")
    assert codes(door) == [250, 250, 250, 250, 354, 250]
    [(envelope, _)] = door.intake.mails
    assert (envelope.ret, envelope.envid) == ("HDRS", "QQ+3D+2B42")
    assert envelope.wishes == {
        Address("bob", "outside.test"): Wishes("SUCCESS,DELAY", "rfc822;Bob+2Bx@outside.test"),
        Address("eve", "outside.test"): Wishes("NEVER"),
    }


@pytest.mark.parametrize(
    "parameter",
    [
        "RET=ALL", "RET", "ENVID", "ENVID=" + "x" * 101, "ENVID=a+0D+0Ab", "ENVID=a+7F", "ENVID=a+zz", "ENVID=a+0d",
        "SMTPUTF8=yes", "AUTH=a+0Ab", "AUTH", "RET=FULL RET=FULL", "ENVID=\u00fc", "BODY=BINARYMIME", "SIZE=-1",
    ],
)  # fmt: skip
def test_wrong_parameters_of_mail(parameter: str) -> None:
    door = begun()
    door.send(f"MAIL FROM:<ann@inside.test> {parameter}\r\n".encode())
    assert codes(door) == [501] and door.intake.asked == []


@pytest.mark.parametrize(
    ("parameter", "code"),
    [
        ("NOTIFY=NEVER,SUCCESS", 501),
        ("NOTIFY=SUCCESS,SUCCESS", 501),
        ("NOTIFY=,", 501),
        ("NOTIFY", 501),
        ("NOTIFY=SUCCESS,FAILURE,DELAY", 250),
        ("ORCPT=bob@outside.test", 501),
        ("ORCPT=rfc822;", 501),
        ("ORCPT=rfc 822;x", 501),
        ("ORCPT=rfc822;a+0D+0ABcc:x", 501),
        ("ORCPT=rfc822;" + "x" * 493, 250),
        ("ORCPT=rfc822;" + "x" * 494, 501),
        ("ORCPT=utf-8;b\u00f6b@outside.test", 501),
        ("RET=FULL", 555),
        ("NOTIFY=NEVER NOTIFY=NEVER", 501),
    ],
)
def test_parameters_of_rcpt(parameter: str, code: int) -> None:
    door = begun()
    door.send(b"MAIL FROM:<ann@inside.test>\r\n" + f"RCPT TO:<bob@outside.test> {parameter}\r\n".encode())
    assert codes(door) == [250, code]


def test_parameters_need_ehlo() -> None:
    door = Door()
    door.send(b"HELO client.test\r\nMAIL FROM:<ann@inside.test> RET=FULL\r\n")
    door.send(b"MAIL FROM:<ann@inside.test>\r\nRCPT TO:<bob@outside.test> NOTIFY=NEVER\r\n")
    assert codes(door) == [220, 250, 555, 250, 555]


def test_addresses_in_utf8_only_where_they_are_announced() -> None:
    door = begun()
    door.send("MAIL FROM:<ännchen@inside.test>\r\n".encode())
    assert door.received().startswith(b"553 5.6.7 ")
    door.send("MAIL FROM:<ann@inside.test>\r\nRCPT TO:<böb@outside.test>\r\nRSET\r\n".encode())
    assert codes(door) == [250, 553, 250]
    door.send(
        "MAIL FROM:<ännchen@bücher.test> SMTPUTF8 BODY=8BITMIME\r\n"
        "RCPT TO:<böb@outside.test> ORCPT=utf-8;böb@outside.test\r\nDATA\r\n".encode()
    )
    text = "Subject: Grüße\r\nTo: böb@outside.test\r\n\r\n".encode()
    door.send(text + b".\r\n")
    assert codes(door) == [250, 250, 354, 250]
    [(envelope, raw)] = door.intake.mails
    assert envelope.utf8 and envelope.eight_bit and raw == text
    assert envelope.sender == Address("ännchen", "xn--bcher-kva.test")
    assert envelope.wishes == {Address("böb", "outside.test"): Wishes(original="utf-8;böb@outside.test")}


@pytest.mark.parametrize("local", ["b\u0308o\u0308b", "b\u200bob", "b\u202eob", "b\u00a0ob", "b\u0085ob", "b\ufeffob"])
def test_utf8_that_two_readers_see_differently(local: str) -> None:
    door = begun()
    door.send(b"MAIL FROM:<ann@inside.test> SMTPUTF8\r\n" + f"RCPT TO:<{local}@outside.test>\r\n".encode())
    assert codes(door) == [250, 553]
