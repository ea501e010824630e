"""Rule documents: the shipped one, what conditions mean, and every mistake with its line."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securegw.policy.actions import ACTIONS
from securegw.policy.conditions import CONDITIONS, all_hold
from securegw.policy.decide import decide
from securegw.policy.patterns import read_address_pattern, read_text_pattern, values_test
from securegw.policy.rules import RuleMistakes, default_rules_text, read_rules, rules_file


def mistakes(text: str):
    with pytest.raises(RuleMistakes) as caught:
        read_rules(text, "my.toml")
    return caught.value.mistakes


def test_the_shipped_document(rules) -> None:
    assert rules_file().name == "rules.toml"
    assert [rule.name for rule in rules.rules][-1] == "everything else"
    assert rules.keywords.control_fields == ("x-smenc", "x-smplain", "x-smwebmail")
    assert max(map(len, default_rules_text().splitlines())) <= 120


def test_the_shipped_document_names_all_conditions_and_aspects() -> None:
    comments = "\n".join(line for line in default_rules_text().splitlines() if line.startswith("#"))
    for row in (*CONDITIONS, *ACTIONS):
        assert f" {row.name} " in comments.replace(",", " "), row.name


def test_the_examples_of_the_shipped_document_are_good(outgoing) -> None:
    lines = default_rules_text().splitlines()
    start = next(number for number, line in enumerate(lines) if "# Examples of rules" in line)
    end = next(number for number, line in enumerate(lines) if number > start and not line)
    kept = [line.removeprefix("#   ") for line in lines[start + 1 : end] if line.startswith("#   ")]
    examples = "\n".join(kept)
    assert examples.count("[[rule]]") == 7
    book = read_rules(default_rules_text() + examples)
    assert len(book.rules) == len(read_rules(default_rules_text()).rules) + 7
    assert (set(book.banners), len(book.patterns)) == ({"disclaimer"}, 3)


def test_the_page_about_rules_names_everything_and_its_examples_are_good() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rules.rst").read_text("utf-8")
    for row in (*CONDITIONS, *ACTIONS):
        assert f"``{row.name}``" in page, row.name
    blocks = [textwrap.dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", page)]
    rules = [block for block in blocks if block.startswith(("[[rule]]", "[keywords]"))]
    assert len(rules) == 6
    sections = '[keywords]\npriv = "[priv]"\nconfidential = "[confidential]"\n[banners.outside]\ntext = "x"\n'
    for block in rules:
        read_rules(block if block.startswith("[keywords]") else sections + block)


def test_version_and_digest() -> None:
    first, second = read_rules("", version=3), read_rules("# other", version=4)
    assert (first.version, second.version) == (3, 4)
    assert first.digest != second.digest and len(first.digest) == 64
    assert first == read_rules("", version=3) and first != second


def holds(outgoing, condition: str, **facts) -> bool:
    book = read_rules(
        f'[keywords]\nk = "[k]"\nl = "[l]"\n'
        f'[[rule]]\nname = "r"\nwhen = {{ {condition} }}\ntag = true\nencrypt = "never"\n'
        '[[rule]]\nname = "rest"\nencrypt = "never"'
    )
    return decide(outgoing(**facts), book).tag


@pytest.mark.parametrize(
    ("condition", "facts", "expected"),
    [
        ('direction = "outgoing"', {}, True),
        ('direction = ["incoming", "internal"]', {}, False),
        ("inside = true", {}, True),
        ("inside = false", {}, False),
        ("inside = false", {"inside": False}, True),
        ('keyword = "k"', {"subject": "[k] x"}, True),
        ('keyword = ["k", "l"]', {"subject": "[l] x"}, True),
        ('keyword = "k"', {"subject": "x"}, False),
        ('sender = "ann@inside.test"', {}, True),
        ('sender = "ANN@Inside.test"', {}, True),
        ('sender = "<>"', {"sender": ""}, True),
        ('sender = "<>"', {}, False),
        ('sender = "@inside.test"', {"sender": ""}, False),
        ('recipient = ["@nowhere.test", "@outside.test"]', {}, True),
        ('recipient = "*.outside.test"', {}, False),
        ('recipient = "*.outside.test"', {"recipient": "x@a.b.outside.test"}, True),
        ('recipient = "*.test"', {}, True),
        ('recipient = "bob@outside.test"', {"recipient": "rob@outside.test"}, False),
        ('recipient = "@outside.test"', {"recipient": "bob@xoutside.test"}, False),
        ('header = {x-class = "red"}', {"headers": {"X-Class": "Red"}}, True),
        ('header = {x-class = "red"}', {"headers": {"X-Class": "redder"}}, False),
        ('header = {x-class = ["red", "amber"]}', {"headers": {"X-Class": "amber"}}, True),
        ('header = {x-class = "*"}', {"headers": {"X-Class": ""}}, True),
        ('header = {x-class = "*"}', {}, False),
        ('header = {subject = "*invoice*", x-class = "red"}', {"subject": "an Invoice!"}, False),
        (
            'header = {subject = "*invoice*", x-class = "red"}',
            {"subject": "Invoice", "headers": {"x-class": "red"}},
            True,
        ),
        ('size_over = "1 MB"', {"size": 1 << 20}, False),
        ('size_over = "1 MB"', {"size": (1 << 20) + 1}, True),
        ("size_over = 5", {"size": 6}, True),
        ("calendar = true", {"calendar": True}, True),
        ("notice = true", {}, False),
        ("may_sign = false", {"may_sign": False}, True),
        ("may_encrypt = false", {"may_encrypt": False}, True),
        ('usable = "smime"', {"usable": ("smime",)}, True),
        ('usable = "smime"', {"usable": ("carrier",)}, False),
        ('direction = "outgoing", recipient = "@outside.test", keyword = "k"', {}, False),
    ],
)
def test_conditions(outgoing, condition, facts, expected) -> None:
    assert holds(outgoing, condition, **facts) is expected


def test_unless(outgoing) -> None:
    book = read_rules(
        '[[rule]]\nname = "r"\nunless = {sender = "@inside.test", recipient = "@x.test"}\n'
        'tag = true\nencrypt = "never"\n'
        '[[rule]]\nname = "rest"\nencrypt = "never"'
    )
    assert decide(outgoing(), book).tag
    assert not decide(outgoing(recipient="a@x.test"), book).tag


def fits(pattern: str, value: str) -> bool:
    return values_test([read_text_pattern(pattern)])([value.casefold()])


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("*", "", True),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("a*bc*c", "abc", False),
        ("**", "x", True),
        ("STRASSE", "straße", True),
    ],
)
def test_text_patterns(pattern, value, expected) -> None:
    assert fits(pattern, value) is expected


def test_text_patterns_do_not_go_back() -> None:
    assert not fits("*a" * 40 + "*b", "a" * 100_000)


@given(st.lists(st.sampled_from("ab*"), max_size=8).map("".join), st.text(alphabet="ab", max_size=8))
def test_text_patterns_agree_with_the_slow_way(pattern, value) -> None:
    def slow(rest: str, text: str) -> bool:
        if not rest:
            return not text
        if rest[0] == "*":
            return any(slow(rest[1:], text[at:]) for at in range(len(text) + 1))
        return text[:1] == rest[0] and slow(rest[1:], text[1:])

    if pattern:
        assert fits(pattern, value) is slow(pattern, value)


@pytest.mark.parametrize("text", ["", "bob", "@", "bob@", "*@x.test", "a@*.test", "*.", "@ä.test", "@a..b", 3, None])
def test_bad_address_patterns(text) -> None:
    with pytest.raises(ValueError):
        read_address_pattern(text)


MANY = """\
[keywords]
good = "[good]"
bad = "no bracket"
twin = "[GOOD]"

