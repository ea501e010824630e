"""The words of pages and mails: every language complete, every placeholder the same, every template renders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from securegw.mail.texts import Texts, web_folder

MAILS = ("carrier", "first-code")
PLACES = [("portal/**.html", "jinja2"), *((f"mail/{name}/**", "jinja2") for name in MAILS)]
NEWSTYLE = {pattern: {"newstyle_gettext": "true"} for pattern, _ in PLACES}
CATALOGUES = sorted(web_folder().glob("locale/*/LC_MESSAGES/portal.po"))


def messages():
    found = extract_from_dir(str(web_folder()), method_map=PLACES, options_map=NEWSTYLE)
    return {message if isinstance(message, str) else tuple(message) for _, _, message, _, _ in found}


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s", text))


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_is_complete(path: Path):
    with path.open("rb") as file:
        catalogue = read_po(file)
    known = {entry.id if isinstance(entry.id, str) else tuple(entry.id): entry for entry in catalogue if entry.id}
    assert set(known) == messages()
    for message, entry in known.items():
        assert not entry.fuzzy
        forms = [entry.string] if isinstance(entry.string, str) else list(entry.string)
        last = message if isinstance(message, str) else message[1]
        for form in forms:
            assert form and placeholders(form) == placeholders(last), message


def test_german_is_there():
    assert [path.parts[-3] for path in CATALOGUES] == ["de"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_text_and_html_of_a_mail_say_the_same(language):
    texts = Texts()
    values = {
        "sender_name": "Ann Keller",
        "organisation": "Bank & Söhne",
        "recipient": "bob@outside.test",
        "recipient_hint": "b",
        "host": "letters.example.ch",
        "url": "https://letters.example.ch",
        "code": "K7Q4-M2XB-9T",
        "reason": "<Grund>",
        "subject": "Betreff",
    }
    for name in MAILS:
        mail = texts.mail(name, language, **values)
        assert mail.html and "\n" not in mail.subject
        assert max(map(len, mail.text.splitlines())) <= 78
        body = mail.html.partition("<body")[2].partition(">")[2]
        plain = re.sub(r"<[^>]+>", " ", body)
        import html

        assert words(html.unescape(plain)) == words(mail.text)
        assert "http" not in re.sub(r"https://letters\.example\.ch", "", mail.html)
        assert "<img" not in mail.html and "<script" not in mail.html


def words(text: str) -> list[str]:
    """All words, without the numbers of a list."""
    return re.findall(r"[^\W\d][\w-]*", text)


def test_the_code_mail_warns_and_the_carrier_mail_has_no_code():
    texts = Texts()
    values = {"recipient": "bob@outside.test", "host": "h", "url": "u", "organisation": "o", "code": "K7Q4-M2XB-9T"}
    assert "Never forward" in texts.mail("first-code", "en", **values).text
    carrier = texts.mail("carrier", "en", sender_name="Ann", recipient_hint="b", **values)
    assert "K7Q4" not in carrier.text + (carrier.html or "") + carrier.subject


def test_stylesheet_and_pages_stay_small():
    assert (web_folder() / "static" / "portal.css").stat().st_size < 15_000
    css = (web_folder() / "static" / "portal.css").read_text()
    assert "url(" not in css and "@import" not in css


def contrast(one: str, two: str) -> float:
    def light(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((light(one), light(two)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(scheme):
    """WCAG 2.2 1.4.3 and 1.4.11, computed from the style sheet."""
    css = (web_folder() / "static" / "portal.css").read_text()
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block))
    pairs = [
        ("ink", "paper"),
        ("ink", "ground"),
        ("soft", "paper"),
        ("soft", "ground"),
        ("act", "paper"),
        ("act", "ground"),
        ("act-ink", "act"),
        ("good", "good-ground"),
        ("note", "note-ground"),
        ("bad", "bad-ground"),
        ("bad", "paper"),
    ]
    for front, back in pairs:
        assert contrast(colour[front], colour[back]) >= 4.5, (front, back)
    assert contrast(colour["edge"], colour["paper"]) >= 3.0
