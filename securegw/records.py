"""Records: a copy of a frozen value with some of it changed, for values that are copied for every mail.

Not for values that are changed now and then: ``attrs.evolve`` says the same and takes three times as long.
"""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import attrs

T = TypeVar("T")


def changed(record: T, **values: Any) -> T:
    """The record with these values; its fields are called as its arguments are, and there are several."""
    kind: Any = type(record)
    names, read = _fields(kind)
    made: T = kind(**(dict(zip(names, read(record), strict=True)) | values))
    return made


@cache
def _fields(kind: type) -> tuple[tuple[str, ...], attrgetter[tuple[Any, ...]]]:
    names = tuple(field.name for field in attrs.fields(kind) if field.init)
    assert len(names) > 1, f"{kind.__name__}: attrgetter makes no tuple of one"
    assert not any(name.startswith("_") for name in names), f"{kind.__name__}: the names of its arguments differ"
    return names, attrgetter(*names)
