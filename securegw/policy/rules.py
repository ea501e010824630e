"""Rules: one TOML document, read into closures once and asked for every mail.

Not the deciding, see ``decide``; not the keeping of versions, the store does that. A document with a single
mistake is not used at all, and all its mistakes are told at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import attrs

from securegw.mail.insertion import Insertion
from securegw.policy.actions import ACTIONS, METHODS, read_text
from securegw.policy.banners import read_banner
from securegw.policy.conditions import CONDITIONS, Check, as_list, not_all_hold
from securegw.policy.decision import Value
from securegw.policy.facts import DIRECTIONS
from securegw.policy.findings import PATTERNS_MOST, Pattern, read_pattern
from securegw.policy.keywords import Keywords, read_bracket, read_control_field, read_valued
from securegw.policy.mistakes import Mistake, RuleMistakes, line_of, lines
from securegw.policy.mistakes import Path as Place
from securegw.policy.patterns import longest_piece, read_address_pattern, read_text_pattern
from securegw.policy.ruleset import ALWAYS, HEADER, Anchor, Rule, Rules, index_of
from securegw.policy.vocabulary import Vocabulary

__all__ = ["Mistake", "Rule", "RuleMistakes", "Rules", "default_rules_text", "read_rules", "rules_file"]

P = ParamSpec("P")
T = TypeVar("T")

DOCUMENT_LIMIT = 1 << 20
RULE_LIMIT = 5000

_CONDITIONS = {row.name: row for row in CONDITIONS}
_ACTIONS = {row.name: row for row in ACTIONS}
_SECTIONS = ("keywords", "headers", "banners", "patterns", "rule")
_RULE_KEYS = ("name", "reason", "when", "unless")
_SYNTAX = re.compile(r"(.*?) \(at line (\d+), column \d+\)")


def rules_file() -> Path:
    """The shipped default document: beside the package where it is installed, else in the checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "etc" / "rules.toml"
    return installed if installed.exists() else package.parent / "etc" / "rules.toml"


def default_rules_text() -> str:
    """The text of the shipped document; a new gateway saves it as its first version."""
    return rules_file().read_text("utf-8")


def read_rules(text: str, file: str = "rules.toml", *, version: int = 0, methods: Sequence[str] = METHODS) -> Rules:
    """Read a rule document, or raise RuleMistakes with everything that is wrong in it."""
    document = _parse(text, file)
    reader = _Reader(document, file, lines(text))
    keywords = reader.keywords()
    banners, patterns = reader.banners(), reader.patterns()
    in_files = [pattern.name for pattern in patterns if pattern.files]
    words = Vocabulary(keywords.texts, tuple(methods), banners, [pattern.name for pattern in patterns], in_files)
    rules = reader.rules(words)
    if reader.mistakes:
        raise RuleMistakes(sorted(reader.mistakes, key=lambda mistake: mistake.line))
    asks: dict[str, frozenset[str]] = {
        way: frozenset[str]().union(*(rule.asks for rule in rules if way in rule.ways)) for way in DIRECTIONS
    }
    return Rules(text, version, tuple(methods), keywords, rules, index_of(rules), banners, patterns, asks)


def _parse(text: str, file: str) -> dict[str, Any]:
    if len(text) > DOCUMENT_LIMIT:
        raise RuleMistakes([Mistake(file, 1, "", "the document is too long", f"{DOCUMENT_LIMIT} characters")])
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.match(str(error))
        line = int(match[2]) if match else text.count("\n") + 1
        problem = match[1] if match else str(error)
        raise RuleMistakes([Mistake(file, line, "", problem, "TOML")]) from None
    except RecursionError:
        raise RuleMistakes([Mistake(file, 1, "", "too many brackets in each other", "TOML")]) from None


