"""Marks: no stranger writes what only we may write (threats 5.4, form 24)."""

from __future__ import annotations

import base64
import html
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.mail.message import decode_words, read, without
from securegw.policy.folding import fold_all, look
from securegw.policy.marks import SUBJECT_LIMIT, clean_subject, forged_fields, own_results, tag_subject

TAGS = ("[secure]", "[secure OK]", "[signed OK]", "[signed INVALID]", "[PGP OK]", "[HIN secured]")


def word(text: str, charset: str = "utf-8") -> str:
    return f"=?{charset}?b?{base64.b64encode(text.encode(charset)).decode()}?="


def q_word(text: str) -> str:
    return "=?utf-8?q?" + "".join(f"={byte:02X}" for byte in text.encode()) + "?="


def mathematical(text: str) -> str:
    return "".join(
        chr(0x1D41A + ord(char) - ord("a")) if char in "abcdefghijklmnopqrstuvwxyz" else char for char in text
    )


DISGUISES = {
    "as it is": lambda tag: tag,
    "lower": str.lower,
    "upper": str.upper,
    "inner spaces": lambda tag: tag.replace("[", "[ ").replace("]", " ]"),
    "double space": lambda tag: tag.replace(" ", "  "),
    "tab": lambda tag: tag.replace(" ", "\t"),
    "folded": lambda tag: tag.replace(" ", "\r\n "),
    "no space": lambda tag: tag.replace(" ", ""),
    "no-break space": lambda tag: tag.replace(" ", "\u00a0"),
    "quoted-printable word": q_word,
    "base64 word": word,
    "two words": lambda tag: f"{word(tag[:4])} {word(tag[4:])}",
    "word beside text": lambda tag: f"x{word(tag)}x",
    "japanese word": lambda tag: word(tag, "iso-2022-jp"),
    "utf-7 word": lambda tag: word(tag, "utf-7"),
    "utf-16 word": lambda tag: word(tag, "utf-16-be"),
    "unknown charset": lambda tag: word(tag).replace("utf-8", "x-unknown"),
    "word in word": lambda tag: word(word(tag)),
    "full width": lambda tag: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in tag),
    "full-width brackets": lambda tag: tag.replace("[", "［").replace("]", "］"),
    "other brackets": lambda tag: tag.replace("[", "【").replace("]", "】"),
    "cyrillic": lambda tag: tag.translate(str.maketrans("oecisaxpyhOECISAXPH", "оесіѕахруһОЕСІЅАХРН")),
    "greek": lambda tag: tag.translate(str.maketrans("oiuvnpONEIPHKADGV", "οιυνηρΟΝΕΙΡΗΚΑDGV")),
    "mathematical": mathematical,
    "combining marks": lambda tag: "".join(char + "\u0301" for char in tag),
    "accents": lambda tag: tag.translate(str.maketrans("eucoiO", "éüçöíÖ")),
    "zero-width space": lambda tag: "\u200b".join(tag),
    "zero-width joiner": lambda tag: "\u200d".join(tag),
    "soft hyphen": lambda tag: "\u00ad".join(tag),
    "tag characters": lambda tag: "\U000e0041".join(tag),
    "variation selectors": lambda tag: "\ufe0f".join(tag),
    "hangul filler": lambda tag: "\u3164".join(tag),
    "left-to-right marks": lambda tag: "\u200e".join(tag),
    "nested": lambda tag: tag[:4] + tag + tag[4:],
    "nested three times": lambda tag: tag[:4] * 3 + tag + tag[4:] * 3,
    "nested in others": lambda tag: "[sec[signed OK]ure" + tag + "]",
    "entity": lambda tag: tag.replace("[", "&#91;").replace("]", "&rsqb;"),
    "all entities": lambda tag: "".join(f"&#x{ord(char):x};" for char in tag),
    "entity in a word": lambda tag: word(tag.replace("[", "&lsqb;")),
    "lock and tick": lambda tag: tag.replace("[", "[🔒 ").replace("]", " ✅]"),
    "digits for letters": lambda tag: tag.replace("O", "0").replace("I", "1").replace("i", "l"),
    "pictured letters": lambda tag: "".join(chr(0x1F170 + ord(c) - 65) if c in "OKPGHIN" else c for c in tag),
    "circled": lambda tag: "".join(chr(0x24D0 + ord(c) - 97) if c in "abcdefghijklmnopqrstuvwxyz" else c for c in tag),
    "small capitals": lambda tag: tag.translate(str.maketrans("secuo", "ꜱᴇᴄᴜᴏ")),
    "after padding": lambda tag: "x" * 990 + tag,
    "controls": lambda tag: "\x01".join(tag),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("tag", TAGS)
def test_no_forged_tag_survives(disguise, tag) -> None:
    forged = DISGUISES[disguise](tag)
    for subject in (forged, f"Hello {forged} world", f"{forged} {forged}"):
        cleaned = clean_subject(subject, TAGS)
        seen = fold_all(html.unescape(decode_words(cleaned)), look)
        assert not any(fold_all(known, look) in seen for known in TAGS), cleaned
        assert clean_subject(cleaned, TAGS) == cleaned


def test_the_rest_stays() -> None:
    assert clean_subject("Re: [secure OK] Befund für Müller", TAGS) == "Re: Befund für Müller"
    assert clean_subject("[secure] [Projekt] Ляля", TAGS) == "[Projekt] Ляля"
    assert clean_subject("[sec[secure OK]ure OK]", TAGS) == ""


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "hello  world ",
        "is this secure OK",
        "(secure OK)",
        "[list] Über Öl, Ёлка and ½",
        "[secured]",
        "[signed",
        "[not secure OK]",
        "&#91;x&#93; =?utf-8?q?a?= 5 < 6 &amp; 7",
        "שלום\u200f!",
    ],
)
def test_an_honest_subject_is_unchanged(subject) -> None:
    assert clean_subject(subject, TAGS) == subject


