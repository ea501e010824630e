"""Notices: what a sender asked for is obeyed, what nobody asked for is not sent, and no text ever comes back."""

from __future__ import annotations

import pytest

from securegw.clients.relay import Reply
from securegw.flow.notices import is_wanted
from securegw.mail.address import parse_path
from securegw.mail.envelope import Wishes
from securegw.mail.errors import NameServerTrouble, NoSuchDomain, StoreBusy
from securegw.mail.mime import Part, parse
from securegw.store import rulebook
from tests.flow.test_archive import ARCHIVE, RULES, make_box, read_all
from tests.support.world import INSIDE, OUTSIDE, START, Delivered, World

ANN, BOB, EVE = "ann@inside.test", "bob@outside.test", "eve@outside.test"
BUSY = Reply(451, "4.3.0", "busy", remote="mx.outside.test[192.0.2.1]:25")
NO = Reply(550, "5.1.1", "no such user", remote="mx.outside.test[192.0.2.1]:25")
HOUR = 3600.0


def wishes(notify: str, original: str = "", of: str = BOB) -> dict[str, object]:
    return {"wishes": {parse_path(of): Wishes(notify, original)}}


def status(mail: Delivered) -> str:
    report = parse(mail.raw)
    assert report.kind == "multipart/report"
    return report.children[1].content().decode()


def text(mail: Delivered) -> str:
    part: Part = parse(mail.raw).children[0].children[0]
    return part.text()


def test_a_failure_says_who_where_and_since_when(world: World) -> None:
    world.relay.answers[BOB] = NO
    world.send(ANN, BOB, "the text", envid="QQ+3D7", ret="FULL", **wishes("FAILURE", "rfc822;bob+2Bold@outside.test"))
    [notice] = world.sent_to(ANN)
    assert status(notice).split("\r\n") == [
        "Original-Envelope-Id: QQ=7",
        "Reporting-MTA: dns; gw.inside.test",
        "Arrival-Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "",
        "Original-Recipient: rfc822; bob+old@outside.test",
        "Final-Recipient: rfc822; bob@outside.test",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.outside.test",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "",
    ]
    assert b"the text" not in notice.raw
    assert notice.sender == ""


@pytest.mark.parametrize(
    ("notify", "failed", "delayed", "relayed"),
    [
        ("", 1, 1, 0),
        ("NEVER", 0, 0, 0),
        ("FAILURE", 1, 0, 0),
        ("DELAY", 0, 1, 0),
        ("SUCCESS", 0, 0, 1),
        ("success,failure", 1, 0, 1),
        ("SUCCESS,FAILURE,DELAY", 1, 1, 1),
    ],
)
def test_notify_is_obeyed(world: World, notify: str, failed: int, delayed: int, relayed: int) -> None:
    asked = wishes(notify, of=BOB) if notify else {}
    world.relay.answers[BOB] = NO
    world.send(ANN, BOB, **asked)
    assert len(world.sent_to(ANN)) == failed
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB, **asked)
    for _ in range(12):
        world.later(HOUR / 2)
    assert len(world.sent_to(ANN)) == failed + delayed
    del world.relay.answers[BOB]
    world.later(5 * HOUR)
    assert len(world.sent_to(BOB)) == 1
    assert len(world.sent_to(ANN)) == failed + delayed + relayed
    assert is_wanted(Wishes(notify), "failed") is bool(failed)


def test_who_looks_after_the_wishes_is_told_them_and_we_are_silent(world: World) -> None:
    world.relay.dsn = True
    world.send(ANN, [BOB, EVE], envid="E1", ret="FULL", **wishes("SUCCESS,DELAY", "rfc822;bob@old.test"))
    [mail] = world.sent_to(BOB)
    assert mail.wishes == {BOB: Wishes("SUCCESS,DELAY", "rfc822;bob@old.test")}
    assert (mail.ret, mail.envid) == ("FULL", "E1")
    assert world.sent_to(ANN) == []


def test_handed_over_to_who_does_not_say_more(world: World) -> None:
    world.send(ANN, [BOB, EVE], "the text", ret="FULL", **wishes("SUCCESS"))
    [notice] = world.sent_to(ANN)
    assert "Action: relayed\r\nStatus: 2.0.0\r\n" in status(notice)
    assert EVE not in status(notice)
    assert b"the text" not in notice.raw
    assert "handed over" in text(notice)


