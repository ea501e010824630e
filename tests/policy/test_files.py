"""Patterns in files: office documents, PDF and archives in a mail, and what a rule does about closed ones."""

from __future__ import annotations

from typing import Any

import pytest

from securegw.policy.decide import decide
from securegw.policy.facts import Facts
from securegw.policy.findings import Findings, examine, read_pattern
from securegw.policy.rules import RuleMistakes, read_rules
from tests.support.files import docx, encrypted, odt, pdf, pptx, short, with_file, xlsx, zipped

ANN, BOB = "ann@inside.test", "bob@outside.test"
WORDS = "file no. 12345678"
PATTERN = read_pattern("p", ["file no. ########"])
IN_TEXTS = read_pattern("t", ["file no. ########"], files=False)


def mail(name: str, content: bytes, kind: str = "application/octet-stream") -> bytes:
    return with_file(name, content, sender=ANN, recipient=BOB, kind=kind)


def look(name: str, content: bytes, kind: str = "application/octet-stream") -> Findings:
    return examine(mail(name, content, kind), [PATTERN])


INNER = mail("deep.docx", docx(WORDS))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", docx("file no. 12", "345678")),
        ("a.xlsx", xlsx(WORDS, "1")),
        ("a.pptx", pptx(WORDS)),
        ("a.odt", odt(WORDS)),
        ("a.pdf", pdf(WORDS)),
        ("a.csv", WORDS.encode()),
        ("a.zip", zipped({"b.txt": WORDS})),
        ("a.zip", zipped({"b.docx": docx(WORDS)})),
        ("a.zip", zipped({"b.zip": zipped({"c.pdf": pdf(WORDS)})})),
        ("a.dat", zipped({"b.txt": WORDS})),
        ("a.docx", zipped({"[Content_Types].xml": "<a/>", "word/document.xml": "<a/>", "b.txt": WORDS})),
        ("a.docx", zipped({"[Content_Types].xml": "<a/>", "word/embeddings/b.xlsx": xlsx(WORDS, "1")})),
        ("a.eml", INNER),
        ("a.zip", zipped({"b.eml": INNER})),
        ("file no. 12345678.jpg", b"\xff\xd8"),
        ("a.zip", zipped({"file no. 12345678.jpg": b"\xff\xd8"})),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + WORDS.encode("utf-16-le")),
    ],
    ids=short,
)
def test_s19_a_pattern_in_a_file(name: str, content: bytes) -> None:
    assert look(name, content).found == {"p"}


def test_s19_a_document_that_calls_itself_text() -> None:
    for content in (zipped({"b.txt": WORDS}), WORDS.encode("utf-16"), WORDS.encode("utf-16-le"), docx(WORDS)):
        assert look("a.txt", content, "text/plain").found == {"p"}


def test_nothing_is_found_where_nothing_is() -> None:
    for content in (docx("nothing"), pdf("nothing"), zipped({"a.txt": "nothing"})):
        assert look("a", content) == Findings(attachments=look("a", content).attachments)


@pytest.mark.parametrize(
    ("name", "content", "unlisted"),
    [
        ("a.zip", encrypted(zipped({"b.txt": WORDS})), False),
        ("a.zip", zipped({"b.txt": WORDS})[:60], True),
        ("a.zip", zipped({"b.zip": zipped({"c.zip": zipped({"d.txt": WORDS})})}), True),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", True),
        ("a.docx", encrypted(docx(WORDS)), False),
        ("a.pdf", b"%PDF-1.7 broken", False),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", False),
    ],
    ids=short,
)
def test_what_stays_closed_is_told(name: str, content: bytes, unlisted: bool) -> None:
    found = look(name, content)
    assert found.found == frozenset()
    assert found.unreadable
    assert found.unlisted is unlisted
    assert found.examined


def test_a_pattern_may_leave_files_alone() -> None:
    found = examine(mail("a.docx", docx(WORDS)), [IN_TEXTS])
    assert (found.found, found.unreadable, found.attachments) == (frozenset(), (), ("a.docx",))
    assert examine(mail("a.docx", docx(WORDS)), [IN_TEXTS, PATTERN]).found == {"p"}


def test_without_a_pattern_no_file_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.policy.findings.read_file", None)
    monkeypatch.setattr("securegw.policy.findings.is_zip", None)
    assert examine(mail("a.docx", docx(WORDS)), []).attachments == ("a.docx",)


def test_names_in_archives_are_names_of_files() -> None:
    raw = mail("a.zip", zipped({"x/run.exe": b"MZ", "b.zip": zipped({"c.js": "x"})}))
    assert examine(raw, [], names=True).attachments == ("a.zip", "x/run.exe", "b.zip", "c.js")
    assert examine(mail("a.docx", docx("x")), [], names=True).attachments == ("a.docx",)


def test_mails_in_mails_in_files_end() -> None:
    raw = mail("a.txt", WORDS.encode())
    for _ in range(30):
        raw = mail("a.eml", raw)
        if len(raw) > 4 << 20:
            break
    assert look("a.eml", raw).examined in (True, False)


