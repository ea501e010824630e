"""Answering: reaches the writer of the letter and nobody else, and never loses a text."""

from __future__ import annotations

import pytest

from securegw.mail import mime
from securegw.mail.errors import StoreBusy
from tests.portal.browser import ANN, BOB, Browser, open_letter, register, send_letter, sign_in

TEXT = "Guten Tag\r\n\r\nVielen Dank für den Befund.\r\n.\r\nGrüße"


def reader(world, **named):
    browser = Browser(world)
    letter = send_letter(world, **named)
    return browser, letter, register(browser, letter)


def form(browser, place, **changes):
    page = browser.get(f"{place}/reply")
    return {"token": page.field("token"), "once": page.field("once"), "text": TEXT, **changes}


def answers(world):
    world.later(1)
    return [mail for mail in world.sent_to(ANN) if mail.sender == BOB]


def test_an_answer_with_files_arrives_threaded(world):
    browser, _, place = reader(world, subject="Re: Befund")
    page = browser.get(place)
    files = (
        ("files", "Vertrag Änderung.pdf", "application/pdf", b"%PDF-\x00\xff"),
        ("files", "böse\u202e.txt", "multipart/mixed; boundary=x", b"--x"),
        ("files", "", "application/octet-stream", b""),
    )
    sent = browser.post_parts(f"{place}/reply", form(browser, place), files)
    assert sent.status == 303 and sent.headers["location"] == f"{place}/sent"
    assert "on its way" in browser.follow(sent).text
    [answer] = answers(world)
    assert answer.recipients == (ANN,)
    assert answer.subject.endswith("Re: Befund") and "Re: Re:" not in answer.subject
    assert answer.message.first("In-Reply-To") == answer.message.first("References") != ""
    assert answer.message.first("From") == "Bob Beispiel <bob@outside.test>"
    bodies = mime.bodies(mime.parse(answer.raw))
    assert bodies.text.text().replace("\r\n", "\n").strip() == TEXT.replace("\r\n", "\n")
    assert [(part.filename, part.kind, part.content()) for part in bodies.attachments] == [
        ("Vertrag Änderung.pdf", "application/pdf", b"%PDF-\x00\xff"),
        ("böse.txt", "application/octet-stream", b"--x"),
    ]
    assert page.status == 200


def test_the_second_press_sends_nothing(world):
    browser, _, place = reader(world)
    fields = form(browser, place)
    for _ in range(3):
        assert browser.post_parts(f"{place}/reply", fields).status == 303
    assert len(answers(world)) == 1


@pytest.mark.parametrize(
    ("changes", "count", "status", "words"),
    [
        ({"text": "  \r\n"}, 0, 400, "write something"),
        ({"text": "x" * 100_001}, 0, 400, "too long"),
        ({}, 21, 400, "too many files"),
        ({}, 51, 413, "too large"),
    ],
)
def test_mistakes_keep_the_text(world, changes, count, status, words):
    browser, _, place = reader(world)
    files = tuple(("files", f"{n}.txt", "text/plain", b"x") for n in range(count))
    answer = browser.post_parts(f"{place}/reply", form(browser, place, **changes), files)
    assert answer.status == status
    assert words in answer.text
    if not changes:
        assert "Vielen Dank für den Befund." in answer.text
    assert answers(world) == []


def test_files_beyond_the_limit_keep_the_text(world):
    browser, _, place = reader(world)
    limit = world.house.settings.portal.reply_limit
    files = (("files", "big", "application/zip", b"\0" * limit),)
    answer = browser.post_parts(f"{place}/reply", form(browser, place), files)
    assert answer.status == 413
    assert "Vielen Dank für den Befund." in answer.text and "too large" in answer.text


def test_a_session_that_ended_while_writing_loses_nothing(world):
    browser, letter, place = reader(world)
    fields = form(browser, place)
    world.clock.advance(31 * 60)  # the letter is brought again in another tab, the session is not
    place = open_letter(Browser(world, browser.site), letter)
    closed = browser.post_parts(f"{place}/reply", fields)
    assert closed.status == 403
    assert "Your text is kept" in closed.text and "Vielen Dank" not in closed.text
    draft = closed.field("draft")
    wrong = browser.post(f"{place}/sign-in", {"address": BOB, "password": "falsch", "draft": draft})
    assert wrong.status == 403 and wrong.field("draft") == draft
    again = browser.post(f"{place}/sign-in", {"address": BOB, "password": "vier kleine graue Wolken", "draft": draft})
    assert again.status == 200
    assert "Vielen Dank für den Befund." in again.text
    ready = {"token": again.field("token"), "once": again.field("once"), "text": TEXT}
    assert browser.post_parts(f"{place}/reply", ready).status == 303
    assert len(answers(world)) == 1


