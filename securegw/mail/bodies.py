"""What a reader shows of a mail: its text, its HTML, the pictures in it, and all else as attachments.

Not a judgement of safety: cleaning is done where it is shown. No part is left out but signatures behind what they sign.
RFC 2046 5.1.4, RFC 2183 2, RFC 2387.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from securegw.mail.parts import Part

_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})


@attrs.frozen
class Bodies:
    """``inline`` maps a Content-ID, without brackets, to the part that the HTML may show in its place."""

    text: Part | None
    html: Part | None
    attachments: tuple[Part, ...]
    inline: Mapping[str, Part]


@attrs.define
class _Sorter:
    text: Part | None = None
    html: Part | None = None
    attachments: list[Part] = attrs.Factory(list)
    inline: dict[str, Part] = attrs.Factory(dict)

    def sort(self, part: Part) -> None:
        """A part of a mixture: the first one that can be shown is the body, the others are attachments."""
        if part.kind.startswith("multipart/") and part.children:
            self._sort_children(part)
        elif part.kind in ("text/plain", "text/html") and not _is_file(part) and not self._has_body():
            self._show(part)
        else:
            self.attachments.append(part)

    def _sort_children(self, part: Part) -> None:
        if part.kind == "multipart/alternative" and not self._has_body():
            self._choose(part)
        elif part.kind == "multipart/related" and not self._has_body():
            self._relate(part)
        else:
            for number, child in enumerate(part.children):
                # The first one is what is signed, whatever it says; so nothing is left without anything to show.
                if number == 0 or part.kind != "multipart/signed" or child.kind not in _SIGNATURES:
                    self.sort(child)

    def _has_body(self) -> bool:
        return self.text is not None or self.html is not None

    def _show(self, part: Part) -> None:
        if part.kind == "text/html":
            self.html = part
        else:
            self.text = part

    def _choose(self, part: Part) -> None:
        """One thing in several forms: the plainest and the richest that we show, the last of each kind."""
        for child in part.children:
            inner = _sorted(child)
            if _is_file(child) or (inner.text is None and inner.html is None):
                self.attachments.append(child)
                continue
            self.text = inner.text or self.text
            self.html = inner.html or self.html
            self.inline.update(inner.inline)
            self.attachments += inner.attachments

    def _relate(self, part: Part) -> None:
        root, others = _root(part)
        self.sort(root)
        for child in others:
            identity = (child.first("content-id") or "").strip().strip("<>")
            if self.html is not None and identity and identity not in self.inline:
                self.inline[identity] = child
            else:
                self.attachments.append(child)


def bodies(part: Part) -> Bodies:
    """Sort the parts of a mail for reading."""
    found = _sorted(part)
    return Bodies(found.text, found.html, tuple(found.attachments), found.inline)


def _sorted(part: Part) -> _Sorter:
    sorter = _Sorter()
    sorter.sort(part)
    return sorter


def _is_file(part: Part) -> bool:
    """Said to be no part of the text; an unknown disposition counts as that too (RFC 2183 2.8)."""
    return part.disposition not in ("", "inline")


def _root(part: Part) -> tuple[Part, tuple[Part, ...]]:
    """The root of a multipart/related: the one that ``start`` names, else the first (RFC 2387 3.2)."""
    wanted = part.parameters.get("start", "").strip()
    named = (child for child in part.children if wanted and (child.first("content-id") or "").strip() == wanted)
    root = next(named, part.children[0])
    return root, tuple(child for child in part.children if child is not root)
