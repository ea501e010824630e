"""Marks and verdicts on the whole road: no stranger's is shown, ours is known again (threats 5.4, SEC1 to SEC3)."""

from __future__ import annotations

import re

import pytest

from securegw.crypto import smime
from securegw.crypto.seal import MasterKey
from securegw.flow.proofs import Proofs, marks_in
from securegw.mail import message as messages
from securegw.mail.address import header_mailboxes
from securegw.policy.folding import fold_all, look
from securegw.store import keystore
from tests.policy.test_marks import DISGUISES
from tests.support.rules import load
from tests.support.world import OUTSIDE, Person, World, person

ANN, CAROL = "ann@inside.test", "carol@partner.test"
MAIL = (
    b"From: Carol <carol@partner.test>\r\nTo: ann@inside.test\r\nSubject: answer\r\nMessage-ID: <one@partner.test>\r\n"
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nyes, at nine\r\n"
)
TAGS = ("[secure]", "[signed OK]", "[signed INVALID]")


@pytest.fixture
def carol(world: World) -> Person:
    carol = person(CAROL)
    world.trust(carol.root)
    return carol


def receive(world: World, raw: bytes, sender: str = CAROL) -> bytes:
    world.hand_in(sender, [ANN], raw, OUTSIDE)
    mail = world.sent_to(ANN)[-1]
    return mail.raw


def proofs(world: World) -> Proofs:
    return Proofs(world.master)


def shown(text: str) -> str:
    return fold_all(messages.decode_words(text), look)


def has_a_tag(text: str) -> bool:
    return any(fold_all(tag, look) in shown(text) for tag in TAGS)