def test_nothing_written_reaches_the_disk_in_clear(world):
    browser, letter, place = reader(world)
    fields = form(browser, place)
    world.clock.advance(31 * 60)
    place = open_letter(Browser(world, browser.site), letter)
    browser.post_parts(f"{place}/reply", fields, (("files", "a", "text/plain", b"Vielen Dank" * 500_000),))
    for path in world.folder.rglob("*"):
        assert path.is_dir() or b"Vielen Dank" not in path.read_bytes()


def test_a_letter_that_is_gone_gives_the_text_back(world):
    browser, _, place = reader(world)
    fields = form(browser, place)
    world.house.park.parked.clear()  # as after a restart; the session lives on
    lost = browser.post_parts(f"{place}/reply", fields)
    assert lost.status == 410
    assert "Copy your text" in lost.text and "Vielen Dank für den Befund." in lost.text
    assert answers(world) == []


def test_who_reads_keeps_the_letter_here(world):
    browser, _, place = reader(world)
    fields = form(browser, place)
    world.clock.advance(20 * 60)
    browser.get(place)
    world.clock.advance(20 * 60)
    assert browser.post_parts(f"{place}/reply", fields).status == 303
    assert len(answers(world)) == 1


def test_a_draft_of_another_letter_or_a_forged_one_is_nothing(world):
    browser, _, place = reader(world)
    sealed = world.house.accounts.seal_draft("another-letter", "fremder Text")
    for draft in (sealed, "AAAA", "ä", sealed[:-4]):
        stranger = Browser(world, browser.site)
        fields = {"address": BOB, "password": "vier kleine graue Wolken", "draft": draft}
        assert stranger.post(f"{place}/sign-in", fields).status == 303


def test_without_a_token_nothing_is_sent(world):
    browser, _, place = reader(world)
    fields = form(browser, place)
    assert browser.post_parts(f"{place}/reply", {**fields, "token": ""}).status == 403
    assert browser.post_parts(f"{place}/reply", fields, origin="null").status == 403
    assert browser.post_parts(f"{place}/reply", fields, origin="https://evil.test").status == 403
    assert answers(world) == []


def test_nobody_else_can_be_written_to(world):
    browser, _, place = reader(world)
    fields = form(browser, place, to="victim@other.test", recipient="victim@other.test", subject="x\r\nBcc: v@o.test")
    fields["text"] = "hello\r\nBcc: victim@other.test\r\n"
    assert browser.post_parts(f"{place}/reply", fields).status == 303
    [answer] = answers(world)
    assert answer.recipients == (ANN,)
    assert answer.message.first("Bcc") is None and answer.message.first("To") == ANN
    assert world.sent_to("victim@other.test") == []


def test_a_busy_house_keeps_the_text(world, monkeypatch):
    browser, _, place = reader(world)
    fields = form(browser, place)

    async def busy(*_arguments, **_named):
        raise StoreBusy

    with monkeypatch.context() as patch:
        patch.setattr(type(world.house.intake), "accept", busy)
        answer = browser.post_parts(f"{place}/reply", fields)
        assert answer.status == 503 and "Vielen Dank für den Befund." in answer.text
    assert browser.post_parts(f"{place}/reply", fields).status == 303
    assert len(answers(world)) == 1


def test_another_reader_cannot_answer(world):
    browser, _, place = reader(world)
    eve = Browser(world, browser.site)
    register(eve, send_letter(world, "eve@outside.test"), "eve@outside.test")
    assert eve.get(f"{place}/reply").status == 403
    token = eve.get("/first?letter=AAAAAAAAAAAA").status
    assert token == 303
    page = eve.get(place)
    fields = {"token": page.field("token"), "once": "1", "text": "ich bin nicht Bob"}
    assert eve.post_parts(f"{place}/reply", fields).status == 403
    world.later(1)
    assert not [mail for mail in world.sent_to(ANN) if mail.sender == "eve@outside.test"]


def test_the_reply_page_keeps_its_language_to_itself(world):
    browser, _, place = reader(world)
    assert "?lang=" not in browser.get(f"{place}/reply").text
    assert sign_in(browser, place).status == 303
