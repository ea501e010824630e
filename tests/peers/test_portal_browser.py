"""Chromium opens a carrier from disk, registers, reads, saves, answers and signs out: with script and without, on a
telephone and on a desk. Pictures of every page lie below the test's temporary folder, to be looked at.
"""

from __future__ import annotations

import itertools
import re
import smtplib
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from securegw.mail import mime
from tests.flow.test_cleaning import EVIL
from tests.support.running import Gateway, gateway
from tests.support.sink import Sink, sink

ANN = "ann@inside.test"
PASSWORD = "vier kleine graue Wolken"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c626001000000050001"
    "0d0a2db40000000049454e44ae426082"
)
BUSINESS = """<body bgcolor="#fffdf5"><h2 style="color:#1d4f91;font-family:Georgia">Ihr Befund</h2>
<p>Sehr geehrter Herr Beispiel</p><p>Die Werte vom <b>15. Januar</b>:</p>
<table border=1 cellpadding=6 width=420><tr bgcolor="#e8f4ec"><th>Wert</th><th>Ergebnis</th><th>Norm</th></tr>
<tr><td>Kreatinin</td><td align=right>78</td><td>62 - 106</td></tr>
<tr><td>Kalium</td><td align=right>4,1</td><td>3,5 - 5,1</td></tr></table>
<p>Mit freundlichen Gr&uuml;&szlig;en<br><i>Ann Keller</i> <img src="cid:logo@x" alt="Logo" width=24 height=24></p>
<p>Mehr unter <a href="https://evil.test/login">https://klinik.inside.test/befund</a>
<img src="https://evil.test/pixel.gif"></p>"""


@attrs.frozen
class House:
    """A running gateway between two sinks, and who gets letters."""

    gateway: Gateway
    inside: Sink
    outside: Sink
    bob: str

    def forget_openings(self) -> None:
        """Begin anew: from one network only so many attachments are opened in ten minutes."""
        self.gateway.stop()
        self.gateway.start()

    def send(self, subject: str = "Befund", html: str = BUSINESS) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"] = f"Ann Keller <{ANN}>", self.bob
        mail["Subject"] = f"[confidential] {subject}"
        mail["Date"], mail["Message-ID"] = "Fri, 15 Jan 2027 09:30:00 +0100", f"<{subject}@inside.test>"
        mail.set_content("Die Werte sind gut.\n")
        mail.add_alternative(html, subtype="html")
        mail.get_payload()[1].add_related(PIXEL, "image", "png", cid="<logo@x>")  # type: ignore[union-attr]
        mail.add_attachment(b"%PDF-1.7\n", maintype="application", subtype="pdf", filename="Vertrag Änderung.pdf")
        mail.add_attachment("<script>alert(document.cookie)</script>", subtype="html", filename="seite.html")
        with smtplib.SMTP("127.0.0.1", self.gateway.smtp_port, timeout=20) as client:
            client.send_message(mail, ANN, [self.bob])

    def carrier(self, count: int, folder: Path) -> Path:
        """The attachment of the newest carrier, saved as a mail program saves it."""
        arrived = self.outside.wait(lambda mails: len(mails) >= count)
        [attachment] = mime.bodies(mime.parse(arrived[-1].raw)).attachments
        path = folder / f"secure-email-{count}.html"
        path.write_bytes(attachment.content())
        return path

    def code(self) -> str:
        arrived = self.inside.wait(lambda mails: any(b"Code for" in mail.raw for mail in mails))
        found = re.search(rb"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{2}", next(m.raw for m in arrived if b"Code for" in m.raw))
        assert found
        return found[0].decode()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("gateway")
    with (
        sink() as inside,
        sink() as outside,
        gateway(folder, inside=inside.port, outside=outside.port) as running,
    ):
        yield House(running, inside, outside, "nobody@outside.test")


