"""Revocation lists for the world: at the portal, and at a door of their own over plain HTTP.

Not the making of them. Whoever wants to know whether a certificate of ours still counts asks here, without a name and
without a cookie. RFC 5280 4.2.1.13, RFC 2585 (application/pkix-crl).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from klein import Klein
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from securegw.pages import BodyRules, PageRequest, PageSite, Sorry

if TYPE_CHECKING:
    from securegw.keys.revocations import Revocations
    from securegw.keys.settings import KeysSettings


class Lists:
    """The pages: one for each authority."""

    def __init__(self, revocations: Revocations) -> None:
        self.revocations = revocations

    async def list(self, request: PageRequest, name: str) -> bytes:
        """The list of this name, as DER."""
        der = await self.revocations.look(name)
        if der is None:
            raise Sorry(404)
        request.setHeader("Content-Type", "application/pkix-crl")
        request.setHeader("Content-Length", str(len(der)))
        request.setHeader("Cache-Control", "public, max-age=3600")
        return der


def lists_site(revocations: Revocations, settings: KeysSettings, reactor: Any) -> PageSite:
    """A site with nothing but the lists, at any path that ends with their names: a proxy in front may have its own."""
    lists = Lists(revocations)
    app = Klein()
    app.route("/<path:_folder>/<name>", methods=["GET"], endpoint="below")(
        lambda request, _folder, name: lists.list(request, name)
    )
    app.route("/<name>", methods=["GET"], endpoint="top")(lists.list)
    errors: Any = _sorry
    app.handle_errors(Exception)(errors)
    host = urlsplit(settings.crl_url or "").netloc.lower()
    return PageSite(
        app.resource(), reactor, hosts={host, host.removesuffix(":80")}, rules=lambda path: BodyRules(),
        stranger=lambda request: _say(request, 421),
    )


def _sorry(request: PageRequest, failure: Failure) -> bytes:
    error = failure.value
    if isinstance(error, Sorry):
        return _say(request, error.status)
    return _say(request, 404 if isinstance(error, HTTPException) else 500)


def _say(request: PageRequest, status: int) -> bytes:
    request.setResponseCode(status)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    return b""