[headers]
"X-A: yes" = "nothing"
"no colon" = "good"

[colours]
red = 1

[[rule]]
name = "first"
encrypt = "maybe"
methods = ["smime",
  "magic"]
encript = "must"

[[rule]]
name = "first"
when = { keyword = "missing", direction = "up" }
sign = "always"

[[rule]]
reason = "no name, says nothing"
[rule.when]
recipient = "not an address"
size = 3
"""


def test_all_mistakes_at_once_with_their_lines() -> None:
    found = {(mistake.line, mistake.key) for mistake in mistakes(MANY)}
    assert found == {
        (3, "keywords.bad"),
        (4, "keywords.twin"),
        (7, "headers.X-A: yes"),
        (8, "headers.no colon"),
        (10, "colours"),
        (15, "rule.0.encrypt"),
        (16, "rule.0.methods"),
        (18, "rule.0.encript"),
        (21, "rule.1.name"),
        (22, "rule.1.when.keyword"),
        (22, "rule.1.when.direction"),
        (25, "rule.2"),
        (25, "rule.2.name"),
        (28, "rule.2.when.recipient"),
        (29, "rule.2.when.size"),
    }


def test_a_mistake_says_what_would_be_right() -> None:
    by_key = {mistake.key: mistake for mistake in mistakes(MANY)}
    assert by_key["rule.0.encript"].wanted == "encrypt"
    assert by_key["rule.0.encrypt"].wanted == '"must", "possible" or "never"'
    assert "'magic'" in by_key["rule.0.methods"].problem
    assert str(by_key["rule.0.encript"]) == "my.toml:18: rule.0.encript: unknown (wanted: encrypt)"
    assert "\n" in str(RuleMistakes(tuple(by_key.values())))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = \n", 1),
        ("\n\n[rule", 3),
        ('x = "unclosed', 1),
        ("a = 1\na = 2", 2),
        ("rule = 3", 1),
        ("rule = [1]", 1),
        ("keywords = 3", 1),
        ("#\nheaders = []", 2),
        ('[[rule]]\nname = "a"\nwhen = 3\ntag = true', 3),
        ('[[rule]]\nname = "a\\nb"\ntag = true', 2),
        ('[[rule]]\nname = "a"\ntag = 1', 3),
        ('[[rule]]\nname = "a"\nrefuse = true', 3),
        ('[[rule]]\nname = "a"\nrefuse = """two\nlines"""', 3),
        ('[[rule]]\nname = "a"\nmethods = []', 3),
        ('[[rule]]\nname = "a"\nmethods = ["smime", "smime"]', 3),
        ('[[rule]]\nname = "a"\ntag = true\nwhen = {keyword = []}', 4),
        ('[[rule]]\nname = "a"\ntag = true\nwhen = {size_over = "big"}', 4),
        ('[[rule]]\nname = "a"\ntag = true\nwhen = {size_over = true}', 4),
        ('[[rule]]\nname = "a"\ntag = true\nwhen = {header = "x"}', 4),
        ('[[rule]]\nname = "a"\ntag = true\nwhen = {header = {x = 1}}', 4),
        ('[[rule]]\nname = "a"\ntag = true\nunless = {inside = "yes"}', 4),
        ('[[rule]]\nname = """a\n[[rule]]\n"""\ntag = 3', 5),
        ("x = " + "[" * 5000, 1),
        ("#" * (1 << 21), 1),
    ],
)
def test_single_mistakes(text, line) -> None:
    assert line in {mistake.line for mistake in mistakes(text)}


@given(st.text(alphabet="[]{}=\"\\'abc.#\n rule123", max_size=80))
def test_nothing_but_mistakes_is_ever_raised(text) -> None:
    try:
        read_rules(text)
    except RuleMistakes as found:
        assert found.mistakes


WHENS = (
    'recipient = "@outside.test"',
    'recipient = ["*.test", "x@y.test"]',
    'sender = "<>"',
    'sender = ["ann@inside.test", "*.inside.test"]',
    'header = {subject = "he*o", x-class = "*"}',
    'header = {X-Class = ["*", "red"]}',
    'header = {x-class = ["a*bc*d", "*red*"]}',
    'keyword = ["k", "l"]',
    'direction = "outgoing"',
)


@given(
    st.lists(st.sampled_from(WHENS), min_size=1, max_size=2, unique_by=lambda when: when.split()[0]),
    st.sampled_from(["bob@outside.test", "b@a.b.test", "x@y.test", "x@other.example"]),
    st.sampled_from(["ann@inside.test", "", "carl@a.inside.test"]),
    st.sampled_from(["hello", "[k] heo", "HE[L]O"]),
    st.sampled_from([{}, {"x-class": "Red"}, {"X-Class": "infrared"}, {"x-class": "a bc d"}]),
)
def test_the_index_hides_no_rule_that_holds(outgoing, whens, recipient, sender, subject, headers) -> None:
    book = read_rules(
        f'[keywords]\nk = "[k]"\nl = "[l]"\n[[rule]]\nname = "r"\nwhen = {{ {", ".join(whens)} }}\ntag = true\n'
    )
    facts = outgoing(subject, recipient=recipient, sender=sender, headers=headers)
    asked = book.keywords.read(facts).keywords
    found = [rule.name for rule, _ in book.holding(facts, asked)]
    assert found == [rule.name for rule in book.rules if all_hold(rule.checks, facts, asked)]