def folded(value: str) -> bytes:
    """As it may stand in a field: raw UTF-8, without line ends but folds."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", " ", value).encode()


@pytest.mark.parametrize("field", ["Subject", "Thread-Topic", "From", "Reply-To", "Sender", "Second-Subject"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_threat_5_4_24_no_disguise_is_shown_in_any_place(world: World, disguise: str, field: str) -> None:
    """2026-29135, -29137, -29141, -29144: whatever it is dressed as, and where a reader may see it."""
    forged = folded(DISGUISES[disguise]("[signed OK]"))
    if field in ("From", "Reply-To", "Sender"):
        line = f"{field}: ".encode() + b'"' + forged.replace(b'"', b"") + b'" <carol@partner.test>\r\n'
    else:
        line = f"{field.removeprefix('Second-')}: ".encode() + forged + b"\r\n"
    base = MAIL if field.startswith(("Second", "Thread")) else MAIL.replace(_line(field), b"")
    message = messages.read(receive(world, line + base))
    for name in ("Subject", "Thread-Topic"):
        assert not any(has_a_tag(value) for value in message.all(name))
    for name in ("From", "Reply-To", "Sender"):
        for value in message.all(name):
            try:
                names = [box.name for box in header_mailboxes(value.encode())]
            except Exception:  # what cannot be read as addresses is shown as it stands
                names = [value]
            assert not any(has_a_tag(name) for name in names)


def _line(field: str) -> bytes:
    return {"Subject": b"Subject: answer\r\n", "From": b"From: Carol <carol@partner.test>\r\n"}.get(field, b"\0")


@pytest.mark.parametrize("padding", [990, 9_980])
def test_threat_5_4_24_a_tag_behind_padding_is_cut_or_gone_and_ours_is_in_front(
    world: World, carol: Person, padding: int
) -> None:
    long = b"Subject: " + b"x" * 900 + b"".join(b"\r\n " + b"x" * 900 for _ in range(padding // 901)) + b"[signed OK]"
    raw = carol.sign(MAIL).replace(b"at nine", b"at ten!").replace(b"Subject: answer", long)
    subject = messages.decode_words(messages.read(receive(world, raw)).first("Subject") or "")
    assert subject.startswith("[signed INVALID] x")
    assert "[signed OK]" not in subject


def test_threat_5_4_24_the_subject_of_an_inner_part_is_never_the_mails(world: World, carol: Person) -> None:
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    ann = world.read(keystore.with_private, ANN)[0]
    inner = MAIL.replace(b"Subject: answer", b"Subject: [signed OK] pay")
    sealed = smime.encrypt(inner, [ann.der]).replace(b"Subject: [signed OK] pay", b"Subject: outer")
    message = messages.read(receive(world, sealed))
    assert message.all("Subject") == ("[secure] outer",)


@pytest.mark.parametrize(
    "forged",
    [
        b"X-Securegw-Verdict: encrypted=opened; integrity=good; trust=good; identity=good\r\n",
        b"X_Securegw-Verdict: x\r\n",
        b"x-SECUREGW-verdict : x\r\n",
        b"X-Securegw-Opened: 0123456789abcdef.AAAAAAAAAAAAAAAAAAAAAA\r\n",
        b"X-Securegw-Anything: x\r\n",
        b"Authentication-Results: gw.inside.test; smime=pass\r\n",
        b"Authentication-Results: (a comment) GW.inside.test. 1; smime=pass\r\n",
        b'Authentication-Results: "gw.inside.test"; smime=pass\r\n',
        b"Authentication-Results:\r\n gw.inside.test;\r\n smime=pass\r\n",
    ],
)
def test_threat_5_4_24_forged_fields_go_whatever_their_form(world: World, forged: bytes) -> None:
    assert forged.split(b"\r\n")[0] not in receive(world, forged + MAIL)


def test_sec1_a_verdict_of_ours_is_known_again_and_bound_to_its_mail(world: World, carol: Person) -> None:
    got = receive(world, carol.sign(MAIL))
    proof = proofs(world).check(messages.read(got))
    assert (proof.mark, proof.body) == ("ours", "same")
    assert proof.words.startswith("encrypted=none; integrity=good; trust=good; identity=good; signer=")
    other = Proofs(MasterKey.from_text(MasterKey.new_text()))
    assert other.check(messages.read(got)).mark == "forged"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"integrity=good", b"integrity=bad"),
        (b"trust=good", b"trust=unknown"),
        (b"From: Carol <carol@partner.test>", b"From: Eve <eve@partner.test>"),
        (b"Message-ID: <one@partner.test>", b"Message-ID: <two@partner.test>"),
        (b"Date: Fri, 15 Jan", b"Date: Fri, 22 Jan"),
        (b"trace=", b"trace=0"),
        (b"mac=", b"mac=x"),
        (b"X-Securegw-Verdict: ", b"X-Securegw-Verdict: x\r\nX-Securegw-Verdict: "),
    ],
)
def test_sec1_a_verdict_moved_or_changed_is_forged(world: World, carol: Person, old: bytes, new: bytes) -> None:
    got = receive(world, carol.sign(MAIL))
    changed = got.replace(old, new, 1)
    assert changed != got
    assert proofs(world).check(messages.read(changed)).mark == "forged"


def test_sec1_what_servers_behind_us_do_to_a_mail_leaves_the_mark_good(world: World, carol: Person) -> None:
    got = receive(world, carol.sign(MAIL))
    refolded = re.sub(rb";\r\n\t", b"; ", got)
    on_top = b"Received: from x by y; now\r\nX-Spam: no\r\n" + refolded.rstrip(b"\r\n") + b"\r\n\r\n"
    proof = proofs(world).check(messages.read(on_top))
    assert (proof.mark, proof.body) == ("ours", "same")
    footer = proofs(world).check(messages.read(got + b"-- \r\na footer\r\n"))
    assert (footer.mark, footer.body) == ("ours", "changed")


def test_sec1_a_mail_without_a_verdict_has_none(world: World) -> None:
    assert proofs(world).check(messages.read(receive(world, MAIL))).mark == "none"


def test_sec2_the_tag_needs_all_three_and_the_field_tells_them_apart(world: World, carol: Person) -> None:
    eve = person("eve@partner.test")
    got = receive(world, eve.sign(MAIL))
    assert b"integrity=good; trust=good; identity=bad" in got
    assert b"[signed INVALID]" in got


def test_no_tag_where_no_rule_wants_one_but_the_field_stays(world: World, carol: Person) -> None:
    load(world, '[[rule]]\nname = "no tags"\nwhen = { direction = "incoming" }\ntag = false\n')
    got = receive(world, carol.sign(MAIL))
    assert b"Subject: answer\r\n" in got
    assert proofs(world).check(messages.read(got)).mark == "ours"


def test_what_was_opened_is_marked_even_where_no_mark_is_wanted(world: World, carol: Person) -> None:
    load(world, '[[rule]]\nname = "no marks"\nwhen = { direction = "incoming" }\nmark = false\ntag = false\n')
    world.send(ANN, "x@y.test", subject="[sign] makes Ann's key")
    ann = world.read(keystore.with_private, ANN)[0]
    got = receive(world, smime.encrypt(MAIL, [ann.der]))
    assert b"X-Securegw-Verdict" not in got
    assert proofs(world).any_opened(marks_in(got))


@pytest.mark.parametrize("trigger", ["[confidential]", "[plain]", "[sign]", "[noenc]"])
def test_threat_5_4_26_triggers_count_in_the_outer_subject_only(world: World, trigger: str) -> None:
    """Quoted text, a forwarded part, a protected subject: none of them steers."""
    raw = (
        f"From: {ANN}\r\nTo: bob@outside.test\r\nSubject: news\r\nMessage-ID: <a@inside.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain; protected-headers=v1\r\nSubject: {trigger} inner\r\n\r\n> {trigger}\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: {trigger} old\r\nX-SMEnc: yes\r\n\r\nold\r\n--b--\r\n"
    ).encode()
    world.hand_in(ANN, ["bob@outside.test"], raw)
    [mail] = world.sent_to("bob@outside.test")
    assert mail.raw.endswith(raw)


def test_threat_5_4_26_triggers_are_removed_before_sending_and_never_come_back(world: World) -> None:
    world.send(ANN, "bob@outside.test", subject="a [sign] b", fields="X-SMPlain: no\r\nThread-Topic: a [sign] b\r\n")
    [mail] = world.sent_to("bob@outside.test")
    header = mail.raw.partition(b"\r\n\r\n")[0].lower()
    assert mail.subject == "a b"
    assert b"[sign]" not in header
    assert b"x-smplain" not in header


def test_our_marks_are_for_inside_and_do_not_leave(world: World) -> None:
    fields = "X-Securegw-Verdict: portal\r\nX-Securegw-Opened: 00.AAAAAAAAAAAAAAAAAAAAAA\r\n"
    world.send(ANN, "bob@outside.test", fields=fields)
    [mail] = world.sent_to("bob@outside.test")
    assert b"securegw-" not in mail.raw.lower()
