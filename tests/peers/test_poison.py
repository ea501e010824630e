"""A mail that kills or times out its worker three times is parked with an alarm, and stops nobody (threats 6)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.mails import mail, send
from tests.support.running import prepare, securegw
from tests.support.sink import sink
from tests.support.starting import started_by

WORDS = (sys.executable, "-m", "tests.support.poison")
EVE, ANN = "eve@outside.test", "ann@inside.test"
SIGNED = 'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b"'
TEXT = """\
--b\r
Content-Type: text/plain\r
\r
{words}\r
--b\r
Content-Type: application/pkcs7-signature\r
\r
nothing\r
--b--\r
"""


def signed(words: str) -> bytes:
    head, _, _ = mail(EVE, ANN, words, words).partition(b"\r\n\r\n")
    head = head.replace(b"Content-Type: text/plain; charset=utf-8", f"Content-Type: {SIGNED}".encode())
    return head + b"\r\n\r\n" + TEXT.format(words=words).encode()


def test_a_poisonous_mail_is_parked_with_an_alarm_and_harms_no_other(tmp_path: Path) -> None:
    with sink() as inside:
        gateway = prepare(tmp_path, inside=inside.port, outside=1, settings={"workers": {"seconds": 1}})
        with started_by(gateway, *WORDS):
            for words in ("POISON-DIES", "POISON-HANGS", "harmless"):
                send(gateway.smtp_port, EVE, ANN, signed(words), stranger=True)
            gateway.wait_for_queue(lambda items: [item.state for item in items] == ["parked"] * 2, 60)
            arrived = inside.sent_to(ANN)
            config = ("--config", str(gateway.config))
            listed = json.loads(securegw("queue", "list", "--state", "parked", "--json", *config))
            history = securegw("history", "--address", EVE, *config)
            securegw("queue", "delete", "--state", "parked", *config)
            send(gateway.smtp_port, EVE, ANN, mail(EVE, ANN, "after", "it goes on"), stranger=True)
            inside.wait(lambda mails: len(mails) == 2)
    assert b"harmless" in arrived.raw
    assert [row["tries"] for row in listed] == [3, 3]
    assert all(row["note"] for row in listed)
    assert gateway.log.count("is parked") == 2
    assert history.count("parked") == 2
