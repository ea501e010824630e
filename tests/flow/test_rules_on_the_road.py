"""What rules ask for happens to the mail: banners, mandatory fields, patterns, exemptions, what must come protected."""

from __future__ import annotations

import base64
import re

import pytest

from securegw.crypto import smime
from securegw.crypto.choice import Choice
from securegw.flow import contents
from securegw.mail import mime
from securegw.mail.bodies import bodies
from securegw.mail.envelope import Source
from securegw.mail.errors import Refused, WorkerLost
from securegw.store import desk, events, keystore, people
from tests.support.rules import load
from tests.support.world import OUTSIDE, START, World, person

ANN, BOB, CAROL, DAVE = "ann@inside.test", "bob@outside.test", "carol@partner.test", "dave@else.test"
TO_ALL = '[[rule]]\nname = "b"\nwhen = { direction = "outgoing" }\nbanner = "d"\n'
BANNER = '[banners.d]\ntext = "For you alone."\n'


# --- S25: banners ---------------------------------------------------------------------------------------------------


def test_s25_a_banner_is_in_what_is_signed_and_sealed(world: World) -> None:
    load(world, TO_ALL, BANNER)
    carol = person(CAROL)
    world.know(carol)
    world.send(ANN, [CAROL, BOB, DAVE], "hello", subject="[sign] x", fields="MIME-Version: 1.0\r\n")
    roots = [row.der for row in world.roots()]
    for to in (CAROL, BOB, DAVE):
        [mail] = world.sent_to(to)
        opened = smime.open(mail.raw, [(carol.key, carol.certificate)], roots, START, world.author_of(ANN))
        assert opened.verdict.signed_ok
        text = bodies(mime.parse(opened.raw)).text
        assert text is not None and "For you alone." in text.text()


def test_s25_new_mails_and_answers_by_rule_and_not_twice(world: World) -> None:
    own = TO_ALL.replace('banner = "d"', 'unless = { reply = true }\nbanner = "d"')
    load(world, own, BANNER)
    world.send(ANN, BOB, "hello")
    world.send(ANN, BOB, "hello", fields="In-Reply-To: <a@b.test>\r\n")
    first, second = world.sent_to(BOB)
    assert b"For you alone." in first.raw
    assert b"For you alone." not in second.raw
    world.send(ANN, DAVE, "Yes\r\n> hello\r\n> For you alone.")
    assert world.sent_to(DAVE)[0].raw.count(b"For you alone.") == 1


def test_s25_a_mail_that_is_signed_already_is_left_alone(world: World) -> None:
    load(world, TO_ALL, BANNER)
    ann = person(ANN)
    raw = b"From: ann@inside.test\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    world.hand_in(ANN, [BOB], ann.sign(raw))
    assert b"For you alone." not in world.sent_to(BOB)[0].raw


def test_s25_a_warning_on_what_comes_from_outside(world: World) -> None:
    own = '[[rule]]\nname = "w"\nwhen = { direction = "incoming", signed = ["none", "bad"] }\nbanner = "d"\n'
    load(world, own, '[banners.d]\ntext = "From outside."\nplace = "top"\n')
    world.send(BOB, ANN, "hello", source=OUTSIDE)
    assert b"\r\n\r\nFrom outside.\r\n\r\nhello" in world.sent_to(ANN)[0].raw


# --- S18: a field that every mail of a domain must have -------------------------------------------------------------

MANDATORY = """
[[rule]]
name = "must say"
when = { direction = "outgoing", sender = "@inside.test" }
unless = { header = { x-release = "yes" } }
refuse = "Please let it be checked."
[[rule]]
name = "does not leave"
when = { direction = "outgoing" }
strip = ["X-Release"]
"""


def test_s18_missing_goes_back_and_present_is_stripped(world: World) -> None:
    load(world, MANDATORY)
    world.send(ANN, BOB, "hello")
    assert world.sent_to(BOB) == []
    assert b"Please let it be checked." in world.sent_to(ANN)[0].raw
    world.send(ANN, BOB, "hello", fields="x-RELEASE: Yes\r\nX-Other: 1\r\n")
    [mail] = world.sent_to(BOB)
    assert b"release" not in mail.raw.lower()
    assert b"X-Other: 1" in mail.raw


# --- S19: patterns --------------------------------------------------------------------------------------------------