# --- into an archive mailbox ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notify", "told"), [("", 0), ("NEVER", 0), ("FAILURE", 0), ("SUCCESS", 1), ("SUCCESS,FAILURE", 1)]
)
@pytest.mark.parametrize("others", [[], [EVE]], ids=["alone", "with others"])
def test_what_lies_in_a_mailbox_was_delivered(world: World, notify: str, told: int, others: list[str]) -> None:
    box = make_box(world)
    asked = wishes(notify, "rfc822;old@inside.test", of="Archive@inside.test") if notify else {}
    world.send(ANN, ["Archive@inside.test", *others], "the text", envid="E1", ret="FULL", **asked)
    assert len(read_all(world, box)) == 1
    notices = world.sent_to(ANN)
    assert len(notices) == told
    for notice in notices:
        assert notice.sender == ""
        assert status(notice).split("\r\n") == [
            "Original-Envelope-Id: E1",
            "Reporting-MTA: dns; gw.inside.test",
            "Arrival-Date: Fri, 15 Jan 2027 08:00:00 +0000",
            "",
            "Original-Recipient: rfc822; old@inside.test",
            "Final-Recipient: rfc822; Archive@inside.test",
            "Action: delivered",
            "Status: 2.0.0",
            "Last-Attempt-Date: Fri, 15 Jan 2027 08:00:00 +0000",
            "",
        ]
        assert "The mail lies in the mailbox." in text(notice)
        assert b"the text" not in notice.raw


def test_a_stranger_is_told_as_well_and_nobody_without_a_sender(world: World) -> None:
    make_box(world)
    asked = wishes("SUCCESS", of=ARCHIVE)
    world.send(BOB, ARCHIVE, source=OUTSIDE, **asked)
    world.send("", ARCHIVE, source=OUTSIDE, **asked)
    world.send(BOB, ARCHIVE, source=OUTSIDE, fields="Auto-Submitted: auto-generated\r\n", **asked)
    assert len(world.relay.taken) == len(world.sent_to(BOB)) == 1


def test_a_copy_by_rule_is_told_to_nobody(world: World) -> None:
    make_box(world)
    world.write(rulebook.save, RULES, "test", START)
    world.later(1)
    world.send(ANN, BOB, **wishes("SUCCESS", of=ARCHIVE))
    assert world.sent_to(ANN) == [] and len(world.sent_to(BOB)) == 1


