"""The story's first part: a sealed letter goes out, is opened in a browser and answered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from securegw.commands.demo.browser import File, Form, Page, Surprise
from securegw.commands.demo.post import write
from securegw.commands.demo.story import Scene, Step, check
from securegw.pages.request import SESSION

SUBJECT = "Your results"
TEXT = "The blood count is perfectly fine: marker-7341."
REPORT = File("results.pdf", "application/pdf", b"%PDF-1.4 " + bytes(range(256)) * 40 + b"marker-7342")
ANSWER = "Thank you, that is good to hear: marker-7343."
PHOTO = File("photo.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(range(255, -1, -1)) * 20 + b"marker-7344")
CARRIER = "secure-email.html"
CODE = re.compile(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}\b")


def pass_plain(scene: Scene) -> Iterable[str]:
    """Otto has no key and asks for nothing: his mail must arrive byte for byte."""
    raw = write(scene.otto, scene.bob.address, "Lunch?", "At noon, as always.\n.\n..dots stay.\n").as_bytes()
    scene.post.submit(scene.otto, scene.bob.address, raw)
    mail = scene.inboxes.wait(scene.bob, "Otto's mail", lambda mail: mail.subject == "Lunch?")
    check(mail.raw.endswith(raw), "the mail was changed below the trace fields")
    trace = mail.raw[: -len(raw)].decode()
    check("Received: " in trace, "there is no Received field")
    yield f"{len(raw)} bytes below the trace fields, SHA-256 {hashlib.sha256(raw).hexdigest()[:16]}"


def seal(scene: Scene) -> Iterable[str]:
    """Ann asks for protection, and Bob has no key: a carrier must come, with nothing of the letter in it."""
    message = write(scene.ann, scene.bob.address, f"[confidential] {SUBJECT}", f"{TEXT}\n", files=[REPORT])
    scene.thread = str(message["Message-ID"])
    scene.post.submit(scene.ann, scene.bob.address, message.as_bytes())
    mail = scene.inboxes.wait(scene.bob, "the carrier", lambda mail: CARRIER in mail.raw.decode("latin-1"))
    for secret in ("marker-7341", "marker-7342", REPORT.name, "[confidential]"):
        check(not mail.holds(secret), f"{secret!r} can be read in the carrier")
    scene.carrier = mail.file(CARRIER)
    check(b"<script" not in scene.carrier, "there is a script in the carrier")
    yield f"{scene.bob.address} has {CARRIER}, {len(scene.carrier)} bytes; nothing of the letter can be read"


def tell_code(scene: Scene) -> Iterable[str]:
    """The code is for Ann's eyes: it goes by telephone from her to Bob."""
    mail = scene.inboxes.wait(scene.ann, "the code", lambda mail: CODE.search(mail.text) is not None)
    found = CODE.search(mail.text)
    assert found is not None, "the mail was chosen by it"
    scene.code = found[0]
    check(scene.code.encode() not in scene.carrier, "the code stands in the carrier")
    yield f"{scene.ann.address} was told the code {scene.code}"


def refuse_forgery(scene: Scene) -> Iterable[str]:
    """One changed character in the sealed text: refused before anybody is asked for a password."""
    page = scene.browser.open_file(scene.carrier)
    form = page.form("letter")
    text = form.fields["letter"]
    at = len(text) // 2
    while text[at].isspace():
        at += 1
    changed = text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]
    answer = scene.browser.submit(page, form, {"letter": changed})
    check(400 <= answer.status < 500, f"the changed carrier was answered with {answer.status}")
    check(not _asks_for_password(answer), "the changed carrier leads to the sign-in page")
    yield f"answered with {answer.status}: {answer.text[:70]}..."


def refuse_wrong_code(scene: Scene) -> Iterable[str]:
    """The genuine carrier leads to the sign-in page; a wrong code leads nowhere."""
    page, form = _open_carrier(scene)
    values = {"address": scene.bob.address, "password": "A" * 4 + "-AAAA-AA"}
    answer = scene.browser.submit(page, form, values)
    check(400 <= answer.status < 500, f"a wrong code was answered with {answer.status}")
    check("marker-7341" not in answer.text, "a wrong code opens the letter")
    check(SESSION not in scene.browser.cookies, "a wrong code opens a session")
    yield f"answered with {answer.status}"


