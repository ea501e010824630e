from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from jinja2.ext import babel_extract

from securegw.flow import reprocess
from securegw.flow.outgoing import NO_USER, NOT_HIS_NAME
from securegw.mail import errors, notice
from securegw.mail.texts import Texts, web_folder
from securegw.policy.decide import SENTENCES

PO = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

msgid "%s"
msgstr "%s"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mail = tmp_path / "mail" / "hello"
    mail.mkdir(parents=True)
    (mail / "subject.txt").write_text('{{ _("Hello %(name)s", name=name) }}\n')
    (mail / "body.txt").write_text('{{ _("Good day") }} {{ name }} {{ language }}\n\n')
    (mail / "body.html").write_text("<p>{% trans %}Good day{% endtrans %} {{ name }}</p>")
    catalogues = tmp_path / "locale" / "de" / "LC_MESSAGES"
    catalogues.mkdir(parents=True)
    (catalogues / "one.po").write_text(PO % ("Hello %(name)s", "Hallo %(name)s"))
    (catalogues / "two.po").write_text(PO % ("Good day", "Guten Tag"))
    return tmp_path


def test_a_mail_in_each_language_from_all_catalogues(folder: Path) -> None:
    texts = Texts(folder)
    assert texts.languages == ("en", "de")
    english = texts.mail("hello", "en", name="Ann")
    assert (english.subject, english.text) == ("Hello Ann", "Good day Ann en\n")
    german = texts.mail("hello", "de", name="Ann")
    assert (german.subject, german.text, german.html) == ("Hallo Ann", "Guten Tag Ann de\n", "<p>Guten Tag Ann</p>")
    assert texts.mail("hello", "xx", name="Ann") == texts.mail("hello", "en", name="Ann")


def test_values_are_escaped_in_html_and_are_never_templates(folder: Path) -> None:
    mail = Texts(folder).mail("hello", "de", name="<b>{{ 7 * 7 }} %(x)s {% raw %}")
    assert mail.html == "<p>Guten Tag &lt;b&gt;{{ 7 * 7 }} %(x)s {% raw %}</p>"
    assert mail.text.startswith("Guten Tag <b>{{ 7 * 7 }} %(x)s {% raw %}")


def test_a_subject_is_one_line(folder: Path) -> None:
    assert Texts(folder).mail("hello", "en", name="a\r\nBcc: x\0y").subject == "Hello a Bcc: x y"


def test_a_missing_value_is_an_error(folder: Path) -> None:
    with pytest.raises(UndefinedError):
        Texts(folder).mail("hello", "en")


def test_a_mail_without_html(folder: Path) -> None:
    (folder / "mail" / "hello" / "body.html").unlink()
    assert Texts(folder).mail("hello", "en", name="x").html is None


def test_translate_takes_sentences_literally(folder: Path) -> None:
    texts = Texts(folder)
    assert texts.translate("Good day", "de") == "Guten Tag"
    assert texts.translate("100 % <b>", "de") == "100 % <b>"
    assert texts.translate("", "de") == ""
    assert texts.translate("Good day", "xx") == "Good day"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.5", "de"),
        ("en;q=0.2, DE;q=0.3", "de"),
        ("fr, de;q=0.1", "de"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("de;q=x", "en"),
        ("de" + ",en;q=0.1" * 100_000, "de"),
        ("\0<script>", "en"),
    ],
)
def test_best_language(folder: Path, accept: str | None, language: str) -> None:
    assert Texts(folder).best(accept, "en") == language


def test_texts_travel_to_workers(folder: Path) -> None:
    texts = pickle.loads(pickle.dumps(Texts(folder)))
    assert texts.mail("hello", "de", name="x").subject == "Hallo x"


def own_sentences() -> set[str]:
    """Everything that a notice may say: its templates, its meanings, and the errors of a mail that goes back."""
    found = set(notice._MEANINGS.values())
    for path in web_folder().glob("mail/notice/*"), web_folder().glob("mail/delayed/*"):
        for template in path:
            with template.open("rb") as file:
                extracted = babel_extract(file, ("_",), [], {})
                found |= {words for _, _, words, _ in extracted if isinstance(words, str)}
    returned = errors.Refused, errors.NoProtection, errors.MailLoop, errors.NotExamined, errors.TooBig
    found |= {error().sentence for error in returned}
    rules = {NOT_HIS_NAME, NO_USER, reprocess.NOT_OPENED, reprocess.NOTHING_THERE}
    return found | set(SENTENCES.values()) | rules


def test_every_sentence_of_a_notice_is_german_too() -> None:
    texts = Texts()
    sentences = own_sentences()
    assert len(sentences) > 20
    assert {one for one in sentences if texts.translate(one, "de") == one} == set()
    for one in sentences:
        assert set(re.findall(r"%\(\w+\)s", one)) == set(re.findall(r"%\(\w+\)s", texts.translate(one, "de")))