@pytest.mark.parametrize(
    "subject",
    [
        "\u202e]KO eruces[\u202c",
        "\u202e[KO eruces]",
        "[sec\u202eeru\u202c OK]",
        "\u2067OK]\u2069 [secure",
        "a\u200f[b]",
    ],
)
def test_the_eye_reads_what_the_program_reads(subject) -> None:
    """Reversed text with its override would be shown as a tag; without it, it is shown as the nonsense it is."""
    cleaned = clean_subject(subject, TAGS)
    assert not any(char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f" for char in cleaned)


def test_hidden_behind_a_long_subject() -> None:
    cleaned = clean_subject("x" * 10_000 + "[secure OK]", TAGS)
    assert len(cleaned) == SUBJECT_LIMIT and "[" not in cleaned


def test_our_tag_is_in_front() -> None:
    assert tag_subject("Befund", "[secure OK]") == "[secure OK] Befund"
    assert tag_subject("", "[secure OK]") == "[secure OK]"
    assert tag_subject(" \r\n\u0338\u202e\u200b x\r\ny", "[secure]") == "[secure] x y"


def test_cut_behind_the_tag() -> None:
    tagged = tag_subject("ä" * 5000, "[signed INVALID]")
    assert len(tagged) == SUBJECT_LIMIT
    assert tagged.startswith("[signed INVALID] ä") and tagged.endswith("…")


@pytest.mark.parametrize(
    "subject",
    [
        "[secure OK" * 60_000,
        "[sec" * 100_000 + "ure OK]" * 100_000,
        "=?utf-8?b?" * 60_000,
        "=?" * 200_000,
        "&#91;" * 100_000,
        "\u202e[" * 100_000,
        "&" * 300_000,
    ],
)
def test_bounded_time(subject) -> None:
    began = time.process_time()
    clean_subject(subject, TAGS)
    assert time.process_time() - began < 0.5


def test_codings_without_end_lose_their_brackets() -> None:
    subject = "[secure]"
    for _ in range(12):
        subject = f"[secure] &amp;{html.escape(subject)}"
    assert "[secure]" not in clean_subject(subject, TAGS)


disguised = st.sampled_from(
    ["[", "]", "secure", "SEC", "ure", "ＯＫ", "ok", " ", "\u200b", "\u202e", "⟦", "&#91;", "é"]
)


@given(st.lists(disguised, max_size=25).map("".join))
def test_stable_and_clean(subject) -> None:
    cleaned = clean_subject(subject, TAGS)
    seen = fold_all(html.unescape(cleaned), look)
    assert not any(fold_all(tag, look) in seen for tag in TAGS)
    assert clean_subject(cleaned, TAGS) == cleaned


@given(st.text(max_size=60))
def test_any_text_passes(subject) -> None:
    clean_subject(subject, TAGS)
    assert tag_subject(subject, "[secure]").startswith("[secure]")


@pytest.mark.parametrize("tag", ["", "[]", "🔒", "[🔒]"])
def test_a_tag_needs_letters(tag) -> None:
    with pytest.raises(ValueError):
        clean_subject("x", (tag,))


@pytest.mark.parametrize(
    "name",
    [
        "X-Securegw-Verdict",
        "x-securegw-x",
        "X_SECUREGW_VERDICT",
        "X-SM-Incoming",
        "x_sm_internal",
        "X-ESWmail-Plain",
    ],
)
def test_our_fields_go(name) -> None:
    raw = f"{name}: yes\r\n yes\r\nSubject: x\r\n\r\n{name}: body\r\n".encode()
    assert without(read(raw), forged_fields()) == f"Subject: x\r\n\r\n{name}: body\r\n".encode()


def test_other_fields_stay() -> None:
    raw = b"X-SMTP-Id: 1\r\nX-Small: 2\r\nX-Secure: 3\r\n\r\n"
    assert without(read(raw), forged_fields()) == raw


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gw.clinic.test; smime=pass", True),
        ("GW.Clinic.Test.; smime=pass", True),
        (" (a comment) gw.clinic.test 1; smime=pass", True),
        ("(a (nested \\) one)) gw.clinic.test;none", True),
        ('"gw.clinic.test"; smime=pass', True),
        ('"gw\\.clinic.test"; smime=pass', True),
        ("gw.clinic.test(comment); smime=pass", True),
        ("gw.clіnic.test; smime=pass", True),
        ("=?utf-8?q?gw=2Eclinic=2Etest?=; smime=pass", True),
        ("(never ends gw.clinic.test; smime=pass", True),
        ("", True),
        ("; smime=pass", True),
        ("mx.other.test; smime=pass", False),
        ("mx.other.test; x=gw.clinic.test", False),
        ("(gw.clinic.test) mx.other.test; none", False),
        ("gw.clinic.test.evil; none", False),
        ("xgw.clinic.test; none", False),
    ],
)
def test_results_in_our_name(value, expected) -> None:
    assert own_results(value, "gw.clinic.test") is expected


def test_results_in_linear_time() -> None:
    began = time.process_time()
    assert own_results("(" * 200_000, "gw.clinic.test")
    own_results("()" * 100_000, "gw.clinic.test")
    assert time.process_time() - began < 1
