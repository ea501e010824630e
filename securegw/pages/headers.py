"""The header fields that every answer carries, and those of frames and downloads.

Not the cookie. CSP 3, RFC 6797 (HSTS), RFC 6266 and RFC 8187 (file names).
"""

from __future__ import annotations

from urllib.parse import quote

from twisted.web.http_headers import Headers

# `form-action 'self'` also binds redirects after a post: identity providers are started by a link, not by a form.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
# The sandbox gives the frame an origin of its own, also when it is opened alone in a tab.
FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"

PAGE = {
    "Content-Security-Policy": PAGE_POLICY,
    # Not no-referrer: it would make browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), publickey-credentials-get=(self)",
    "Cache-Control": "no-store",
    "Content-Type": "text/html; charset=utf-8",
}


def dress(headers: Headers) -> None:
    """What every answer carries, unless a page says otherwise."""
    for name, value in PAGE.items():
        headers.setRawHeaders(name, [value])


def dress_frame(headers: Headers) -> None:
    """The text of a letter: for the sandboxed frame in our own page only."""
    headers.setRawHeaders("Content-Security-Policy", [FRAME_POLICY])
    headers.setRawHeaders("X-Frame-Options", ["SAMEORIGIN"])
    headers.removeHeader("Cross-Origin-Opener-Policy")


def dress_file(headers: Headers, name: str) -> None:
    """A download: no browser shows it, whatever it holds."""
    headers.setRawHeaders("Content-Security-Policy", [FILE_POLICY])
    headers.setRawHeaders("Content-Type", ["application/octet-stream"])
    headers.setRawHeaders("Content-Disposition", [disposition(name)])


def disposition(name: str) -> str:
    """RFC 6266 4.3: an ASCII name for old readers, the true one beside it."""
    ascii_name = "".join(letter if " " <= letter < "\x7f" and letter not in '"\\%;' else "_" for letter in name)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
