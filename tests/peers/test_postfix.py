"""Postfix on both sides of a running gateway: real queues, real delivery to Maildirs, both directions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.support.between import await_queue, push_until
from tests.support.mails import STRANGER, mail
from tests.support.postfix import Postfix, postfix
from tests.support.running import Gateway, prepare

ANN, OTTO, BOB = "ann@inside.test", "otto@inside.test", "bob@outside.test"

pytestmark = pytest.mark.usefixtures("postfix_here")


@attrs.frozen
class Line:
    """Inside Postfix, gateway, outside Postfix."""

    inside: Postfix
    gateway: Gateway
    outside: Postfix


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Postfix on both sides; the outside one speaks to the gateway from an address that is not inside."""
    folder: Path = tmp_path_factory.mktemp("line")
    ahead = prepare(folder, inside=1, outside=1)
    to_gateway = f"[127.0.0.1]:{ahead.smtp_port}"
    tls = {"smtp_tls_security_level": "may"}
    with (
        postfix([ANN, OTTO], relayhost=to_gateway, **tls) as inside,
        postfix([BOB], relayhost=to_gateway, smtp_bind_address=STRANGER, **tls) as outside,
    ):
        ahead.reroute(inside=inside.port, outside=outside.port)
        try:
            ahead.start()
            yield Line(inside, ahead, outside)
        finally:
            ahead.stop()


def test_a_plain_mail_goes_out_unchanged(line: Line) -> None:
    text = "Grüezi\n.one dot\n..two dots\n\n-- \nlast line " + "x" * 900
    raw = mail(ANN, BOB, "plain", text)

    line.inside.sendmail(ANN, [BOB], raw)

    got = wait_for_subject(line.outside, BOB, "plain")
    assert got.get_payload(decode=True).decode() == f"{text}\n"  # Maildir has LF
    assert "gw.inside.test" in "".join(got.get_all("Received", []))


def test_a_mail_comes_in_unchanged(line: Line) -> None:
    raw = mail(BOB, ANN, "incoming", "Hello Ann, grüezi.")

    line.outside.sendmail(BOB, [ANN], raw)

    got = wait_for_subject(line.inside, ANN, "incoming")
    digest = hashlib.sha256("Hello Ann, grüezi.\n".encode()).hexdigest()
    assert hashlib.sha256(got.get_payload(decode=True)).hexdigest() == digest


def test_tls_covers_the_way_when_both_can(line: Line) -> None:
    line.inside.sendmail(ANN, [BOB], mail(ANN, BOB, "covered", "by TLS"))

    got = wait_for_subject(line.outside, BOB, "covered")
    received = next(field for field in got.get_all("Received", []) if "by gw.inside.test" in field)
    assert "ESMTPS" in received


def test_a_confidential_mail_leaves_as_carrier_and_the_sender_gets_the_code(line: Line) -> None:
    line.inside.sendmail(
        ANN, [BOB], mail(ANN, BOB, "[confidential] secret plan", "nobody may read marker-771")
    )

    got = wait_for_attachment(line.outside, BOB, "secure-email.html")
    assert b"marker-771" not in got.as_bytes()
    assert b"marker-771" not in b"".join(part.get_payload(decode=True) or b"" for part in got.walk())
    told = wait_for_subject(line.inside, ANN, f"Code for {BOB}")
    assert told["Auto-Submitted"] == "auto-generated"


def test_an_unknown_outside_recipient_comes_back_as_a_notice_without_the_text(line: Line) -> None:
    line.inside.sendmail(
        OTTO, ["nobody@outside.test"], mail(OTTO, "nobody@outside.test", "lost", "marker-772")
    )

    [notice] = line.inside.wait_for_mail(OTTO)
    assert notice.get_content_type() == "multipart/report"
    assert "nobody@outside.test" in notice.as_string()
    assert "5.1.1" in notice.as_string()
    assert "marker-772" not in notice.as_string()


def test_mail_for_a_gateway_that_is_down_waits_in_postfix_and_arrives_once(line: Line) -> None:
    line.gateway.stop()
    line.inside.sendmail(ANN, [BOB], mail(ANN, BOB, "patience", "while it was down"))
    line.inside.wait_for_log("Connection refused")
    line.gateway.start()

    push_until(lambda: line.inside.queue_size() == 0, line.inside.flush)

    wait_for_subject(line.outside, BOB, "patience")
    line.gateway.wait_empty(30)
    assert len([m for m in line.outside.mails(BOB) if m["Subject"] == "patience"]) == 1


def test_mail_for_an_outside_that_is_down_waits_in_the_gateway_and_survives_a_kill(line: Line) -> None:
    line.outside.stop()
    line.inside.sendmail(ANN, [BOB], mail(ANN, BOB, "kept", "while the world was down"))
    line.gateway.wait_for_queue(lambda items: any(item.tries for item in items))

    line.gateway.kill()
    line.gateway.start()
    line.outside.start()
    line.gateway.retry_all()

    wait_for_subject(line.outside, BOB, "kept")
    line.gateway.wait_empty(30)
    assert len([m for m in line.outside.mails(BOB) if m["Subject"] == "kept"]) == 1


def test_a_hundred_mails_to_three_people_each_arrive_once(line: Line) -> None:
    subjects = [f"many {number}" for number in range(100)]
    for subject in subjects:
        line.outside.sendmail(BOB, [ANN, OTTO], mail(BOB, ANN, subject, f"text of {subject}"))

    for person in (ANN, OTTO):
        line.inside.wait_until(person, lambda mails: sum("many" in str(m["Subject"]) for m in mails) >= 100)
        got = sorted(str(m["Subject"]) for m in line.inside.mails(person) if "many" in str(m["Subject"]))
        assert got == sorted(subjects)
    await_queue(line.outside, 0)


def wait_for_subject(server: Postfix, box: str, subject: str):  # type: ignore[no-untyped-def]
    found = server.wait_until(box, lambda mails: any(m["Subject"] == subject for m in mails))
    return next(m for m in found if m["Subject"] == subject)


def wait_for_attachment(server: Postfix, box: str, name: str):  # type: ignore[no-untyped-def]
    def has(message) -> bool:  # type: ignore[no-untyped-def]
        return any(part.get_filename() == name for part in message.walk())

    found = server.wait_until(box, lambda mails: any(map(has, mails)))
    return next(m for m in found if has(m))
