"""The vocabulary of one rule document: the names that its rules may use.

Not their meaning: keywords, banners and patterns have rooms of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs


@attrs.frozen
class Vocabulary:
    """The document's own keywords, banners and patterns, and the methods that exist. ``in_files`` are the patterns that
    are looked for in files too."""

    keywords: Collection[str]
    methods: Sequence[str]
    banners: Collection[str] = ()
    patterns: Collection[str] = ()
    in_files: Collection[str] = ()
