"""Makes the HTML of a letter harmless: what is not known to be good goes.

Not the only wall: the browser gets the result in a sandboxed frame with its own Content-Security-Policy. A plain
function for a worker process, because a tree built by a stranger may cost any amount of time (threats 5.6.43).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import attrs
import nh3

from securegw.mail.errors import NotExamined

LONGEST = 5_000_000
DEEPEST = 1_000
MOST_WORK = 2_000_000
LARGEST_PICTURE = 500_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS = _words(
    "a abbr acronym address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del "
    "details dfn dir div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark "
    "menu nav ol p pre q rp rt ruby s samp section small span strike strong sub summary sup table tbody td tfoot th "
    "thead time tr tt u ul var wbr"
)
DROPPED_WHOLE = _words(
    "script style title iframe object embed applet noscript noembed noframes template svg math audio video canvas "
    "textarea select xmp plaintext"
)
GEOMETRY = _words("width height bgcolor valign align border cellpadding cellspacing colspan rowspan")
TABLE_PARTS = _words("table tbody thead tfoot tr td th col colgroup caption")
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"dir", "lang", "title", "style", "align"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "border"},
    "font": {"color", "face", "size"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"type", "value"},
    "hr": {"width", "size", "color"},
    "details": {"open"},
    "time": {"datetime"},
    **{tag: set(GEOMETRY) for tag in TABLE_PARTS},
}
SCHEMES = frozenset({"http", "https", "mailto", "tel", "cid", "data"})
LINK_SCHEMES = ("http://", "https://", "mailto:", "tel:")
DATA_PICTURE = re.compile(r"data:image/(?:png|gif|jpe?g|webp);base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE)

SIDES = ("", "-top", "-right", "-bottom", "-left")
PLAIN_STYLES = _words(
    "color background-color direction unicode-bidi writing-mode "
    "font font-family font-size font-style font-variant font-weight font-stretch "
    "text-align text-decoration text-decoration-color text-decoration-line text-decoration-style text-indent "
    "text-transform text-underline-offset line-height letter-spacing word-spacing white-space word-break word-wrap "
    "overflow-wrap hyphens tab-size quotes vertical-align "
    "width height min-width min-height max-width max-height "
    "list-style list-style-type list-style-position "
    "table-layout border-collapse border-spacing caption-side empty-cells float clear display border-radius"
)
BOX_STYLES = frozenset(f"{name}{side}" for name in ("margin", "padding", "border") for side in SIDES)
BORDER_STYLES = frozenset(f"border{side}-{what}" for side in SIDES for what in ("color", "style", "width"))
STYLES = PLAIN_STYLES | BOX_STYLES | BORDER_STYLES
EVIL_VALUE = re.compile(r"url\(|image|expression|element\(|[\\<>@{}]|/\*", re.IGNORECASE)
COLOUR = re.compile(r"#[0-9a-f]{3,8}\Z|[a-z]{3,20}\Z|rgba?\([\d\s.,%/]{5,40}\)\Z", re.IGNORECASE)
LENGTH = re.compile(r"(-?\d+(?:\.\d*)?|-?\.\d+)\s*(px|%|[a-z]*)", re.IGNORECASE)
LARGEST = {"%": 100.0, "px": 2_000.0, "": 2_000.0, "pt": 1_500.0, "em": 120.0, "rem": 120.0, "cm": 50.0, "mm": 500.0}


@attrs.frozen
class Cleaned:
    """Harmless HTML of one element's worth, and how many pictures from elsewhere were taken out of it."""

    html: str
    blocked_pictures: int


def clean(html: str, cids: Mapping[str, str]) -> Cleaned:
    """Clean the HTML of a letter; ``cids`` maps the Content-IDs of its pictures to ``data:`` addresses.

    Raises NotExamined for what would cost too much: then the reader shows the text part.
    """
    check_cost(html)
    picky = _Picky(cids)
    harmless = nh3.clean(
        html,
        tags=set(TAGS),
        clean_content_tags=set(DROPPED_WHOLE),
        attributes=ATTRIBUTES,
        attribute_filter=picky.attribute,
        url_schemes=set(SCHEMES),
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        filter_style_properties=set(STYLES),
        strip_comments=True,
    )
    return Cleaned(_on_ground(html, name_hosts(harmless)), picky.blocked)


# Anything that a mail program could fetch when it shows the text, or send: then all of it is cleaned.
FETCHES = re.compile(
    r"<\s*(?:img|link|script|iframe|frame|object|embed|base|form|input|button|meta|style|svg|math|audio|video|source|"
    r"track|image|picture|applet|bgsound|layer|body[^>]+background|table[^>]+background|td[^>]+background)\b"
    r"|url\s*\(|@import|srcset\s*=|\bsrc\s*=|background\s*=|\\[0-9a-f]{2}",
    re.IGNORECASE,
)


def disarm(html: str) -> str:
    """The HTML without anything that asks somebody else for something; the very same text if it asks for nothing."""
    if not FETCHES.search(html):
        return html
    try:
        return clean(html, {}).html
    except NotExamined:
        return "<p>[HTML]</p>"


class _Picky:
    """Looks at each attribute that the list lets through; counts the pictures that it takes out."""

    def __init__(self, cids: Mapping[str, str]) -> None:
        self.cids = {_bare_cid(name): address for name, address in cids.items()}
        self.blocked = 0

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        judge = JUDGES.get((tag, name)) or JUDGES.get(("*", name))
        return judge(self, value) if judge else value

    def picture(self, value: str) -> str | None:
        value = value.strip()
        if value.lower().startswith("cid:"):
            return _data_picture(self.cids.get(_bare_cid(value[4:]), ""))
        if value.lower().startswith(("http:", "https:")):
            self.blocked += 1
            return None
        return _data_picture(value)

    def link(self, value: str) -> str | None:
        return value if value.strip().lower().startswith(LINK_SCHEMES) else None

    def style(self, value: str) -> str | None:
        return clean_style(value) or None

    def size(self, value: str) -> str | None:
        return value if _within_reason(value) else None