def open_letter(scene: Scene) -> Iterable[str]:
    """Code, password, letter."""
    page, form = _open_carrier(scene)
    first = scene.browser.submit(page, form, {"address": scene.bob.address, "password": scene.code})
    check("marker-7341" not in first.text, "the letter is shown before a password was chosen")
    choose = first.form("again")
    password = scene.bob.password
    values = {"name": scene.bob.name, "password": password, "again": password, "terms": "yes"}
    letter = scene.browser.submit(first, choose, values)
    check(TEXT in letter.text, f"the letter is not shown ({letter.status}): {letter.text[:300]}")
    check(SUBJECT in letter.text, "its subject is not shown")
    check("no-store" in letter.headers.get("cache-control", ""), "the browser may keep the letter")
    scene.letter = letter
    yield f"{len(letter.text)} characters at {letter.url}"


def refuse_used_code(scene: Scene) -> Iterable[str]:
    """The code is used up: a second browser gets nothing with it."""
    other = type(scene.browser)(scene.papers.ca_file)
    page = other.open_file(scene.carrier)
    sign_in = other.submit(page, page.form("letter"))
    answer = other.submit(
        sign_in, sign_in.form("password"), {"address": scene.bob.address, "password": scene.code}
    )
    check(400 <= answer.status < 500, f"the used code was answered with {answer.status}")
    check(SESSION not in other.cookies, "the used code opened a session")
    yield f"answered with {answer.status}"


def save_file(scene: Scene) -> Iterable[str]:
    """The attachment comes back byte for byte, as a download and nothing else."""
    letter = _letter(scene)
    saved = scene.browser.get(letter.link("/part/"), referer=letter.url)
    check(saved.body == REPORT.content, f"{REPORT.name} was changed")
    check("attachment" in saved.headers.get("content-disposition", ""), "the file is shown, not saved")
    check(saved.headers.get("x-content-type-options") == "nosniff", "the browser may guess the file's kind")
    yield f"{REPORT.name}, {len(saved.body)} bytes"


def answer_letter(scene: Scene) -> Iterable[str]:
    """Bob answers; Ann gets a normal mail in the thread of hers, marked as sealed."""
    letter = _letter(scene)
    page = scene.browser.get(letter.link("/reply"), referer=letter.url)
    sent = scene.browser.submit(page, page.form("text"), {"text": ANSWER}, [("files", PHOTO)])
    check(sent.status == 200, f"the answer was not taken ({sent.status}): {sent.text[:300]}")
    mail = scene.inboxes.wait(scene.ann, "Bob's answer", lambda mail: "marker-7343" in mail.text)
    check(mail.message["From"].addresses[0].addr_spec == scene.bob.address, "it is not from Bob")
    check(mail.file(PHOTO.name) == PHOTO.content, f"{PHOTO.name} was changed")
    check(str(mail.message["In-Reply-To"]) == scene.thread, "it is not in the thread of Ann's mail")
    check("[secure]" in mail.subject, f"it is not marked: {mail.subject!r}")
    yield f"{scene.ann.address} has {mail.subject!r} with {PHOTO.name}, {len(PHOTO.content)} bytes"


def open_again(scene: Scene) -> Iterable[str]:
    """Signed out and come back another day: the same file opens with the password."""
    other = type(scene.browser)(scene.papers.ca_file)
    page = other.open_file(scene.carrier)
    sign_in = other.submit(page, page.form("letter"))
    values = {"address": scene.bob.address, "password": scene.bob.password}
    letter = other.submit(sign_in, sign_in.form("password"), values)
    check(TEXT in letter.text, f"the letter is not shown ({letter.status}): {letter.text[:300]}")
    yield "with the password, from the same file"


def _open_carrier(scene: Scene) -> tuple[Page, Form]:
    page = scene.browser.open_file(scene.carrier)
    answer = scene.browser.submit(page, page.form("letter"))
    check(answer.status == 200, f"the carrier was answered with {answer.status}: {answer.text[:300]}")
    return answer, answer.form("password")


def _asks_for_password(page: Page) -> bool:
    return any("password" in form.fields for form in page.forms)


def _letter(scene: Scene) -> Page:
    if scene.letter is None:
        raise Surprise("the letter was never opened")
    return scene.letter


STEPS = (
    Step("A mail without a wish passes without a changed byte", pass_plain),
    Step("Ann's confidential mail leaves as a sealed carrier", seal),
    Step("The code for Bob goes to Ann", tell_code),
    Step("A carrier with one changed character is refused", refuse_forgery),
    Step("A wrong code opens nothing", refuse_wrong_code),
    Step("Bob opens the letter in a browser: code, password, letter", open_letter),
    Step("The code is used up", refuse_used_code),
    Step("Bob saves the attached file", save_file),
    Step("Bob's answer reaches Ann and is marked", answer_letter),
    Step("The same file opens again with the password", open_again),
)
