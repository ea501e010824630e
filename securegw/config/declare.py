"""Declaring settings: a class per table, an attribute per key.

Not reading them, see ``reading``.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import attrs

from securegw.config.kinds import Kind

T = TypeVar("T")

REQUIRED: Final = attrs.NOTHING
_DECLARED, SECTION, OPTIONAL = "securegw.setting", "securegw.section", "securegw.optional"


@attrs.frozen
class Setting:
    kind: Kind[Any]
    default: object
    help: str

    def value(self, folder: Path) -> object:
        return None if self.default is None else self.kind.read(self.default, folder)


@overload
def setting(kind: Kind[T], default: None, help: str) -> T | None: ...
@overload
def setting(kind: Kind[T], default: object = ..., help: str = ...) -> T: ...
def setting(kind: Kind[Any], default: object = REQUIRED, help: str = "") -> Any:
    """Declare a setting: kind, default as in the file (None: not set), one sentence of help."""
    declared = Setting(kind, _file_form(default), help)
    metadata = {_DECLARED: declared}
    if default is REQUIRED:
        return attrs.field(kw_only=True, metadata=metadata)
    return attrs.field(default=declared.value(Path()), kw_only=True, metadata=metadata)


@overload
def section(cls: type[T]) -> T: ...
@overload
def section(cls: type[T], *, optional: bool) -> T | None: ...
def section(cls: type[Any], *, optional: bool = False) -> Any:
    """Declare a table of the whole. An optional one is None where the file has none."""
    return attrs.field(kw_only=True, metadata={SECTION: cls, OPTIONAL: optional})


def _file_form(value: object) -> object:
    """A default as it would stand in the file, for those who give it in its final form."""
    if isinstance(value, (os.PathLike, ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_file_form(entry) for entry in value]
    return value


def settings_of(cls: type[Any]) -> dict[str, Setting]:
    return {field.name: field.metadata[_DECLARED] for field in attrs.fields(cls)}
