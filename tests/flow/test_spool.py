"""Large texts on the disk: sealed, durable before 250, swept after a crash; and large mails sent from there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from securegw.crypto.seal import PART, MasterKey
from securegw.flow import filing
from securegw.flow.claims import BODY
from securegw.flow.connector import Connector
from securegw.flow.line import LARGE
from securegw.flow.spool import HEAD, WINDOW, Spool
from securegw.ids import new_id
from securegw.mail import message as messages
from securegw.mail.address import parse_path
from securegw.mail.envelope import Envelope
from securegw.mail.errors import DiskFull, Later, LostClaim, SealBroken, StoreBusy, TooBig
from securegw.store import bodies, desk, queue
from securegw.store.bodies import BodyFile, FiledParts
from securegw.store.database import Database
from securegw.workers.work import InlineWorkers
from tests.flow.test_archive import ARCHIVE, make_box, read_all
from tests.support.world import INSIDE, START, World

ANN, BOB = "ann@inside.test", "bob@outside.test"
MARKER = b"marker-of-the-text-4711"
LINE = MARKER + b" " * 70 + b"\r\n"
TEXT = b"From: ann@inside.test\r\nSubject: large\r\nMessage-ID: <1@inside.test>\r\n\r\n" + LINE * 16_000


@pytest.fixture
def world() -> Iterator[World]:
    made = World(on_disk=True)
    yield made
    made.close()


def spooled(world: World, text: bytes = TEXT, recipient: str = BOB, piece: int = 65_000) -> Spool:
    """A text that has come."""
    spool = world.house.intake._spool([parse_path(recipient)])
    for at in range(0, len(text), piece):
        spool.add(text[at : at + piece])
    return spool


def accept(world: World, spool: Spool, recipient: str = BOB) -> str:
    envelope = Envelope(new_id(), parse_path(ANN), (parse_path(recipient),), INSIDE, world.clock.seconds())
    return str(world.wait(world.house.intake.accept(envelope, spool)))


def go_on(world: World) -> None:
    for _ in range(3):
        world.wait(world.house.claims.poll())


def below_trace(raw: bytes) -> bytes:
    """A mail without our Received field."""
    message = messages.read(raw)
    assert message.fields[0].name == b"Received"
    return raw[len(message.fields[0].raw) :]


def test_a_spooled_mail_is_durable_and_arrives_as_it_came(world: World) -> None:
    accept(world, spooled(world))
    [file] = world.bodies
    [item] = world.write(queue.claim, queue.Claim(world.house.claims.session or 0, 9, world.clock.seconds()))
    assert (file.name, item.size) == (item.id, len(world.wait(whole(world, item.id))))
    world.write(queue.release, world.house.claims.session, [item.id])
    go_on(world)
    [mail] = world.sent_to(BOB)
    assert below_trace(mail.raw) == TEXT
    assert world.bodies == []


async def whole(world: World, id: str) -> bytes:
    parts = world.read(queue.open_body, id)
    assert isinstance(parts, FiledParts)
    try:
        return world.master.open_parts(BODY, id, parts)
    finally:
        parts.close()


def test_a_text_without_a_header_gets_one(world: World) -> None:
    text = b"no header here\r\n\r\n" + LINE * 12_000
    accept(world, spooled(world, text))
    go_on(world)
    [mail] = world.sent_to(BOB)
    assert messages.read(mail.raw).body == text


@pytest.mark.parametrize("piece", [1000, PART, PART + 1, 2 * PART, len(TEXT)])
def test_the_text_is_the_same_however_it_came(world: World, piece: int) -> None:
    spool = spooled(world, piece=piece)
    assert (len(spool), spool.isascii(), spool.head) == (len(TEXT), True, TEXT[:HEAD])
    filed = world.wait(spool.end(b"Top: 1\r\n"))
    assert spool.read(filed) == b"Top: 1\r\n" + TEXT
    spool.drop()
    assert world.bodies == []


def test_nothing_of_it_is_readable_on_the_disk(world: World) -> None:
    spool = spooled(world)
    accept(world, spool)
    written = b"".join(path.read_bytes() for path in world.folder.rglob("*") if path.is_file())
    assert len(written) > len(TEXT)
    assert MARKER not in written and b"Subject: large" not in written


def test_a_changed_or_shortened_file_is_no_mail(world: World) -> None:
    spool = spooled(world)
    filed = world.wait(spool.end(b""))
    [file] = world.bodies
    good = file.read_bytes()
    first = 4 + int.from_bytes(good[:4], "big")
    for bad in (good[:first], good[first:], good[:first] + good, good[:-1] + bytes((good[-1] ^ 1,))):
        file.write_bytes(bad)
        with pytest.raises(SealBroken):
            spool.read(filed)


def test_a_dropped_text_leaves_nothing(world: World) -> None:
    spool = spooled(world)
    assert len(world.bodies) == 1
    spool.drop()
    spool.add(LINE)
    assert world.bodies == []


def test_a_full_disk_is_told_at_the_end_and_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: BodyFile, part: bytes) -> None:
        raise DiskFull(detail="no space left")

    monkeypatch.setattr(BodyFile, "add", full)
    spool = spooled(world)
    assert len(spool) == len(TEXT)
    with pytest.raises(DiskFull):
        accept(world, spool)
    spool.drop()
    assert world.bodies == []


def test_a_disk_that_gets_full_while_a_text_comes(world: World) -> None:
    spool = spooled(world, TEXT[: 2 * PART])
    world.house.intake.room.left = 0
    spool.add(TEXT[2 * PART :])
    assert not spool.behind
    with pytest.raises(DiskFull):
        world.wait(spool.end(b""))
    spool.drop()
    assert world.bodies == []


def test_a_text_over_the_limit_is_refused_before_it_is_ended(world: World) -> None:
    world.house.intake.settings = type(world.house.intake.settings)(size_limit=1 << 20)
    with pytest.raises(TooBig):
        accept(world, spooled(world))


@pytest.mark.parametrize("error", [DiskFull(), StoreBusy()])
def test_a_commit_that_fails_leaves_no_file(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(queue, "put", failing)
    with pytest.raises(type(error)):
        accept(world, spooled(world))
    assert world.bodies == []


def test_a_commit_whose_answer_never_came_keeps_its_file(world: World) -> None:
    spool = spooled(world)
    accept(world, spool)
    entry = queue.Entry(
        id=spool.identity, kind="accepted", trace="t", sender=ANN, recipients=(), source={}, size=1, received=START,
        body=bodies.Filed(b""),
    )  # fmt: skip
    world.wait(filing.unfile([entry], world.database, world.house.workers))
    assert [file.name for file in world.bodies] == [spool.identity]


def test_what_a_crash_has_left_is_swept_at_the_next_start(world: World) -> None:
    accept(world, spooled(world))
    [kept] = world.bodies
    spooled(world)
    assert len(world.bodies) == 2
    later = Database(f"sqlite:///{world.folder}/securegw.db", inline=True)
    later.lock()
    assert later.tidy() == 1
    later.close()
    assert world.bodies == [kept]


class Turned(InlineWorkers):
    """The disk works when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def disk(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.jobs.append((lambda: function(*args, **kwargs), done))
        return done

    def turn(self) -> None:
        job, done = self.jobs.pop(0)
        done.callback(job())


def slow(tmp_path: Path) -> tuple[Spool, Turned]:
    hands = Turned()
    kept = bodies.Bodies(tmp_path / "bodies")
    return Spool("0" * 16, MasterKey(secrets.token_bytes(32)), kept, hands, lambda size: None), hands


def test_who_is_quicker_than_the_disk_is_held_up_until_it_is_calm(tmp_path: Path) -> None:
    spool, hands = slow(tmp_path)
    calmed: list[bool] = []
    for _ in range(WINDOW // PART + 1):
        spool.add(b"x" * PART)
    assert not spool.behind and len(hands.jobs) == 1
    spool.add(b"x")
    assert spool.behind
    spool.when_calm(lambda: calmed.append(True))
    hands.turn()
    assert calmed == [True] and not spool.behind and len(hands.jobs) == 1


def test_a_text_that_is_dropped_while_it_is_written_goes_afterwards(tmp_path: Path) -> None:
    spool, hands = slow(tmp_path)
    spool.add(b"x" * PART * 3)
    spool.drop()
    assert len(hands.jobs) == 1
    hands.turn()
    assert len(list((tmp_path / "bodies").iterdir())) == 1
    hands.turn()
    assert list((tmp_path / "bodies").iterdir()) == [] and not hands.jobs


def test_the_end_waits_for_what_is_being_written(tmp_path: Path) -> None:
    spool, hands = slow(tmp_path)
    spool.add(b"x" * PART * 3)
    spool.add(b"end")
    ended = Deferred.fromCoroutine(spool.end(b"Top: 1\r\n"))
    assert not ended.called and len(hands.jobs) == 1
    hands.turn()
    hands.turn()
    read: list[bytes] = []
    ended.addCallback(lambda filed: read.append(spool.read(filed)))
    assert read == [b"Top: 1\r\n" + b"x" * PART * 3 + b"end"]


def test_a_connectors_field_goes_out_of_a_large_mail_too(world: World) -> None:
    """Its secret must not travel on, and it is in what came first."""
    world.house.intake.connector = connector = Connector((ip_network("192.0.2.0/24"),), "X-Connector", b"secret")
    spool = world.house.intake._spool([parse_path(BOB)])
    assert connector is not None and spool.holds_head
    text = b"X-Connector: secret\r\n" + TEXT
    for at in range(0, len(text), 65_000):
        spool.add(text[at : at + 65_000])
    accept(world, spool)
    [item] = world.read(desk.list_items)
    assert item.size == len(world.wait(whole(world, item.id)))
    go_on(world)
    [mail] = world.sent_to(BOB)
    assert below_trace(mail.raw) == TEXT


# --- mail for mailboxes alone ---------------------------------------------------------------------------------------


def test_for_a_mailbox_alone_it_never_lies_under_the_master_key(world: World) -> None:
    box = make_box(world)
    spool = spooled(world, recipient=ARCHIVE)
    [file] = world.bodies
    kept = file.read_bytes()
    first = kept[4 : 4 + int.from_bytes(kept[:4], "big")]
    with pytest.raises(SealBroken):
        world.master.open(BODY, f"{spool.identity}/0/on", first)
    assert spool.master.open(BODY, f"{spool.identity}/0/on", first) == TEXT[:PART]
    accept(world, spool, ARCHIVE)
    spool.drop()
    assert world.bodies == []
    [mail] = read_all(world, box)
    assert mail.endswith(TEXT)
    assert world.house.claims.gate.taken == 0


def test_a_mailbox_that_goes_while_its_mail_comes_is_no_loss(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    make_box(world)
    spool = spooled(world, recipient=ARCHIVE)
    monkeypatch.setattr(type(world.house.places), "mailboxes_alone", lambda self, addresses: [])
    with pytest.raises(Later):
        accept(world, spool, ARCHIVE)
    spool.drop()
    assert world.bodies == []


# --- large mails that are made, kept and sent -----------------------------------------------------------------------


def test_a_made_mail_is_filed_before_its_transaction(world: World) -> None:
    body = filing.seal("0" * 16, TEXT, world.master, world.database.bodies)
    assert isinstance(body, bodies.Filed)
    with_parts = world.database.bodies.find("0" * 16, body)
    assert world.master.open_parts(BODY, "0" * 16, with_parts) == TEXT
    with_parts.close()
    assert isinstance(filing.seal("1" * 16, TEXT[:LARGE], world.master, world.database.bodies), tuple)


def test_a_large_mail_with_a_banner_is_filed_sent_and_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.flow.protect.edit", lambda raw, edits: raw.replace(b"large", b"changed", 1))
    monkeypatch.setattr("securegw.flow.protect.Plan.is_none", False)
    accept(world, spooled(world))
    go_on(world)
    [mail] = world.sent_to(BOB)
    assert below_trace(mail.raw) == TEXT.replace(b"large", b"changed", 1)
    assert world.bodies == []


def test_a_treatment_that_loses_its_claim_leaves_only_the_mail_as_it_came(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise LostClaim(detail="taken over")

    monkeypatch.setattr("securegw.flow.protect.edit", lambda raw, edits: raw + b"more\r\n")
    monkeypatch.setattr("securegw.flow.protect.Plan.is_none", False)
    spool = spooled(world)
    accept(world, spool)
    monkeypatch.setattr(queue, "treated_many", lost)
    go_on(world)
    assert [file.name for file in world.bodies] == [spool.identity]


def test_a_large_mail_that_cannot_be_delivered_comes_back_with_its_header_alone(world: World) -> None:
    from securegw.clients.relay import Reply

    world.relay.answers[BOB] = Reply(550, "5.1.1", "nobody", remote="relay.test")
    accept(world, spooled(world))
    go_on(world)
    [notice] = world.sent_to(ANN)
    assert b"Subject: large" in notice.raw and MARKER not in notice.raw
    assert world.bodies == []


def test_a_large_mail_that_waits_is_read_again(world: World) -> None:
    world.relay.hold(BOB)
    accept(world, spooled(world))
    go_on(world)
    assert world.sent_to(BOB) == [] and len(world.bodies) == 1
    world.relay.answers.clear()
    world.later(61)
    [mail] = world.sent_to(BOB)
    assert below_trace(mail.raw) == TEXT


@pytest.fixture
def rows() -> Iterator[World]:
    """A world whose bodies are rows, as on a server; they may lie in its folder while they come."""
    made = World()
    made.database.bodies = bodies.Bodies(None, made.folder)
    made.database.crosses = False  # a server is asked by this very process
    made.house.claims.database = made.house.intake.database = made.database
    yield made
    made.close()


def test_where_bodies_are_rows_a_text_is_copied_into_them_and_its_file_has_no_name(rows: World) -> None:
    before = sorted(rows.folder.rglob("*"))
    spool = spooled(rows)
    assert sorted(rows.folder.rglob("*")) == before
    accept(rows, spool)
    spool.drop()
    assert rows.house.claims.gate.taken == 0
    for _ in range(2):
        rows.wait(rows.house.claims.poll())
    [mail] = rows.sent_to(BOB)
    assert below_trace(mail.raw) == TEXT


def test_for_a_mailbox_alone_where_bodies_are_rows(rows: World) -> None:
    box = make_box(rows)
    spool = spooled(rows, recipient=ARCHIVE)
    accept(rows, spool, ARCHIVE)
    spool.drop()
    [mail] = read_all(rows, box)
    assert mail.endswith(TEXT)


def test_where_there_is_no_disk_there_is_no_spool() -> None:
    made = World()
    assert made.house.intake.spool is None
    made.close()
