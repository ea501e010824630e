"""The story's second part: S/MIME with somebody who has a certificate, both ways, and marks that cannot be forged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from securegw.commands.demo.people import Person
from securegw.commands.demo.post import Mail, write
from securegw.commands.demo.story import Scene, Step, check
from securegw.crypto import smime
from securegw.crypto.certificate import read_certificates
from securegw.crypto.choice import choose
from securegw.crypto.keyfile import read_private_key
from securegw.crypto.smime import Opened
from securegw.mail.address import parse_address

VERDICT = "X-Securegw-Verdict"


def learn(scene: Scene) -> Iterable[str]:
    """Carol writes first: her signature is checked, and her certificate learned from it."""
    raw = _sign(scene.carol, _from_carol(scene, "The contract", "Please sign here: marker-8101."))
    scene.post.hand_over(scene.carol.address, scene.ann.address, raw)
    mail = scene.inboxes.wait(scene.ann, "Carol's mail", lambda mail: "marker-8101" in mail.text)
    _check_marks(mail, ("[signed OK]",), ("integrity=good", "trust=good", "identity=good", "encrypted=none"))
    again = smime.open(
        mail.raw, (), [_der(scene.papers.partner_ca)], time.time(), parse_address(scene.carol.address)
    )
    check(again.verdict.signed_ok, "Carol's signature does not hold any more in Ann's mailbox")
    yield f"subject {mail.subject!r}"
    yield _verdict(mail)


def encrypt(scene: Scene) -> Iterable[str]:
    """Ann's answer must leave closed, signed by her and readable by Carol only."""
    message = write(
        scene.ann, scene.carol.address, "Re: The contract [confidential]", "Signed: marker-8102.\n"
    )
    scene.post.submit(scene.ann, scene.carol.address, message.as_bytes())
    mail = scene.inboxes.wait(scene.carol, "Ann's answer", lambda mail: "contract" in mail.subject)
    check(mail.message.get_content_type() == "application/pkcs7-mime", "it is not S/MIME")
    check(not mail.holds("marker-8102"), "the text can be read on the way")
    check("[confidential]" not in mail.subject, "the keyword is still in the subject")
    opened = _open(scene, mail)
    check(opened.verdict.encrypted == "opened", f"Carol cannot open it: {opened.verdict.reasons}")
    check(b"marker-8102" in opened.raw, "Carol reads something else")
    check(opened.verdict.signed_ok, f"Ann's signature does not hold: {opened.verdict.reasons}")
    scene.ann_certificate, scene.ann_opens = opened.certificates[0], opened.announced
    yield f"{scene.carol.address} opens it with her key; signed by {opened.verdict.signer}"


def decrypt(scene: Scene) -> Iterable[str]:
    """Carol answers closed and signed; Ann's program, which knows no S/MIME, must show the text and the marks."""
    plain = _from_carol(
        scene, "Re: The contract", "All agreed: marker-8103.", thread="<contract@partner.test>"
    )
    suits = choose({scene.ann_certificate: scene.ann_opens})
    closed = smime.encrypt(_sign(scene.carol, plain), [scene.ann_certificate], suits)
    check(b"marker-8103" not in closed, "Carol's program has not encrypted")
    scene.post.hand_over(scene.carol.address, scene.ann.address, closed)
    mail = scene.inboxes.wait(scene.ann, "Carol's answer", lambda mail: "marker-8103" in mail.text)
    _check_marks(
        mail,
        ("[signed OK]", "[secure]"),
        ("encrypted=opened", "integrity=good", "trust=good", "identity=good"),
    )
    results = str(mail.message["Authentication-Results"])
    check("smime=pass" in results, f"Authentication-Results says {results!r}")
    yield f"subject {mail.subject!r}"
    yield _verdict(mail)


def expose_change(scene: Scene) -> Iterable[str]:
    """Somebody changes a word of a signed mail on its way: it must never be marked as good."""
    raw = _sign(scene.carol, _from_carol(scene, "Account", "Pay to account 4711: marker-8104."))
    changed = raw.replace(b"account 4711", b"account 6666")
    check(changed != raw, "there was nothing to change")
    scene.post.hand_over(scene.carol.address, scene.ann.address, changed)
    mail = scene.inboxes.wait(scene.ann, "the changed mail", lambda mail: "marker-8104" in mail.text)
    check("[signed OK]" not in mail.subject, "a changed mail is marked as good")
    _check_marks(mail, ("[signed INVALID]",), ("integrity=bad",))
    yield f"subject {mail.subject!r}"


def remove_forged_marks(scene: Scene) -> Iterable[str]:
    """A stranger writes our marks into his mail: they must be gone when Ann reads it."""
    message = write(scene.carol, scene.ann.address, "[signed OK] [secure] Pay now", "Pay: marker-8105.\n")
    message[VERDICT] = "encrypted=opened; integrity=good; trust=good; identity=good"
    scene.post.hand_over("mallory@elsewhere.test", scene.ann.address, message.as_bytes())
    mail = scene.inboxes.wait(scene.ann, "the forged mail", lambda mail: "marker-8105" in mail.text)
    check(
        "[signed OK]" not in mail.subject and "[secure]" not in mail.subject,
        f"still marked: {mail.subject!r}",
    )
    check(mail.message[VERDICT] is None, f"the forged {VERDICT} is still there")
    yield f"subject {mail.subject!r}"


def _from_carol(scene: Scene, subject: str, text: str, *, thread: str = "") -> bytes:
    return write(scene.carol, scene.ann.address, subject, f"{text}\n", thread=thread).as_bytes()


def _sign(person: Person, raw: bytes) -> bytes:
    """As a mail program with this person's key does."""
    assert person.certificate is not None and person.key is not None, "who signs has papers"
    key = read_private_key(person.key.read_bytes(), None)
    return smime.sign(raw, key, _der(person.certificate), (), time.time())


def _open(scene: Scene, mail: Mail) -> Opened:
    """As Carol's mail program does, which trusts the hospital's authority."""
    assert scene.carol.key is not None and scene.carol.certificate is not None, "Carol has papers"
    key = read_private_key(scene.carol.key.read_bytes(), None)
    roots = [_der(scene.papers.mail_ca)]
    author = parse_address(scene.ann.address)
    return smime.open(mail.raw, [(key, _der(scene.carol.certificate))], roots, time.time(), author)


def _verdict(mail: Mail) -> str:
    return f"{VERDICT}: {' '.join(str(mail.message[VERDICT]).split())}"


def _check_marks(mail: Mail, tags: Sequence[str], words: Sequence[str]) -> None:
    verdict = str(mail.message[VERDICT] or "")
    for tag in tags:
        check(tag in mail.subject, f"the subject lacks {tag}: {mail.subject!r}; {VERDICT}: {verdict}")
    for word in words:
        check(word in verdict, f"{VERDICT} lacks {word}: {verdict!r}")


def _der(file: Path) -> bytes:
    return read_certificates(file.read_bytes())[0].der


STEPS = (
    Step("Carol's signed mail is verified and marked, her certificate learned", learn),
    Step("Ann's confidential answer to Carol leaves as S/MIME", encrypt),
    Step("Carol's S/MIME answer comes back opened, verified and marked", decrypt),
    Step("A signed mail with one changed word is exposed", expose_change),
    Step("Marks that a stranger forges are taken out", remove_forged_marks),
)
