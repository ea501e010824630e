"""S7 and S8 on the road: a code by SMS to the number in the subject, a ZIP file that opens with the password there."""

from __future__ import annotations

import io
import re
import zipfile

import attrs
import pytest
import pyzipper
from twisted.logger import globalLogPublisher

from securegw.clients.relay import Reply
from securegw.flow.messenger import SmsSettings, check_settings
from securegw.mail import mime
from securegw.mail.bodies import bodies
from securegw.mail.compose import Attachment, compose, plain
from securegw.mail.errors import BadAddress
from securegw.store import people
from tests.support.in_clear import OTTO, Lines
from tests.support.world import START, World

ANN, BOB, CAROL = "ann@inside.test", "bob@outside.test", "carol@outside.test"
TEXT, SECRET = "the secret of the letter", "Correct horse 9"
SERVICE = SmsSettings(to="NUMBER@sms.test", country="41")
CODE = rb"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}\b"


def with_service(world: World, service: SmsSettings = SERVICE) -> None:
    webmail = world.house.outgoing.webmail
    webmail.messenger = attrs.evolve(webmail.messenger, settings=service)


@pytest.mark.parametrize(
    ("given", "prefix", "dialled"),
    [
        ("+41 79 123 45 67", "+", "+41791234567"),
        ("0041 79 123 45 67", "+", "+41791234567"),
        ("079 123 45 67", "00", "0041791234567"),
        ("+49 (171) 123-4567", "none", "491711234567"),
    ],
)
def test_s7_the_code_goes_to_exactly_the_number_and_the_number_leaves_the_subject(
    world: World, given: str, prefix: str, dialled: str
) -> None:
    with_service(world, attrs.evolve(SERVICE, prefix=prefix))
    world.send(ANN, BOB, TEXT, subject=f"[sms:{given}] results")
    [sms] = world.sent_to(f"{dialled}@sms.test")
    [carrier] = world.sent_to(BOB)
    assert len(world.relay.taken) == 2
    assert sms.sender == ANN
    code = re.search(CODE, sms.raw)
    assert code is not None
    assert code[0] not in carrier.raw
    assert len(mime.parse(sms.raw).text().strip()) <= 160
    assert b"results" not in sms.raw
    assert TEXT.encode() not in carrier.raw
    assert world.sent_to(ANN) == []


def test_s7_who_was_given_a_code_before_gets_no_sms_and_the_sender_is_told(world: World) -> None:
    with_service(world)
    world.send(ANN, BOB, TEXT, subject="[priv] first")
    world.send(ANN, BOB, TEXT, subject="[sms:+41791234567] second")
    assert len(world.sent_to(BOB)) == 2
    assert world.sent_to("+41791234567@sms.test") == []
    _code, told = world.sent_to(ANN)
    assert b"No SMS for bob@outside.test" in told.raw


@pytest.mark.parametrize(
    ("service", "subject", "word"),
    [
        (SmsSettings(), "[sms:+41791234567] x", b"no service for SMS"),
        (SmsSettings(to="NUMBER@sms.test"), "[sms:0791234567] x", b"with its country"),
        (SERVICE, "[sms:+41 900 123 456] x", b"no SMS is sent"),
        (SERVICE, "[sms:0900 123 456] x", b"no SMS is sent"),
        (SERVICE, "[sms:+1234567] x", b"is none"),
        (SERVICE, "[sms:call me] x", b"is none"),
    ],
)
def test_s7_a_number_that_cannot_be_used_gives_the_mail_back(world: World, service, subject, word) -> None:
    with_service(world, service)
    world.send(ANN, BOB, TEXT, subject=subject)
    [notice] = world.relay.taken
    assert notice.recipients == (ANN,)
    assert word in notice.raw.replace(b"\r\n", b" ")


def test_s7_the_sender_is_told_of_an_sms_that_cannot_be_sent_and_not_the_code(world: World) -> None:
    with_service(world)
    world.relay.answers["+41791234567@sms.test"] = Reply(550, "5.1.1", "no such number", remote="relay.test")
    world.send(ANN, BOB, TEXT, subject="[sms:+41791234567] x")
    assert len(world.sent_to(BOB)) == 1
    [notice] = world.sent_to(ANN)
    assert b"no such number" in notice.raw
    assert re.search(CODE, notice.raw) is None


def test_s7_a_number_belongs_to_one_recipient(world: World) -> None:
    with_service(world)
    world.send(ANN, [BOB, CAROL], TEXT, subject="[sms:+41791234567] x")
    assert {mail.recipients for mail in world.relay.taken} == {(ANN,)}


def opened(raw: bytes, password: str) -> dict[str, bytes]:
    [attachment] = bodies(mime.parse(raw)).attachments
    with pyzipper.AESZipFile(io.BytesIO(attachment.content())) as archive:
        archive.setpassword(password.encode())
        return {name: archive.read(name) for name in archive.namelist()}


def test_s8_the_zip_file_opens_with_the_password_and_with_no_other(world: World) -> None:
    world.send(ANN, BOB, TEXT, subject=f"[zip:{SECRET}] results of <Mr Smith>")
    [mail] = world.relay.taken
    assert mail.recipients == (BOB,)
    page = opened(mail.raw, SECRET)["letter.html"].decode()
    assert TEXT in page
    assert "results of &lt;Mr Smith&gt;" in page
    assert SECRET not in page
    assert b"Smith" not in mail.raw
    for wrong in ("correct horse 9", SECRET + " ", "x"):
        with pytest.raises(RuntimeError, match="Bad password"):
            opened(mail.raw, wrong)