def test_documents_in_documents_end() -> None:
    content = docx(WORDS)
    for _ in range(10):
        types = {"[Content_Types].xml": "<a/>", "word/document.xml": "<a/>"}
        content = zipped({**types, "word/embeddings/a.docx": content}, packed=False)
    assert look("a.docx", content).unreadable == ("word/embeddings/a.docx",)


# --- rules ----------------------------------------------------------------------------------------------------------


def facts(**changed: Any) -> Facts:
    known: dict[str, Any] = {"direction": "outgoing", "sender": ANN, "recipient": BOB, "inside": True}
    return Facts(**known | {"usable": {"carrier"}} | changed)


DOCUMENT = """
[patterns]
p = "file no. ########"
t = {{ text = "file no. ########", files = false }}

[[rule]]
name = "data"
when = {{ pattern = "{pattern}" }}
{says}

[[rule]]
name = "rest"
encrypt = "never"
"""


def decided(says: str, known: Facts, pattern: str = "p") -> tuple[str, str, str]:
    decision = decide(known, read_rules(DOCUMENT.format(says=says, pattern=pattern)))
    return decision.outcome, decision.method, decision.reason


REST = '[[rule]]\nname = "x"\nencrypt = "never"\n'
CLOSED = facts(unreadable=("a.zip",))


def test_a_closed_file_counts_as_found_for_a_strict_rule() -> None:
    assert decided('encrypt = "must"', CLOSED) == ("send", "carrier", "data")
    assert decided('quarantine = "look"', CLOSED) == ("hold", "", "data")
    assert decided('refuse = "no"', CLOSED) == ("refuse", "", "data")
    assert decided('encrypt = "must"', facts()) == ("send", "plain", "rest")


@pytest.mark.parametrize("says", ['encrypt = "never"', 'encrypt = "possible"', "refuse = false", 'sign = "never"'])
def test_for_a_rule_that_loosens_it_is_a_doubt_and_the_mail_goes_back(says: str) -> None:
    assert decided(says, CLOSED) == ("refuse", "", "unreadable")


def test_a_pattern_for_texts_alone_has_no_doubt() -> None:
    assert decided('encrypt = "must"', CLOSED, "t") == ("send", "plain", "rest")


def test_what_cannot_be_examined_goes_back_unless_a_rule_keeps_it() -> None:
    assert decided('encrypt = "must"', facts(examined=False)) == ("refuse", "", "not-examined")
    assert decided('quarantine = "look"', facts(examined=False)) == ("hold", "", "data")


def test_an_exemption_by_what_cannot_be_read_does_not_exempt() -> None:
    text = '[patterns]\np = "x"\n[[rule]]\nname = "r"\nunless = { pattern = "p" }\nrefuse = "no"\n'
    assert decide(CLOSED, read_rules(text)).outcome == "refuse"


def test_unreadable_is_a_condition_of_its_own() -> None:
    rules = read_rules('[[rule]]\nname = "r"\nwhen = { unreadable = true }\nquarantine = "look"\n' + REST)
    assert decide(CLOSED, rules).quarantined
    assert decide(facts(), rules).outcome == "send"
    assert decide(facts(examined=False), rules).quarantined


def test_a_method_that_is_not_known_now_is_no_doubt_about_files() -> None:
    text = '[[rule]]\nname = "r"\nwhen = { usable = "smime" }\nquarantine = "look"\nencrypt = "must"\n'
    assert decide(facts(usable=None), read_rules(text)).outcome == "wait"


def test_an_archive_that_tells_nothing_may_hold_any_file() -> None:
    text = '[[rule]]\nname = "r"\nwhen = { attachment = "*.exe" }\nrefuse = "no"\n' + REST
    assert decide(facts(unreadable=("a.7z",), unlisted=True), read_rules(text)).reason == "r"
    assert decide(facts(unreadable=("a.zip",)), read_rules(text)).outcome == "send"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[patterns]\np = { text = "x", files = "no" }\n', "neither true nor false"),
        ('[[rule]]\nname = "r"\nwhen = { unreadable = "yes" }\nencrypt = "must"\n', "neither true nor false"),
        ('[[rule]]\nname = "r"\nquarantine = true\n', "neither a sentence nor false"),
    ],
)
def test_mistakes_are_named(text: str, problem: str) -> None:
    with pytest.raises(RuleMistakes) as caught:
        read_rules(text)
    assert problem in str(caught.value)


def test_quarantine_by_the_first_rule_that_speaks() -> None:
    text = '[[rule]]\nname = "a"\nquarantine = false\n[[rule]]\nname = "b"\nquarantine = "look"\nencrypt = "never"\n'
    assert decide(facts(), read_rules(text)).outcome == "send"
    released = decide(facts(released=True), read_rules(text.replace("false", '"x"')))
    assert released.outcome == "send"
    assert next(ruling for ruling in released.rulings if ruling.aspect == "quarantine").reason == "released"
