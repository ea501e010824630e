"""The reference of all settings, as a TOML text that can itself be read.

Not written by hand anywhere.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import attrs

from securegw.config.declare import OPTIONAL, REQUIRED, SECTION, Setting, settings_of
from securegw.config.toml import to_toml


def describe(whole: type[Any]) -> str:
    """The reference as TOML: every key with its sentence, kind and default; only required keys are set."""
    return "\n".join(line for field in attrs.fields(whole) for line in _describe_section(field))


def _describe_section(field: attrs.Attribute[Any]) -> Iterator[str]:
    optional = field.metadata[OPTIONAL]
    yield from _comment(_first_sentence(field.metadata[SECTION]))
    yield f"{'# ' if optional else ''}[{field.name}]"
    yield ""
    for name, declared in settings_of(field.metadata[SECTION]).items():
        yield from _comment(declared.help)
        words = declared.kind.words
        yield from _comment(f"{words[:1].upper()}{words[1:]}. {_default(declared)}")
        required = declared.default is REQUIRED
        shown = declared.kind.example if required or declared.default is None else declared.default
        yield f"{'' if required and not optional else '# '}{name} = {to_toml(shown)}"
        yield ""


def _default(declared: Setting) -> str:
    if declared.default is REQUIRED:
        return "Required."
    return "Not set by default." if declared.default is None else f"Default: {to_toml(declared.default)}"


def _first_sentence(cls: type[Any]) -> str:
    words = " ".join((inspect.getdoc(cls) or "").split())
    return re.split(r"(?<=\.)\s", words, maxsplit=1)[0]


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