JUDGES: dict[tuple[str, str], Callable[[_Picky, str], str | None]] = {
    ("img", "src"): _Picky.picture,
    ("a", "href"): _Picky.link,
    ("*", "style"): _Picky.style,
    ("*", "width"): _Picky.size,
    ("*", "height"): _Picky.size,
}


def clean_style(value: str) -> str:
    """The declarations of a style attribute that only change the look of their own box."""
    kept = (_declaration(text) for text in value.split(";")[:200])
    return ";".join(declaration for declaration in kept if declaration)


def _declaration(text: str) -> str:
    # Cutting at every ";" tears quoted strings apart: the pieces are no declarations, so they are lost, not let in.
    name, colon, value = text.partition(":")
    name, value = name.strip().lower(), value.strip()
    if name == "background" and COLOUR.match(value):
        name = "background-color"
    if not colon or name not in STYLES or EVIL_VALUE.search(value):
        return ""
    # A fixed overlay that lost its position must not stay as tall as the page.
    return f"{name}:{value}" if _within_reason(value) else ""


def _within_reason(value: str) -> bool:
    if "calc" in value.lower() or re.search(r"\d(?:vh|vw|vmin|vmax|[sld]v[hw])", value, re.IGNORECASE):
        return False
    return (
        all(abs(float(number)) <= LARGEST.get(unit.lower(), 10_000.0) for number, unit in LENGTH.findall(value[:300]))
        and len(value) <= 300
    )


def _data_picture(value: str) -> str | None:
    if len(value) * 3 // 4 <= LARGEST_PICTURE and DATA_PICTURE.match(value):
        return value
    return None


def _bare_cid(name: str) -> str:
    return name.strip().removeprefix("<").removesuffix(">").replace("%40", "@")


BODY_COLOUR = re.compile(r"<body\b[^>]{0,2000}?\bbgcolor\s*=\s*[\"']?(#[0-9a-f]{3,8}|[a-z]{3,20})\b", re.IGNORECASE)

GROUND = "margin:-12px;padding:12px;background-color:"  # over the margin that the page around it has


def _on_ground(html: str, harmless: str) -> str:
    """The body element is dropped; its ground colour goes on in a box around the letter."""
    found = BODY_COLOUR.search(html[:100_000])
    return f'<div style="{GROUND}{found[1]}">{harmless}</div>' if found else harmless


# --- a link that says one host and leads to another -----------------------------------------------------------

# Over the serialiser's own output, where every value is quoted and every "<" of a text is an entity.
ANCHOR = re.compile(r'<a((?: [a-z]+="[^"]*")*)>([^<]{1,500})</a>')
TARGET = re.compile(r' href="(https?://[^"]+)"', re.IGNORECASE)
SHOWN_HOST = re.compile(r"\s*(?:https?://)?((?:[\w-]+\.)+[a-z]{2,24})(?:[/:?#].*)?\s*\Z", re.IGNORECASE | re.DOTALL)


def name_hosts(harmless: str) -> str:
    """Write the true host after a link whose text is another address (threats: a link that lies)."""
    return ANCHOR.sub(_name_host, harmless)


def _name_host(anchor: re.Match[str]) -> str:
    target, shown = TARGET.search(anchor[1]), SHOWN_HOST.match(anchor[2])
    if not (target and shown):
        return anchor[0]
    host = _host_of(target[1])
    if host.removeprefix("www.") == shown[1].lower().removeprefix("www."):
        return anchor[0]
    return f"{anchor[0]} [{nh3.clean_text(host) if not _plain_host(host) else host}]"


def _plain_host(host: str) -> bool:
    return re.fullmatch(r"[a-z0-9.-]+", host) is not None


def _host_of(address: str) -> str:
    try:
        return (urlsplit(address.replace("&amp;", "&")).hostname or "?").lower()
    except ValueError:
        return "?"


# --- what would it cost? ------------------------------------------------------------------------------------------

TAG = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-z][^\s/>]*)", re.IGNORECASE | re.DOTALL)
NEVER_DEEP = _words(
    "area base br col embed hr img input keygen link meta param source track wbr "  # empty
    "p li dt dd tr td th tbody thead tfoot option optgroup rt rp html head body"  # end tag often left out
)
FORMATTING = _words("a b big code em font i nobr s small strike strong tt u")


def check_cost(html: str) -> None:
    """Refuse, by one cheap look, what would make a parser's tree too deep or too large.

    An estimate: comments are skipped, attributes are not read. What slips through is ended with its worker.
    The second number is for formatting elements left open: a parser makes them anew in every block that follows.
    """
    if len(html) > LONGEST:
        raise NotExamined(detail="HTML of more than 5 MB")
    open_now: dict[str, int] = {}
    depth = formatting = work = 0
    for found in TAG.finditer(html):
        name = (found[2] or "").lower()
        if not name:
            continue
        step = _step(open_now, name, closing=bool(found[1]))
        depth += step
        formatting += step if name in FORMATTING else 0
        work += formatting
        if depth > DEEPEST or work > MOST_WORK:
            raise NotExamined(detail="HTML too deep")


def _step(open_now: dict[str, int], name: str, *, closing: bool) -> int:
    if name in NEVER_DEEP:
        return 0
    already = open_now.get(name, 0)
    if closing:
        open_now[name] = max(0, already - 1)
        return -1 if already else 0
    open_now[name] = already + 1
    return 1
