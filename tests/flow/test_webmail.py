"""The letter's way to the browser and back, without a browser."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from securegw.accounts import SignedIn
from securegw.crypto.passwords import fold_code
from securegw.mail import mime
from securegw.mail.bodies import bodies
from securegw.mail.compose import Attachment
from securegw.mail.errors import BrokenCarrier, LetterGone, WrongAccount, WrongPassword
from securegw.store import letters
from tests.support.world import World

ANN, BOB = "ann@inside.test", "bob@outside.test"
HTML = (
    b"From: Ann Keller <ann@inside.test>\r\nTo: bob@outside.test\r\nSubject: [confidential] Gr=?utf-8?q?=C3=BC?=sse\r\n"
    b"Message-ID: <one@inside.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p onclick=x()>hello <script>alert(1)</script><b>Bob</b></p>\r\n"
    b'--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename="../../etc/passwd"\r\n\r\na,b\r\n'
    b"--b--\r\n"
)


def carrier_of(world: World, to: str = BOB) -> str:
    page = bodies(mime.parse(world.sent_to(to)[-1].raw)).attachments[0].content().decode()
    found = re.search(r'name="letter" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def code_of(world: World) -> str:
    found = re.search(rb"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}\b", world.sent_to(ANN)[0].raw)
    assert found is not None
    return found[0].decode()


@pytest.fixture
def letter(world: World) -> str:
    world.hand_in(ANN, [BOB], HTML)
    return carrier_of(world)


@pytest.fixture
def bob(world: World, letter: str) -> SignedIn:
    return world.wait(world.house.accounts.sign_in(BOB, code_of(world), "192.0.2.1"))


def park(world: World, letter: str) -> str:
    return str(world.wait(world.house.webmail.park(letter)))


def test_a_letter_comes_back_whole_and_clean(world: World, letter: str, bob: SignedIn) -> None:
    view = world.wait(world.house.webmail.read(park(world, letter), bob))
    assert view.subject == "Grüsse"
    assert view.sender == ANN
    assert view.html is not None
    assert "<b>Bob</b>" in view.html
    assert "script" not in view.html
    assert "onclick" not in view.html
    assert [(a.index, a.kind, a.size) for a in view.attachments] == [(0, "text/csv", 3)]


def test_the_saved_mail_is_the_original_mail(world: World, letter: str, bob: SignedIn) -> None:
    raw = world.wait(world.house.webmail.raw(park(world, letter), bob))
    assert raw.endswith(HTML[HTML.index(b"Message-ID") :])
    assert b"[confidential]" not in raw


def test_an_attachment_by_its_place_only(world: World, letter: str, bob: SignedIn) -> None:
    webmail, parked = world.house.webmail, park(world, letter)
    assert world.wait(webmail.part(parked, bob, 0))[2] == b"a,b"
    for place in (1, -1, 10**9):
        with pytest.raises(LetterGone):
            world.wait(webmail.part(parked, bob, place))


def test_every_changed_letter_is_refused_before_any_key_is_touched(world: World, letter: str) -> None:
    plain = "".join(letter.split())
    for at in range(0, len(plain), 97):
        changed = plain[:at] + ("A" if plain[at] != "A" else "B") + plain[at + 1 :]
        with pytest.raises(BrokenCarrier):
            park(world, changed)
    for cut in ("", plain[:-1], plain[: len(plain) // 2], plain + "AAAA"):
        with pytest.raises(BrokenCarrier):
            park(world, cut)
    assert world.house.park.parked == {}


def test_another_gateway_did_not_make_it(world: World, letter: str) -> None:
    stranger = World()
    try:
        with pytest.raises(BrokenCarrier):
            park(stranger, letter)
    finally:
        stranger.close()


def test_a_forwarded_file_is_of_no_use_to_another_account(world: World, letter: str) -> None:
    world.send(ANN, "eve@evil.test", subject="[priv] for Eve")
    eve_code = re.search(rb"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}", world.sent_to(ANN)[-1].raw)
    assert eve_code is not None
    eve = world.wait(world.house.accounts.sign_in("eve@evil.test", eve_code[0].decode(), "192.0.2.2"))
    with pytest.raises(WrongAccount):
        world.wait(world.house.webmail.read(park(world, letter), eve))


def test_a_parked_letter_is_thrown_away_after_half_an_hour(world: World, letter: str, bob: SignedIn) -> None:
    parked = park(world, letter)
    assert list(world.house.park.folder.iterdir())
    world.clock.advance(30 * 60 + 1)
    with pytest.raises(LetterGone):
        world.wait(world.house.webmail.read(parked, bob))
    assert not list(world.house.park.folder.iterdir())


def test_the_parked_letter_is_sealed_too(world: World, letter: str) -> None:
    parked = park(world, letter)
    assert b"hello" not in (world.house.park.folder / parked).read_bytes()


def test_an_answer_reaches_the_sender_marked_and_in_its_thread(world: World, letter: str, bob: SignedIn) -> None:
    file = Attachment("Vertrag Ä.txt", "text/plain", b"signed")
    world.wait(world.house.webmail.reply(park(world, letter), bob, "yes: ä\n", (file,)))
    answer = world.sent_to(ANN)[-1]
    assert answer.sender == BOB
    assert answer.message.first("In-Reply-To") == "<one@inside.test>"
    assert answer.subject == "[secure] Re: Grüsse"
    assert (answer.message.first("X-Securegw-Verdict") or "").startswith("portal; account=bob@outside.test")
    found = bodies(mime.parse(answer.raw))
    assert found.text is not None
    assert "yes: ä" in found.text.text()
    assert found.attachments[0].filename == "Vertrag Ä.txt"


def test_an_answer_cannot_go_elsewhere(world: World, letter: str, bob: SignedIn) -> None:
    parked = park(world, letter)
    row = world.read(letters.get, world.house.webmail.parked(parked).letter)
    world.write(lambda c: c.execute(letters._letter.update().values(sender="x@elsewhere.test")))
    from securegw.mail.errors import RelayDenied

    with pytest.raises(RelayDenied):
        world.wait(world.house.webmail.reply(parked, bob, "hi", ()))
    assert row.sender == ANN


def test_a_withdrawn_letter_stays_shut(world: World, letter: str, bob: SignedIn) -> None:
    parked = park(world, letter)
    world.write(letters.revoke, world.house.webmail.parked(parked).letter, world.clock.seconds())
    with pytest.raises(LetterGone):
        world.wait(world.house.webmail.read(parked, bob))


def test_after_registration_the_code_is_worth_nothing(world: World, letter: str, bob: SignedIn) -> None:
    code = code_of(world)
    registered = world.wait(world.house.accounts.register(bob, "Bob", "four quiet green kettles", "de"))
    with pytest.raises(WrongPassword):
        world.wait(world.house.accounts.sign_in(BOB, code, "192.0.2.1"))
    again = world.wait(world.house.accounts.sign_in(BOB, "four quiet green kettles", "192.0.2.1"))
    assert again.private == registered.private
    assert world.wait(world.house.webmail.read(park(world, letter), again)).subject == "Grüsse"
    assert fold_code(code)


def test_a_letter_that_cannot_be_taken_apart_is_still_saved(world: World, bob: SignedIn) -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(200))
    raw = b"From: ann@inside.test\r\nSubject: [confidential] deep\r\nMIME-Version: 1.0\r\n" + deep
    world.hand_in(ANN, [BOB], raw)
    parked = park(world, carrier_of(world))
    view: Any = world.wait(world.house.webmail.read(parked, bob))
    assert view.subject == "deep"
    assert (view.html, view.text) == (None, None)
    assert world.wait(world.house.webmail.raw(parked, bob)).endswith(deep)


def test_the_note_of_a_letter_says_nothing_of_it(world: World, letter: str) -> None:
    [row] = world.read(lambda c: [letters.Letter(**r._asdict()) for r in c.execute(letters._letter.select())])
    assert "Gr" not in str(attrs.astuple(row)[2:])
