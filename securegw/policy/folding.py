"""Folding: what a bracketed word looks like to a reader, and how it is cut out of a text without a rest.

Not a filter of spam. Two foldings: ``spelling`` for the keywords of our own people, ``look`` for words that a
stranger dressed up as ours. Unicode UAX 15 (compatibility forms) and UTS 39 (confusables: those that can imitate
ASCII letters). Linear time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache

Fold = Callable[[str], str]

# Who looks like whom. Left: what is meant; right: what a stranger writes instead, beyond what compatibility
# forms and removed accents tell already. Capitals stand apart where their small form looks different.
_LOOKS = {
    "a": "аαɑᴀΑАᎪꓮ",
    "b": "ЬвВΒβᏴᏏꓐʙɓƅᖯ",
    "c": "сϲсСϹⲥᏟꓚᴄȼ¢ꮯ",
    "d": "ԁɗđᎠꓓᴅԀ",
    "e": "еёєεɛЕΕᎬꓰᴇⲉҽ℮ɘ",
    "f": "ғƒꓝꜰϝſ",
    "g": "ɡցԌᏀꓖɢᶃ",
    "h": "һհНΗᎻꓧʜħҺ",
    "i": "іιɩıΙІᎥᏆꓲɪӏⵏ׀ǀ∣│￨ا",
    "j": "јյЈϳꓙᎫᴊ",
    "k": "кκКΚᏦꓗᴋƙĸ",
    "l": "ⅼᏞꓡʟłլ",
    "m": "мМΜᎷꓟᴍϻ",
    "n": "ηпΝηոռꓠɴŋ",
    "o": "оοσОΟօՕⲟⲞꓳᴏøөɵΘ٥ه୦๐໐〇ⵔ",
    "p": "рρРΡᏢꓑᴘⲣ",
    "q": "ԛզϙ",
    "r": "гᴦʀꓣᎡꭱᏒ",
    "s": "ѕЅꓢꜱᏚՏ$",
    "t": "тТτΤꓔᎢᴛŧ",
    "u": "υսՍꓴᴜʋц",
    "v": "ѵνѴᏙꓦᴠ",
    "w": "ԝԜшωᎳꓪᴡɯ",
    "x": "хχХΧꓫ×",
    "y": "уγУΥүҮꓬʏყ",
    "z": "ΖꓜᏃᴢ",
    "[": "【〔〖⟦⟬⁅❲❳⦋⦍⦏〘〚⎡⎣⌈⌊「『﹁﹃⸢⸤⦗［",
    "]": "】〕〗⟧⟭⁆❳⦌⦎⦐〙〛⎤⎦⌉⌋」』﹂﹄⸣⸥⦘］",
}
_CONFUSABLE = {ord(double): meant for meant, doubles in _LOOKS.items() for double in doubles}
# Letters that ASCII itself confuses; both sides of a comparison are folded so.
_TWINS = str.maketrans({"i": "l", "1": "l", "|": "l", "!": "l", "0": "o", "m": "rn", "w": "vv"})
# White letters on a dark field and flag letters have no compatibility form.
_PICTURED = {first + n: chr(ord("a") + n) for first in (0x1F150, 0x1F170, 0x1F1E6) for n in range(26)}
# Letters and marks by category, yet nothing to see.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u2800\u3164\uffa0")
# Direction controls (UAX 9 2): with them the eye reads another order than the program.
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _seen(char: str) -> bool:
    return char not in _BLANK and unicodedata.category(char)[0] not in "CZ"


@lru_cache(maxsize=4096)
def spelling(char: str) -> str:
    """What was typed: width, case, white space and invisible characters do not count."""
    return "".join(filter(_seen, unicodedata.normalize("NFKC", char).casefold()))


@lru_cache(maxsize=4096)
def look(char: str) -> str:
    """What is seen: as ``spelling``, and accents, ornaments and the alphabet of a letter do not count either."""
    if ord(char) in _PICTURED:
        return _PICTURED[ord(char)].translate(_TWINS)
    bare = "".join(filter(_weighty, unicodedata.normalize("NFKD", char.translate(_CONFUSABLE))))
    folded = bare.translate(_CONFUSABLE).casefold().translate(_CONFUSABLE)
    return "".join(filter(_weighty, unicodedata.normalize("NFKD", folded))).translate(_TWINS)


def _weighty(char: str) -> bool:
    return _seen(char) and unicodedata.category(char) not in {"Mn", "Me", "So", "Sk"}


def fold_all(text: str, fold: Fold) -> str:
    return "".join(map(fold, text))


def cut(text: str, needles: Mapping[str, str], fold: Fold) -> tuple[str, frozenset[str]]:
    """Cut every needle (a folded text -> its name) out of the text; also tell the names of those found.

    ``stack`` is always the folding of ``kept`` and never holds a needle: so what a cut brings together is cut
    as well, in one pass.
    """
    kept: list[str] = []
    stack: list[str] = []
    places: list[int] = []
    found: set[str] = set()
    lengths = sorted({len(needle) for needle in needles}, reverse=True)
    last = {needle[-1] for needle in needles}
    at_seam = False
    for char in text:
        folded = fold(char)
        if at_seam and not folded and (not kept or kept[-1].isspace()):
            continue
        at_seam = False
        place = len(kept)
        kept.append(char)
        for sign in folded:
            stack.append(sign)
            places.append(place)
            needle = _ending(stack, lengths, needles) if sign in last else None
            if needle is not None:
                found.add(needles[needle])
                _drop(kept, stack, places, len(needle))
                at_seam = True
                break
    return _tidy(kept, at_seam), frozenset(found)


def cut_valued(text: str, openings: Collection[str], fold: Fold) -> tuple[str, list[tuple[str, str]], bool]:
    """Cut every bracket that begins with one of these (``[word:``, folded); tell each with what is behind the colon.

    A bracket without colon and value counts too, its value is empty. The last is true if one of them is never closed.
    """
    kept: list[str] = []
    found: list[tuple[str, str]] = []
    start: int | None = None
    at_seam = False
    for char in text:
        if at_seam and not fold(char) and (not kept or kept[-1].isspace()):
            continue
        at_seam = False
        if fold(char) == "[":
            start = len(kept)
        kept.append(char)
        if fold(char) == "]" and start is not None:
            opening, value = _split(kept[start:-1], fold)
            if opening in openings:
                found.append((opening, value))
                del kept[start:]
                at_seam = True
            start = None
    rest = _tidy(kept, at_seam)
    folded = fold_all(rest, fold)
    return rest, found, any(opening in folded for opening in openings)


def _split(inside: Sequence[str], fold: Fold) -> tuple[str, str]:
    """The folded text up to the first colon, which is added where there is none, and what stands behind as it is."""
    at = next((at for at, char in enumerate(inside) if fold(char) == ":"), len(inside))
    return fold_all("".join(inside[:at]), fold) + ":", "".join(inside[at + 1 :]).strip()


def _ending(stack: list[str], lengths: list[int], needles: Mapping[str, str]) -> str | None:
    for length in lengths:
        ending = "".join(stack[-length:])
        if ending in needles:
            return ending
    return None


def _drop(kept: list[str], stack: list[str], places: list[int], length: int) -> None:
    """Forget the last signs and the whole characters they came from, with all that stood between."""
    start = places[-length]
    del kept[start:]
    while places and places[-1] >= start:
        places.pop()
        stack.pop()


def _tidy(kept: list[str], at_seam: bool) -> str:
    text = "".join(kept)
    return text.rstrip() if at_seam else text


def without_loose_start(text: str) -> str:
    """The text without invisible characters in front, nor marks that would settle on what stands before."""
    at = 0
    while at < len(text) and (not _seen(text[at]) or unicodedata.category(text[at])[0] == "M"):
        at += 1
    return text[at:]