@attrs.define
class _Reader:
    """Walks the document once and collects mistakes instead of stopping at the first."""

    document: dict[str, Any]
    file: str
    where: Mapping[Place, int]
    mistakes: list[Mistake] = attrs.field(factory=list)

    def _wrong(self, path: Place, problem: str, wanted: str) -> None:
        key = ".".join(str(step) for step in path)
        self.mistakes.append(Mistake(self.file, line_of(self.where, path), key, problem, wanted))

    def _unknown(self, path: Place, name: str, known: Sequence[str]) -> None:
        near = get_close_matches(name, known, 1)
        self._wrong((*path, name), "unknown", near[0] if near else ", ".join(known))

    def _tried(self, path: Place, wanted: str, read: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
        """What ``read`` returns, or None and a mistake."""
        try:
            return read(*args, **named)
        except ValueError as problem:
            self._wrong(path, str(problem), wanted)
            return None

    def _table(self, holder: Mapping[str, Any], name: str, path: Place = ()) -> dict[str, Any]:
        found = holder.get(name, {})
        if isinstance(found, dict):
            return found
        self._wrong((*path, name), "not a table", "a table")
        return {}

    def keywords(self) -> Keywords:
        for name in self.document:
            if name not in _SECTIONS:
                self._unknown((), name, _SECTIONS)
        brackets, texts, valued = self._brackets()
        return Keywords(brackets, self._fields(texts), texts, valued)

    def _brackets(self) -> tuple[dict[str, str], dict[str, str], dict[str, tuple[str, str]]]:
        brackets: dict[str, str] = {}
        texts: dict[str, str] = {}
        kinds: dict[str, str] = {}
        for name, value in self._table(self.document, "keywords").items():
            path = ("keywords", name)
            wanted = 'a text such as "[confidential]" or "[sms:NUMBER]", or a list of such texts'
            found = self._tried(path, wanted, _read_brackets, value)
            for folded, kind in found or ():
                if folded in brackets:
                    self._wrong(path, f"{folded} stands for {brackets[folded]!r} already", wanted)
                brackets[folded] = name
                kinds[folded] = kind
            texts[name] = str(as_list(value)[0]) if found else name
        valued = {folded: (name, kinds[folded]) for folded, name in brackets.items() if kinds[folded]}
        return {folded: name for folded, name in brackets.items() if folded not in valued}, texts, valued

    def _fields(self, known: Mapping[str, str]) -> dict[tuple[str, str], str]:
        fields: dict[tuple[str, str], str] = {}
        for text, keyword in self._table(self.document, "headers").items():
            path, wanted = ("headers", text), '"Field-Name: value" = "keyword"'
            field = self._tried(path, wanted, read_control_field, text)
            if keyword not in known:
                self._wrong(path, f"there is no keyword {keyword!r}", ", ".join(known))
            elif field is not None:
                fields[field] = keyword
        return fields

    def banners(self) -> dict[str, Insertion]:
        found: dict[str, Insertion] = {}
        for name, value in self._table(self.document, "banners").items():
            path, wanted = ("banners", name), 'a table with text, and if wanted html, place = "top", marker'
            if not isinstance(value, dict):
                self._wrong(path, f"{value!r} is not a table", wanted)
                continue
            read = self._tried(path, wanted, read_banner, name, value)
            if read is not None:
                found[name] = read
        return found

    def patterns(self) -> tuple[Pattern, ...]:
        table = self._table(self.document, "patterns")
        if len(table) > PATTERNS_MOST:
            self._wrong(("patterns",), f"{len(table)} patterns", f"at most {PATTERNS_MOST}")
        wanted = 'texts such as "case ####", or a table with text, check, at_least, files'
        read = [self._tried(("patterns", name), wanted, _pattern, name, value) for name, value in table.items()]
        return tuple(pattern for pattern in read if pattern is not None)

    def rules(self, vocabulary: Vocabulary) -> tuple[Rule, ...]:
        tables = self.document.get("rule", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._wrong(("rule",), "not a list of tables", "[[rule]]")
            return ()
        if len(tables) > RULE_LIMIT:
            self._wrong(("rule",), f"{len(tables)} rules", f"at most {RULE_LIMIT}")
        rules = tuple(self._rule(number, table, vocabulary) for number, table in enumerate(tables))
        self._check_names(rules)
        return rules

    def _check_names(self, rules: Sequence[Rule]) -> None:
        seen: set[str] = set()
        for number, rule in enumerate(rules):
            if rule.name in seen:
                self._wrong(("rule", number, "name"), "another rule has this name", "a name of its own")
            seen.add(rule.name or str(number))

    def _rule(self, number: int, table: dict[str, Any], vocabulary: Vocabulary) -> Rule:
        path = ("rule", number)
        name = self._tried((*path, "name"), "a name", read_text, table.get("name", ""))
        reason = self._tried((*path, "reason"), "a phrase", read_text, table.get("reason", name or "?"))
        when = self._table(table, "when", path)
        unless = self._checks((*path, "unless"), self._table(table, "unless", path), vocabulary)
        exempt = (not_all_hold(unless),) if unless else ()
        return Rule(
            name=name or "",
            reason=reason or "",
            says=self._says(path, table, vocabulary),
            checks=self._checks((*path, "when"), when, vocabulary) + exempt,
            by_keyword="keyword" in when,
            asks=frozenset({*when, *self._table(table, "unless", path)}),
            ways=frozenset(as_list(when.get("direction") or list(DIRECTIONS))),
            anchors=_anchors(when),
        )

    def _says(self, path: Place, table: dict[str, Any], vocabulary: Vocabulary) -> tuple[tuple[str, Value], ...]:
        says: list[tuple[str, Value]] = []
        for key, value in table.items():
            action = _ACTIONS.get(key)
            if action is not None:
                read = self._tried((*path, key), action.wanted, action.read, value, vocabulary)
                says += [(key, read)] if read is not None else []
            elif key not in _RULE_KEYS:
                self._unknown(path, key, [*_RULE_KEYS, *_ACTIONS])
        if not any(key in _ACTIONS for key in table):
            self._wrong(path, "the rule says nothing", "one of: " + ", ".join(_ACTIONS))
        return tuple(says)

    def _checks(self, path: Place, table: dict[str, Any], vocabulary: Vocabulary) -> tuple[Check, ...]:
        checks: list[tuple[int, Check]] = []
        for key, value in table.items():
            condition = _CONDITIONS.get(key)
            if condition is None:
                self._unknown(path, key, list(_CONDITIONS))
                continue
            check = self._tried((*path, key), condition.wanted, condition.compile, value, vocabulary)
            checks += [(condition.cost, check)] if check is not None else []
        return tuple(check for _, check in sorted(checks, key=lambda pair: pair[0]))


def _pattern(name: str, value: object) -> Pattern:
    """``name = "text"``, ``name = ["text", ...]`` or ``name = { text = ..., check = "luhn", at_least = 3 }``."""
    if not isinstance(value, dict):
        return read_pattern(name, as_list(value))
    unknown = next((key for key in value if key not in ("text", "check", "at_least", "files")), None)
    if unknown is not None or "text" not in value:
        raise ValueError(f"unknown: {unknown!r}" if unknown else "there is no text")
    more = (value.get("check", ""), value.get("at_least", 1), value.get("files", True))
    return read_pattern(name, as_list(value["text"]), *more)


def _read_brackets(value: object) -> list[tuple[str, str]]:
    """Each keyword folded, with the kind of its value or an empty text."""
    return [read_valued(text) or (read_bracket(text), "") for text in as_list(value)]


def _anchors(when: Mapping[str, Any]) -> tuple[Anchor, ...]:
    """Where the index finds a rule. A document with a mistake is never asked: for that anything will do."""
    try:
        for name, read in _ANCHORED.items():
            if name in when:
                return tuple(read(when[name]))
    except (ValueError, AttributeError, StopIteration):
        pass
    return (ALWAYS,)


def _patterns(value: object) -> set[str]:
    return {read_address_pattern(text) for text in as_list(value)}


def _pieces(fields: Mapping[str, object]) -> set[Anchor]:
    """All the named fields must fit; so the first of them is enough to find the rule."""
    name, texts = next(iter(fields.items()))
    return {(HEADER + name.lower(), longest_piece(read_text_pattern(text))) for text in as_list(texts)}


# The most telling condition first.
_ANCHORED: Mapping[str, Callable[[Any], set[Anchor]]] = {
    "keyword": lambda value: {("keyword", str(name)) for name in as_list(value)},
    "recipient": lambda value: {("recipient", pattern) for pattern in _patterns(value)},
    "sender": lambda value: {("sender", pattern) for pattern in _patterns(value)},
    "header": _pieces,
}