PATTERN = """
[[rule]]
name = "numbers"
when = { direction = "outgoing", pattern = "insurance" }
reason = "it holds data of a patient"
encrypt = "must"
methods = ["smime", "carrier"]
"""
INSURANCE = '[patterns]\ninsurance = { text = "756~####~####~##", check = "ean13" }\n'
NUMBER = "756.9217.0769.85"


@pytest.mark.parametrize(
    ("subject", "text", "fields"),
    [
        (f"about {NUMBER}", "x", ""),
        ("x", f"about {NUMBER}", ""),
        ("[plain] x", f"about {NUMBER}", ""),
        ("x", base64.b64encode(NUMBER.encode()).decode(), "Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n"),
        ("x", f"<p>756<b>9217</b>0769-85</p> {NUMBER}", "MIME-Version: 1.0\r\nContent-Type: text/html\r\n"),
    ],
)
def test_s19_a_pattern_forces_encryption(world: World, subject: str, text: str, fields: str) -> None:
    load(world, PATTERN, INSURANCE)
    trace = world.send(ANN, BOB, text, subject=subject, fields=fields)
    [mail] = world.sent_to(BOB)
    assert b"secure-email.html" in mail.raw
    assert NUMBER.encode() not in mail.raw
    [kept] = world.read(lambda c: events.find(c, trace=trace, kind="decision"))
    assert (kept.detail["rule"], kept.detail["reason"]) == ("numbers", "it holds data of a patient")
    world.send(ANN, DAVE, text.replace("85", "86").replace("NzU2", "AAAA"), fields=fields)
    assert b"secure-email.html" not in world.sent_to(DAVE)[0].raw


def test_s19_what_cannot_be_encrypted_then_does_not_leave(world: World) -> None:
    load(world, PATTERN, INSURANCE)
    world.write(people.add_user, people.User(ANN, may_encrypt=False, created=START))
    world.send(ANN, BOB, NUMBER)
    assert world.sent_to(BOB) == []
    assert NUMBER.encode() not in world.sent_to(ANN)[0].raw


def bomb(*arguments: object) -> object:
    """What a worker does with a mail of which it dies."""
    raise WorkerLost