def test_what_is_not_kept_is_not_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction: the mail in the mailbox and the notice in the queue, or neither."""
    make_box(world)
    with monkeypatch.context() as patched, pytest.raises(StoreBusy):
        patched.setattr("securegw.flow.archive.queue.put", fail)
        world.send(ANN, ARCHIVE, **wishes("SUCCESS", of=ARCHIVE))
    assert world.rows("kept") == world.rows("item") == 0 and world.relay.taken == []


def fail(*_arguments: object) -> None:
    raise StoreBusy


def test_wishes_outlive_waiting(world: World) -> None:
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB, envid="E1", **wishes("SUCCESS,FAILURE", "rfc822;x@y.test"))
    world.relay.answers[BOB] = NO
    world.later(61)
    [notice] = world.sent_to(ANN)
    assert "Original-Envelope-Id: E1\r\n" in status(notice)
    assert "Original-Recipient: rfc822; x@y.test\r\n" in status(notice)


def test_a_rule_that_refuses_says_so_only_to_who_wants_to_know(world: World) -> None:
    for notify, told in (("NEVER", 0), ("FAILURE", 1)):
        world.send(ANN, BOB, subject="[plain] [confidential] x", **wishes(notify))
        assert len(world.sent_to(ANN)) == told
    assert world.sent_to(BOB) == []


def test_the_notice_is_in_the_language_of_its_reader(world: World) -> None:
    import attrs

    speaks = {ANN: "de"}
    world.house.delivery.notices = attrs.evolve(
        world.house.delivery.notices, language_of=lambda address: speaks.get(address, "en")
    )
    world.relay.answers[BOB] = NO
    world.send(ANN, BOB)
    world.send("cat@inside.test", BOB)
    assert "Das Postfach des Empfängers gibt es nicht." in text(world.sent_to(ANN)[0])
    assert "The recipient's mailbox does not exist." in text(world.sent_to("cat@inside.test")[0])


# --- delay ----------------------------------------------------------------------------------------------------------


def test_a_delay_is_told_once(world: World) -> None:
    world.relay.answers[BOB] = BUSY
    world.send(ANN, [BOB, EVE])
    for _ in range(7):
        world.later(HOUR / 2)
    assert world.sent_to(ANN) == []
    for _ in range(100):
        world.later(HOUR)
    [warning] = world.sent_to(ANN)
    assert "Action: delayed\r\nStatus: 4.3.0\r\n" in status(warning)
    assert "Will-Retry-Until: Wed, 20 Jan 2027 08:00:00 +0000\r\n" in status(warning)
    assert EVE not in status(warning)
    assert "Please do not send the mail again." in text(warning)
    for _ in range(30):
        world.later(HOUR)
    assert len(world.sent_to(ANN)) == 2
    assert "Action: failed\r\nStatus: 5.4.7\r\n" in status(world.sent_to(ANN)[1])


def test_an_operator_who_retries_does_not_make_more_warnings(world: World) -> None:
    from securegw.store import desk
    from securegw.store.items import Chosen

    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    for _ in range(6):
        world.later(HOUR)
        [item] = world.read(desk.list_items)
        world.write(desk.retry, Chosen((item.id,)))
        world.later(1)
    assert len(world.sent_to(ANN)) == 1


def test_no_warning_where_none_is_wanted_by_the_settings(world: World) -> None:
    import attrs

    world.house.delivery.settings = attrs.evolve(world.house.delivery.settings, warn_after=0.0)
    world.relay.answers[BOB] = BUSY
    world.send(ANN, BOB)
    for _ in range(20):
        world.later(HOUR)
    assert world.sent_to(ANN) == []


# --- never ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "fields"),
    [
        ("", ""),
        (ANN, "Auto-Submitted: auto-replied\r\n"),
        (ANN, "Auto-Submitted: auto-generated\r\n"),
        (ANN, "List-Id: <l.inside.test>\r\n"),
        (ANN, "Precedence: bulk\r\n"),
        ("list-bounces@inside.test", ""),
        ("MAILER-DAEMON@inside.test", ""),
    ],
)
def test_threat_5_1_15_robots_are_never_answered(world: World, sender: str, fields: str) -> None:
    """Neither failure, delay nor success, whatever they ask for."""
    many = [f"u{number}@outside.test" for number in range(50)]
    asked = {"wishes": {parse_path(each): Wishes("SUCCESS,FAILURE,DELAY") for each in [BOB, *many]}}
    for reply in (NO, BUSY):
        world.relay.answers = dict.fromkeys(many, reply)
        world.send(sender, [BOB, *many], fields=fields, **asked)
    for _ in range(40):
        world.later(4 * HOUR)
    assert {mail.sender for mail in world.relay.taken} == {sender}
    assert world.rows("item") == 0


def test_threat_5_1_15_a_notice_that_cannot_be_delivered_ends(world: World) -> None:
    world.relay.answers = {BOB: NO, ANN: NO}
    world.send(ANN, BOB)
    assert world.relay.taken == []
    assert world.rows("item") == 0


def test_threat_5_1_15_a_thousand_recipients_are_one_notice(world: World) -> None:
    """D23: at most one notice for a mail and recipient."""
    many = [f"u{number}@outside.test" for number in range(1000)]
    world.relay.answers = dict.fromkeys(many, NO)
    world.send(ANN, many)
    [notice] = world.sent_to(ANN)
    assert status(notice).count("Action: failed") == 1000


# --- decryption by bounce ------------------------------------------------------------------------------------------


def test_threat_5_5_32_what_was_opened_here_never_comes_back(world: World) -> None:
    from securegw.flow.delivery import _ret
    from securegw.store.items import Item

    item = Item(
        id="1", kind="ready", trace="t", sender=BOB, recipients=(), source={"ret": "FULL"}, size=1, received=0.0,
        direction="incoming",
    )  # fmt: skip
    assert _ret(item) == "HDRS"


def test_threat_5_5_32_requests_for_receipts_do_not_come_back(world: World) -> None:
    world.relay.answers[ANN] = NO
    fields = "Disposition-Notification-To: bob@outside.test\r\nReturn-Receipt-To: bob@outside.test\r\n"
    world.send(BOB, ANN, "secret", fields=fields, source=OUTSIDE, ret="FULL")
    [notice] = world.sent_to(BOB)
    assert b"secret" not in notice.raw
    assert b"Disposition-Notification-To" not in notice.raw and b"Return-Receipt-To" not in notice.raw


def test_a_domain_that_does_not_exist_and_one_whose_servers_are_silent(world: World) -> None:
    world.resolver.hosts = {"none.test": NoSuchDomain(), "silent.test": NameServerTrouble()}
    world.send(ANN, ["a@none.test", "b@silent.test"], source=INSIDE)
    [notice] = world.sent_to(ANN)
    assert "Final-Recipient: rfc822; a@none.test" in status(notice)
    assert "b@silent.test" not in status(notice)
    assert world.rows("item") == 1
