"""Banners: texts of the organisation that are put into a mail - a disclaimer, a warning - as the document writes them.

Not the putting in, that is ``mail/insertion``. A rule names the banner; it is put in before anything is signed.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from securegw.mail.insertion import Insertion

TEXT_MOST = 20_000
KEYS = ("text", "html", "place", "marker")
PLACES = ("bottom", "top")


def read_banner(name: str, table: Mapping[str, Any]) -> Insertion:
    """One ``[banners.NAME]``; raises ValueError with the problem. Without ``html`` it is made of the text."""
    unknown = next((key for key in table if key not in KEYS), None)
    if unknown is not None:
        raise ValueError(f"unknown: {unknown!r}; there are {', '.join(KEYS)}")
    text = _text(table.get("text"), "text")
    markup = _text(table["html"], "html") if "html" in table else _markup(text)
    place = table.get("place", "bottom")
    if place not in PLACES:
        raise ValueError(f"{place!r} is no place; there are {' and '.join(PLACES)}")
    marker = table.get("marker", "")
    if marker and (not isinstance(marker, str) or not marker.isprintable() or not 3 <= len(marker) <= 100):
        raise ValueError("a marker is one printable line of 3 to 100 signs")
    return Insertion(name, text, markup, top=place == "top", marker=str(marker))


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"there is no {key}")
    if len(value) > TEXT_MOST or any(not sign.isprintable() and sign not in "\n\t" for sign in value):
        raise ValueError(f"{key} has more than {TEXT_MOST} signs, or some that cannot be printed")
    return value.strip("\n")


def _markup(text: str) -> str:
    return "<p>" + "<br>\n".join(html.escape(line) for line in text.split("\n")) + "</p>"