def test_s8_the_password_is_nowhere_else(world: World) -> None:
    lines = Lines()
    globalLogPublisher.addObserver(lines)
    world.send(ANN, BOB, TEXT, subject=f"[zip:{SECRET}] results")
    globalLogPublisher.removeObserver(lines)
    assert SECRET not in lines.text
    assert SECRET.encode() not in world.dump()
    assert all(SECRET.encode() not in mail.raw for mail in world.relay.taken)


def test_s8_files_keep_their_names_inside_and_show_none_outside(world: World) -> None:
    names = ["HIV result.pdf", "../../etc/passwd", "HIV RESULT.PDF", "", "con:aux?.txt"]
    raw = compose(
        sender=ANN, to=(BOB,), text=plain(f"[zip:{SECRET}] x", TEXT), message_id="<1@x>", date=START,
        attachments=[Attachment(name, "application/pdf", f"file {n}".encode()) for n, name in enumerate(names)],
    )
    world.hand_in(ANN, [BOB], raw)
    [mail] = world.sent_to(BOB)
    files = opened(mail.raw, SECRET)
    assert sorted(files) == ["files.zip", "letter.html"]
    assert b"HIV" in files["letter.html"]
    with zipfile.ZipFile(io.BytesIO(files["files.zip"])) as inner:
        found = {name: inner.read(name) for name in inner.namelist()}
    assert len(found) == len(names)
    assert not any("/" in name or "\\" in name or name[:2] == ".." or not name for name in found)
    assert found["HIV result.pdf"] == b"file 0"
    assert set(found.values()) == {f"file {n}".encode() for n in range(len(names))}


def test_s8_a_letter_that_cannot_be_taken_apart_is_there_as_a_whole(world: World) -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=x{n}\r\n\r\n--x{n}\r\n" for n in range(60))
    world.hand_in(ANN, [BOB], f"From: {ANN}\r\nTo: {BOB}\r\nSubject: [zip:{SECRET}] x\r\n{deep}\r\n{TEXT}\r\n".encode())
    [mail] = world.sent_to(BOB)
    files = opened(mail.raw, SECRET)
    assert sorted(files) == ["letter.eml", "letter.html"]
    assert TEXT.encode() in files["letter.eml"]
    assert SECRET.encode() not in b"".join(files.values())


def test_s8_html_is_clean_in_it(world: World) -> None:
    html = "<p onclick='x()'>Hello <b>Bob</b></p><script>alert(1)</script><img src='http://evil.test/a.png'>"
    raw = compose(
        sender=ANN, to=(BOB,), text=attrs.evolve(plain(f"[zip:{SECRET}] x", TEXT), html=html), message_id="<1@x>",
        date=START,
    )
    world.hand_in(ANN, [BOB], raw)
    [mail] = world.sent_to(BOB)
    page = opened(mail.raw, SECRET)["letter.html"].decode()
    assert "<b>Bob</b>" in page
    assert "script>" not in page
    assert "onclick" not in page
    assert "evil.test" not in page


def test_each_recipient_gets_it_and_the_history_says_by_which_rule(world: World) -> None:
    world.send(ANN, [BOB, CAROL], TEXT, subject=f"[zip:{SECRET}] x")
    assert TEXT in opened(world.sent_to(BOB)[0].raw, SECRET)["letter.html"].decode()
    assert TEXT in opened(world.sent_to(CAROL)[0].raw, SECRET)["letter.html"].decode()


def test_the_settings_of_the_service_are_checked() -> None:
    check_settings(SERVICE)
    check_settings(SmsSettings())
    with pytest.raises(ValueError, match="NUMBER"):
        check_settings(SmsSettings(to="sms@sms.test"))
    with pytest.raises(BadAddress):
        check_settings(SmsSettings(to="NUMBER at sms"))
    with pytest.raises(ValueError, match="country"):
        check_settings(attrs.evolve(SERVICE, country="CH"))


@pytest.mark.parametrize(
    "subject",
    [
        "[zip:{0}] results",
        "[zip:{0} results",
        "[zip:{0}] [zip:another one 9] results",
        "[zip:{0}] [sms:+41791234567] results",
        "[zip:{0}] [plain] results",
    ],
)
@pytest.mark.parametrize("more", ["", "Thread-Topic: {0}\r\n", "Subject: {0}\r\n"])
def test_s8_a_mail_that_goes_back_does_not_bring_the_password_along(world: World, subject: str, more: str) -> None:
    subject = subject.format(SECRET)
    header = f"From: {ANN}\r\nTo: {BOB}\r\nMessage-ID: <known@inside.test>\r\nSubject: {subject}\r\n"
    header += more.format(subject)
    world.write(people.ensure_user, people.User(address=ANN, name="Ann", created=START, may_encrypt=False))
    world.hand_in(ANN, [BOB], f"{header}\r\n{TEXT}\r\n".encode())
    [notice] = world.relay.taken
    assert notice.recipients == (ANN,)
    assert b"<known@inside.test>" in notice.raw
    assert SECRET not in notice.subject
    text = notice.raw.decode().replace("=20", " ").replace("=\r\n", "")
    assert not any(word in text for word in (SECRET, "Correct", "another one", "791234567"))


def test_s8_nor_does_the_notice_about_somebody_inside_who_cannot_be_reached(world: World) -> None:
    world.relay.answers[OTTO] = Reply(550, "5.1.1", "no such person", remote="relay.test")
    world.send(ANN, [OTTO, BOB], TEXT, subject=f"[zip:{SECRET}] results")
    [notice] = world.sent_to(ANN)
    assert b"no such person" in notice.raw
    assert notice.subject.endswith("results")
    assert SECRET.encode() not in notice.raw
    assert TEXT in opened(world.sent_to(BOB)[0].raw, SECRET)["letter.html"].decode()