def test_s19_who_cannot_be_examined_is_treated_as_if(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies of a mail: the rule could not be asked, so the mail goes back and says so."""
    load(world, PATTERN, INSURANCE)
    monkeypatch.setattr(contents, "look_inside", bomb)
    world.send(ANN, BOB, "harmless")
    assert world.sent_to(BOB) == []
    assert b"built so that this cannot be told" in re.sub(rb"\s+", b" ", world.sent_to(ANN)[0].raw)


def test_s19_names_of_files(world: World) -> None:
    when = 'when = { direction = "outgoing", attachment = "*.exe" }'
    load(world, f'[[rule]]\nname = "f"\n{when}\nrefuse = "No programs."\n')
    fields = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    body = '--b\r\nContent-Type: a/b; name="Setup.EXE"\r\n\r\nx\r\n--b--'
    world.send(ANN, BOB, body, fields=fields)
    assert world.sent_to(BOB) == []
    world.send(ANN, BOB, body.replace("EXE", "txt"), fields=fields)
    assert len(world.sent_to(BOB)) == 1


# --- S20: meeting requests ------------------------------------------------------------------------------------------


def test_s20_meeting_requests_can_be_exempt(world: World) -> None:
    own = '[[rule]]\nname = "m"\nwhen = { direction = "outgoing", calendar = true }\nencrypt = "never"\n'
    own += '[[rule]]\nname = "all"\nwhen = { direction = "outgoing" }\nencrypt = "must"\nmethods = ["carrier"]\n'
    load(world, own)
    calendar = "MIME-Version: 1.0\r\nContent-Type: text/calendar; method=REQUEST\r\n"
    world.send(ANN, BOB, "BEGIN:VCALENDAR\r\nEND:VCALENDAR", fields=calendar)
    assert b"BEGIN:VCALENDAR" in world.sent_to(BOB)[0].raw
    world.send(ANN, DAVE, "no meeting")
    assert b"secure-email.html" in world.sent_to(DAVE)[0].raw


# --- S12, S14: what cannot be done as asked -------------------------------------------------------------------------


def test_s12_no_key_and_no_way_can_go_back_wait_or_be_held(world: World) -> None:
    for otherwise, to in (("refuse", "a@r.test"), ("wait", "a@w.test"), ("hold", "a@h.test")):
        own = '[[rule]]\nname = "o"\nwhen = { direction = "outgoing" }\nencrypt = "must"\nmethods = ["smime"]\n'
        load(world, own + f'otherwise = "{otherwise}"\n')
        world.send(ANN, to, "words")
        assert world.sent_to(to) == []
    states = {item.recipients[0].address: item.state for item in world.read(lambda c: desk.list_items(c))}
    assert states == {"a@w.test": "waiting", "a@h.test": "held"}
    assert [b"a@r.test" in notice.raw for notice in world.sent_to(ANN)] == [True]
    world.know(person("a@w.test"))
    world.later(120)
    [mail] = world.sent_to("a@w.test")
    assert smime.recognise(mail.message) == "encrypted"


@pytest.mark.parametrize(
    ("may_sign", "subject", "leaves"), [(False, "[sign] x", False), (False, "x", True), (True, "x", True)]
)
def test_s14_who_may_not_sign(world: World, may_sign: bool, subject: str, leaves: bool) -> None:
    world.write(people.add_user, people.User(ANN, may_sign=may_sign, created=START))
    world.send(ANN, BOB, "words", subject=subject)
    assert bool(world.sent_to(BOB)) is leaves
    if leaves:
        assert smime.recognise(world.sent_to(BOB)[0].message) is None
    else:
        assert b"may not sign" in world.sent_to(ANN)[0].raw


# --- R8, R12: what comes in -----------------------------------------------------------------------------------------

MAIL = (
    b"From: Carol <carol@partner.test>\r\nTo: ann@inside.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\n\r\nyes, at nine\r\n"
)
PROTECTED = """
[[rule]]
name = "only protected"
when = { direction = "incoming", sender = "@partner.test", encrypted = "none", signed = ["none", "bad"] }
refuse = "Please sign or encrypt."
"""


def test_r12_inbound_must_be_signed_or_encrypted(world: World) -> None:
    load(world, PROTECTED)
    carol = person(CAROL)
    world.trust(carol.root)
    with pytest.raises(Refused, match="Please sign or encrypt") as refused:
        world.hand_in(CAROL, [ANN], MAIL, OUTSIDE)
    assert (refused.value.code, refused.value.status) == (550, "5.7.1")
    assert world.relay.taken == []  # whoever is named in a forged mail hears nothing of it
    world.hand_in(CAROL, [ANN], carol.sign(MAIL).replace(b"nine", b"ten!"), OUTSIDE)
    assert world.sent_to(ANN) == []
    [notice] = world.sent_to(CAROL)
    assert b"Please sign or encrypt." in notice.raw and b"5.7.1" in notice.raw
    world.hand_in(CAROL, [ANN], carol.sign(MAIL), OUTSIDE)
    world.hand_in(BOB, [ANN], MAIL.replace(b"carol@partner", b"bob@outside"), OUTSIDE)
    assert len(world.sent_to(ANN)) == 2
    world.hand_in(CAROL, [ANN], smime.encrypt(MAIL, [carol.certificate]), OUTSIDE)
    assert len(world.sent_to(ANN)) == 3  # that it cannot be opened here is nothing that the outside is told


def test_r12_one_recipient_of_several_is_refused_by_a_notice(world: World) -> None:
    load(world, PROTECTED.replace('sender = "@partner.test"', f'recipient = "{ANN}"'))
    world.hand_in(CAROL, [ANN, "otto@inside.test"], MAIL, OUTSIDE)
    assert world.sent_to(ANN) == []
    assert len(world.sent_to("otto@inside.test")) == len(world.sent_to(CAROL)) == 1


def test_r12_a_rule_that_asks_what_is_in_a_mail_is_asked_on_its_journey(world: World) -> None:
    exempt = PROTECTED.replace('refuse =', 'unless = { pattern = "p" }\nrefuse =')
    load(world, exempt, '[patterns]\np = "at nine"\n')
    world.hand_in(CAROL, [ANN], MAIL, OUTSIDE)
    world.hand_in(CAROL, [ANN], MAIL.replace(b"nine", b"ten"), OUTSIDE)
    assert len(world.sent_to(ANN)) == len(world.sent_to(CAROL)) == 1


def test_r12_an_answer_from_the_portal_was_sealed(world: World) -> None:
    load(world, PROTECTED)
    world.hand_in(CAROL, [ANN], MAIL, Source("portal", "192.0.2.9", tls="TLS", person=CAROL))
    assert len(world.sent_to(ANN)) == 1


def test_r12_our_own_people_are_not_asked(world: World) -> None:
    load(world, PROTECTED.replace('sender = "@partner.test", ', ""))
    world.send("otto@inside.test", ANN)
    assert len(world.sent_to(ANN)) == 1


def test_r8_a_good_signature_is_stripped_by_rule_and_a_bad_one_stays(world: World) -> None:
    load(world, '[[rule]]\nname = "s"\nwhen = { direction = "incoming" }\nsignature = "strip"\n')
    carol = person(CAROL)
    world.trust(carol.root)
    world.hand_in(CAROL, [ANN], carol.sign(MAIL), OUTSIDE)
    world.hand_in(CAROL, [ANN], carol.sign(MAIL).replace(b"nine", b"ten!"), OUTSIDE)
    good, bad = world.sent_to(ANN)
    assert good.raw.endswith(b"Content-Type: text/plain\r\n\r\nyes, at nine\r\n")
    assert b"integrity=good; trust=good; identity=good" in good.raw
    assert b"multipart/signed" in bad.raw and b"integrity=bad" in bad.raw
    assert world.read(keystore.find, CAROL) != []


# --- threats 5.5.30 and 5.5.31: what was sealed so that anybody could change it -------------------------------------


def ann_key(world: World) -> keystore.Held:
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    return world.read(keystore.with_private, ANN)[0]


def test_threat_5_5_30_html_from_a_seal_that_proves_nothing_asks_nobody_for_anything(world: World) -> None:
    ann, carol = ann_key(world), person(CAROL)
    world.trust(carol.root)
    html = MAIL.replace(b"text/plain", b"text/html").replace(
        b"yes, at nine", b'<p>yes, at nine</p><img src="http://evil.test/?x"><style>@import "http://evil.test"</style>'
    )
    world.hand_in(CAROL, [ANN], smime.encrypt(html, [ann.der]), OUTSIDE)
    world.hand_in(CAROL, [ANN], smime.encrypt(carol.sign(html), [ann.der]), OUTSIDE)
    world.hand_in(CAROL, [ANN], smime.encrypt(html, [ann.der], Choice("aes-256-gcm")), OUTSIDE)
    world.hand_in(CAROL, [ANN], smime.encrypt(MAIL, [ann.der]), OUTSIDE)
    unsigned, signed, gcm, plain = (mail.raw for mail in world.sent_to(ANN))
    assert b"evil.test" not in unsigned and b"yes, at nine" in unsigned
    assert b"evil.test" in signed and b"evil.test" in gcm
    assert plain.endswith(b"\r\n\r\nyes, at nine\r\n")


def test_threat_5_5_31_a_thousand_changed_copies_tell_nothing(world: World) -> None:
    """Delivered alike, no notice, and after a while not even tried: the keys are left in peace."""
    ann = ann_key(world)
    sealed = smime.encrypt(MAIL, [ann.der])
    tried: list[int] = []
    real = world.house.incoming.keyring.openers

    async def counted(address: object) -> object:
        tried.append(1)
        return await real(address)

    world.house.incoming.keyring.openers = counted  # type: ignore[method-assign,assignment]
    for number in range(80):
        at = len(sealed) - 200 - 2 * number
        changed = sealed[:at] + (b"A" if sealed[at : at + 1] != b"A" else b"B") + sealed[at + 1 :]
        world.hand_in("eve@evil.test", [ANN], changed, OUTSIDE)
        world.later(2)
    assert world.sent_to("eve@evil.test") == []
    got = world.sent_to(ANN)
    assert len(got) == 80
    assert 50 <= len(tried) < 80
    world.relay.taken.clear()
    world.hand_in(CAROL, [ANN], sealed, OUTSIDE)
    assert b"encrypted=opened" in world.sent_to(ANN)[0].raw
    world.later(4000)
    world.hand_in("eve@evil.test", [ANN], sealed, OUTSIDE)
    assert b"encrypted=opened" in world.sent_to(ANN)[1].raw
