"""swaks, the tester's mail program, against a running gateway: what it sees on the wire is what we promise."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mails import STRANGER, read
from tests.support.running import Gateway, gateway
from tests.support.sink import Sink, sink

ANN, BOB = "ann@inside.test", "bob@outside.test"
Swaks = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def swaks(program: Callable[[str], str], running: Gateway) -> Swaks:
    """swaks with the gateway as its server; returns what it printed and its exit code."""
    found = program("swaks")

    def run(sender: str, recipient: str, *more: str) -> subprocess.CompletedProcess[str]:
        server = ["--server", f"127.0.0.1:{running.smtp_port}", "--from", sender, "--to", recipient]
        return subprocess.run(
            [found, *server, *more],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


def test_a_mail_with_tls_and_an_attachment(swaks: Swaks, outside: Sink, tmp_path: Path) -> None:
    file = tmp_path / "numbers.bin"
    file.write_bytes(bytes(range(256)) * 100)

    done = swaks(ANN, BOB, "--tls", "--attach", f"@{file}", "--header", "Subject: with a file")

    assert done.returncode == 0, done.stdout
    assert "TLS started with cipher TLSv1.3" in done.stdout
    got = read(outside.sent_to(BOB).raw)
    [attachment] = [part for part in got.walk() if part.get_filename() == "numbers.bin"]
    assert attachment.get_payload(decode=True) == file.read_bytes()


def test_the_extensions_that_are_offered(swaks: Swaks) -> None:
    clear = swaks(ANN, BOB, "--quit-after", "EHLO")
    covered = swaks(ANN, BOB, "--tls", "--quit-after", "EHLO")

    for word in ("PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES"):
        assert word in clear.stdout
    assert "STARTTLS" in clear.stdout
    after_tls = covered.stdout.partition("TLS started")[2]
    assert "PIPELINING" in after_tls
    assert "STARTTLS" not in after_tls


def test_pipelining(swaks: Swaks, outside: Sink) -> None:
    done = swaks(ANN, f"{BOB},second@outside.test", "--pipeline")

    assert done.returncode == 0, done.stdout
    mails = outside.wait(
        lambda mails: {to for mail in mails for to in mail.recipients} >= {BOB, "second@outside.test"}
    )
    assert sum(len(mail.recipients) for mail in mails) == 2


def test_a_stranger_may_write_to_us(swaks: Swaks, inside: Sink) -> None:
    done = swaks(BOB, ANN, "--local-interface", STRANGER, "--body", "good day")

    assert done.returncode == 0, done.stdout
    assert b"good day" in inside.sent_to(ANN).raw


def test_a_stranger_may_not_write_to_others(swaks: Swaks, outside: Sink) -> None:
    done = swaks("mallory@elsewhere.test", BOB, "--local-interface", STRANGER)

    assert done.returncode == 24  # swaks: no recipient was accepted
    assert "554 5.7.1" in done.stdout
    assert outside.count == 0


@pytest.mark.parametrize("recipient", ["bob%outside.test@inside.test", '"bob@outside.test"@inside.test'])
def test_tricks_with_the_recipient_stay_inside(
    swaks: Swaks, running: Gateway, inside: Sink, outside: Sink, recipient: str
) -> None:
    swaks("mallory@elsewhere.test", recipient, "--local-interface", STRANGER)

    inside.wait(lambda mails: len(mails) == 1)
    running.wait_empty(20)
    assert outside.count == 0


def test_a_mail_over_the_limit_is_refused_and_not_kept(
    swaks: Swaks, running: Gateway, tmp_path: Path
) -> None:
    file = tmp_path / "large"
    file.write_text("Subject: large\n\n" + ("x" * 70 + "\n") * 750_000)

    done = swaks(ANN, BOB, "--data", f"@{file}")

    assert done.returncode != 0
    assert "552 5.3.4" in done.stdout
    assert running.queue() == []


def test_a_confidential_mail_is_sealed(swaks: Swaks, inside: Sink, outside: Sink) -> None:
    done = swaks(ANN, BOB, "--header", "Subject: [confidential] plan", "--body", "marker-551 is secret")

    assert done.returncode == 0, done.stdout
    raw = outside.sent_to(BOB).raw
    assert b"marker-551" not in raw
    assert b"secure-email.html" in raw
    assert f"Code for {BOB}".encode() in inside.sent_to(ANN).raw


def test_a_contradiction_is_refused_with_a_notice(
    swaks: Swaks, running: Gateway, inside: Sink, outside: Sink
) -> None:
    swaks(ANN, BOB, "--header", "Subject: [confidential] [plain] what now", "--body", "marker-552")

    notice = inside.sent_to(ANN)
    assert notice.sender == ""
    assert b"multipart/report" in notice.raw
    assert b"marker-552" not in notice.raw
    running.wait_empty(20)
    assert outside.count == 0


def test_what_was_accepted_is_delivered_without_a_double(
    swaks: Swaks, running: Gateway, outside: Sink
) -> None:
    for number in range(10):
        assert swaks(ANN, f"bob{number}@outside.test").returncode == 0

    outside.wait(lambda mails: len(mails) >= 10)
    running.wait_empty(20)
    assert sorted(to for mail in outside.arrived for to in mail.recipients) == sorted(
        f"bob{number}@outside.test" for number in range(10)
    )


def test_s7_the_code_goes_to_the_service_for_sms(program: Callable[[str], str], tmp_path: Path) -> None:
    sms = {"to": "NUMBER@sms.outside.test", "country": "41", "prefix": "00"}
    with sink() as inside, sink() as outside:
        with gateway(tmp_path, inside=inside.port, outside=outside.port, settings={"sms": sms}) as running:
            server = ["--server", f"127.0.0.1:{running.smtp_port}", "--from", ANN, "--to", BOB]
            subject = ["--header", "Subject: [sms:079 123 45 67] plan", "--body", "marker-553 is secret"]
            subprocess.run([program("swaks"), *server, *subject], capture_output=True, timeout=60, check=True)

            told = outside.sent_to("0041791234567@sms.outside.test")
            carrier = outside.sent_to(BOB)
            running.wait_empty(20)
        code = re.search(rb"^([2-9A-Z-]{12}) is your code", told.raw, re.MULTILINE)
        assert code is not None
        assert code[1] not in carrier.raw
        assert b"marker-553" not in carrier.raw
        assert read(carrier.raw)["Subject"].find("sms") == -1
        assert inside.count == 0
