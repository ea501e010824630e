"""Reading settings: a TOML text becomes values, or a list of all its mistakes. TOML 1.0.

Not the kinds, see ``kinds``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from securegw.config.declare import OPTIONAL, REQUIRED, SECTION, Setting, settings_of
from securegw.config.kinds import Unfit
from securegw.config.mistakes import Mistake, Mistakes
from securegw.config.toml import KeyPath, key_lines, say

T = TypeVar("T")


def read(whole: type[T], text: str, file: str) -> T:
    """Read a whole from the text of a file; raises Mistakes with every mistake in it."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Mistakes([_syntax_mistake(file, str(error))]) from None
    reader = _Reader(file, key_lines(text))
    result = reader.whole(whole, found)
    if reader.mistakes:
        raise Mistakes(reader.mistakes)
    return cast(T, result)


def _syntax_mistake(file: str, message: str) -> Mistake:
    problem, _, place = message.partition(" (at ")
    line = re.match(r"line (\d+)", place)
    return Mistake(file, int(line[1]) if line else 0, "", f"not TOML: {problem}", "see https://toml.io")


class _Reader:
    def __init__(self, file: str, lines: Mapping[KeyPath, int]) -> None:
        self.file = file
        self.folder = Path(file).absolute().parent
        self.lines = lines
        self.mistakes: list[Mistake] = []

    def whole(self, cls: type[Any], found: dict[str, Any]) -> object:
        tables: dict[str, type[Any]] = {field.name: field.metadata[SECTION] for field in attrs.fields(cls)}
        for name in found.keys() - tables.keys():
            self._note((name,), "unknown", _nearest(name, tables, "a table named [{}]"))
        values: dict[str, object] = {}
        for field in attrs.fields(cls):
            absent = field.name not in found and field.metadata[OPTIONAL]
            table = found.get(field.name, {})
            values[field.name] = None if absent else self._section(field.name, tables, table)
        return None if self.mistakes else cls(**values)

    def _section(self, name: str, tables: Mapping[str, type[Any]], found: object) -> object:
        if not isinstance(found, dict):
            self._note((name,), "not a table", f"a line [{name}] with keys below it")
            return None
        declared = settings_of(tables[name])
        for key in found.keys() - declared.keys():
            self._note((name, key), "unknown", _suggest(key, declared, tables))
        values = {key: self._value((name, key), one, found) for key, one in declared.items()}
        return None if self.mistakes else tables[name](**values)

    def _value(self, path: KeyPath, declared: Setting, found: dict[str, object]) -> object:
        key = path[-1]
        if key not in found and declared.default is REQUIRED:
            self._note(path, "missing", f"wanted: {declared.kind.words}")
            return None
        if key not in found:
            return declared.value(self.folder)
        try:
            return cast(object, declared.kind.read(found[key], self.folder))
        except Unfit as unfit:
            problem = f"{say(found[key])} ({unfit})" if str(unfit) else say(found[key])
            self._note(path, f"cannot be {problem}", f"wanted: {declared.kind.words}")
            return None

    def _note(self, path: KeyPath, problem: str, wanted: str) -> None:
        line = self.lines.get(path) or self.lines.get(path[:1], 0)
        words = f"[{path[0]}]" if len(path) == 1 else f"[{path[0]}] {path[1]}"
        self.mistakes.append(Mistake(self.file, line, words, problem, wanted))


def _nearest(name: str, known: Mapping[str, object], form: str = "{}") -> str:
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return "perhaps " + form.format(near[0])
    return "known: " + ", ".join(known) if known else ""


def _suggest(key: str, declared: Mapping[str, object], tables: Mapping[str, type[Any]]) -> str:
    """The nearest name in the same table, else the table that knows exactly this one."""
    if not difflib.get_close_matches(key, declared, 1):
        for name, cls in tables.items():
            if key in settings_of(cls):
                return f"perhaps in [{name}]"
    return _nearest(key, declared)