@pytest.fixture
def house(street: House, numbers: Iterator[int]) -> House:
    """The gateway of all tests, with somebody to whom nothing was ever written."""
    street.gateway.wait_empty(30)
    street.inside.forget()
    street.outside.forget()
    return attrs.evolve(street, bob=f"bob{next(numbers)}@outside.test")


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture(scope="module")
def chromium(street: House, program: Callable[[str], str]) -> Iterator[Any]:
    """Started after the house: Playwright keeps an event loop in this thread, beside which no other can be started."""
    found = program("chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # as long as it waits for a click

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


KINDS = {
    "desk": {"viewport": {"width": 1280, "height": 900}},
    "desk-noscript": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
    "phone": {
        "viewport": {"width": 360, "height": 740},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
    "phone-noscript": {
        "viewport": {"width": 360, "height": 740},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
        "java_script_enabled": False,
        "color_scheme": "dark",
    },
}


class Reader:
    """A person at a browser, who looks at every page: no sideways scrolling, no request to another host."""

    def __init__(self, browser: Any, kind: str, folder: Path) -> None:
        self.context = browser.new_context(ignore_https_errors=True, accept_downloads=True, **KINDS[kind])
        self.page = self.context.new_page()
        self.folder = folder / "pictures"
        self.folder.mkdir()
        self.kind = kind
        self.hosts: set[str] = set()
        self.dialogs: list[str] = []
        self.context.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def look(self, name: str) -> None:
        """Take a picture, and check what must be true of every page."""
        self.page.screenshot(path=str(self.folder / f"{self.kind}-{name}.png"), full_page=True)
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} scrolls sideways by {wide} px"
        small = self.page.evaluate(
            "[...document.querySelectorAll('button, .button, nav a, footer a, summary, input:not([type=hidden])')]"
            ".filter(e => e.offsetHeight > 0 && e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
        )
        assert small == [], f"{name} has targets under 24 px (WCAG 2.5.8)"
        assert self.page.evaluate("document.querySelectorAll('h1').length") == 1

    def press(self, name: str, exact: bool = True) -> None:
        self.page.get_by_role("button", name=name, exact=exact).click()

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_file_to_the_answer(kind: str, house: House, chromium: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    house.send(html=BUSINESS + "".join(EVIL))
    reader = Reader(chromium, kind, tmp_path)
    page = reader.page

    page.goto(house.carrier(1, tmp_path).as_uri())
    assert "form-action" not in page.content()
    reader.look("1-file")
    reader.press("Open in English")
    page.wait_for_url("**/letter/*")
    reader.look("2-closed")
    expect(page.get_by_label("Your e-mail address")).to_have_value(house.bob)

    reader.fill("Code", "FALS-CHER-99")
    reader.press("Open the letter")
    expect(page.get_by_role("alert")).to_contain_text("does not open")
    reader.look("3-wrong-code")
    reader.fill("Code", house.code().replace("-", "").lower())
    reader.press("Open the letter")

    reader.look("4-first")
    reader.fill("Your name", "Bob Beispiel")
    reader.fill("Password", PASSWORD)
    reader.fill("The same password again", "anderes Passwort als oben")
    page.get_by_label("I have read the terms").check()
    reader.press("Save and read my letter")
    expect(page.locator("#again-wrong")).to_contain_text("not the same")
    reader.look("5-first-wrong")
    reader.fill("Password", PASSWORD)
    reader.fill("The same password again", PASSWORD)
    reader.press("Save and read my letter")

    expect(page.get_by_role("heading", name="Befund", level=1)).to_be_visible()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Sehr geehrter Herr Beispiel")).to_be_visible()
    expect(frame.get_by_text("[evil.test]")).to_be_visible()
    expect(page.get_by_text("picture is not loaded")).to_be_visible()
    reader.look("6-letter")
    top = page.locator("iframe").bounding_box()["y"]
    assert top < 640, f"the letter begins at {top} px only"
    [body] = [each for each in page.frames if each.url.endswith("/body")]
    assert body.evaluate("self.origin") == "null"

    with page.expect_download() as waiting:
        page.get_by_role("link", name="Save Vertrag Änderung.pdf").click()
    assert waiting.value.suggested_filename == "Vertrag Änderung.pdf"
    assert Path(waiting.value.path()).read_bytes() == b"%PDF-1.7\n"
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Save as mail file").click()
    assert waiting.value.suggested_filename == "Befund.eml"

    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("link", name="Antworten")).to_be_visible()
    reader.look("7-german")
    page.get_by_role("link", name="English").click()

    page.get_by_role("link", name="Reply").click()
    reader.look("8-reply")
    reader.fill("Your answer", "Vielen Dank.\n\nGrüße")
    file = tmp_path / "Bild.png"
    file.write_bytes(PIXEL)
    page.get_by_label("Files", exact=True).set_input_files(str(file))
    reader.press("Send sealed")
    expect(page.get_by_role("heading", name="Sent")).to_be_visible()
    reader.look("9-sent")
    answer = house.inside.wait(lambda mails: any(mail.sender == house.bob for mail in mails))[-1]
    bodies = mime.bodies(mime.parse(answer.raw))
    assert answer.recipients == (ANN,)
    assert bodies.text and bodies.text.text().split() == ["Vielen", "Dank.", "Grüße"]
    assert [(part.filename, part.content()) for part in bodies.attachments] == [("Bild.png", PIXEL)]

    house.send("Zweiter")
    page.goto(house.carrier(2, tmp_path).as_uri())
    reader.press("Auf Deutsch öffnen")
    expect(page.get_by_role("heading", name="Zweiter", level=1)).to_be_visible()  # one action: the session lives

    reader.press("Abmelden")
    expect(page.get_by_role("heading", name="Sie sind abgemeldet")).to_be_visible()
    reader.look("10-signed-out")
    page.get_by_role("link", name="Hilfe").click()
    reader.look("11-help")
    page.get_by_role("link", name="Datenschutz").click()
    reader.look("12-privacy")
    page.goto(f"{urlsplit(page.url)._replace(path='/nothing').geturl()}")
    reader.look("13-sorry")

    assert reader.hosts <= {"localhost", ""}
    assert reader.dialogs == []


@pytest.mark.parametrize("kind", ["phone-noscript"])
def test_a_session_that_ends_while_writing(kind: str, house: House, chromium: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    house.send()
    reader = Reader(chromium, kind, tmp_path)
    page = reader.page
    page.goto(house.carrier(1, tmp_path).as_uri())
    reader.press("Open in English")
    reader.fill("Code", house.code())
    reader.press("Open the letter")
    reader.fill("Your name", "Bob Beispiel")
    reader.fill("Password", PASSWORD)
    reader.fill("The same password again", PASSWORD)
    page.get_by_label("I have read the terms").check()
    reader.press("Save and read my letter")
    page.get_by_role("link", name="Reply").click()
    reader.fill("Your answer", "lange geschrieben")
    reader.context.clear_cookies(name="__Host-s")
    reader.press("Send sealed")
    expect(page.get_by_text("Your text is kept")).to_be_visible()
    reader.look("ended")
    reader.fill("Password", PASSWORD)
    reader.press("Open the letter")
    expect(page.get_by_label("Your answer")).to_have_value("lange geschrieben")
    reader.look("again")
    reader.press("Send sealed")
    expect(page.get_by_role("heading", name="Sent")).to_be_visible()


@pytest.mark.parametrize("size", [1_000, 20_000_000])
def test_letters_of_all_sizes_open(size: int, house: House, chromium: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    house.forget_openings()
    house.send(html="<p>" + "x " * (size // 2) + "</p>")
    reader = Reader(chromium, "desk-noscript", tmp_path)
    reader.page.goto(house.carrier(1, tmp_path).as_uri())
    reader.press("Open in English")
    expect(reader.page.get_by_role("heading", name="Open your letter")).to_be_visible(timeout=30_000)
